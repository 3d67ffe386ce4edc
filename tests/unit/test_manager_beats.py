"""Heartbeats to many agents: each gets one a round, and others have their turns between."""

import asyncio
from types import SimpleNamespace
from typing import cast

from ostler.manager.native import BEATS, HEARTBEAT, Agents, Blobs
from ostler.model.resources import NodeFacts
from ostler.wire import messages
from ostler.wire.conn import Connection


class Link:
    """A connection that counts what is sent, and why it was closed."""

    def __init__(self) -> None:
        self.peer = SimpleNamespace(pid=1)
        self.sent = 0
        self.reason = ""

    def send(self, _data: bytes) -> None:
        self.sent += 1

    def close(self, reason: str) -> None:
        self.reason = reason


def crowd(agents: Agents, count: int) -> list[Link]:
    links = [Link() for _ in range(count)]
    for number, link in enumerate(links):
        name = f"n{number}"
        facts = NodeFacts((0,), 1)
        hello = messages.AgentHello(name, messages.VERSION, facts, "boot", name, 0)
        agents.greet(cast("Connection", link), hello)
    return links


def agents_of() -> Agents:
    async def made() -> Agents:
        nothing = Blobs(lambda _digest: None)
        return Agents(lambda _event: None, 1, nothing, b"", HEARTBEAT, clock=lambda: 0.0)

    return asyncio.run(made())


def test_a_round_is_spread_over_its_time() -> None:
    agents = agents_of()
    links = crowd(agents, 3 * BEATS + 1)
    sent, waited = 0, 0.0
    for part in agents.beat(lambda: 0.0):
        now = sum(link.sent for link in links)
        assert 0 < now - sent <= BEATS
        sent, waited = now, waited + part
    assert [link.sent for link in links] == [1] * len(links)
    assert round(waited, 6) == 1


def test_without_agents_a_round_takes_its_time() -> None:
    assert list(agents_of().beat(lambda: 0.0)) == [1]


def test_who_has_gone_during_a_round_is_told_nothing() -> None:
    agents = agents_of()
    links = crowd(agents, 2 * BEATS)
    beats = agents.beat(lambda: 0.0)
    next(beats)
    agents.gone(f"n{BEATS}", cast("Connection", links[BEATS]))
    assert sum(1 for _ in beats) == 1
    assert links[BEATS].sent == 0
    assert links[BEATS + 1].sent == 1
