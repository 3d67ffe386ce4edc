"""What runs, in the order in which it gives way: kept from plan to plan, so that nobody looks at all.

Who stands still already goes first: all it loses is its turn. Then the lowest priority, of equals
the youngest.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator, Mapping
from heapq import merge
from math import inf
from typing import Any

from ostler.schedule.preempt import Needy, Running, can_give_way, is_giver, outranks
from ostler.schedule.rules import Preemption, Rules
from ostler.schedule.snapshot import NodeView, RunningView

_Key = tuple[bool, int, float, int]  # it runs, priority, the youngest first, the newest first


class Givers:
    """All that runs, as far as preemption goes. A change costs a search and a shift in a list."""

    def __init__(self, stale: Iterable[int] = ()) -> None:
        """Begin with nothing. stale: allocations of which it is to be told."""
        self.stale = {*stale}
        self.leaving: dict[int, Running] = {}  # by allocation, like all that runs
        self._known: dict[int, Running] = {}
        self._of: dict[str, list[_Key]] = {}  # partition -> who may give way there, in order
        self._over: list[tuple[float, int]] = []  # Unix seconds after `least-run`, allocation

    def copy(self) -> "Givers":
        """Return another that may be changed on its own."""
        other = Givers(self.stale)
        other.leaving, other._known = self.leaving.copy(), self._known.copy()
        other._of = {partition: keys.copy() for partition, keys in self._of.items()}
        other._over = self._over.copy()
        return other

    def settle(
        self, running: Mapping[int, RunningView], nodes: Mapping[str, NodeView], rules: Rules
    ) -> None:
        """Take note of what became of those that have changed. The rules stay."""
        for number in self.stale:
            view = running.get(number)
            self.put(number, None if view is None else running_of(view, nodes), rules)
        self.stale.clear()

    def put(self, alloc: int, new: Running | None, rules: Rules) -> None:
        """Take note of what became of an allocation; None: it is no more."""
        if (old := self._known.pop(alloc, None)) is not None:
            self.leaving.pop(alloc, None)
            for line, item in self._places(old, rules):
                del line[bisect_left(line, item)]
        if new is not None:
            self._known[alloc] = new
            if new.leaving:
                self.leaving[alloc] = new
            for line, item in self._places(new, rules):
                insort(line, item)

    def _places(self, each: Running, rules: Rules) -> Iterator[tuple[list[Any], Any]]:
        """Yield the lists that it is in, and as what."""
        its = rules.of(each.partition)
        if its.preemption is not Preemption.OFF and its.least_run:
            yield self._over, (each.started_at + its.least_run, each.alloc)
        if is_giver(rules, each):
            yield self._of.setdefault(each.partition, []), _key(each)

    def over_after(self, now: float) -> Iterator[float]:
        """Yield when allocations will have run long enough to be preempted, in order."""
        for at in range(bisect_right(self._over, (now, inf)), len(self._over)):
            yield self._over[at][0]

    def weakest(self, rules: Rules, now: float) -> dict[str, int]:
        """Return the lowest priority of what may be preempted now, by the partition it runs in."""
        found = {}
        for partition, keys in self._of.items():
            first = bisect_left(keys, (True,))
            running = (self._known[-key[-1]] for key in keys[first:])
            able = (each.priority for each in running if can_give_way(rules, each, now))
            least = min(next(able, inf), keys[0][1] if first else inf)
            if least < inf:
                found[partition] = int(least)
        return found

    def below(self, rules: Rules, job: Needy, now: float) -> Iterator[Running]:
        """Yield who has to give way to the job, in order of tier, priority and age."""
        for stands in (True, False):
            for tier in sorted({rules.of(partition).tier for partition in self._of}):
                lines = [
                    self._below(rules, job, partition, now, stands=stands)
                    for partition in self._of
                    if rules.of(partition).tier == tier
                ]
                yield from merge(*lines, key=_key) if len(lines) > 1 else lines[0]

    def _below(
        self, rules: Rules, job: Needy, partition: str, now: float, *, stands: bool
    ) -> Iterator[Running]:
        keys = self._of[partition]
        first = bisect_left(keys, (True,))
        for at in range(first) if stands else range(first, len(keys)):
            if not outranks(rules, job, partition, keys[at][1]):
                return  # nor does it any that comes behind
            each = self._known[-keys[at][-1]]
            if can_give_way(rules, each, now):
                yield each


def running_of(view: RunningView, nodes: Mapping[str, NodeView]) -> Running:
    """Return what decides whether an allocation gives way."""
    node, stands = nodes.get(view.placements[0].node), view.halted_at is not None
    return Running(
        view.alloc,
        node.partition if node is not None else "",
        view.priority,
        view.started_at,
        frozenset(place.node for place in view.placements),
        view.again,
        view.suspended and not stands,
        view.leaving,
        view.halts,
        stands,
    )


def way_of(view: RunningView) -> object:
    """Return what decides whether an allocation gives way, beside what it holds."""
    return view.priority, view.started_at, view.again, view.leaving, view.halts


def _key(each: Running) -> _Key:
    return not each.stands, each.priority, -each.started_at, -each.alloc
