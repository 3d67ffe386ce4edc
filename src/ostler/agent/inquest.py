"""What became of a share whose starter died: it is over, never ran, goes on, or nobody knows.

The order of a spool's records is the evidence. The one gap, a task between its `INTENT` and its
`PID` record, is closed by looking at what was born there: whatever a starter spawned is a child of
a living reaper, alive or on record.
"""

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Iterable

import msgspec
from msgspec import Struct

from ostler.agent import proc, remains
from ostler.agent.elements import doubted, ends_of
from ostler.agent.reaped import Reaped
from ostler.agent.reaper import Reaper
from ostler.agent.spool import SpoolState, TaskState, read_spool
from ostler.model.ids import AllocationId
from ostler.model.orders import ElementEnd, Ended
from ostler.model.states import Result

log = logging.getLogger("ostler.agent")

_TICK = 1 / os.sysconf("SC_CLK_TCK")  # seconds
_SLACK = 3 * _TICK  # start times are cut to ticks, and clocks are not read at once
_SPAWN_SECONDS = 5.0  # after its `INTENT` in which a spawn must have happened
_EXEC_SECONDS = 2.0  # in which a child that was just born must have become its program
_STEP = 0.01
_STARTER = b"ostler-starter"[:15]


class Over(Struct, frozen=True):
    """It had ended before its starter died; of a slot with the ends of its elements."""

    row: Ended
    ends: tuple[ElementEnd, ...] = ()


class NeverRan(Struct, frozen=True):
    """It is proven that no task was spawned."""


class GoesOn(Struct, frozen=True):
    """Something of it ran; what lives is to be watched."""

    state: SpoolState
    started_at: float  # the share, Unix seconds
    turn: float | None  # what is watched; None: a slot of which no element is known to run
    unknown: frozenset[int] = frozenset()  # ranks nobody can tell of
    ends: tuple[ElementEnd, ...] = ()  # of a slot: elements that were over


class Unknown(Struct, frozen=True):
    """It may have run, and nothing can tell."""

    why: str


Verdict = Over | NeverRan | GoesOn | Unknown


def ended_row(state: SpoolState) -> Ended | None:
    """Return the end that the spool tells, if it does."""
    if state.ended is None:
        return None
    try:
        return msgspec.convert(state.ended, Ended)
    except msgspec.ValidationError:
        return None


async def inquire(path: str, alloc: AllocationId, reaper: Reaper, *, covered: bool) -> Verdict:
    """Return what became of a share, by its dead starter's spool.

    covered: a reaper of ours was above the starter for all its life, so that every child it had
    is alive or on record.
    """
    try:
        state = read_spool(path)
    except FileNotFoundError:
        return NeverRan()  # a starter removes it only when it leaves without a share
    except OSError as error:
        return Unknown(f"its starter died and left no readable record: {error.strerror}")
    if not state.header:
        return Unknown("its starter died and its record is damaged")
    if state.alloc != alloc:
        # The order was on its way when the starter died.
        return Unknown("its starter's record is damaged") if state.damage else NeverRan()
    ends = ends_of(state)
    for sentence in state.damage:
        log.warning("a spool is damaged", extra={"what": sentence})
    row = ended_row(state)
    if row is not None:
        return Over(doubted(row, state), ends)
    if not state.is_slot and not state.tasks and state.damage:
        return Unknown("its starter died and its record is damaged")
    intents = {task.rank: task.intended_at for task in state.tasks.values()}
    # What cannot be read may be the record of a spawn.
    folder = os.path.dirname(path)
    unknown = await _match(folder, state, reaper, covered=covered and not state.damage)
    ran = [at for rank, at in intents.items() if rank in state.tasks or rank in unknown]
    turn = min(ran, default=None)
    if not state.is_slot:
        return NeverRan() if turn is None else GoesOn(state, turn, turn, unknown)
    if turn is None and not state.damage:
        return _stood(state, alloc, intents.values(), ends)
    # Damage may hide an element that runs: whatever lives is looked for and ended.
    began = state.first_start or turn or time.time()
    return GoesOn(state, began, turn, unknown, ends)


def _stood(
    state: SpoolState,
    alloc: AllocationId,
    intents: Iterable[float],
    ends: tuple[ElementEnd, ...],
) -> Verdict:
    """Return the verdict on a slot of which no element runs. intents: of spawns that failed."""
    began = state.first_start
    if began is not None and began in intents:
        began = None
    if began is None and not ends:
        return NeverRan()
    return Over(Ended(alloc, time.time(), began, state.share_cause, state.share_why), ends)


async def _match(
    folder: str, state: SpoolState, reaper: Reaper, *, covered: bool
) -> frozenset[int]:
    """Find out about tasks that may or may not have been spawned; return the unknown ones.

    Those that were not are taken out of the state.
    """
    open_tasks = [task for task in state.tasks.values() if task.phase == "intended"]
    if not open_tasks:
        return frozenset()
    await reaper.settle()
    await _programs(folder, state)
    unknown: set[int] = set()
    for task in open_tasks:
        if _alive(state, task):
            continue
        # It may have ended between the last reaping and this look: then it is on record now.
        await reaper.settle()
        found = _on_record(folder, state, task, reaper.records())
        if found is not None and found.starter == (state.pid, state.start_time):
            task.pid, task.start_time = found.pid, found.start_time
            task.code, task.signal, task.ended_at = found.code, found.signal, time.time()
            continue
        if found is not None or not covered:
            unknown.add(task.rank)
        del state.tasks[task.rank]
    return frozenset(unknown)


async def _programs(folder: str, state: SpoolState) -> None:
    """Wait until no child of the dead starter is between fork and exec."""
    deadline = time.monotonic() + _EXEC_SECONDS
    while time.monotonic() < deadline:
        near = [*remains.orphans(state), *proc.children(os.getpid())]
        near += proc.children(os.getppid())
        if not any(_is_unborn(folder, state, pid) for pid in near):
            return
        await asyncio.sleep(_STEP)


def _is_unborn(folder: str, state: SpoolState, pid: int) -> bool:
    """Say whether it is still a copy of a starter, younger than the intent, and no starter."""
    if _comm(pid) != _STARTER:
        return False
    since = min(task.intended_at for task in state.tasks.values())
    return _unix(proc.start_time(pid)) > since - _SLACK and not _has_spool(folder, pid)


def _has_spool(folder: str, pid: int) -> bool:
    """Say whether a process is a starter in its own right, with a spool of its own."""
    return any(other.pid == pid for other in _spools(folder))


def _comm(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/comm", "rb") as file:
            return file.read().strip()
    except OSError:
        return b""


def _unix(ticks: int) -> float:
    """Return the time of day of a process's start."""
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks * _TICK


def _alive(state: SpoolState, task: TaskState) -> bool:
    """Look for the task among what lives of the allocation, and note its pid."""
    taken = {other.pid for other in state.tasks.values()}
    for pid in remains.orphans(state):
        rank = proc.environment(pid).get(b"OSTLER_RANK", b"")
        if pid not in taken and rank == b"%d" % task.rank and proc.group(pid) == pid:
            task.pid, task.start_time = pid, proc.start_time(pid)
            return True
    return False


def _on_record(
    folder: str, state: SpoolState, task: TaskState, records: dict[tuple[int, int], Reaped]
) -> Reaped | None:
    """Return a reaped process that was this task, or may have been where no group tells.

    Every task leads a process group, is born at once after its intent, and is no task whose pid is
    known. What it started itself may lead a group as well, but came later.
    """
    taken = _known_tasks(folder)
    perhaps: Reaped | None = None
    for key, one in sorted(records.items(), key=_by_birth):
        age = _unix(one.start_time) - task.intended_at
        if not one.leader or key in taken or not -_SLACK <= age < _SPAWN_SECONDS:
            continue
        if one.starter == (state.pid, state.start_time):
            return one
        if one.starter == (0, 0):
            perhaps = perhaps or one
    return perhaps


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


def lost(alloc: AllocationId, started_at: float, why: str) -> Ended:
    """Return the report of a share of which nobody can tell how it ended."""
    return Ended(alloc, time.time(), started_at, Result.LOST, why)
