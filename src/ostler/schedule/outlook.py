"""Why everything waits, with numbers and expected starts: one pass over entry after entry.

The engine looks at the first of each class alone and keeps no numbers; this is for who asks.
"""

from msgspec.structs import replace

from ostler.model.states import Rule
from ostler.schedule.forecast import forecast
from ostler.schedule.planner import Planner
from ostler.schedule.snapshot import Snapshot, Wait, WaitingView

DEPTH = 50  # entries that are given an expected start
STEPS = 100  # planned ends that a forecast looks at
_MOVES_BY_ITSELF = frozenset({Rule.RESOURCES, Rule.BEHIND, Rule.LIMIT, Rule.LICENCES})


def outlook(snapshot: Snapshot, now: float, *, depth: int = DEPTH) -> dict[int, Wait]:
    """Return why what does not start now waits, by job.

    now: Unix seconds. depth: how many of the first waiting entries are given an expected start
    by forecast. What waits behind its like has the rule of the first of them.
    """
    planner = Planner.of(snapshot, now)
    waits, queue = run(planner, snapshot.waiting, depth)
    wanted = {entry.job for entry, _ in queue if waits[entry.job].expected_start is None}
    if wanted:
        for job, expected in forecast(planner, queue, wanted, STEPS).items():
            waits[job] = replace(waits[job], expected_start=expected.at)
    return waits


def run(
    planner: Planner, waiting: list[WaitingView], depth: int
) -> tuple[dict[int, Wait], list[tuple[WaitingView, int]]]:
    """Offer everything that waits.

    Returns why what is left waits, by job, and the first `depth` entries left that time alone may
    help, with their number of elements.
    """
    waits: dict[int, Wait] = {}
    queue: list[tuple[WaitingView, int]] = []
    ready: list[WaitingView] = []
    for entry in waiting:
        if entry.blocked is None:
            ready.append(entry)
        else:
            waits[entry.job] = entry.blocked
    for entry in planner.scorer.in_order(ready):
        left, wait = planner.offer(entry, entry.elements)
        if wait is not None:
            waits[entry.job] = wait
            if len(queue) < depth and wait.rule in _MOVES_BY_ITSELF:
                queue.append((entry, left))
    for resumption in planner.resumes.pending:
        if resumption.wait is not None:
            waits.setdefault(resumption.view.job, resumption.wait)
    return waits, queue
