"""Switching from one configuration to another, by somebody or by the calendar: one event, all at once."""

from collections import Counter
from typing import Any

from ostler.core.administer import carry_out
from ostler.core.effects import Fail, Reply
from ostler.core.events import ConfigurationUsed
from ostler.core.follow import next_shift, wake_at
from ostler.core.serving import serving
from ostler.core.state import State
from ostler.model.errors import Missing, OstlerError
from ostler.model.ids import is_step
from ostler.model.nodeset import fold
from ostler.model.shifts import calendars, due
from ostler.model.site import Configuration
from ostler.model.site_changes import SET, Change, Draft

CALENDAR = "calendar"  # who switches when nobody does


def on_used(s: State, now: float, event: ConfigurationUsed) -> None:
    """Switch to a configuration, or only tell what would move."""
    try:
        if event.name not in s.site.configurations:
            known = ", ".join(s.site.configurations)
            raise Missing(f"there is no configuration {event.name!r}", expected=f"known: {known}")
        row = what_moves(s, s.site.configurations[event.name])
        if not event.dry:
            _use(s, now, event.name, event.caller.user)
    except OstlerError as error:
        s.effects.append(Fail(event.to, error))
        return
    s.effects.append(Reply(event.to, {"configurations": [row]}))


def _use(s: State, now: float, name: str, by: str) -> None:
    told = f"{by} switched from {s.site.active.name} to {name}"
    s.note(now, "configuration/used", told, user=None if by == CALENDAR else by, about=name)
    draft = Draft(s.site, s.settings)
    changed = draft.take([Change(SET, "configuration", (name,), {"active": True})])
    carry_out(s, now, by, draft, changed)


def on_time(s: State, now: float) -> None:
    """Switch if a calendar says so; ask to be woken when one says so next.

    What a calendar said before somebody decided otherwise, or before it was changed, is over.
    """
    if now < s.parts.shift_at:
        return
    found, active = due(calendars(s.site.configurations), s.parts.zone, now), s.site.active
    if found is not None and found[1] > active.since and found[0] != active.name:
        _use(s, now, found[0], CALENDAR)
    wake_at(s, next_shift(s, now))


def what_moves(s: State, new: Configuration) -> dict[str, Any]:
    """Return what using a configuration now would do; nothing is changed.

    Of jobs that wait: which would have nodes that they have not now, and the other way round.
    """
    division, old = s.site.division(new.name), s.site.active
    moves: dict[tuple[str, str], list[str]] = {}
    there = {}
    for name, entry in s.nodes.items():
        there[name] = division.of(name)
        if not entry.node.gone and there[name] != entry.node.partition:
            moves.setdefault((entry.node.partition, there[name]), []).append(name)
    running = {
        alloc.job
        for alloc in s.allocations.values()
        if not is_step(alloc.job)
        and any(there[node] != s.jobs[alloc.job].job.spec.partition for node in alloc.nodes)
    }
    waiting: Counter[str] = Counter()
    for job in s.jobs.values():
        spec = job.job.spec
        if not spec.within and job.waiting:
            could = serving(s, spec.request, spec.partition)
            waiting["gain"] += new.name in could and old.name not in could
            waiting["lose"] += old.name in could and new.name not in could
    return {
        "name": new.name,
        "was": old.name,
        "moved": str(new.moved),
        "moves": [
            {"from": one, "to": two, "nodes": fold(sorted(nodes))}
            for (one, two), nodes in sorted(moves.items())
        ],
        "nodes_moved": sum(map(len, moves.values())),
        "jobs_running_on_them": len(running),
        "jobs_that_get_nodes": waiting["gain"],
        "jobs_that_wait_for_another": waiting["lose"],
    }
