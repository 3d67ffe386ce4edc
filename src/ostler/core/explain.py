"""`ostler explain`: why it waits, what is ahead, what would let it start; or how it is and ended."""

from collections.abc import Callable
from typing import Any, NamedTuple

from msgspec import to_builtins

from ostler.core.delta import snapshot, waiting_view
from ostler.core.entry import Entry
from ostler.core.foreign.words import own_reason
from ostler.core.foreign.words import why_waits as why_waits_there
from ostler.core.foretold import compared
from ostler.core.resize import growth
from ostler.core.state import State
from ostler.core.steps import why_waits
from ostler.core.ties import tie
from ostler.core.view import element_row, job_row, unknown_since
from ostler.model.allocation import Allocation
from ostler.model.ids import Ref, element_name, is_step
from ostler.model.job import Job, format_after
from ostler.model.nodeset import in_short
from ostler.model.ranges import RangeSet
from ostler.model.states import JobState, Rule, Suspender
from ostler.model.units import format_duration
from ostler.schedule.priority import Scorer, by_standing
from ostler.schedule.promised import NOTHING, Promised
from ostler.schedule.question import (
    Answered,
    Asked,
    Outcomes,
    Question,
    Several,
    answer_from,
)
from ostler.schedule.snapshot import Explanation, WaitingView
from ostler.schedule.words import counted, jobs

Row = dict[str, Any]


class Prepared(NamedTuple):
    """A question to the scheduler, and what makes a document of its answer."""

    question: Asked
    finish: Callable[[Any], Row]  # of what the question is answered with


def explain(s: State, now: float, ref: Ref, promised: Promised = NOTHING) -> Row:
    """Return the document of `ostler explain --json`; raise `Missing`.

    promised: what the scheduler has promised so far.
    """
    return settled(s, now, prepare(s, now, ref), promised)


def settled(s: State, now: float, found: Row | Prepared, promised: Promised = NOTHING) -> Row:
    """Return the document, asking the machine as it is now where that is needed."""
    if isinstance(found, Prepared):
        return found.finish(answer_from(snapshot(s, now), now, found.question, promised))
    return found


def prepare(s: State, now: float, ref: Ref) -> Row | Prepared:
    """Return the document, or what to ask for it; raise `Missing`."""
    entry = s.entry(ref)
    known, whole = _known(s, now, ref, entry)
    row = first_row(entry, str(ref)) | known
    own = own_reason(s, entry, ref.elements[0][0] if ref.elements else None) if s.rms else ""
    if whole:
        return row | ({"reason": f"{row['reason']}; {own}"} if own and entry.slots else {})
    if entry.job.reason:
        row["last"] = entry.job.reason  # what sent it back to the queue, if anything did
    parts = priority_parts(s, now, waiting_view(s, now, entry))
    way = _gives_way(s, entry.job.id)

    def finish(found: Answered) -> Row:
        told = explained(row, found.after, parts)
        return told | {"reason": f"{told['reason']}; {way}"} if way else told

    return Prepared(Question(entry.job.id), finish)


def first_row(entry: Entry, ident: str | None) -> Row:
    """Return the document of a job of which nothing is worked out yet. ident: None: it has no id."""
    return {
        "id": ident,
        "state": str(entry.job.state),
        "rule": "",
        "reason": "",
        "expected_start": None,
        "expected_nodes": [],
        "assumption": "",
        "blockers": [],
        "ahead": [],
        "place": None,
        "priority_parts": {},
        "filters": [],
        "numbers": {},
        "to_start_now": "",
        "starts_now": 0,
        "failures": [],
        "elements": {
            "total": entry.total,
            "waiting": len(entry.waiting) + len(entry.barred) + entry.queued,
            "live": len(entry.slots),
            "ended": entry.ended,
        },
    }


def explained(row: Row, found: Explanation, parts: dict[str, float]) -> Row:
    """Return the document of a job that waits: the row, completed from what the scheduler says."""
    return row | {
        "rule": str(found.rule),
        "reason": found.reason,
        "expected_start": found.expected_start,
        "expected_nodes": found.expected_nodes,
        "assumption": found.assumption,
        "blockers": found.blockers,
        "ahead": found.ahead,
        "place": found.numbers.get("place"),
        "priority_parts": parts,
        "filters": to_builtins(found.filters),
        "numbers": found.numbers,
        "to_start_now": found.to_start_now,
        "starts_now": found.starts_now,
    }


def priority_parts(s: State, now: float, view: WaitingView | None) -> dict[str, float]:
    """Return what each factor adds to a job's place in the queue, in points."""
    if view is None:
        return {}
    cpus = sum(len(entry.node.facts.cpus) for entry in s.nodes.values())
    return Scorer(s.rules, now, cpus, by_standing(s.standings)).parts(view, now)


def _known(s: State, now: float, ref: Ref, entry: Entry) -> tuple[Row, bool]:
    """Return what is known without a look at the queue, and whether that is all there is to say."""
    index = ref.elements[0][0] if ref.elements else None
    if told := why_waits_there(s, entry):
        return told, True
    if index is not None and (result := entry.result_of(index)):
        return {"state": "done", "reason": f"it ended as {result}", "result": result}, True
    if entry.job.state is JobState.DONE:
        return {"reason": entry.job.reason, "result": str(entry.job.result)}, True
    alloc = s.allocations[entry.live[index]] if index in entry.live else None
    element = entry.touched.get(index) if index is not None else None
    if index is None and entry.slots and not entry.waiting:
        return _running(s, now, entry, [s.allocations[number] for number in entry.slots]), True
    if alloc is not None and (not alloc.slot or alloc.running == index):
        return _running(s, now, entry, [alloc]), True
    if index is not None and alloc is not None and not (element and element.held_by):
        return _queued(now, entry, alloc, index), True
    row = {} if index is None else _waiting(s, entry, ref, index)
    if entry.job.spec.within and not row.get("rule"):
        end = f"end other steps of job {entry.job.spec.within}, or ask for less"
        row |= {"rule": entry.job.rule, "reason": why_waits(s, entry), "to_start_now": end}
    return row, bool(row.get("rule"))


def _waiting(s: State, entry: Entry, ref: Ref, index: int) -> Row:
    """Say of an element that is with no node what is not said of the whole job."""
    waits = index in entry.waiting or index in entry.barred
    state = "pending" if waits and not entry.job.held_by else "held"
    element = entry.touched.get(index)
    if element is not None and element.held_by:
        why = f"held by {element.held_by}"
        free = f"release it with `ostler release {ref}`"
        return {"state": state, "rule": "hold", "reason": why, "to_start_now": free}
    if index in entry.barred and not entry.job.held_by:
        return {"state": state, **_tied(s, entry, index)}
    return {"state": state}


def _tied(s: State, entry: Entry, index: int) -> Row:
    """Say which elements of other arrays have to succeed before this one starts."""
    names, told = [], []
    for number, elements in sorted(entry.tied.items()):
        if index in elements:
            names.append(element_name(number, index))
            other = s.jobs.get(number)
            state = f" ({element_row(s, other, index)['state']})" if other else ""
            told.append(f"element {names[-1]}{state}")
    return {
        "rule": str(Rule.DEPENDENCY),
        "reason": f"it waits for {' and '.join(told)} to succeed",
        "blockers": names,
        "numbers": {"elements": ",".join(names)},
        "to_start_now": "it cannot start before",
    }


def _queued(now: float, entry: Entry, alloc: Allocation, index: int) -> Row:
    """Say where an element stands in the queue of its slot."""
    node = alloc.placements[0].node
    record = entry.touched.get(index)
    if record is not None and record.state is JobState.FINISHING:
        return {"state": "pending", "reason": f"{node} was told to drop it: {record.reason}"}
    before = RangeSet(list(alloc.chunk)).between(0, index - 1)
    expected = now + before * entry.mean if entry.mean else None
    others = counted(max(before, 1), "element")
    return {
        "state": "pending",
        "rule": str(Rule.CHUNK),
        "reason": f"it was handed to {node}, and starts there after {others} of its array",
        "expected_start": expected,
        "blockers": [element_name(entry.job.id, alloc.running)] if alloc.running >= 0 else [],
        "numbers": {"before": before, "node": node, "mean_seconds": entry.mean},
        "to_start_now": "an idle CPU that fits takes its share of what was handed out",
    }


def _running(s: State, now: float, entry: Entry, allocs: list[Allocation]) -> Row:
    nodes = sorted({name for alloc in allocs for name in alloc.nodes})
    where, since = in_short(nodes), unknown_since(s, nodes)
    alloc = allocs[0]
    if since is not None:
        names = [n for n in nodes if s.nodes[n].node.unknown_since is not None]
        have = "has" if len(names) == 1 else "have"
        silent = f"{in_short(names)} {have} been silent for {format_duration(now - since)}"
        what = f"{silent}; what runs there is unknown, and it is not started elsewhere"
        return {"reason": what, "unknown_since": since}
    if alloc.cause:
        return {"reason": f"it is being ended on {where}: {alloc.why}"}
    if (late := next((a for a in allocs if a.resuming), None)) is not None:
        return {
            "rule": "resources",
            "reason": _why_stands(late),
            "blockers": _users_of(s, late.id),
            "to_start_now": "end or suspend what uses these CPUs",
        }
    if alloc.suspended_at is not None:
        return _stands_by(entry, alloc, where)
    begun = alloc.since if alloc.slot and alloc.running >= 0 else alloc.started_at
    if alloc.started_at is None or begun is None:
        return {"reason": f"it was given {where}, and is being started there"}
    limit = ""
    if alloc.time_limit:
        left = begun + alloc.suspended + alloc.time_limit - now
        limit = f"; its time limit ends it in {format_duration(left)} at the latest"
    more = growth(s, entry)
    wants = f"; it waits for {counted(more.nodes, 'more node')}" if more else ""
    begin = f"begun {format_duration(now - begun)} ago{compared(entry.job, begun)}"
    return {"reason": f"it runs on {where}, {begin}{limit}{wants}"}


def _stands_by(entry: Entry, alloc: Allocation, where: str) -> dict[str, Any]:
    job = entry.job
    match alloc.suspended_by:
        case Suspender.ALLOCATION:
            why, way = "with its allocation", f"`ostler resume {job.spec.within}`"
        case Suspender.CONFIGURATION:
            why = "because its nodes are in another partition now"
            way = "nothing: it goes on by itself when they are back"
        case Suspender.ADMIN:
            why, way = "by an administrator", f"an administrator: `ostler resume {job.name}`"
        case _:
            why, way = "by its owner", f"`ostler resume {job.name}`"
    return {
        "reason": f"it was suspended on {where} {why} and keeps its memory",
        "to_start_now": way,
    }


def _why_stands(alloc: Allocation) -> str:
    cpus = ", ".join(f"{p.node}: {','.join(map(str, p.cpus))}" for p in alloc.placements)
    if alloc.suspended_by is not Suspender.SCHEDULER:
        return f"it waits until its own CPUs are free again ({cpus})"
    if not alloc.gave_way_to:
        return (
            f"others have their turn on its CPUs ({cpus}); it goes on by itself when it has its own"
        )
    way = f"it gave way to job {alloc.gave_way_to}"
    return f"{way} and goes on by itself when its own CPUs are free again ({cpus})"


def _gives_way(s: State, number: int) -> str:
    """Say who is being ended so that a job may start; empty if nobody is."""
    leaving = {a.job for a in s.allocations.values() if a.cause and a.gave_way_to == number}
    if not leaving:
        return ""
    give = "gives" if len(leaving) == 1 else "give"
    return f"{jobs([str(job) for job in sorted(leaving)])} {give} way to it"


def _users_of(s: State, number: int) -> list[str]:
    wanted = {p.node: set(p.cpus) for p in s.allocations[number].placements}
    users: set[str] = set()
    for other in s.allocations.values():
        if other.id != number and other.suspended_at is None and not is_step(other.job):
            clash = any(wanted.get(p.node, set()) & set(p.cpus) for p in other.placements)
            users |= {str(other.job)} if clash else set()
    return sorted(users, key=int)


def preview(s: State, now: float, job: Job) -> Row | Prepared:
    """Return what `submit --dry-run` shows, or what to ask for it: the row, and when it starts."""
    entry = Entry(job)
    entry.unmet = s.unmet(job)
    s.jobs[job.id] = entry
    tie(s, entry)
    try:
        row = job_row(s, entry)
        view = waiting_view(s, now, entry)
    finally:
        del s.jobs[job.id]
        s.effects.clear()
    if job.held_by or job.spec.within or view is None:
        return row

    def finish(found: Answered) -> Row:
        if found.after.starts_now:
            starts = found.after.starts_now
            return row | {"expected_start": now, "rule": "", "starts_now": starts}
        return row | {
            "expected_start": found.after.expected_start,
            "rule": str(found.after.rule),
            "reason": found.after.reason,
        }

    return Prepared(Question(job.id, view, new=True), finish)


def preview_all(s: State, now: float, jobs: list[Job]) -> Prepared:
    """Return what to ask for what `submit --file --dry-run` shows: rows without ids.

    Jobs of the same submission are named in `after` instead of having ids.
    """
    names = {job.id: job.spec.name or f"number {at + 1}" for at, job in enumerate(jobs)}
    entries = [Entry(job) for job in jobs]
    for entry in entries:
        entry.unmet = s.unmet(entry.job)
        s.jobs[entry.job.id] = entry
    for entry in entries:
        tie(s, entry)
    try:
        rows = {entry.job.id: _preview_row(s, entry, names) for entry in entries}
        views = [waiting_view(s, now, entry) for entry in entries]
    finally:
        for entry in entries:
            del s.jobs[entry.job.id]
        s.effects.clear()

    def finish(found: Outcomes) -> Row:
        for one in found.found:
            expected = {"rule": one.rule, "expected_start": one.expected_start}
            rows[one.job] |= {**expected, "starts_now": one.starts_now}
        return {"would": list(rows.values())}

    return Prepared(Several(tuple(view for view in views if view is not None)), finish)


def _preview_row(s: State, entry: Entry, names: dict[int, str]) -> Row:
    after = format_after(entry.job.spec.after, names) or None
    row: Row = {"name": names[entry.job.id], "after": after}
    row |= {key: value for key, value in job_row(s, entry).items() if key not in ("id", *row)}
    return row | {"starts_now": 0}
