"""When what waits should start: an engine run on along the planned ends."""

from collections.abc import Sequence
from heapq import heapify, heappop, heappush
from math import inf
from typing import NamedTuple

from ostler.schedule.engine import Engine
from ostler.schedule.snapshot import Line, Start
from ostler.schedule.table import Table

ENDS = 200  # moments that are looked at: something ends then
LOOKS = 12_000  # entries that are looked at, of all passes together


class Expected(NamedTuple):
    """The start of a job's next element, if every allocation ends as planned."""

    at: float  # Unix seconds
    tasks: dict[str, int]  # by node


class Horizon(NamedTuple):
    """What was foreseen. till: the last moment looked at, in Unix seconds."""

    found: dict[int, Expected]
    till: float


class _Ends:
    """Planned ends of all that a table holds, in order of time. A plan adds to them."""

    def __init__(self, table: Table) -> None:
        self._holds = table.holds
        self._read()

    def _read(self) -> None:
        self._heap = [(hold.at, number) for number, hold in self._holds.items()]
        heapify(self._heap)
        self._known = set(self._holds)

    def add(self, lines: Sequence[Line], *, anew: bool) -> None:
        """Take note of what a plan has started. anew: what is to go on may end at another time."""
        if anew or any(not isinstance(line, Start) for line in lines):
            self._read()
        elif lines:
            for number in self._holds.keys() - self._known:
                heappush(self._heap, (self._holds[number].at, number))
                self._known.add(number)

    def next(self) -> float:
        """Return the first of them; inf: there is none."""
        while self._heap:
            at, number = self._heap[0]
            if number in self._holds:
                return at
            heappop(self._heap)
        return inf

    def until(self, time: float) -> list[int]:
        """Return what ends up to that time."""
        found = []
        while self.next() <= time < inf:
            found.append(heappop(self._heap)[1])
        return found


def foresee(
    engine: Engine, now: float, wanted: set[int], *, ends: int = ENDS, looks: int = LOOKS
) -> Horizon:
    """Return for the wanted jobs when and where the next element starts, as far as one can see.

    engine: after its plan; it is used up. What is supposed: all that runs takes its whole time
    limit, nothing is submitted, and the order of the queue stays. Cost: a pass over the first of
    each class for each moment at which something ends; that many moments and looks at most.
    """
    picture, found, at = engine.picture, dict[int, Expected](), now
    engine.ranking.freeze()
    picture.slots.clear()  # they are taken to end with what they run, so none has to yield
    engine.be_silent()
    last = engine.looks + looks
    plan = engine.plan(now)  # it wakes when a window of a reservation opens or closes
    coming = _Ends(picture.table)
    coming.add(plan.lines, anew=bool(picture.resuming))
    while ends and len(found) < len(wanted) and engine.looks < last:
        end = min(coming.next(), inf if plan.wake is None else plan.wake)
        if end == inf:
            break
        ends, at = ends - 1, max(end, at)
        still = {view.alloc for view in picture.resuming}  # whose CPUs went to others after all
        for number in coming.until(at):
            if number not in still:
                picture.end_as_planned(number)
        plan = engine.plan(at)
        coming.add(plan.lines, anew=bool(picture.resuming))
        for line in plan.lines:
            if isinstance(line, Start) and line.job in wanted and line.job not in found:
                tasks = {place.node: place.tasks for place in line.placements}
                found[line.job] = Expected(at, tasks)
    return Horizon(found, at)
