"""What users, groups, projects and partitions hold under limits, and who is in which group.

The scheduler counts by itself what it plans by; this is the core's own count, by which it checks
each line. Where no such limit is set nothing is counted, and nothing looked at.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ostler.model.allocation import Allocation
from ostler.model.caller import Caller
from ostler.model.errors import Refused
from ostler.model.ids import is_step
from ostler.model.job import Job
from ostler.model.site import Holder as Class
from ostler.model.site import Site
from ostler.schedule.limits import Claim, Held, Limits

if TYPE_CHECKING:  # the state has holds
    from ostler.core.state import State


class Holds:
    """Allocations that hold CPUs, counted where limits look."""

    def __init__(self) -> None:
        self._held: Held | None = None
        self._claims: dict[int, Claim] = {}  # by allocation

    def appoint(self, s: "State") -> None:
        """Count anew by the limits that are set now."""
        self._held, self._claims = None, {}
        if not s.rules.limits:
            return
        limits = tuple(replace(limit, cpu_minutes=None) for limit in s.rules.limits)
        self._held = Held(Limits(replace(s.rules, max_cpus_per_user=0, limits=limits)))
        for alloc in s.allocations.values():
            if alloc.suspended_at is None and not is_step(alloc.job):
                self.uses(s.jobs[alloc.job].job, alloc)

    def uses(self, job: Job, alloc: Allocation) -> None:
        """Count what an allocation holds from now on."""
        if self._held is not None:
            self._count(alloc.id, _claim(job, sum(len(p.cpus) for p in alloc.placements)))

    def _count(self, alloc: int, claim: Claim) -> None:
        self.used(alloc)
        if self._held is not None:
            self._claims[alloc] = claim
            self._held.add(claim)

    def used(self, alloc: int) -> None:
        """Count it no more."""
        if self._held is not None and (claim := self._claims.pop(alloc, None)) is not None:
            self._held.remove(claim)

    def changed(self, job: Job, allocs: Iterable[int]) -> None:
        """Count what a job holds where it is now."""
        for alloc in allocs:
            if (claim := self._claims.get(alloc)) is not None:
                self._count(alloc, _claim(job, claim.cpus))

    def check(self, job: Job, cpus: int) -> None:
        """Raise `Refused` if so many CPUs more would pass a limit."""
        if self._held is None:
            return
        breach = self._held.breach(_claim(job, cpus), 0.0)
        if breach is not None:
            held, asked = f"{breach.held:g}", f"{breach.asked:g}"
            what = "jobs running" if breach.what == "running" else breach.what
            raise Refused(f"{breach.whose} may have {breach.limit} {what}, not {held} and {asked}")

    def broken(self, s: "State") -> bool:
        """Say whether a count is not what the allocations say; for tests of the core."""
        fresh = Holds()
        fresh.appoint(s)
        return fresh._claims != self._claims


def _claim(job: Job, cpus: int) -> Claim:
    """Return what is counted; CPU-minutes are not, as they pass by themselves."""
    return Claim(job.user, job.spec.project, job.spec.partition, cpus)


# -- groups ----------------------------------------------------------------------------------------


def members_of(s: "State", site: Site) -> dict[str, tuple[str, ...]]:
    """Return of which groups with limits each user is, as far as that was told."""
    counted = {
        row.name
        for row in site.access.values()
        if row.holder is Class.GROUP
        and (row.running, row.waiting, row.max_cpus, row.cpu_minutes) != (None,) * 4
    }
    if not counted:
        return {}
    found = {
        user: tuple(name for name in names if name in counted) for user, names in s.members.items()
    }
    return {user: names for user, names in sorted(found.items()) if names}


def learn(s: "State", caller: Caller) -> None:
    """Note of which groups a user is who submits something."""
    if caller.groups and s.members.get(caller.user) != caller.groups:
        told(s, {caller.user: caller.groups})


def told(s: "State", groups: Mapping[str, tuple[str, ...]]) -> None:
    """Note of which groups users are; limits and their scheduler are told where that matters."""
    s.members.update(groups)
    s.waiting.members = s.members
    members = members_of(s, s.site)
    if members != s.rules.members:
        s.rules = replace(s.rules, members=members)
        s.limits = Limits(s.rules)
        s.holds.appoint(s)
        s.marks.rules = s.changed = True
