"""Why everything waits, with numbers and expected starts: one pass over entry after entry.

The engine looks at the first of each class alone; this looks at all, and is held against it.
"""

from collections.abc import Sequence
from functools import cached_property
from math import inf

from msgspec.structs import replace

from ostler.model.states import Rule
from ostler.schedule.heads import LEADING, lead
from ostler.schedule.horizon import Expected
from ostler.schedule.picture import Picture
from ostler.schedule.planner import Planner
from ostler.schedule.priority import Scorer
from ostler.schedule.snapshot import Snapshot, Start, Wait, WaitingView, whole

DEPTH = 50  # entries that are given an expected start
STEPS = 100  # planned ends that a forecast looks at
_MOVES_BY_ITSELF = frozenset({Rule.RESOURCES, Rule.BEHIND, Rule.LIMIT, Rule.LICENCES})


class Forecaster(Planner):
    """A pass over entry after entry, which can go on to later times."""

    @classmethod
    def of(cls, snapshot: Snapshot, now: float) -> "Forecaster":
        """Return a pass over this machine."""
        picture = Picture()
        picture.apply(whole(snapshot))
        return cls(picture, now)

    @cached_property
    def scorer(self) -> Scorer:
        """Return what knows the order of what waits."""
        return self.picture.scorer(self.now)

    def offer(self, entry: WaitingView, elements: int) -> tuple[int, Wait | None]:
        """Start up to so many elements; return how many are left, and why they wait."""
        if entry.blocked is not None:
            return elements, entry.blocked
        shape = self.shape(entry)
        for left in range(elements, 0, -1):
            found = self.look(shape, entry)
            if isinstance(found, Rule):
                wait = self.wait(entry, found)
                known = {head.job for head in self.heads_of(entry.partition)}
                if found in LEADING and entry.job not in known:
                    lead(self, shape, entry, self.scorer.key(entry), found)
                    heads = self.heads_of(entry.partition)
                    head = next((head for head in heads if head.job == entry.job), None)
                    if head is not None and head.shadow < inf:
                        wait = replace(wait, expected_start=head.shadow)
                return left, wait
            self.start(entry, shape, found)
        return 0, None

    def advance(self) -> bool:
        """Go on to the next planned end, for a forecast; False if nothing more is known to end."""
        coming = self.coming()
        if not coming or coming[0].at == inf:
            return False
        self.now = max(coming[0].at, self.now)
        over = 0
        for release in coming:
            if release.at > self.now:
                break
            over += 1
            self.picture.end_as_planned(release.number)
        del coming[:over]
        self.heads.clear()
        self.beside_heads.clear()
        vars(self).pop("supplies", None)
        self._memo.clear()
        return True


def outlook(snapshot: Snapshot, now: float, *, depth: int = DEPTH) -> dict[int, Wait]:
    """Return why what does not start now waits, by job.

    now: Unix seconds. depth: how many of the first waiting entries are given an expected start
    by forecast. What waits behind its like has the rule of the first of them.
    """
    planner = Forecaster.of(snapshot, now)
    waits, queue = run(planner, snapshot.waiting, depth)
    wanted = {entry.job for entry, _ in queue if waits[entry.job].expected_start is None}
    if wanted:
        for job, expected in forecast(planner, queue, wanted, STEPS).items():
            waits[job] = replace(waits[job], expected_start=expected.at)
    return waits


def run(
    planner: Forecaster, waiting: list[WaitingView], depth: int
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


def forecast(
    planner: Forecaster, queue: Sequence[tuple[WaitingView, int]], wanted: set[int], steps: int
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
