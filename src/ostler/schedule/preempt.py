"""Preemption: which running allocations give way so that one that matters more starts.

Who stands still already goes first: all it loses is its turn. Then the lowest priority, of equals
the youngest, of those who frees fewest nodes for nothing.
Nobody gives way in vain: either the job starts with what the victims give, and would not with any
one of them left out, or nobody is touched.
"""

from collections.abc import Callable, Sequence

from msgspec import Struct

from ostler.schedule.rules import Preemption, Rules
from ostler.schedule.snapshot import Preempt


class Needy(Struct, frozen=True):
    """A job that waits for resources."""

    job: int
    partition: str
    priority: int


class Running(Struct, frozen=True):
    """An allocation that may have to give way."""

    alloc: int
    partition: str
    priority: int
    started_at: float  # Unix seconds
    nodes: frozenset[str]
    again: bool = False  # its job may run again
    suspended: bool = False  # holds no CPUs
    leaving: bool = False  # it ends already
    halts: bool = False  # it may be suspended
    stands: bool = False  # a scheduler has suspended it: it claims the CPUs that it had
    licensed: bool = False  # it has licences that the job asks for


# Would the job start if these were gone, each in the way that its partition says? More never hurts.
Fits = Callable[[Sequence[Running]], bool]


def may_preempt(rules: Rules, job: Needy, other: Running, now: float) -> bool:
    """Say whether the other one has to give way to the job at all."""
    return can_give_way(rules, other, now) and outranks(rules, job, other.partition, other.priority)


def can_give_way(rules: Rules, other: Running, now: float) -> bool:
    """Say whether it has to give way to anybody now."""
    its = rules.of(other.partition)
    if its.preemption is Preemption.OFF or other.suspended or other.leaving:
        return False
    if other.stands:
        return True
    can = {Preemption.REQUEUE: other.again, Preemption.SUSPEND: other.halts}
    return can.get(its.preemption, True) and now >= other.started_at + its.least_run


def outranks(rules: Rules, job: Needy, partition: str, priority: int) -> bool:
    """Say whether the job matters so much more than what runs there with that priority."""
    mine, its = rules.of(job.partition), rules.of(partition)
    if mine.tier != its.tier:
        return mine.tier > its.tier
    return bool(its.priority_gap and job.priority - priority >= its.priority_gap)


def preempt(
    rules: Rules,
    job: Needy,
    running: Sequence[Running],
    useful: frozenset[str],
    fits: Fits,
    now: float,
) -> list[Running]:
    """Return who gives way so that the job starts; nobody if that would not do, or need not be.

    useful: nodes that the job may use. fits: is asked with those that leave already, too; a job
    that waits for them only preempts nobody else. Cost: `fits` is asked about log2 of the
    candidates times for each victim.
    """
    candidates = [
        other
        for other in running
        if (other.licensed or not useful.isdisjoint(other.nodes))
        and may_preempt(rules, job, other, now)
    ]
    leaving = [other for other in running if other.leaving]
    if not candidates or fits(leaving) or not fits([*leaving, *candidates]):
        return []
    candidates.sort(key=lambda each: _reluctance(rules, each, useful))
    return _needed(candidates, lambda found: fits([*leaving, *found]))


def line(rules: Rules, other: Running, job: int) -> Preempt:
    """Return the plan line by which it gives way, as its partition says."""
    its = rules.of(other.partition)
    return Preempt(other.alloc, its.preemption, job, its.preempt_grace)


def _reluctance(
    rules: Rules, other: Running, useful: frozenset[str]
) -> tuple[bool, int, int, float, int, int]:
    for_nothing = len(other.nodes - useful)
    tier, since = rules.of(other.partition).tier, -other.started_at
    return not other.stands, tier, other.priority, since, for_nothing, -other.alloc


def _needed(candidates: Sequence[Running], fits: Fits) -> list[Running]:
    """Return some of the candidates that suffice, of whom none can be spared; the last ones least.

    Again and again the shortest beginning of the list is looked for that suffices beside those
    known to be needed: its last one is needed, too.
    Source: Junker, "QuickXplain" (AAAI 2004), for finding one minimal set by halving.
    """
    needed: list[Running] = []
    enough = len(candidates)
    while not fits(needed):
        short = 0  # so many do not suffice, `enough` do
        while enough - short > 1:
            middle = (short + enough) // 2
            if fits([*candidates[:middle], *needed]):
                enough = middle
            else:
                short = middle
        enough -= 1
        needed.insert(0, candidates[enough])
    return needed
