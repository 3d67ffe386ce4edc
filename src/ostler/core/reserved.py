"""Reservations, as the core holds every plan to them: nodes that are closed to some, now or soon."""

from math import inf

from ostler.core.entry import Entry
from ostler.core.state import State
from ostler.model.errors import Missing, Refused
from ostler.model.job import Job, JobSpec
from ostler.model.resources import Placement

_SLACK = 1.0  # seconds between a plan and what becomes of it; limits are whole seconds


def check_named(s: State, spec: JobSpec, user: str) -> None:
    """Raise `Missing` or `Refused` unless the user may use the reservation that is asked for."""
    name = spec.request.reservation
    row = next((found for found in s.rules.reservations if found.name == name), None)
    if not name:
        return
    if row is None:
        raise Missing(f"there is no reservation {name!r}", hint="see `ostler reservations`")
    if row.maintenance:
        raise Refused(f"reservation {name!r} is for maintenance; no job may use it")
    if user not in row.users and not (spec.project and spec.project in row.projects):
        whose = [f"user {each}" for each in row.users]
        whose += [f"project {each}" for each in row.projects]
        raise Refused(
            f"reservation {name!r} is not for {user}", expected=f"it is for {', '.join(whose)}"
        )


def nodes_of(s: State, name: str) -> frozenset[str] | None:
    """Return the nodes to which a job is kept that names this reservation; None: to none."""
    if not name:
        return None
    return frozenset(s.calendar.of(name) if s.calendar is not None else ())


def check_open(s: State, now: float, entry: Entry, places: tuple[Placement, ...]) -> None:
    """Raise `Refused` unless the job may start on these nodes now, and would end in time."""
    calendar, job = s.calendar, entry.job
    if name := job.spec.request.reservation:
        own = calendar.of(name) if calendar is not None else ()
        if calendar is None or calendar.begins(name, _key(s, job), now) > now:
            raise Refused(f"job {job.id}: its reservation {name} is not open to it now")
        if outside := [place.node for place in places if place.node not in own]:
            raise Refused(f"job {job.id}: {outside[0]} is not in its reservation {name}")
    if calendar is None:
        return
    begins, ends = calendar.until(_key(s, job), now), now + (job.spec.time_limit or inf)
    for place in places:
        if begins.get(place.node, inf) + _SLACK < ends:
            names = ", ".join(calendar.names(_key(s, job), [place.node], now, ends))
            raise Refused(f"{place.node} is reserved ({names}) before job {job.id} would end")


def elements_before(s: State, now: float, entry: Entry, node: str) -> float:
    """Return how many elements of an array one CPU of a node can take before it is closed to them.

    inf: as many as there are. Less than 1: none.
    """
    if s.calendar is None:
        return inf
    begins = s.calendar.until(_key(s, entry.job), now).get(node, inf)
    if begins == inf:
        return inf
    limit = entry.job.spec.time_limit
    return (begins + _SLACK - now) // limit if limit else 0


def _key(s: State, job: Job) -> frozenset[str]:
    return s.calendar.key(job.user, job.spec.project) if s.calendar is not None else frozenset()
