"""Replay of a workload on processors that are alike and only counted, exact to the second.

The definitions, from the order of events inside one second to the compression of a conservative
plan, are in docs/decisions/0019-replay.md. They are those of pyss, the Python scheduler simulator.
"""

from ostler.schedule.counted_conservative import Conservative
from ostler.schedule.counted_easy import Easy
from ostler.schedule.counted_fcfs import fcfs
from ostler.schedule.counted_reserved import Reserved
from ostler.schedule.counted_seconds import by_seconds
from ostler.schedule.counted_work import Rule, Tell, Work
from ostler.schedule.policy import Policy

__all__ = ["Rule", "Work", "replay"]


def replay(
    work: Work, procs: int, policy: Policy, rule: Rule, progress: Tell | None = None
) -> list[int]:
    """Return the second at which each job starts, in order of arrival.

    progress: called now and then with the number of jobs submitted so far.
    """
    tell = progress or _nobody
    plain = Work(*(list(column) for column in work))
    starts = _starts(plain, procs, policy, rule, tell)
    tell(len(starts))
    return starts


def _starts(work: Work, procs: int, policy: Policy, rule: Rule, tell: Tell) -> list[int]:
    match policy.reserved:
        case 0:
            return fcfs(work, procs, tell)  # alike under both rules
        case 1:
            return by_seconds(Easy(work, procs, policy.scan), work, rule, tell)
        case None:
            return by_seconds(Conservative(work, procs), work, rule, tell)
        case most:
            return by_seconds(Reserved(work, procs, most), work, rule, tell)


def _nobody(_submitted: int) -> None:
    pass
