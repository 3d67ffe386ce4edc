"""Replay of a workload on processors that are alike and only counted, exact to the second.

The definitions, from the order of events inside one second to the compression of a conservative
plan, are in docs/decisions/0019-replay.md. They are those of pyss, the Python scheduler simulator.
"""

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import NamedTuple

from ostler.model.errors import Unsupported
from ostler.schedule.counted_fcfs import fcfs
from ostler.schedule.policy import Policy


class Rule(StrEnum):
    """In which order the events of one second are handled."""

    EVENT = "event"  # submissions, then terminations, with a pass after each
    BATCH = "batch"  # terminations, then submissions, then one pass


class Work(NamedTuple):
    """Jobs in order of arrival: by submit time, ties in the order of the trace. Seconds.

    Each has 0 <= submit, 1 <= run <= estimate and 1 <= size <= processors of the machine.
    """

    submit: Sequence[int]
    run: Sequence[int]
    size: Sequence[int]  # processors
    estimate: Sequence[int]  # all that the scheduler knows of the run time before the end


def replay(
    work: Work,
    procs: int,
    policy: Policy,
    rule: Rule,
    progress: Callable[[int], None] | None = None,
) -> list[int]:
    """Return the second at which each job starts, in order of arrival.

    progress: called now and then with the number of jobs submitted so far.
    """
    tell = progress or _nobody
    starts = _starts(work, procs, policy, rule, tell)
    tell(len(starts))
    return starts


def _starts(
    work: Work, procs: int, policy: Policy, rule: Rule, tell: Callable[[int], None]
) -> list[int]:
    if policy.reserved == 0:
        return fcfs(work.submit, work.run, work.size, procs, tell)  # alike under both rules
    raise Unsupported(f"{policy.name} under {rule} is not there yet")


def _nobody(_submitted: int) -> None:
    pass
