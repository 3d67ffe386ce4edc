"""What will be free on each node, as what runs ends and what is promised starts and ends.

A row of the table has a step function: what is free from one time to the next. Work of a duration
has room for as many tasks as fit at every moment of it, so where it can start at the earliest is
found from the rows alone. Behind all times there is `inf`, the time that nobody can tell: then the
nodes are as if nothing ran, but for what has been promised for then. Work without a limit reaches
it.

What is found out for a shape and duration is kept row by row until the row changes: of many that
ask for the same, each looks only at what the ones before it have changed.
"""

from abc import ABC, abstractmethod
from math import inf

from ostler.schedule.choose import Seats
from ostler.schedule.table import Counts, Shape, Table


class Timeline(ABC):
    """The rows of a table from now on. What is started or promised is added, and can be removed."""

    def __init__(self, table: Table, now: float) -> None:
        self.now = now
        self._table = table

    @abstractmethod
    def earliest(self, shape: Shape, duration: float) -> tuple[float, Seats] | None:
        """Return when one element can start at the earliest, and where; None: it never can.

        Time inf: the idle nodes have room beside what is promised on them then, but nobody can
        tell when.
        """

    @abstractmethod
    def at_once(self, shape: Shape, duration: float) -> Seats | None:
        """Return where one element can start now and stay for its duration."""

    def earliest_from(
        self, shape: Shape, duration: float, start: float, seats: Seats
    ) -> tuple[float, Seats] | None:
        """Return when it can start at this time or later, on these seats if they are free then."""
        if self.is_free(shape, duration, start, seats):
            return start, seats
        if (found := self._seats_from(shape, duration, start)) is not None:
            return start, found
        if (later := self._later(shape, duration, start)) is not None:
            return later
        found = self._seats_from(shape, duration, inf)
        return None if found is None else (inf, found)

    def add(self, shape: Shape, duration: float, start: float, seats: Seats) -> None:
        """Take these seats from a time on for the duration."""
        for row, tasks in seats:
            self._change(row, start, start + duration, self._table.taken(shape, row, tasks), -1)

    def remove(self, shape: Shape, duration: float, start: float, seats: Seats) -> None:
        """Give them back."""
        for row, tasks in seats:
            self._change(row, start, start + duration, self._table.taken(shape, row, tasks), 1)

    def is_free(self, shape: Shape, duration: float, start: float, seats: Seats) -> bool:
        """Say whether these seats are free from a time on; none never are."""
        return bool(seats) and all(
            self._table.eligible(row, shape)
            and self._window(row, shape, start, start + duration) >= tasks
            for row, tasks in seats
        )

    @abstractmethod
    def changes(self, shape: Shape, duration: float, start: float) -> list[float]:
        """Return the times after the start at which anything changes where it may go, in order."""

    @abstractmethod
    def changes_of(self, seats: Seats, start: float) -> list[float]:
        """Return the times after the start at which anything changes on these seats, in order."""

    @abstractmethod
    def _later(self, shape: Shape, duration: float, start: float) -> tuple[float, Seats] | None:
        """Return the first time after the start at which room grows so that one element fits."""

    @abstractmethod
    def _seats_from(self, shape: Shape, duration: float, start: float) -> Seats | None:
        """Return where one element can start then."""

    @abstractmethod
    def _window(self, row: int, shape: Shape, start: float, end: float) -> int:
        """Return how many tasks have room on a row from a time up to another, or up to inf."""

    @abstractmethod
    def _change(self, row: int, start: float, end: float, amounts: Counts, sign: int) -> None:
        """Give (1) or take (-1) something on a row from a time up to another, or up to inf."""
