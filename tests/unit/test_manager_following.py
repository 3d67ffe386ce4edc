"""Followers are told of what they follow, and of nothing else."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import msgspec

from ostler.manager.following import Followers
from ostler.manager.session import Client
from ostler.model.caller import Caller
from ostler.model.happening import Pattern
from ostler.model.record import Event
from ostler.wire import messages
from ostler.wire.conn import Connection
from tests.store.builders import Held


class Heard:
    """A client, and what is sent to it."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        link = SimpleNamespace(send=self.take, closed=False)
        self.client = Client(cast("Connection", link), Caller(0, 0, "root", owner=True))

    def take(self, data: bytes) -> None:
        self.sent.append(msgspec.msgpack.decode(data))

    def follow(self, followers: Followers, request: int, job: str = "", **pattern: Any) -> None:
        asked = messages.Follow(request, -1, job, Pattern(**pattern))
        asyncio.run(followers.begin(self.client, asked))

    def heard(self) -> list[tuple[int, int]]:
        """Return what came since the last time: requests, and serials of events."""
        told = [(news["id"], news["body"]["serial"]) for news in self.sent]
        self.sent.clear()
        return told


def event(serial: int, job: int | None, kind: str = "job/started") -> Event:
    return Event(serial, 100.0, kind, job=job)


def test_each_hears_what_it_follows() -> None:
    followers = Followers(Held(":memory:").store)
    one, every, ends = Heard(), Heard(), Heard()
    one.follow(followers, 7, "1")
    every.follow(followers, 8)
    ends.follow(followers, 9, of_type="ended")
    followers.tell([event(1, 1), event(2, 2), event(3, None, "node/ended"), event(4, 1)])
    assert one.heard() == [(7, 1), (7, 4)]
    assert every.heard() == [(8, 1), (8, 2), (8, 3), (8, 4)]
    assert ends.heard() == [(9, 3)]


def test_one_connection_may_follow_twice_and_think_again() -> None:
    followers, client = Followers(Held(":memory:").store), Heard()
    client.follow(followers, 1, "5")
    client.follow(followers, 2)
    followers.tell([event(1, 5)])
    assert sorted(client.heard()) == [(1, 1), (2, 1)]
    client.follow(followers, 1, "6")  # the same request: instead of the first
    followers.tell([event(2, 5), event(3, 6)])
    assert sorted(client.heard()) == [(1, 3), (2, 2), (2, 3)]


def test_who_has_gone_is_told_nothing_and_costs_nothing() -> None:
    followers, gone, stays = Followers(Held(":memory:").store), Heard(), Heard()
    gone.follow(followers, 1, "5")
    gone.follow(followers, 2)
    stays.follow(followers, 1, "5")
    followers.gone(gone.client)
    followers.gone(gone.client)  # said twice
    followers.tell([event(1, 5)])
    assert gone.heard() == []
    assert stays.heard() == [(1, 1)]
