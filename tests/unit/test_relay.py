"""A relay as its peers see it, in a thread of the test: clients that come after others, and starters."""

import os
import select
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ostler.agent import relay_socket, zygote
from ostler.agent.relay import Relay
from ostler.agent.relay_order import Order
from ostler.agent.relay_request import relay_request
from ostler.agent.relay_socket import Lent, NoRelay
from ostler.client.stream import Streams
from ostler.model import job
from ostler.model.orders import Launch
from ostler.model.resources import Placement, Request
from ostler.wire.address import dial
from ostler.wire.frames import Splitter, frame
from ostler.wire.pack import pack, unpack
from ostler.wire.streams import FOLDER, WINDOW

PATIENCE = 60.0  # seconds; only a defect waits so long
RANKS = tuple(range(0, 10_000, 2))


class Client:
    """A client of the relay of job 7."""

    def __init__(self, state: Path) -> None:
        self.sock = dial(str(state / FOLDER / "7"))
        self.sock.settimeout(PATIENCE)
        self._splitter = Splitter()
        self._heard: list[dict[str, Any]] = []

    def say(self, *messages: dict[str, object]) -> None:
        self.sock.sendall(b"".join(frame(pack(message)) for message in messages))

    def hear(self, kind: str) -> dict[str, Any]:
        """Return the next message of this kind; what comes before it is not wanted."""
        while True:
            while self._heard:
                message = self._heard.pop(0)
                if message["type"] == kind:
                    return message
            data = self.sock.recv(1 << 16)
            assert data, "the relay closed the connection"
            self._heard += [unpack(payload) for payload in self._splitter.feed(data)]


def launch(ranks: tuple[int, ...], **more: Any) -> Launch:
    place = Placement("n1", len(ranks), 0, tuple(range(len(ranks))))
    fields: dict[str, Any] = {"streams": job.Streams(), "ranks": ranks, **more}
    fields["total_tasks"] = len(ranks)
    uid, gid = os.geteuid(), os.getegid()
    return Launch(1, 7, 0, 1, "me", uid, gid, place, Request(len(ranks)), **fields)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    (tmp_path / FOLDER).mkdir(parents=True)
    return tmp_path


@pytest.fixture
def dials(state: Path) -> Iterator[Callable[[], Client]]:
    """Return what makes clients, whose connections are closed in the end."""
    clients: list[Client] = []

    def dialled() -> Client:
        clients.append(Client(state))
        return clients[-1]

    yield dialled
    for one in clients:
        one.sock.close()


@pytest.fixture
def relay(state: Path, request: pytest.FixtureRequest) -> Iterator[threading.Thread]:
    """Run the relay of a job, by default of one task that reads its input."""
    order = Order(relay_request(launch(*getattr(request, "param", ((0,),)))))
    folder = os.fsencode(state / FOLDER)
    listener = relay_socket.listen(folder, "7", os.geteuid(), os.getegid())
    assert listener is not None
    thread = threading.Thread(target=Relay(order, listener).run, daemon=True)
    thread.start()
    yield thread
    listener.close()


def lend(state: Path, ranks: tuple[int, ...]) -> Lent:
    return Lent(os.fsencode(state), "7", os.geteuid(), ranks)


def test_a_relay_can_be_asked_for_however_many_tasks_there_are() -> None:
    assert len(pack({"type": "relay", **relay_request(launch(RANKS))})) < zygote.PACKET


@pytest.mark.parametrize("relay", [((0, 4, 8),)], indirect=True)
def test_a_starter_gets_what_its_tasks_need_whatever_one_before_it_asked_for(
    state: Path, relay: threading.Thread, dials: Callable[[], Client]
) -> None:
    client = dials()
    client.say({"type": "attach"})
    for ranks in ((0,), (0, 4, 8)):
        lent = lend(state, ranks)
        assert len(lent.threes) == len(ranks)
        os.write(lent.threes[-1][1], b"word")
        lent.close()
        assert client.hear("out")["data"] == b"word"
        client.hear("end")
    client.say({"type": "ack", "bytes": 8}, {"type": "quit"})
    relay.join(PATIENCE)
    assert not relay.is_alive()


def test_input_that_a_client_left_behind_counts_for_the_next_one(
    state: Path, relay: threading.Thread, dials: Callable[[], Client]
) -> None:
    lent = lend(state, (0,))
    left = bytes(1 << 17)
    first = dials()
    first.say({"type": "attach"}, {"type": "in", "data": left}, {"type": "in", "data": left})
    assert first.hear("attached")["waits"] == 0
    taken = first.hear("took")["bytes"]
    second = dials()
    second.say({"type": "attach"})
    waits = second.hear("attached")["waits"]
    assert 0 < waits <= WINDOW - taken
    room = WINDOW - waits
    second.say({"type": "in", "data": b"x" * room})
    got = bytearray()
    while len(got) < WINDOW + room:
        got += os.read(lent.threes[0][0], 1 << 16)
    assert got == bytes(WINDOW) + b"x" * room
    told = 0
    while told < waits + room:
        told += second.hear("took")["bytes"]
    assert told == waits + room
    lent.close()
    second.say({"type": "quit"})
    relay.join(PATIENCE)


def test_a_client_of_ours_counts_input_that_one_before_it_left(
    state: Path, relay: threading.Thread, dials: Callable[[], Client]
) -> None:
    lent = lend(state, (0,))
    left = bytes(1 << 17)
    first = dials()
    first.say({"type": "attach"}, {"type": "in", "data": left})
    taken = first.hear("took")["bytes"]
    streams = Streams()
    streams.at({"n1": str(state / FOLDER / "7")})
    assert streams.connect()
    [joint] = streams.joints.values()
    poll = select.poll()
    poll.register(joint.fileno(), select.POLLIN)
    while not joint.is_joined:
        assert poll.poll(PATIENCE * 1000)
        streams.tend({joint.fileno(): select.POLLIN})
    assert joint.sent == len(left) - taken
    streams.close()
    lent.close()
    dials().say({"type": "quit"})
    relay.join(PATIENCE)


def test_nothing_that_is_said_behind_the_last_word_keeps_a_relay(
    relay: threading.Thread, dials: Callable[[], Client]
) -> None:
    peer = dials()
    peer.say({"type": "quit"}, {"type": "attach"}, {"type": "tasks", "ranks": [0]})
    relay.join(PATIENCE)
    assert not relay.is_alive()


def test_whoever_keeps_all_that_tasks_need_gets_no_more(
    state: Path, relay: threading.Thread, dials: Callable[[], Client]
) -> None:
    kept = [lend(state, (0,)), lend(state, (0,))]
    with pytest.raises(NoRelay):
        lend(state, (0,))
    for lent in kept:
        lent.close()
    peer = dials()
    peer.say({"type": "attach"})
    peer.hear("end")
    lend(state, (0,)).close()
    peer.say({"type": "quit"})
    relay.join(PATIENCE)
    assert not relay.is_alive()


@pytest.mark.parametrize("ranks", [None, [], [-1], ["0"], [True, None], 5, [0, 1]])
def test_ranks_that_are_none_close_the_connection(
    relay: threading.Thread, dials: Callable[[], Client], ranks: object
) -> None:
    peer = dials()
    peer.say({"type": "tasks", "ranks": ranks})
    assert peer.sock.recv(1) == b""
    dials().say({"type": "quit"})
    relay.join(PATIENCE)
    assert not relay.is_alive()
