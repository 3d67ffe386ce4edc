"""A start that EASY promises, and what it leaves to others."""

from math import inf

from msgspec import Struct

from ostler.schedule.choose import Seats
from ostler.schedule.priority import Key
from ostler.schedule.snapshot import WaitingView
from ostler.schedule.table import ALONE, WHOLE, Counts, Shape


class Head(Struct):
    """An entry to which EASY promises a start, and what is promised to it."""

    view: WaitingView
    key: Key  # its place in the queue
    shadow: float  # Unix seconds at which it can start; inf: nobody can tell
    seats: Seats
    after: dict[int, Counts]  # of its rows: what is free at the shadow time beside it
    takes: dict[int, Counts]  # of its rows: what it will take
    kept: object = None  # what the table remembers about it; to be dropped as `after` changes

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


def both(one: Head, other: Head) -> Head:
    """Return what work has to leave that outlasts both."""
    after = {**one.after, **other.after}
    for row in one.after.keys() & other.after.keys():
        after[row] = [min(pair) for pair in zip(one.after[row], other.after[row], strict=True)]
    return Head(one.view, one.key, one.shadow, one.seats, after, one.takes)
