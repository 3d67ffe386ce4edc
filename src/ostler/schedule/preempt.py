"""Preemption: which running allocations give way so that one that matters more starts.

Who stands still already goes first: all it loses is its turn. Then the lowest priority, of equals
the youngest, of those who frees fewest nodes for nothing.
Nobody gives way in vain: either the job starts with what the victims give, and would not with any
one of them left out, or nobody is touched.
"""

from collections.abc import Sequence
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
    licensed: bool = False  # it has licences that the job asks for


class Tryout(Protocol):
    """Room for the job. More that is gone never hurts."""

    def give(self, each: Running, /) -> None:
        """Let one be gone, in the way its partition says."""

    def keep(self, each: Running, /) -> None:
        """Let it stay after all."""

    def fits(self) -> bool:
        """Say whether the job would start."""


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
    after: Tryout,
    now: float,
) -> list[Running]:
    """Return who gives way so that the job starts; nobody if that would not do, or need not be.

    useful: nodes that the job may use. after: nobody is gone yet; in the end those who leave
    already are, and whoever is found. A job that waits for those who leave preempts nobody else.
    Cost: candidates are let go in order until the job fits, and each of them is asked once more.
    """
    candidates = [
        other
        for other in running
        if (other.licensed or not useful.isdisjoint(other.nodes))
        and may_preempt(rules, job, other, now)
    ]
    for other in running:
        if other.leaving:
            after.give(other)
    if not candidates or after.fits():
        return []
    candidates.sort(key=lambda each: _reluctance(rules, each, useful))
    return _needed(candidates, after)


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


def _needed(candidates: Sequence[Running], after: Tryout) -> list[Running]:
    """Return some of the candidates that suffice, of whom none can be spared; the last ones least.

    Those behind the first so many that suffice are left alone. Then each is, from the last one on,
    if the others do without it. Empty: not even all of them suffice.
    """
    given: list[Running] = []
    for each in candidates:
        after.give(each)
        given.append(each)
        if after.fits():
            break
    else:
        return []
    needed = [given.pop()]
    for each in reversed(given):
        after.keep(each)
        if not after.fits():
            after.give(each)
            needed.append(each)
    return needed[::-1]
