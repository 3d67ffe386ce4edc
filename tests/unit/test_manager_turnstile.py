"""People are heard before nodes, and nodes in turn."""

import selectors
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from ostler.manager.turnstile import Turnstile

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


@pytest.fixture
def turnstile() -> Iterator[Turnstile]:
    made = Turnstile(most=2)
    yield made
    made.close()


@pytest.fixture
def ready() -> Iterator[list[socket.socket]]:
    """Eight sockets from which a byte can be read."""
    with ExitStack() as opened:
        found = []
        for _ in range(8):
            one, other = (opened.enter_context(sock) for sock in socket.socketpair())
            other.send(b"x")
            found.append(one)
        yield found


def heard(turnstile: Turnstile) -> list[str]:
    return [key.data for key, _ in turnstile.select(0)]


def test_those_behind_come_last_few_at_a_time_and_each_in_turn(
    turnstile: Turnstile, ready: list[socket.socket]
) -> None:
    for number, sock in enumerate(ready[:6]):
        turnstile.register(sock.fileno(), READ, f"node {number}")
        turnstile.put_behind(sock.fileno())
    for number, sock in enumerate(ready[6:]):
        turnstile.register(sock.fileno(), READ, f"person {number}")
    rounds = [heard(turnstile) for _ in range(3)]
    assert [sorted(one[:2]) for one in rounds] == [["person 0", "person 1"]] * 3
    assert sorted(name for one in rounds for name in one[2:]) == [f"node {n}" for n in range(6)]


def test_who_has_left_is_heard_no_more_and_its_number_begins_anew(
    turnstile: Turnstile, ready: list[socket.socket]
) -> None:
    fd = ready[0].fileno()
    turnstile.register(fd, READ, "node")
    turnstile.put_behind(fd)
    assert heard(turnstile) == ["node"]
    turnstile.unregister(fd)
    assert heard(turnstile) == []
    turnstile.register(fd, READ, "person")
    for number, sock in enumerate(ready[1:]):
        turnstile.register(sock.fileno(), READ, f"node {number}")
        turnstile.put_behind(sock.fileno())
    assert heard(turnstile)[0] == "person"


def test_a_closed_file_can_be_unregistered(
    turnstile: Turnstile, ready: list[socket.socket]
) -> None:
    fd = ready[0].fileno()
    turnstile.register(fd, READ, "node")
    turnstile.put_behind(fd)
    ready[0].close()
    turnstile.unregister(fd)
    assert heard(turnstile) == []


def test_what_is_waited_for_changes_where_it_stands(
    turnstile: Turnstile, ready: list[socket.socket]
) -> None:
    fd = ready[0].fileno()
    turnstile.register(fd, READ, "node")
    turnstile.put_behind(fd)
    turnstile.modify(fd, WRITE, "node")
    assert turnstile.select(0) == [(turnstile.get_key(fd), WRITE)]
    turnstile.modify(fd, READ | WRITE, "node")
    assert turnstile.select(0) == [(turnstile.get_key(fd), READ | WRITE)]
    with pytest.raises(KeyError):
        turnstile.register(fd, READ)
    with pytest.raises(KeyError):
        turnstile.get_key(ready[1].fileno())
