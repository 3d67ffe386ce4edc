"""`ostler explain --if`: when something would start if it, or the machine, were different.

What is supposed is planned on a snapshot of its own; nothing of it is carried out or kept.
"""

from collections.abc import Callable
from copy import copy
from functools import partial

import msgspec
from msgspec.structs import asdict, replace

from ostler.core.claims import check_claims, settled
from ostler.core.delta import snapshot, waiting_view
from ostler.core.entry import Entry
from ostler.core.explain import Row, asked, first_row, scorer, waiting_row
from ostler.core.state import State
from ostler.core.submit import check_user_limit, make_job, respec
from ostler.model.caller import Caller
from ostler.model.errors import Missing, NotNow, Refused, UsageError
from ostler.model.ids import Ref
from ostler.model.job import JobSpec
from ostler.model.suppose import REQUEST_KEYS, SPEC_KEYS, Supposed
from ostler.model.units import format_duration
from ostler.schedule.can_ever import can_ever
from ostler.schedule.snapshot import Snapshot, WaitingView
from ostler.schedule.whatif import with_nodes
from ostler.schedule.words import listed

_SAME = 1.0  # seconds: a difference that is none


def asked_if(
    s: State, now: float, caller: Caller, ref: Ref | None, suppose: Supposed
) -> Callable[[], Row]:
    """Return what works out the answer, away from the state: before, after, and the difference.

    ref: the job that is supposed to be different; None: a new one of the caller. Raises `Missing`
    if nothing of the job waits, and what a submission of this kind would be refused with.
    """
    if suppose == Supposed():
        raise UsageError("nothing is supposed", hint="as in --if time=2h, or --if-nodes +4")
    real = snapshot(s, now)
    before: Callable[[], Row] | None = None
    entry = _waiting(s, ref) if ref is not None else None
    if entry is not None and ref is not None:
        other = copy(entry)
        spec = _supposed(entry.job.spec, suppose)
        other.job = replace(entry.job, spec=spec, priority=spec.priority)
        before = asked(s, now, Ref(ref.job), real)
    else:
        spec = _supposed(JobSpec(argv=(b"true",)), suppose)
        other = Entry(make_job(s, now, caller, spec, ""))
    if spec.partition not in s.partitions:
        known = ", ".join(s.partitions)
        raise Missing(f"there is no partition {spec.partition!r}", expected=f"known: {known}")
    view = waiting_view(s, now, other)
    if view is None:
        raise Missing(f"nothing of job {other.job.id} waits")
    row = first_row(other, other.job.name if ref is not None else None)
    if entry is None and (suppose.more or suppose.without):
        before = partial(waiting_row, row, _with(real, view), now, view.job, scorer(s, now))
    machine, told = with_nodes(real, spec.partition, suppose.more, suppose.without)
    check_user_limit(s, spec, other.job.user)
    check_claims(s, spec.request)
    if refusal := can_ever(spec.request, spec.partition, machine.nodes):
        raise Refused(refusal)
    after = partial(waiting_row, row, _with(machine, view), now, view.job, scorer(s, now))
    return partial(_compared, row["id"], suppose, told, before, after, now)


def _waiting(s: State, ref: Ref) -> Entry:
    entry = s.entry(ref)
    if entry.job.spec.within:
        raise UsageError(
            "a step waits in its allocation, and is not planned",
            hint=f"see `ostler explain {entry.job.name}`",
        )
    if not (entry.waiting or entry.barred or entry.job.held_by):
        raise NotNow(
            f"nothing of job {entry.job.name} waits; it is {entry.job.state}",
            hint="what may be supposed is what waits, or without an ID a new job",
        )
    return entry


def _supposed(spec: JobSpec, suppose: Supposed) -> JobSpec:
    """Return the specification with what is supposed; raise `UsageError`."""
    given = {key: value for key, value in asdict(suppose).items() if value is not None}
    request = replace(spec.request, **{k: given[k] for k in REQUEST_KEYS if k in given})
    changes = {key: given[key] for key in SPEC_KEYS if key in given}
    return respec(spec, request=settled(request), **changes)


def _with(snapshot: Snapshot, view: WaitingView) -> Snapshot:
    """Return the machine where this one waits, in place of the job of that number if there is one."""
    waiting = [other for other in snapshot.waiting if other.job != view.job]
    return replace(snapshot, waiting=[*waiting, view])


def _compared(
    ident: str | None,
    suppose: Supposed,
    nodes: list[str],
    before: Callable[[], Row] | None,
    after: Callable[[], Row],
    now: float,
) -> Row:
    now_row = before() if before is not None else None
    then = after()
    was = _first_start(now_row, now) if now_row else None
    at = _first_start(then, now)
    return {
        "id": ident,
        "supposed": msgspec.to_builtins(suppose),
        "supposed_nodes": nodes,
        "before": now_row,
        "after": then,
        "difference_seconds": at - was if was is not None and at is not None else None,
        "answer": _answer(now_row, then, now),
    }


def _first_start(row: Row, now: float) -> float | None:
    """Return when the first of its elements starts of which there is one to be told."""
    return now if row["starts_now"] else row["expected_start"]


def _answer(before: Row | None, after: Row, now: float) -> str:
    at, was = _first_start(after, now), _first_start(before, now) if before else None
    if after["starts_now"]:
        where = f" on {listed(after['expected_nodes'])}"
        if after["elements"]["total"] > 1:
            return f"{after['starts_now']} of its elements would start now, the first{where}"
        return f"it would start now{where}"
    if at is None:
        why = after["assumption"] or after["reason"]
        return f"it would wait, and nobody can tell how long: {why}"
    when = f"it would start in {format_duration(at - now)}"
    if before is None:
        return when
    if was is None:
        return f"{when}; as it is, nobody can tell when"
    if abs(at - was) < _SAME:
        return f"{when}, as it will anyway"
    sooner = "sooner" if at < was else "later"
    return f"{when}, {format_duration(abs(at - was))} {sooner} than as it is"
