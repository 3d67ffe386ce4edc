"""What is replayed, and in which order the events of one second come."""

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import NamedTuple

TELL_EVERY = 1 << 12  # jobs

Tell = Callable[[int], None]  # is told the number of jobs submitted so far


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
