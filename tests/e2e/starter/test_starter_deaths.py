"""Starters outlive their agent; what they did is known when they die themselves."""

import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ostler.agent import proc, remains, spool
from ostler.agent.remains import Exit
from ostler.agent.spool import SpoolState
from ostler.model.job import Usage
from ostler.wire import cgroup
from tests.e2e.starter.kit import Agent, Line, order, wait_readable

pytestmark = pytest.mark.e2e

WITHOUT_GROUPS = "import ostler.agent.zygote as z; z.find_bases = list"
WAYS = pytest.mark.parametrize("code", ["", WITHOUT_GROUPS], ids=["groups", "no groups"])


def start(agent: Agent, work: Path, script: str, **fields: Any) -> Line:
    line = agent.fork()
    line.say("launch", **order(1, [b"sh", b"-c", script.encode()], work, **fields))
    line.hear_until("started")
    return line


def die_at(kind: int, when: str, nth: int = 1) -> str:
    """Code for a zygote whose starters die before or after they write a record of this kind.

    nth: the how many-th of its kind. One that is kept to be written later counts as written.
    """
    return f"""
import os
from ostler.agent.spool import Spool
left = [{nth}]
def deadly(whole):
    def write(self, kind, *values):
        if kind == {kind}: left[0] -= 1
        if kind == {kind} and not left[0] and {when!r} == "before": os.kill(os.getpid(), 9)
        whole(self, kind, *values)
        if kind == {kind} and not left[0]: os.kill(os.getpid(), 9)
    return write
Spool.add, Spool.keep = deadly(Spool.add), deadly(Spool.keep)
"""


# ── the agent dies ───────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("phase", ["made", "started", "ended"])
def test_the_next_agent_is_told_everything(agent: Agent, work: Path, phase: str) -> None:
    os.mkfifo(work / "fifo")
    line = agent.fork()
    script = b"true" if phase == "ended" else b"read word < fifo"
    launch = order(1, [b"sh", b"-c", script], work, start=phase != "made")
    line.say("launch", **launch)
    report = line.hear_until(phase)
    agent.die()
    agent.stop_zygote()
    agent.listen()
    line = agent.accept()
    hello = line.hear()
    assert hello == agent.starters[0] | {"alloc": 1, "phase": phase}
    assert line.hear() == report
    if phase != "ended":
        line.say("start_tasks", alloc=1)
        (work / "fifo").write_text("word\n")
        assert line.hear_until("ended")["tasks"] == [[0, 0, 0]]
    line.say("forget", alloc=1)
    assert line.hear()["phase"] == "idle"


def test_what_ends_while_no_agent_is_there_is_kept(agent: Agent, work: Path) -> None:
    os.mkfifo(work / "fifo")
    start(agent, work, "read word < fifo; exit 3")
    agent.die()
    task = agent.spool().tasks[0]
    pidfd = proc.watch(task.pid, task.start_time)
    assert pidfd is not None
    (work / "fifo").write_text("word\n")
    wait_readable(pidfd)
    os.close(pidfd)
    agent.listen()
    line = agent.accept()
    line.hear()
    assert line.hear_until("ended")["tasks"] == [[0, 3, 0]]


def test_a_starter_whose_share_ended_does_not_wait_for_ever(agent: Agent, work: Path) -> None:
    agent.start_zygote("import ostler.agent.starter as s; s.LINGER = 0.2")
    line = agent.fork()
    line.say("launch", **order(1, [b"false"], work))
    line.hear_until("ended")
    agent.die()
    agent.wait_for_end_of_starter()
    state = agent.spool()
    assert state.ended is not None
    assert state.ended["tasks"] == [[0, 1, 0]]


def test_limits_hold_without_an_agent(agent: Agent, work: Path) -> None:
    start(agent, work, "sleep 1000", time_limit=1)
    agent.die()
    task = agent.spool().tasks[0]
    pidfd = proc.watch(task.pid, task.start_time)
    assert pidfd is not None
    wait_readable(pidfd)
    os.close(pidfd)


def test_a_stopped_agent_does_not_stop_the_tasks(agent: Agent, work: Path) -> None:
    """Nothing is read from the connection, so its buffer fills."""
    line = agent.fork()
    line.sock.setsockopt(1, 8, 1)  # SO_RCVBUF: as small as the kernel allows
    os.mkfifo(work / "fifo")
    launch = order(1, [b"sh", b"-c", b"read word < fifo; exit 3"], work)
    line.say("launch", **launch)
    line.hear_until("started")
    for _ in range(20_000):
        line.say("launch", alloc=1)  # each is answered
    (work / "fifo").write_text("word\n")
    while (message := line.hear())["type"] != "ended":
        assert message["type"] == "started"
    assert message["tasks"] == [[0, 3, 0]]


# ── the starter dies ─────────────────────────────────────────────────────────────────────────
def bury(agent: Agent) -> SpoolState:
    """Kill the newest starter; return its spool once its tasks are ours."""
    os.kill(agent.pid, signal.SIGKILL)
    agent.wait_for_end_of_starter()
    return agent.spool()


def exits_until_gone(state: SpoolState) -> dict[int, tuple[Exit, Usage]]:
    """End what is left, as the agent would; return all that was reaped by pid."""
    found = {}
    while True:
        gone = remains.kill_all(state)
        while (ended := remains.next_exit()) is not None:
            found[ended.pid] = ended, remains.reap(ended.pid)
        if gone:
            return found
        select.select([], [], [], 0.005)


@pytest.fixture
def nothing_left() -> Iterator[None]:
    yield
    while (ended := remains.next_exit()) is not None:
        remains.reap(ended.pid)


@WAYS
def test_the_tasks_of_a_dead_starter_go_on_and_can_be_ended(
    agent: Agent, work: Path, code: str, nothing_left: None
) -> None:
    os.mkfifo(work / "fifo")
    agent.start_zygote(code)
    start(agent, work, "(setsid sh -c 'sleep 999 & echo > fifo; sleep 998') & wait")
    (work / "fifo").read_text()
    state = bury(agent)
    task = state.tasks[0]
    assert (state.alloc, task.phase) == (1, "running")
    assert proc.is_alive(task.pid, task.start_time)
    assert len(remains.orphans(state)) >= 3
    found = exits_until_gone(state)
    assert (found[task.pid][0].code, found[task.pid][0].signal) == (0, 9)
    assert remains.orphans(state) == []
    assert remains.clean(state)
    assert not [path for path in state.groups if os.path.exists(path)]


@WAYS
def test_an_orphan_that_left_its_session_is_found(
    agent: Agent, work: Path, code: str, nothing_left: None
) -> None:
    os.mkfifo(work / "fifo")
    agent.start_zygote(code)
    script = "(setsid sh -c 'echo $$ > pid; echo > fifo; exec sleep 999' &); exec sleep 998"
    start(agent, work, script)
    (work / "fifo").read_text()
    state = bury(agent)
    task = state.tasks[0]
    os.kill(task.pid, signal.SIGKILL)
    os.waitpid(task.pid, 0)
    stray = int((work / "pid").read_text())
    assert remains.orphans(state) == [stray]
    assert set(exits_until_gone(state)) == {stray}


@WAYS
def test_an_orphan_of_a_slot_that_left_its_group_is_found(
    agent: Agent, work: Path, code: str, nothing_left: None
) -> None:
    os.mkfifo(work / "fifo")
    agent.start_zygote(code)
    alone = (
        f"env -i {sys.executable} -c 'import os; os.setpgid(0, 0); os.execl(*3 * [\"./stray\"])'"
    )
    (work / "stray").write_text("#!/bin/sh\necho $$ > pid; echo > fifo; exec sleep 999")
    (work / "stray").chmod(0o755)
    script = f"({alone} &); exec sleep 998"
    start(agent, work, script, is_array=True, chunk={"elements": [[0, 0]], "last": True})
    (work / "fifo").read_text()
    state = bury(agent)
    task = state.tasks[0]
    os.kill(task.pid, signal.SIGKILL)
    os.waitpid(task.pid, 0)
    stray = int((work / "pid").read_text())
    assert proc.group(stray) != task.pid
    assert remains.orphans(state) == [stray]
    assert set(exits_until_gone(state)) == {stray}


@WAYS
def test_orphans_stand_still_and_go_on(
    agent: Agent, work: Path, code: str, nothing_left: None
) -> None:
    agent.start_zygote(code)
    os.mkfifo(work / "fifo")
    start(agent, work, "trap 'exit 4' TERM; echo > fifo; while :; do sleep 0.01; done")
    (work / "fifo").read_text()
    state = bury(agent)
    remains.freeze(state)
    until(lambda: stands_still(state))
    remains.thaw(state)
    remains.signal_all(state, signal.SIGTERM)
    os.waitid(os.P_PID, state.tasks[0].pid, os.WEXITED | os.WNOWAIT)
    found = exits_until_gone(state)
    assert found[state.tasks[0].pid][0].code == 4


def until(condition: Callable[[], bool]) -> None:
    """Wait for what the kernel does a moment later and tells nobody."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        select.select([], [], [], 0.005)


def stands_still(state: SpoolState) -> bool:
    for path in state.groups:
        events = Path(path, "cgroup.events")
        if events.exists():
            return "frozen 1" in events.read_text()
    stats = [Path(f"/proc/{pid}/stat").read_text() for pid in remains.orphans(state)]
    # D: waits for a child of vfork that stands still itself.
    return bool(stats) and all(stat.rpartition(")")[2].split()[0] in "TD" for stat in stats)


@WAYS
def test_processes_of_another_allocation_are_no_orphans(
    agent: Agent, work: Path, code: str, nothing_left: None
) -> None:
    agent.start_zygote(code)
    start(agent, work, "exec sleep 999")
    other = agent.spool().tasks[0].pid
    line = agent.fork()
    line.say("launch", **order(2, [b"sleep", b"998"], work))
    line.hear_until("started")
    state = bury(agent)
    assert remains.orphans(state) == [state.tasks[0].pid]
    assert other not in exits_until_gone(state)


@pytest.mark.parametrize(
    ("kind", "when", "phase"),
    [
        (spool.ACCEPTED, "before", None),
        (spool.ACCEPTED, "after", None),
        (spool.INTENT, "before", None),
        (spool.INTENT, "after", "intended"),
        (spool.PID, "before", "intended"),
        (spool.PID, "after", "running"),
        (spool.STATUS, "before", "running"),
        (spool.STATUS, "after", "ended"),
        (spool.ENDED, "before", "ended"),
    ],
)
def test_a_starter_killed_at_any_record_leaves_the_truth(
    agent: Agent, work: Path, kind: int, when: str, phase: str | None, nothing_left: None
) -> None:  # fmt: skip
    agent.start_zygote(die_at(kind, when))
    lives = kind == spool.PID
    line = agent.fork()
    script = b"exec sleep 999" if lives else b"exit 3"
    line.say("launch", **order(1, [b"sh", b"-c", script], work))
    agent.wait_for_end_of_starter()
    state = agent.spool()
    assert (state.tasks[0].phase if state.tasks else None) == phase
    assert bool(remains.orphans(state)) == lives
    found = exits_until_gone(state)
    if kind == spool.STATUS and when == "before":
        # Not yet reaped by the starter, so its status is ours to read.
        assert found[state.tasks[0].pid][0].code == 3
    if phase == "ended":
        assert state.tasks[0].code == 3
    if phase is None:
        assert found == {}


def test_a_script_of_a_dead_starter_is_removed(
    agent: Agent, work: Path, nothing_left: None
) -> None:
    line = agent.fork()
    line.say("launch", **order(1, [], work, script=b"sleep 999"))
    line.hear_until("started")
    state = bury(agent)
    exits_until_gone(state)
    remains.clean(state)
    assert list((agent.state / "node" / "scripts").iterdir()) == []


# ── the zygote ───────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    "message", [{"type": "fork", "name": "../x"}, {"type": "fork"}, {"type": "other", "name": "x"}]
)
def test_the_zygote_refuses_what_is_no_request(agent: Agent, message: dict[str, Any]) -> None:
    agent.start_zygote()
    assert agent.ask(message)["pid"] == 0
    agent.fork()


def test_the_zygote_loads_nothing_that_starters_do_not_need(agent: Agent) -> None:
    agent.start_zygote(
        "import atexit, sys\n"
        "from ostler.agent import zygote\n"
        "heavy = {'asyncio', 'msgspec', 're', 'typing', 'json', 'socket', 'subprocess', 'click'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    agent.fork()


def test_nothing_is_left_where_groups_cannot_be_made() -> None:
    assert cgroup.Groups([cgroup.Base("/proc/no", 2, memory=False)], "x").paths == []
