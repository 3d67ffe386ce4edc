"""Hostile bursts on a starter's connection: orders that lie end it cleanly or not at all."""

import os
import select
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given

from tests.e2e.starter.kit import PATIENCE, Agent, Line, order, playing, wait_gone
from tests.fuzz import shares
from tests.fuzz.bursts import Poke, messages, pokes, send, told
from tests.fuzz.rig import Logs, fuzzed

pytestmark = pytest.mark.e2e

OWN = 7  # the allocation of a share that bursts do not name

# What its starters complain of is kept; and none of them may take this host's memory.
BEFORE = """
import os, resource
os.dup2(os.open({log!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT), 2)
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
"""


class Besieged:
    """Real starters, and an agent that lies to them."""

    def __init__(self, agent: Agent, folder: Path) -> None:
        self.agent = agent
        self.folder = folder
        self.logs = Logs([folder / "log"])
        agent.start_zygote(BEFORE.format(log=str(folder / "log")))

    def say(self, line: Line, poke: Poke) -> None:
        """Send a burst and hang up; the starter may do so in the middle of it."""
        with suppress(OSError):
            send(line.sock, poke.pieces)
        line.sock.close()

    def next(self) -> Line | None:
        """Return the newest starter's next connection; None when it has gone instead."""
        try:
            gone = os.pidfd_open(self.agent.pid)
        except ProcessLookupError:
            return None
        try:
            ready, _, _ = select.select([gone, self.agent.door.fileno()], [], [], PATIENCE)
        finally:
            os.close(gone)
        assert ready, "the starter does not come back, and does not go"
        return self.agent.accept() if gone not in ready else None

    def dismiss(self, line: Line) -> None:
        """End what a starter that came back has, and let it go; fail if it cannot be ended."""
        alloc = line.hear()["alloc"]
        if alloc is not None:
            line.say("end", alloc=alloc, cause="cancelled", why="the burst is over", grace=0)
            line.hear_until("ended")
            line.say("forget", alloc=alloc)
        line.sock.close()
        wait_gone(self.agent.pid)


@pytest.fixture
def besieged(tmp_path: Path) -> Iterator[Besieged]:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    with playing(state) as agent:
        yield Besieged(agent, tmp_path)


def test_an_idle_starter_obeys_or_goes(besieged: Besieged) -> None:
    frames = messages(shares.of_agent(besieged.folder, shares.STRAY))

    @fuzzed
    @given(pokes(frames))
    def bursts(poke: Poke) -> None:
        with told([poke]):
            besieged.say(besieged.agent.fork(), poke)
            line = besieged.next()
            if line is not None:
                besieged.dismiss(line)
            besieged.logs.tell_no_defect()

    bursts()


def test_a_starter_at_work_minds_nothing_but_its_own_share(besieged: Besieged) -> None:
    frames = messages(shares.of_agent(besieged.folder, shares.STRAY))
    gate = besieged.folder / "gate"
    os.mkfifo(gate)
    line = besieged.agent.fork()
    script = f"read word <{gate}; exit 7".encode()
    line.say("launch", **order(OWN, [b"/bin/sh", b"-c", script], besieged.folder))
    line.hear_until("started")
    newest = line

    @fuzzed
    @given(pokes(frames))
    def bursts(poke: Poke) -> None:
        nonlocal newest
        with told([poke]):
            besieged.say(newest, poke)
            came = besieged.next()
            assert came is not None, "it is gone, and its task runs"
            newest = came
            hello = newest.hear()
            assert (hello["alloc"], hello["phase"]) == (OWN, "started"), hello
            besieged.logs.tell_no_defect()

    bursts()
    gate.write_text("go\n")
    assert newest.hear_until("ended")["tasks"] == [[0, 7, 0]]
    newest.say("forget", alloc=OWN)
