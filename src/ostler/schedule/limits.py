"""Limits by user, project and partition: what one may have beside what it holds.

Of the limits that count the same (all of the machine, or one partition) the one with a holder's
name goes before the one for each holder. A user's own stands in for the one for each project, not
for the one of the project that it is in. All that are found hold together. Ranked ones, which
administrators set, stand in for each other, see `rules.Limit`.
"""

from collections.abc import Iterable
from copy import copy
from math import ceil, floor, inf

from msgspec import Struct
from msgspec.structs import replace

from ostler.model.states import Rule
from ostler.schedule.rules import Holder, Limit, Rules
from ostler.schedule.snapshot import Wait

Bucket = tuple[Holder, str, str]  # whose, and in which partition; empty: on the whole machine
Key = tuple[tuple[Bucket, Limit], ...]  # what limits a job; empty: nothing
MINUTE = 60
_RUNNING = ("running", "cpus", "cpu_minutes")  # what is counted of what runs
_COLUMNS = ("waiting", *_RUNNING)


class Claim(Struct, frozen=True):
    """What an allocation holds, or would."""

    user: str
    project: str
    partition: str
    cpus: int
    ends_at: float = inf  # Unix seconds; inf: it has no time limit
    spent: bool = False  # it is there after its planned end: it has no CPU-minutes left

    def seconds(self, now: float) -> float:
        """Return the CPU-seconds that it may still use, as of the whole second."""
        return inf if self.ends_at == inf else self.cpus * (ceil(self.ends_at) - floor(now))


class Breach(Struct, frozen=True):
    """A limit that would be passed."""

    bucket: Bucket
    what: str  # a field of `Limit`
    limit: int
    held: float
    asked: float  # inf: it would last for ever
    until: float = inf  # Unix seconds from which on it would not, though nothing ended; inf: never

    @property
    def alone(self) -> bool:
        """Say whether it would be passed even if nothing else were held."""
        return self.asked > self.limit

    @property
    def whose(self) -> str:
        """Return who is limited: `user ann in partition main`."""
        holder, name, partition = self.bucket
        where = f"partition {partition}" if partition else "the machine"
        if holder is Holder.PARTITION:
            return where
        return f"{holder} {name} in {where}" if partition else f"{holder} {name}"

    @property
    def wait(self) -> Wait:
        """Return why a job waits that would pass it."""
        numbers: dict[str, float | int | str] = {
            "limit": self.limit,
            "held": self.held,
            "asked": self.asked,
            "what": self.what,
            "whose": self.whose,
        }
        return Wait(Rule.LIMIT, numbers)


class Limits:
    """The limits of the machine, looked up."""

    def __init__(self, rules: Rules) -> None:
        self._rows = {_of(row): row for row in rules.limits if not row.ranked}
        self._ranked = {_of(row): row for row in rules.limits if row.ranked}
        if rules.max_cpus_per_user:
            each = (Holder.USER, "", "")
            row = self._rows.get(each, Limit(Holder.USER))
            most = [rules.max_cpus_per_user, *([] if row.cpus is None else [row.cpus])]
            self._rows[each] = Limit(
                row.holder, "", "", row.running, row.waiting, min(most), row.cpu_minutes
            )
        known = (*self._rows.values(), *self._ranked.values())
        self._kinds = {(row.holder, row.partition) for row in known}
        # Somebody may count under a limit that does not hold for him: another stands in for it
        self.exempting = bool(self._ranked) or (
            any(holder is Holder.PROJECT and not name for holder, name, _ in self._rows)
            and any(holder is Holder.USER and name for holder, name, _ in self._rows)
        )
        self._members = rules.members
        self._keys: dict[tuple[str, str, str], Key] = {}
        self._others: dict[tuple[str, str, str], tuple[tuple[Bucket, str], ...]] = {}

    def key(self, user: str, project: str, partition: str) -> Key:
        """Return what limits such a job; jobs of equal keys are limited together."""
        who = user, project, partition
        found = self._keys.get(who)
        if found is None:
            found = self._keys[who] = tuple(self._find(*who)) if self._kinds else ()
        return found

    def buckets(self, user: str, project: str, partition: str) -> list[Bucket]:
        """Return where such a job counts, if only for others."""
        names = [(Holder.USER, user), (Holder.PROJECT, project), (Holder.PARTITION, "")]
        names += [(Holder.GROUP, group) for group in self._members.get(user, ())]
        scopes = dict.fromkeys(("", partition))
        return [
            (holder, name, scope)
            for scope in scopes
            for holder, name in names
            if (holder, scope) in self._kinds
        ]

    def for_others(self, user: str, project: str, partition: str) -> tuple[tuple[Bucket, str], ...]:
        """Return what of such a job counts under limits that hold for others, and not for it."""
        if not self.exempting:
            return ()
        who = user, project, partition
        found = self._others.get(who)
        if found is None:
            mine = {
                (bucket, what)
                for bucket, limit in self.key(*who)
                for what in _COLUMNS
                if getattr(limit, what) is not None
            }
            found = self._others[who] = tuple(
                (bucket, what)
                for bucket in self.buckets(*who)
                for what in _RUNNING
                if (bucket, what) not in mine and self._is_limited(bucket, what)
            )
        return found

    def _is_limited(self, bucket: Bucket, what: str) -> bool:
        holder, name, scope = bucket
        rows = (
            known.get((holder, each, scope))
            for known in (self._rows, self._ranked)
            for each in (name, "")
        )
        return any(row is not None and getattr(row, what) is not None for row in rows)

    def _find(self, user: str, project: str, partition: str) -> Iterable[tuple[Bucket, Limit]]:
        for scope in dict.fromkeys(("", partition)):
            own = self._rows.get((Holder.USER, user, scope)) if user else None
            row = own or self._rows.get((Holder.USER, "", scope))
            if row is not None:
                yield (Holder.USER, user, scope), row
            row = self._rows.get((Holder.PROJECT, project, scope)) if project else None
            row = row or (None if own else self._rows.get((Holder.PROJECT, "", scope)))
            if row is not None:
                yield (Holder.PROJECT, project, scope), row
            row = self._rows.get((Holder.PARTITION, "", scope))
            if row is not None:
                yield (Holder.PARTITION, "", scope), row
            yield from self._find_ranked(user, project, scope) if self._ranked else ()

    def _find_ranked(self, user: str, project: str, scope: str) -> Iterable[tuple[Bucket, Limit]]:
        said: set[str] = set()
        for holder, name, row_name in (
            (Holder.USER, user, user),
            *((Holder.GROUP, group, group) for group in self._members.get(user, ())),
            (Holder.PROJECT, project, project),
            (Holder.USER, user, ""),
        ):
            row = self._ranked.get((holder, row_name, scope)) if name else None
            if row is None:
                continue
            row = replace(row, **dict.fromkeys(said))
            mine = {column for column in _COLUMNS if getattr(row, column) is not None}
            said |= mine
            if mine:
                yield (holder, name, scope), row


def _of(row: Limit) -> Bucket:
    return row.holder, row.name, row.partition


class _Count(Struct):
    running: int = 0
    waiting: int = 0
    cpus: int = 0
    ends: int = 0  # sum of CPUs x end, of those that have one
    ending: int = 0  # CPUs of those

    def seconds(self, now: float) -> int:
        """Return the CPU-seconds that those with a time limit may still use."""
        return self.ends - floor(now) * self.ending

    def until(self, asked: float, most: int) -> float:
        """Return from when on so many CPU-seconds more are within the most; inf: never."""
        if asked > most or not self.ending:
            return inf
        return float(-(-(self.ends + int(asked) - most) // self.ending))


class Held:
    """What is held under limits, counted as it comes and goes."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._counts: dict[Bucket, _Count] = {}

    def copy(self) -> "Held":
        """Return another that counts on by itself."""
        other = Held(self.limits)
        other._counts = self._counted()
        return other

    def _counted(self) -> dict[Bucket, _Count]:
        return {bucket: copy(count) for bucket, count in self._counts.items()}

    def add(self, claim: Claim, sign: int = 1) -> None:
        """Count an allocation that holds its CPUs from now on."""
        for bucket in self.limits.buckets(claim.user, claim.project, claim.partition):
            count = self._counts.setdefault(bucket, _Count())
            count.running += sign
            count.cpus += sign * claim.cpus
            if claim.ends_at != inf and not claim.spent:
                count.ending += sign * claim.cpus
                count.ends += sign * claim.cpus * ceil(claim.ends_at)

    def remove(self, claim: Claim) -> None:
        """Count it no more: it has ended, or stands still. The claim is the one that was added."""
        self.add(claim, -1)

    def queue(self, user: str, project: str, partition: str, jobs: int = 1) -> None:
        """Count jobs that wait, or with a negative number wait no more."""
        for bucket in self.limits.buckets(user, project, partition):
            self._counts.setdefault(bucket, _Count()).waiting += jobs

    def refusal(self, claim: Claim, now: float) -> Breach | None:
        """Return the limit for which a job may not even wait.

        That is one that it passes alone, or the one on waiting jobs.
        """
        breach = self._first(claim, now, alone=True)
        if breach is not None:
            return breach
        for bucket, limit in self.limits.key(claim.user, claim.project, claim.partition):
            waiting = self._counts.get(bucket, _Count()).waiting
            if limit.waiting is not None and waiting + 1 > limit.waiting:
                return Breach(bucket, "waiting", limit.waiting, waiting, 1)
        return None

    def breach(self, claim: Claim, now: float) -> Breach | None:
        """Return the first limit that it would pass beside what is held."""
        return self._first(claim, now, alone=False)

    def _first(self, claim: Claim, now: float, *, alone: bool) -> Breach | None:
        for bucket, limit in self.limits.key(claim.user, claim.project, claim.partition):
            count = self._counts.get(bucket) or _Count()
            for what, most, held, asked in (
                ("running", limit.running, count.running, 1),
                ("cpus", limit.cpus, count.cpus, claim.cpus),
            ):
                if most is not None and (0 if alone else held) + asked > most:
                    return Breach(bucket, what, most, held, asked)
            if limit.cpu_minutes is not None:
                asks, most, spends = claim.seconds(now), limit.cpu_minutes * MINUTE, 0
                if not alone:
                    spends = count.seconds(now)
                if spends + asks > most:
                    until, sums = count.until(asks, most), (spends / MINUTE, asks / MINUTE)
                    return Breach(bucket, "cpu_minutes", limit.cpu_minutes, *sums, until)
        return None

    def left(self, user: str, project: str, partition: str) -> float:
        """Return how many more CPUs such a job may have; below 0: it may not start at all."""
        left = inf
        for bucket, limit in self.limits.key(user, project, partition):
            count = self._counts.get(bucket) or _Count()
            if limit.running is not None and count.running >= limit.running:
                return -1
            if limit.cpus is not None:
                left = min(left, limit.cpus - count.cpus)
        return left
