"""Exit statuses: the cause that ended a job wins, then 128 + signal, then the OR of statuses."""

import signal
from collections.abc import Sequence

from ostler.model.job import TaskExit
from ostler.model.states import Result

ENDED_BY_OSTLER = 125
_MEANT = {126: "not executable", 127: "command not found"}  # as the starter and shells mean them
_LIMITS = frozenset({Result.TIMEOUT, Result.MEMORY, Result.LOST, Result.REJECTED})
_ENDING = (signal.SIGTERM, signal.SIGKILL)  # with which Ostler ends tasks


def exit_status(cause: str, tasks: Sequence[TaskExit]) -> int:
    """Return the one status of an element (design section 5).

    cause: a Result when something other than the tasks ended it, else empty.

    >>> exit_status("", [TaskExit(0, 16), TaskExit(1, 32)])
    48
    """
    if cause in _LIMITS or cause == Result.DEPENDENCY:
        return ENDED_BY_OSTLER
    if cause == Result.FAILED:  # a task failed, and the others were ended because of that
        tasks = [t for t in tasks if t.signal not in _ENDING] or tasks
    killed = [t.signal for t in sorted(tasks, key=lambda t: t.rank) if t.signal]
    if killed:
        return 128 + killed[0]
    if cause and not tasks:
        return ENDED_BY_OSTLER
    status = 0
    for task in tasks:
        status |= task.code
    return status & 0xFF


def result_of(cause: str, tasks: Sequence[TaskExit]) -> Result:
    """Return how an element that ran ended."""
    if cause:
        return Result(cause)
    ok = all(t.code == 0 and t.signal == 0 for t in tasks)
    return Result.SUCCESS if ok else Result.FAILED


def describe(tasks: Sequence[TaskExit]) -> str:
    """Return one sentence on how the tasks ended by themselves."""
    bad = [t for t in sorted(tasks, key=lambda t: t.rank) if t.code or t.signal]
    if not bad:
        return "it succeeded"
    first = bad[0]
    meant = f" ({_MEANT[first.code]})" if first.code in _MEANT else ""
    how = f"by {_name(first.signal)}" if first.signal else f"with status {first.code}{meant}"
    if len(tasks) == 1:
        return f"it was ended {how}" if first.signal else f"it exited {how}"
    verb = "was ended" if first.signal else "exited"
    return f"{len(bad)} of {len(tasks)} tasks failed; the first, rank {first.rank}, {verb} {how}"


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
