"""Which slots of arrays must end, because what they hold would be given to others by now.

A slot takes element after element without a plan for each. That is right as long as its job would
get the CPUs again. Whether it would is tried: a copy of the machine is planned without the slots in
question, and as if their elements waited.
"""

from collections import Counter
from collections.abc import Iterable
from math import inf
from typing import TYPE_CHECKING

from ostler.model.states import Rule
from ostler.schedule.head import Head
from ostler.schedule.preempt import Needy, Running, may_preempt
from ostler.schedule.priority import Key
from ostler.schedule.resumes import Resumes, masks_of
from ostler.schedule.room import mask_of
from ostler.schedule.snapshot import Rank, RunningView, Start, WaitingView

if TYPE_CHECKING:
    from ostler.schedule.engine import Engine

_SLACK = 0.001  # seconds: sums of large times are not exact
_IN_NEED = frozenset({Rule.RESOURCES, Rule.LIMIT, Rule.BEHIND})
Slot = tuple[RunningView, Rank]


class Slots:
    """The slots of a machine before a pass; made only if there are any."""

    def __init__(self, engine: "Engine") -> None:
        """Keep a copy of the machine if one of them may have to yield. Cost: a look at each."""
        picture = engine.picture
        table = picture.table
        slots = [
            (view, view.goes_on)
            for view in picture.slots.values()
            if view.goes_on is not None and table.views[table.rows[view.placements[0].node]].usable
        ]
        self.leaving = [view for view, _ in slots if view.draining]
        self.staying = [(view, rank) for view, rank in slots if not view.draining]
        first = {
            partition: min(engine.queue.firsts(partition), default=None)
            for partition in {rank.partition for _, rank in self.staying}
        }
        self.before = None
        if any(
            _is_passed(engine, view, rank, first[rank.partition]) for view, rank in self.staying
        ):
            self.before = engine.copy()

    def late_at(self, heads: Iterable[Head], now: float) -> float:
        """Return when the next of them begins to be in the way of a promised start; inf: never.

        From then on an element that began would still run at that start.
        """
        times = (
            head.shadow - rank.duration + _SLACK
            for head in heads
            for _, rank in self.staying
            if rank.partition == head.view.partition
        )
        return min((at for at in times if now < at < inf), default=inf)

    def that_yield(self, engine: "Engine", resumes: Resumes, now: float) -> frozenset[int]:
        """Return the allocations that are to take no more elements, after the pass."""
        wanted = {
            view.alloc
            for view, rank in self.staying
            if resumes.pending and _is_wanted_back(engine, view, rank, resumes, now)
        }
        if self.before is None:
            return frozenset(wanted)
        first = {
            partition: _first_in_need(engine, partition)
            for partition in {rank.partition for _, rank in self.staying}
        }
        rivals = []
        for view, rank in self.staying:
            ahead = first[rank.partition]
            if (
                ahead is not None
                and ahead[-1] != view.job
                and _is_passed(engine, view, rank, ahead)
            ):
                rivals.append((view, rank))
        # What is not given again when all are given up makes the first guess. What would be given
        # again as soon as it ends must not be: it would come and go for ever.
        rivals = self._not_given_again(self.before, rivals, self.leaving, now)
        rivals = self._not_given_again(self.before, rivals, [], now)
        return frozenset(wanted | {view.alloc for view, _ in rivals})

    def _not_given_again(
        self, before: "Engine", rivals: list[Slot], leaving: list[RunningView], now: float
    ) -> list[Slot]:
        """Return those of the slots that would go to others, were they all given up."""
        if not rivals:
            return []
        trial = before.copy()
        trial.picture.end([*(view for view, _ in rivals), *leaving])
        _wait_again(trial, rivals)
        again = Counter(
            (line.job, line.placements[0].node)
            for line in trial.lines(now)
            if isinstance(line, Start)
        )
        found = []
        for view, rank in rivals:
            where = view.job, view.placements[0].node
            if again[where]:
                again[where] -= 1
            else:
                found.append((view, rank))
        return found


def _wait_again(trial: "Engine", rivals: Iterable[Slot]) -> None:
    """Let elements of the rivals wait as if they had no slots."""
    counts = Counter(view.job for view, _ in rivals)
    for view, rank in rivals:
        if count := counts.pop(view.job, 0):
            known, cap = trial.queue.entries.get(view.job), trial.blocked.get(view.job)
            if known is not None:
                trial.queue.add(view.job, count)
            elif cap is None or cap.rule is Rule.ARRAY_CAP:
                trial.blocked.pop(view.job, None)
                trial.queue.put(_waiting(view, rank, count))


def _waiting(view: RunningView, rank: Rank, count: int) -> WaitingView:
    """Return what elements of the slot's job would be if they waited."""
    return WaitingView(
        view.job,
        count,
        rank.request,
        rank.partition,
        view.user,
        rank.priority,
        rank.submitted_at,
        rank.duration,
        project=rank.project,
        boost=rank.boost,
    )


def _is_passed(engine: "Engine", view: RunningView, rank: Rank, key: Key | None) -> bool:
    """Say whether an entry of this place in the queue comes before the job of the slot."""
    return key is not None and key < engine.ranking.key(_waiting(view, rank, 1))


def _is_wanted_back(
    engine: "Engine", view: RunningView, rank: Rank, resumes: Resumes, now: float
) -> bool:
    """Say whether a suspended allocation waits for CPUs of this slot, and does not give way to it.

    What stands by because of the slot's job, or of its equals, would else be given its CPUs and
    asked for them again, for ever.
    """
    job = Needy(view.job, rank.partition, rank.priority)
    for found in resumes.pending:
        masks = masks_of(found.view.placements)
        if not any(mask_of(p.cpus) & masks.get(p.node, 0) for p in view.placements):
            continue
        other = engine.picture.running.get(found.view.alloc)
        if other is None or not found.view.yields:
            return True
        part = engine.picture.nodes[other.placements[0].node].partition
        nodes = frozenset(masks)
        stands = Running(other.alloc, part, other.priority, other.started_at, nodes, stands=True)
        if not may_preempt(engine.picture.rules, job, stands, now):
            return True
    return False


def _first_in_need(engine: "Engine", partition: str) -> Key | None:
    """Return the first entry of the partition that waits for room."""
    return min(
        (
            found.seen
            for found in engine.queue.of(partition)
            if found.live and found.seen is not None and found.rule in _IN_NEED
        ),
        default=None,
    )
