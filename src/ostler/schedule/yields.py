"""Which slots of arrays must end, because what they hold would be given to others by now.

A slot takes element after element without a plan for each. That is right as long as its job would
get the CPUs again. Whether it would is tried: the machine is planned once more without the slots in
question, and as if their elements waited.
"""

from collections import Counter
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from ostler.model.states import Rule
from ostler.schedule.planner import Planner
from ostler.schedule.resumes import Resumes
from ostler.schedule.room import mask_of
from ostler.schedule.snapshot import Rank, RunningView, Snapshot, Start, Wait, WaitingView
from ostler.schedule.trial import ended

Rival = tuple[RunningView, Rank]  # a slot
Run = Callable[[Planner], None]  # offer everything that waits


def yields(planner: Planner, waits: dict[int, Wait], run: Run) -> frozenset[int]:
    """Return the allocations that are to take no more elements.

    planner: after the pass. waits: why entries wait, by job. Cost: a look at what waits; two more
    passes if somebody waits for room ahead of an array that has slots.
    """
    snapshot = planner.snapshot
    usable = {view.name for view in snapshot.nodes if view.usable}
    slots = [
        (view, view.goes_on)
        for view in snapshot.running
        if view.goes_on is not None and view.placements[0].node in usable
    ]
    leaving = [view for view, _ in slots if view.draining]
    staying = [(view, rank) for view, rank in slots if not view.draining]
    if not staying:
        return frozenset()
    wanted = {view.alloc for view, _ in staying if _is_wanted_back(view, planner.resumes)}
    first = _first_in_need(snapshot, waits)
    rivals = [(v, rank) for v, rank in staying if _comes_after(v, rank, first.get(rank.partition))]
    # What is not given again when all are given up makes the first guess. What would be given again
    # as soon as it ends must not be: it would come and go for ever.
    rivals = _not_given_again(planner, rivals, leaving, run)
    rivals = _not_given_again(planner, rivals, [], run)
    return frozenset(wanted | {view.alloc for view, _ in rivals})


def _not_given_again(
    planner: Planner, rivals: list[Rival], leaving: list[RunningView], run: Run
) -> list[Rival]:
    """Return those of the slots that would go to others, were they all given up."""
    if not rivals:
        return []
    trial = Planner(_given_back(planner.snapshot, rivals, leaving), planner.now)
    run(trial)
    again = Counter(
        (line.job, line.placements[0].node) for line in trial.lines if isinstance(line, Start)
    )
    found = []
    for view, rank in rivals:
        where = view.job, view.placements[0].node
        if again[where]:
            again[where] -= 1
        else:
            found.append((view, rank))
    return found


def _is_wanted_back(view: RunningView, resumes: Resumes) -> bool:
    """Say whether a suspended allocation waits for CPUs of this slot."""
    return any(mask_of(p.cpus) & resumes.withheld.get(p.node, 0) for p in view.placements)


def _first_in_need(snapshot: Snapshot, waits: dict[int, Wait]) -> dict[str, WaitingView]:
    """Return the first entry of each partition that waits for room."""
    first: dict[str, WaitingView] = {}
    for entry in snapshot.waiting:
        wait = waits.get(entry.job)
        if wait is None or wait.rule not in (Rule.RESOURCES, Rule.LIMIT, Rule.BEHIND):
            continue
        known = first.get(entry.partition)
        if known is None or _place(entry) > _place(known):
            first[entry.partition] = entry
    return first


def _place(entry: WaitingView) -> tuple[int, float, int]:
    return entry.priority, -entry.submitted_at, -entry.job


def _comes_after(view: RunningView, rank: Rank, entry: WaitingView | None) -> bool:
    if entry is None or entry.job == view.job:
        return False
    return _place(entry) > (rank.priority, -rank.submitted_at, -view.job)


def _given_back(
    snapshot: Snapshot, rivals: Sequence[Rival], leaving: list[RunningView]
) -> Snapshot:
    """Return the machine without these slots. Elements of `rivals` wait instead."""
    without = ended(snapshot, [*(view for view, _ in rivals), *leaving])
    waiting = {entry.job: entry for entry in snapshot.waiting}
    for job, count in Counter(view.job for view, _ in rivals).items():
        view, rank = next(rival for rival in rivals if rival[0].job == job)
        known = waiting.get(job)
        if known is None or (known.blocked and known.blocked.rule is Rule.ARRAY_CAP):
            waiting[job] = WaitingView(
                job,
                count,
                rank.request,
                rank.partition,
                view.user,
                rank.priority,
                rank.submitted_at,
                rank.duration,
            )
        else:
            waiting[job] = replace(known, elements=known.elements + count)
    return replace(without, waiting=list(waiting.values()))
