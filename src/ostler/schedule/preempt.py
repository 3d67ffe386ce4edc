"""Preemption: which running allocations give way so that one that matters more starts.

Who stands still already goes first: all it loses is its turn. Then the lowest priority, of equals
the youngest, of those who frees fewest nodes for nothing.
Nobody gives way in vain: either the job starts with what the victims give, and would not with any
one of them left out, or nobody is touched.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import Protocol

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


class Tryout(Protocol):
    """What there is for a job if some were gone, each in the way that its partition says."""

    def fits(self) -> bool:
        """Say whether the job would start. More that is gone never hurts."""

    def give(self, each: Running, /) -> None:
        """Let it be gone, too."""

    def keep(self, each: Running, /) -> None:
        """Let it be there again."""


def may_preempt(rules: Rules, job: Needy, other: Running, now: float) -> bool:
    """Say whether the other one has to give way to the job at all."""
    return can_give_way(rules, other, now) and outranks(rules, job, other.partition, other.priority)


def can_give_way(rules: Rules, other: Running, now: float) -> bool:
    """Say whether it has to give way to anybody now."""
    long_enough = other.stands or now >= other.started_at + rules.of(other.partition).least_run
    return long_enough and is_giver(rules, other)


def is_giver(rules: Rules, other: Running) -> bool:
    """Say whether it has to give way to anybody once it has run for long enough."""
    how = rules.of(other.partition).preemption
    if how is Preemption.OFF or other.suspended or other.leaving:
        return False
    can = {Preemption.REQUEUE: other.again, Preemption.SUSPEND: other.halts}
    return other.stands or can.get(how, True)


def outranks(rules: Rules, job: Needy, partition: str, priority: int) -> bool:
    """Say whether the job matters so much more than what runs there with that priority."""
    mine, its = rules.of(job.partition), rules.of(partition)
    if mine.tier != its.tier:
        return mine.tier > its.tier
    return bool(its.priority_gap and job.priority - priority >= its.priority_gap)


def in_order(
    rules: Rules,
    found: Iterable[Running],
    useful: Callable[[str], bool],
    licensed: Callable[[Running], bool],
) -> Iterator[Running]:
    """Yield those who have anything of use; of equals who frees fewest nodes for nothing.

    found: as `Givers.below` has them. useful: whether the job may use a node of that name.
    licensed: whether one has licences that the job asks for.
    """
    for _, equals in groupby(found, key=lambda each: _rank(rules, each)):
        wanted = ((sum(not useful(node) for node in each.nodes), each) for each in equals)
        able = [(idle, each) for idle, each in wanted if idle < len(each.nodes) or licensed(each)]
        yield from (each for _, each in sorted(able, key=lambda pair: (pair[0], -pair[1].alloc)))


def _rank(rules: Rules, each: Running) -> tuple[bool, int, int, float]:
    return not each.stands, rules.of(each.partition).tier, each.priority, each.started_at


def needed(candidates: Iterable[Running], freed: Tryout) -> list[Running]:
    """Return who of the candidates gives way, of whom none can be spared; the last ones least.

    Nobody, if it fits anyway, or does not without all of them. Those behind the first so many that
    suffice are left alone, and not even looked at. Then each is, from the last one on, if the
    others do without it.
    freed: with all that is gone anyway. In the end those are, too, who give way.
    """
    if freed.fits():
        return []
    given: list[Running] = []
    for each in candidates:
        freed.give(each)
        given.append(each)
        if freed.fits():
            break
    else:
        return []
    found = [given.pop()]
    for each in reversed(given):
        freed.keep(each)
        if not freed.fits():
            freed.give(each)
            found.append(each)
    return found[::-1]


def line(rules: Rules, other: Running, job: int) -> Preempt:
    """Return the plan line by which it gives way, as its partition says."""
    its = rules.of(other.partition)
    return Preempt(other.alloc, its.preemption, job, its.preempt_grace)
