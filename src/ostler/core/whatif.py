"""`ostler explain --if` and `submit --dry-run`: when something would start if it, or the machine, were different.

What is supposed is planned on a snapshot of its own; nothing of it is carried out or kept.
"""

from copy import copy

from msgspec import to_builtins
from msgspec.structs import asdict, replace

from ostler.core.claims import check_claims, check_user_limit, settled
from ostler.core.delta import waiting_view
from ostler.core.entry import Entry
from ostler.core.events import Submitted
from ostler.core.explain import Prepared, Row, explained, first_row, preview, priority_parts
from ostler.core.reserved import check_named
from ostler.core.serving import check_partition
from ostler.core.state import State
from ostler.core.submit import checked, make_job, respec
from ostler.model.caller import Caller
from ostler.model.errors import Missing, NotNow, UsageError
from ostler.model.ids import Ref
from ostler.model.job import JobSpec
from ostler.model.states import Rule
from ostler.model.suppose import REQUEST_KEYS, SPEC_KEYS, Supposed
from ostler.model.units import format_duration
from ostler.schedule.question import Answered, Question
from ostler.schedule.snapshot import Wait
from ostler.schedule.words import listed

_SAME = 1.0  # seconds: a difference that is none


def prepare_dry(s: State, now: float, event: Submitted) -> Row | Prepared:
    """Return what `submit --dry-run` shows, or what to ask for it; raise what would refuse it."""
    found = preview(s, now, checked(s, now, event))
    if not isinstance(found, Prepared):
        return {"would": found}
    finish = found.finish
    return Prepared(found.question, lambda answered: {"would": finish(answered)})


def prepare_if(
    s: State, now: float, caller: Caller, ref: Ref | None, suppose: Supposed
) -> Prepared:
    """Return what to ask for the document: before, after, and the difference.

    ref: the job that is supposed to be different; None: a new one of the caller. Raises `Missing`
    if nothing of the job waits, and what a submission of this kind would be refused with.
    """
    if suppose == Supposed():
        raise UsageError("nothing is supposed", hint="as in --if time=2h, or --if-nodes +4")
    known = _waiting(s, ref) if ref is not None else None
    if known is not None:
        entry = copy(known)
        spec = _supposed(known.job.spec, suppose)
        entry.job = replace(known.job, spec=spec, priority=spec.priority)
    else:
        spec = _supposed(JobSpec(argv=(b"true",)), suppose)
        entry = Entry(make_job(s, now, caller, spec, ""))
        spec = entry.job.spec
    check_partition(s, spec)
    check_user_limit(s, spec, entry.job.user)
    check_claims(s, spec.request)
    check_named(s, spec, entry.job.user)
    view = waiting_view(s, now, entry)
    if view is None:
        raise Missing(f"nothing of job {entry.job.name} waits")
    if view.blocked is not None and view.blocked.rule is Rule.SCHEDULER:
        view = replace(view, blocked=_unasked(view.blocked))
    ident = entry.job.name if known is not None else None
    row = first_row(entry, ident)
    parts = priority_parts(s, now, view)
    parts_now = priority_parts(s, now, waiting_view(s, now, known)) if known else parts

    def finish(found: Answered) -> Row:
        before = explained(row, found.before, parts_now) if found.before else None
        after = explained(row, found.after, parts)
        was = _first_start(before, now) if before else None
        at = _first_start(after, now)
        return {
            "id": ident,
            "supposed": to_builtins(suppose),
            "supposed_nodes": found.nodes,
            "before": before,
            "after": after,
            "difference_seconds": at - was if was is not None and at is not None else None,
            "answer": _answer(before, after, now),
        }

    question = Question(view.job, view, known is None, suppose.more, suppose.without)
    return Prepared(question, finish)


def _unasked(wait: Wait) -> Wait:
    """Return the wait for another scheduler without what that has said of the job as it is."""
    numbers = {key: wait.numbers[key] for key in ("scheduler", "partition")}
    return Wait(Rule.SCHEDULER, {**numbers, "unasked": 1})


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
