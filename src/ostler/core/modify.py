"""`ostler modify`: what may still be changed of a job that has not ended."""

from typing import Any

from msgspec.structs import replace

from ostler.core import resize, retask, steps
from ostler.core.access import check_access, check_limits, most_priority
from ostler.core.acts import alive
from ostler.core.claims import check_fits
from ostler.core.effects import Fail, Reply
from ostler.core.entry import Entry
from ostler.core.events import Modified
from ostler.core.foreign import words as foreign
from ostler.core.foreign.bind import bound
from ostler.core.moves import settle
from ostler.core.roles import check_job, may
from ostler.core.state import State
from ostler.core.submit import check_priority, respec
from ostler.core.view import job_row
from ostler.model.errors import Missing, NotNow, OstlerError, Refused, UsageError
from ostler.model.ids import element_name, within
from ostler.model.job import JobSpec
from ostler.model.licences import format_licences
from ostler.model.orders import Retime
from ostler.model.units import format_duration, format_size

_SPEC_KEYS = frozenset(
    {
        "name",
        "project",
        "priority",
        "boost",
        "time_limit",
        "not_before",
        "array_cap",
        "retries",
        "grace",
    }
)
_REQUEST_KEYS = frozenset(
    {"tasks", "cpus", "memory", "gpus", "nodes", "constraint", "licences", "reservation"}
)
_LIMITED = frozenset({"project", "time_limit", "tasks", "cpus", "memory", "nodes"})
_TYPES: dict[str, tuple[type, ...]] = {
    "name": (str,),
    "project": (str,),
    "not_before": (int, float),
    "constraint": (str,),
    "reservation": (str,),
    "licences": (dict,),
}


def on_modified(s: State, now: float, event: Modified) -> None:
    """Change what may still be changed, all or nothing."""
    try:
        entry = s.entry(event.ref)
        check_job(s, event.caller, entry.job, "modify")
        alive(s, entry, "modify")
        foreign.check(s, entry, "modify")
        if "time_limit" in event.changes:
            foreign.check_limit(s, entry)
        if event.ref.elements is not None:
            raise UsageError("only a whole job can be modified", hint=f"name {event.ref.job}")
        if "nodes" in event.changes and entry.slots and not entry.job.holds:
            retask.on_modified(s, now, entry, event)
            return
        spec = _changed(s, entry, event.changes)
        if _LIMITED.intersection(event.changes) and not may(s, event.caller, "exceed"):
            check_access(s, event.caller, spec)
            check_limits(s, event.caller, spec, jobs=0)
        if spec.within:
            steps.check_fits(s, spec)
        else:
            check_fits(s, spec, entry.job.user)
        most = max(entry.job.priority, most_priority(s, event.caller, spec))
        check_priority(s, spec, event.caller, most, entry.job.spec.boost)
    except OstlerError as error:
        s.effects.append(Fail(event.to, error))
        return
    before = entry.job
    entry.job = replace(before, spec=spec, priority=spec.priority)
    s.marks.allocations.update(entry.slots)  # their ranks and planned ends
    s.holds.changed(entry.job, entry.slots)
    s.user_weight[before.user] += spec.weight - entry.weight
    entry.weight = spec.weight
    if spec.time_limit != before.spec.time_limit:
        for number in entry.slots:
            alloc = s.allocations[number]
            s.put(replace(alloc, time_limit=spec.time_limit))
            for node in sorted(alloc.nodes - alloc.freed):
                s.send(node, Retime(alloc.id, spec.time_limit))
    if before.holds or before.spec.within:
        s.alloc_news.add(within(before.id))
    if spec.not_before > now:
        s.wake(spec.not_before, before.id)
    listed = ", ".join(_told(now, k, v) for k, v in sorted(event.changes.items()))
    s.note(now, "job/modified", f"{event.caller.user} set {listed}", job=before.id)
    settle(s, now, entry, saved=before)
    if before.holds and "nodes" in event.changes:
        resize.follow(s, now, entry, event.caller.user)
    s.waiting.look(entry)
    s.effects.append(Reply(event.to, {"job": job_row(s, entry)}))


def _told(now: float, key: str, value: Any) -> str:
    match key:
        case "time_limit" | "grace":
            return f"{key}={format_duration(value) if value else 'none'}"
        case "memory":
            return f"{key}={format_size(value)}"
        case "not_before":
            return f"{key}=in {format_duration(max(value - now, 0.0))}"
        case "licences":
            return f"{key}={format_licences(value)}"
    return f"{key}={value}"


def _changed(s: State, entry: Entry, changes: dict[str, Any]) -> JobSpec:
    spec, request = entry.job.spec, entry.job.spec.request
    if retask.END_TASKS in changes:
        raise UsageError(
            f"no tasks of job {entry.job.name} can be ended to give nodes back",
            expected="--end-tasks with --nodes, of a job whose tasks run",
        )
    for key, value in changes.items():
        if key == "rm":
            raise Refused(
                f"job {_name(entry)} stays where it was submitted to: jobs never move between"
                " resource managers",
                hint="cancel it, and submit it anew with --rm",
            )
        if key not in _SPEC_KEYS | _REQUEST_KEYS:
            known = ", ".join(sorted(_SPEC_KEYS | _REQUEST_KEYS))
            raise Missing(f"a job has nothing named {key!r} to change", expected=known)
        # By its very type: a bool is an int to Python, but none to whoever reads the row again.
        counts = value.items() if isinstance(value, dict) else ()
        fits = all(type(k) is str and type(v) is int for k, v in counts)
        if type(value) not in _TYPES.get(key, (int,)) or not fits:
            raise UsageError(f"{key} cannot be {value!r}")
        if key == "nodes" and entry.slots:
            request = resize.resized(s, entry, value)
        elif key in _REQUEST_KEYS:
            if entry.slots:
                raise NotNow(f"job {_name(entry)} has started; its {key} can no longer change")
            request = replace(request, **{key: value})
        else:
            spec = respec(spec, **{key: value})
    return bound(s, entry, respec(spec, request=request))


def _name(entry: Entry) -> str:
    return element_name(entry.job.id, None)
