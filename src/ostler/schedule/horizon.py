"""When what waits should start: an engine run on along the planned ends."""

from math import inf
from typing import NamedTuple

from ostler.schedule.engine import Engine
from ostler.schedule.snapshot import Start

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
    last = engine.looks + looks
    wake = engine.plan(now).wake  # when a window of a reservation opens or closes
    while ends and len(found) < len(wanted) and engine.looks < last:
        holds = picture.table.holds
        end = min((hold.at for hold in holds.values()), default=inf)
        end = min(end, inf if wake is None else wake)
        if end == inf:
            break
        ends, at = ends - 1, max(end, at)
        for number in [number for number, hold in holds.items() if hold.at <= at]:
            picture.end_as_planned(number)
        plan = engine.plan(at)
        wake = plan.wake
        for line in plan.lines:
            if isinstance(line, Start) and line.job in wanted and line.job not in found:
                tasks = {place.node: place.tasks for place in line.placements}
                found[line.job] = Expected(at, tasks)
    return Horizon(found, at)
