"""The built-in scheduler: EASY backfilling. See `planner` for the rules."""

from msgspec.structs import replace

from ostler.model.states import Rule
from ostler.schedule.forecast import forecast
from ostler.schedule.order import queue_order
from ostler.schedule.planner import Planner
from ostler.schedule.snapshot import Plan, Snapshot, Wait, WaitingView
from ostler.schedule.yields import yields

DEPTH = 50  # entries that are given an expected start
STEPS = 100  # planned ends that a forecast looks at
_MOVES_BY_ITSELF = frozenset({Rule.RESOURCES, Rule.BEHIND, Rule.LIMIT, Rule.LICENCES})


def plan(snapshot: Snapshot, now: float, *, depth: int = DEPTH) -> Plan:
    """Return what to resume and start now, and why everything else waits.

    now: Unix seconds. depth: how many of the first waiting entries are given an expected start
    by forecast; 0 spares its cost, and then only the first entry of each partition has one.
    Every job that is not wholly started has an entry in `waits`; jobs of one shape share it.
    Cost: a sort of the queue, a search of the nodes for each start and each shape that waits.
    """
    if not snapshot.waiting and not snapshot.resuming:
        return Plan([], {})
    planner = Planner(snapshot, now)
    waits, queue = run(planner, depth)
    yielding = yields(planner, waits, _try)
    lines = list(planner.lines)  # the forecast adds its own
    wanted = {entry.job for entry, _ in queue if waits[entry.job].expected_start is None}
    if wanted:
        for job, expected in forecast(planner, queue, wanted, STEPS).items():
            waits[job] = replace(waits[job], expected_start=expected.at)
    return Plan(lines, waits, yielding)


def _try(planner: Planner) -> None:
    run(planner, 0)


def run(planner: Planner, depth: int) -> tuple[dict[int, Wait], list[tuple[WaitingView, int]]]:
    """Offer everything that waits.

    Returns why what is left waits, by job, and the first `depth` entries left that time alone may
    help, with their number of elements.
    """
    waits: dict[int, Wait] = {}
    queue: list[tuple[WaitingView, int]] = []
    ready: list[WaitingView] = []
    for entry in planner.snapshot.waiting:
        if entry.blocked is None:
            ready.append(entry)
        else:
            waits[entry.job] = entry.blocked
    for entry in queue_order(ready):
        left, wait = planner.offer(entry, entry.elements)
        if wait is not None:
            waits[entry.job] = wait
            if len(queue) < depth and wait.rule in _MOVES_BY_ITSELF:
                queue.append((entry, left))
    for resumption in planner.resumes.pending:
        if resumption.wait is not None:
            waits.setdefault(resumption.view.job, resumption.wait)
    return waits, queue
