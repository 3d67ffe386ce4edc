"""Whether a task between its `INTENT` and its `PID` record was spawned before its starter died.

Told by what was born there: whatever a starter spawned is a child of a living reaper, alive or on
record.
"""

import asyncio
import contextlib
import os
import time

from ostler.agent import proc, remains
from ostler.agent.reaped import Reaped
from ostler.agent.reaper import Reaper
from ostler.agent.spool import SpoolState, TaskState, read_spool
from ostler.agent.starter_protocol import MARKER_ALLOCATION, MARKER_STATE

_TICK = 1 / os.sysconf("SC_CLK_TCK")  # seconds
_SLACK = 3 * _TICK  # start times are cut to ticks, and clocks are not read at once
_SPAWN_SECONDS = 5.0  # after its `INTENT` in which a spawn must have happened
_EXEC_SECONDS = 2.0  # in which a child that was just born must show what it is
_STEP = 0.01
_STARTER = b"ostler-starter"[:15]
_MARKERS = (MARKER_ALLOCATION, MARKER_STATE, b"OSTLER_RANK")


async def settle_open(
    folder: str, state: SpoolState, reaper: Reaper, *, covered: bool
) -> frozenset[int]:
    """Find out about tasks that may or may not have been spawned; return the unknown ones.

    Those that were not are taken out of the state.
    """
    unknown: set[int] = set()
    deadline = time.monotonic() + _EXEC_SECONDS
    for task in [task for task in state.tasks.values() if task.phase == "intended"]:
        alive = await _alive_by(deadline, folder, state, task)
        if alive:
            continue
        # If it was born it had ended by that look: then it is on record now.
        await reaper.settle()
        found = _on_record(folder, state, task, reaper.records())
        if found is not None and _is_of(found, state):
            task.pid, task.start_time = found.pid, found.start_time
            task.code, task.signal, task.ended_at = found.code, found.signal, time.time()
            continue
        if found is not None or alive is None or not covered:
            unknown.add(task.rank)
        del state.tasks[task.rank]
    return frozenset(unknown)


async def _alive_by(
    deadline: float, folder: str, state: SpoolState, task: TaskState
) -> bool | None:
    """Look for the task until there is an answer, or the deadline by the monotonic clock."""
    while True:
        alive = _alive(folder, state, task)
        if alive is not None or time.monotonic() >= deadline:
            return alive
        await asyncio.sleep(_STEP)


def _alive(folder: str, state: SpoolState, task: TaskState) -> bool | None:
    """Look for the task among what lives, and note its pid.

    None: something may be the task and does not show it, as it is still a copy of its starter, say.
    """
    marks = (b"%d" % state.alloc if state.alloc is not None else b"", state.folder)
    own = (*marks, b"%d" % task.rank)
    taken = {other.pid for other in state.tasks.values()}
    orphans = set(remains.orphans(state))
    near = orphans.union(proc.children(os.getpid()), proc.children(os.getppid())) - taken
    answer: bool | None = False
    for pid in sorted(near):
        # Its name first: an exec changes that later than what it shows as environment.
        is_copy = _comm(pid) == _STARTER
        env = proc.environment(pid)
        told = tuple(env.get(name, b"") for name in _MARKERS)
        if told == own and proc.group(pid) == pid and not proc.is_zombie(pid):
            task.pid, task.start_time = pid, proc.start_time(pid)
            return True
        # A slot's are known by their session; any other leads one that says nothing of its starter.
        if pid not in orphans and (state.is_slot or not _is_young(pid, task)):
            continue
        # In an exec, and when it ends until it is a zombie, a process shows no environment.
        is_bare = not env and not proc.has_no_environment(pid)
        if is_bare or (is_copy and not _has_spool(folder, pid)):
            answer = None
    return answer


def _is_young(pid: int, task: TaskState) -> bool:
    return _unix(proc.start_time(pid)) > task.intended_at - _SLACK


def _has_spool(folder: str, pid: int) -> bool:
    """Say whether a process is a starter in its own right, with a spool of its own."""
    began = proc.start_time(pid)
    return any((other.pid, other.start_time) == (pid, began) for other in _spools(folder))


def _comm(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/comm", "rb") as file:
            return file.read().strip()
    except OSError:
        return b""


def _unix(ticks: int) -> float:
    """Return the time of day of a process's start."""
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks * _TICK


def _on_record(
    folder: str, state: SpoolState, task: TaskState, records: dict[tuple[int, int], Reaped]
) -> Reaped | None:
    """Return a reaped process that was this task, or may have been where no group tells.

    Every task leads a process group, is born at once after its intent, and is no task whose pid is
    known. What it started itself may lead a group as well, but came later.
    """
    taken = _known_tasks(folder) | {(state.pid, state.start_time)}
    perhaps: Reaped | None = None
    for key, one in sorted(records.items(), key=_by_birth):
        age = _unix(one.start_time) - task.intended_at
        if not one.leader or key in taken or not -_SLACK <= age < _SPAWN_SECONDS:
            continue
        if _is_of(one, state):
            return one
        own_session = one.starter == (one.pid, 0) and not state.is_slot
        if own_session or one.starter == (0, 0):
            perhaps = perhaps or one
    return perhaps


def _is_of(one: Reaped, state: SpoolState) -> bool:
    """Say whether it was a child of the starter: in its control group, or in its session."""
    return one.starter in ((state.pid, state.start_time), (state.pid, 0))


def _by_birth(item: tuple[tuple[int, int], Reaped]) -> tuple[int, int]:
    (pid, began), _ = item
    return began, pid


def _known_tasks(folder: str) -> set[tuple[int, int]]:
    """Return (pid, start time) of every task that any spool names."""
    known: set[tuple[int, int]] = set()
    for state in _spools(folder):
        known |= {(task.pid, task.start_time) for task in state.tasks.values() if task.pid}
    return known


def _spools(folder: str) -> list[SpoolState]:
    """Return all starters' spools that can be read."""
    found = []
    for name in os.listdir(folder):
        if name.partition(".")[0] not in ("agent", "supervisor"):
            with contextlib.suppress(OSError):
                found.append(read_spool(os.path.join(folder, name)))
    return found
