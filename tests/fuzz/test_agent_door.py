"""Hostile bursts on the agent's socket, and an agent between a hostile manager and starters."""

import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct, structs

from ostler.agent import proc
from ostler.agent.spool import Spool
from ostler.model.orders import Ended, EndShare
from ostler.wire.address import dial
from ostler.wire.frames import Splitter, frame
from ostler.wire.pack import pack
from tests.e2e.agent.kit import Node, node
from tests.e2e.machine_kit import machine
from tests.fuzz import shares
from tests.fuzz.bursts import PATIENCE, Poke, messages, pokes, send, told
from tests.fuzz.bystander import forked
from tests.fuzz.rig import Logs, Rig, fuzzed, rig
from tests.fuzz.values import TEXTS, Fields
from tests.soak.vitals import of_process

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with machine(tmp_path_factory.mktemp("fuzz"), "--cpus", "4") as host, rig(host) as made:
        yield made


class _Leave(Struct, tag="leave"):
    """As a client of `run` leaves its descriptors."""

    token: str


def test_no_burst_of_clients_or_false_starters_stops_an_agent(whole: Rig) -> None:
    leave = Fields({}).record(_Leave, token=TEXTS)
    said = shares.hello(whole.host.work) | shares.of_starter(whole.host.work, shares.STRAY)
    connections = pokes(messages(leave | leave | said), descriptors=(0, 1, 3, 3, 4, 16))

    @fuzzed
    @given(st.lists(connections, min_size=1, max_size=8))
    def bursts(burst: list[Poke]) -> None:
        whole.burst("agent.sock", burst)

    bursts()


class Besieged:
    """An agent whose manager and starters lie, and one share of a real starter that must not care."""

    def __init__(self, one: Node) -> None:
        self.node = one
        self.pid = one.agent
        self.logs = Logs([one.state / "log.txt"])
        self.share = one.job("exit 7").run()
        self._count = shares.FIRST * 10

    def tell(self, pieces: Sequence[bytes]) -> None:
        """Say something in the manager's name; the agent may well hang up."""
        manager = self.node.manager
        manager.order()
        sock = manager._sock
        assert sock is not None
        with suppress(OSError):
            send(sock, pieces)
        manager.hang_up()

    def holds(self) -> None:
        """Assert that the agent lives, and runs what a manager orders that makes sense."""
        manager = self.node.manager
        hello = manager.greeting()
        manager.epoch = max(manager.epoch, hello.epoch)
        held = [h.alloc for h in hello.holds if h.alloc != self.share.alloc]
        # One order each, as the end of what was never there is told like any other.
        manager.order(*(EndShare(alloc, "cancelled", "a burst is over", 0) for alloc in held))
        for alloc in held:
            manager.row(Ended, alloc)
        self._count += 1
        manager.order(structs.replace(self.share.launch, alloc=self._count, argv=(b"/bin/true",)))
        row = manager.row(Ended, self._count)
        assert [task.code for task in row.tasks] == [0], row
        self.logs.tell_no_defect()
        assert self.node.agent == self.pid
        assert proc.start_time(self.pid), "the agent is gone"

    def ends(self) -> None:
        """Assert that the share of the real starter ran once, to its own end."""
        self.share.release()
        row = self.share.ended()
        assert [(task.code, task.signal) for task in row.tasks] == [(7, 0)], row
        assert self.share.times_run() == 1


@pytest.fixture
def besieged(tmp_path: Path) -> Iterator[Besieged]:
    with node(tmp_path) as one:
        made = Besieged(one)
        yield made
        made.ends()


def test_no_order_that_makes_no_sense_stops_an_agent(besieged: Besieged, tmp_path: Path) -> None:
    frames = messages(shares.of_manager(tmp_path))
    before = of_process(besieged.pid)

    @fuzzed
    @given(pokes(frames))
    def bursts(poke: Poke) -> None:
        with told([poke]):
            besieged.tell(poke.pieces)
            besieged.holds()

    bursts()
    now = of_process(besieged.pid)
    assert now["fds"] <= before["fds"] + 40, (before, now)  # idle starters: three each
    assert now["RSS"] <= before["RSS"] + (64 << 20), (before, now)


def _play_starter(state: Path, name: str, said: Sequence[bytes]) -> None:
    """Be an idle starter that takes the first share it is given, says something, and goes."""
    began = proc.start_time(os.getpid())
    header = {"name": name, "pid": os.getpid(), "start_time": began, "boot_id": proc.boot_id()}
    Spool(os.fsencode(state / "node" / "spool" / name), header | {"state": os.fsencode(state)})
    hello = {"type": "starter", "name": name, "pid": os.getpid(), "start_time": began}
    hello |= {"boot_id": proc.boot_id(), "uid": os.getuid(), "alloc": None, "phase": "idle"}
    splitter = Splitter()
    with dial(str(state / "agent.sock"), PATIENCE) as sock:
        sock.sendall(frame(pack(hello)))
        os.write(1, b"")
        with suppress(OSError):
            while not splitter.feed(sock.recv(1 << 18)):
                pass
            send(sock, said)
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(1 << 18):
                pass


def test_a_starter_that_lies_costs_nothing_but_its_own_share(
    besieged: Besieged, tmp_path: Path
) -> None:
    manager, state = besieged.node.manager, besieged.node.state
    own = 500
    number = 0
    frames = messages(shares.of_starter(tmp_path, st.just(own) | shares.STRAY))

    @fuzzed
    @given(pokes(frames))
    def bursts(poke: Poke) -> None:
        with told([poke]):
            besiege(poke)

    def besiege(poke: Poke) -> None:
        nonlocal number
        number += 1
        # The share that it may get, and may well not: then a real starter runs it.
        pid = forked(None, lambda: _play_starter(state, f"played{number}", poke.pieces))
        launch = structs.replace(besieged.share.launch, alloc=own, argv=(b"/bin/true",))
        manager.rows.clear()
        manager.order(launch)
        manager.row(Ended, own)
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        manager.hang_up()
        besieged.holds()

    bursts()


@pytest.mark.parametrize(
    "word", [b"\x91" * 20_000 + b"\xc0", b"\xa2\xff\xfe"], ids=["deep", "no text"]
)
def test_a_word_that_the_decoder_cannot_even_refuse_does_not_end_an_agent(
    besieged: Besieged, word: bytes
) -> None:
    besieged.tell([frame(b"\x81\xa4type" + word)])
    besieged.holds()
