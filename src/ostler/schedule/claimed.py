"""What counts under limits, one by one: allocations, and what a plan starts."""

from collections.abc import Mapping
from heapq import heappop, heappush
from math import ceil, inf

from msgspec.structs import replace

from ostler.schedule.limits import Claim, Held, Limits
from ostler.schedule.reservations import Calendar
from ostler.schedule.rules import Rules
from ostler.schedule.snapshot import WaitingView


class Claimed(Held):
    """The counts, and what each number counts for."""

    def __init__(self, rules: Rules) -> None:
        """Count nothing. The limit on CPUs for each user is none of these: it has its own count."""
        super().__init__(Limits(replace(rules, max_cpus_per_user=0)))
        self._rules = rules
        self.minutes = any(limit.cpu_minutes is not None for limit in rules.limits)
        self._all: dict[int, Claim] = {}
        self._spends: list[tuple[float, int]] = []  # heap: when which of them has no minutes left

    @property
    def all(self) -> Mapping[int, Claim]:
        """Return what counts, by the number of an allocation, or of what is assumed."""
        return self._all

    def put(self, number: int, claim: Claim | None) -> None:
        """Count this and no longer what was counted by the number."""
        if (old := self._all.pop(number, None)) is not None:
            self.remove(old)
        if claim is not None:
            self._all[number] = claim
            self.add(claim)
            if self.minutes and claim.ends_at < inf and not claim.spent:
                heappush(self._spends, (ceil(claim.ends_at), number))

    def spend(self, now: float) -> None:
        """Take note of what is there after its planned end: it has no CPU-minutes left."""
        while self._spends and self._spends[0][0] <= now:
            end, number = heappop(self._spends)
            claim = self._all.get(number)
            if claim is not None and ceil(claim.ends_at) == end and not claim.spent:
                self.put(number, replace(claim, spent=True))

    def copy(self) -> "Claimed":
        """Return another that counts on by itself."""
        other = Claimed(self._rules)
        other.limits, other._counts = self.limits, self._counted()
        other._all, other._spends = self._all.copy(), self._spends.copy()
        return other


def key_of(calendar: Calendar | None, claims: Claimed | None, view: WaitingView) -> object:
    """Return what entries have in common that may use the same nodes under the same limits."""
    who = view.user, view.project
    nodes = None if calendar is None else calendar.key(*who)
    if claims is None:
        return nodes, (), ()
    limits = claims.limits.key(*who, view.partition)
    others = claims.limits.for_others(*who, view.partition)
    return nodes, tuple(bucket for bucket, _ in limits), others
