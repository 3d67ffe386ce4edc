"""What follows as soon as partitions or configurations are others."""

from math import inf

from msgspec.structs import replace

from ostler.core.moved import moved
from ostler.core.state import NO_JOB, State
from ostler.model.ids import is_step
from ostler.model.record import SiteRow
from ostler.model.shifts import calendars, upcoming
from ostler.model.site import PartitionState, Site


def follow_site(s: State, now: float, old: Site, nodes: list[str]) -> None:
    """Bring everything up to the site as it is. old: before. nodes: in another partition now."""
    if s.site.configurations != old.configurations:
        if s.site.active.name != old.active.name or calendars(s.site.configurations) != calendars(
            old.configurations
        ):
            _decided(s, now)
        s.parts.begins.clear()
        wake_at(s, next_shift(s, now))
        nodes = list(s.nodes) if s.site.active.moved is not old.active.moved else nodes
    elif s.site.partitions == old.partitions:
        return
    s.marks.jobs.update(s.jobs)  # which could start, and why the others wait
    note_closing(s)
    moved(s, now, nodes)


def _decided(s: State, now: float) -> None:
    """Note that up to now it is decided which configuration is active, whatever calendars say."""
    active = replace(s.site.active, since=now)
    s.site = replace(s.site, configurations={**s.site.configurations, active.name: active})
    s.save(SiteRow("configuration", (active.name,), active))


def next_shift(s: State, now: float) -> float:
    """Return when a configuration begins next by its calendar; inf: never."""
    found = upcoming(calendars(s.site.configurations), s.parts.zone, now)
    return inf if found is None else found[1]


def look_at_calendars(s: State, now: float) -> None:
    """Ask to be woken at once if there are calendars: one may have begun while nobody looked."""
    wake_at(s, now if calendars(s.site.configurations) else inf)


def wake_at(s: State, at: float) -> None:
    """Ask to be woken when calendars are to be looked at, instead of when it was said before."""
    s.parts.shift_at = at
    if at < inf:
        s.wake(at, NO_JOB)


def note_closing(s: State) -> None:
    """Find what is left of partitions that are being stopped."""
    s.parts.closing = {
        name: set()
        for name, row in s.site.partitions.items()
        if row.state is PartitionState.DRAINING
    }
    for alloc in s.allocations.values() if s.parts.closing else ():
        left = s.parts.closing.get(s.jobs[alloc.job].job.spec.partition)
        if left is not None and not is_step(alloc.job):
            left.add(alloc.id)
