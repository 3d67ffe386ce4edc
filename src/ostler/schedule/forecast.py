"""When entries that wait should start: the planner run on along the planned ends."""

from collections.abc import Sequence
from typing import NamedTuple

from ostler.schedule.planner import Planner
from ostler.schedule.snapshot import Start, WaitingView


class Expected(NamedTuple):
    """The start of a job's next element, if every allocation ends as planned."""

    at: float  # Unix seconds
    tasks: dict[str, int]  # by node


def forecast(
    planner: Planner, queue: Sequence[tuple[WaitingView, int]], wanted: set[int], steps: int
) -> dict[int, Expected]:
    """Return for the wanted jobs when and where the next element starts.

    planner: after its pass; it is used up. queue: entries in order, with how many elements are
    left of each. At most `steps` planned ends are looked at; a job that none of them lets start
    is not in the answer. Cost: a pass over the queue for each step.
    """
    found: dict[int, Expected] = {}
    left = [count for _, count in queue]
    while steps and len(found) < len(wanted) and planner.advance():
        steps -= 1
        for at, (entry, _) in enumerate(queue):
            if not left[at]:
                continue
            begun = len(planner.lines)
            left[at], _ = planner.offer(entry, left[at])
            if entry.job in wanted and entry.job not in found and len(planner.lines) > begun:
                line = planner.lines[begun]
                if isinstance(line, Start):
                    found[entry.job] = Expected(
                        planner.now, {place.node: place.tasks for place in line.placements}
                    )
    return found
