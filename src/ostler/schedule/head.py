"""A start that EASY promises, and what it leaves to others."""

from collections.abc import Sequence
from math import inf
from typing import NamedTuple

from msgspec import Struct

from ostler.model.states import Rule
from ostler.schedule.choose import Seats
from ostler.schedule.priority import Key
from ostler.schedule.snapshot import WaitingView
from ostler.schedule.table import ALONE, WHOLE, Counts, Shape

BESIDE = (Rule.LICENCES, Rule.RESERVED)  # beside who lacks room, the first that waits by each
Beside = tuple[str, Rule]  # of which partition, and by which of those


class Told(NamedTuple):
    """What the last pass promised to a job."""

    leads: Rule  # by which rule it was the first to wait
    start: float  # Unix seconds; inf: nobody can tell


class Head(Struct):
    """An entry to which EASY promises a start, and what is promised to it."""

    view: WaitingView
    key: Key  # its place in the queue
    shadow: float  # Unix seconds at which it can start; inf: nobody can tell
    seats: Seats
    after: dict[int, Counts]  # of its rows: what is free at the shadow time beside it
    takes: dict[int, Counts]  # of its rows: what it will take
    kept: object = None  # what the table remembers about it; to be dropped as `after` changes
    rule: Rule = Rule.RESOURCES  # by which it waits

    @property
    def job(self) -> int:
        """Return whose it is."""
        return self.view.job

    def outlasts(self, now: float, duration: float) -> bool:
        """Say whether work of this duration is still there at the shadow time."""
        return duration == inf or now + duration > self.shadow


def promised(
    found: tuple[float, Seats, dict[int, Counts]], shape: Shape
) -> tuple[float, Seats, dict[int, Counts]]:
    """Return it with what such an element takes gone from what is free then."""
    at, seats, after = found
    for row, tasks in seats:
        counts = after[row]
        if shape.request.exclusive:
            after[row] = [min(count, 0) for count in counts]
            continue
        for column, need in shape.needs:
            counts[column] -= tasks * need
        counts[ALONE] -= WHOLE
    return at, seats, after


def joined(heads: Sequence[Head]) -> Head:
    """Return what work has to leave that outlasts all of them."""
    first, *others = heads
    if not others:
        return first
    after = dict(first.after)
    for other in others:
        for row, counts in other.after.items():
            known = after.get(row)
            after[row] = counts if known is None else list(map(min, known, counts))
    return Head(first.view, first.key, first.shadow, first.seats, after, first.takes)
