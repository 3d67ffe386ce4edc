"""Records as rows, and rows as records. The order of values is that of the named statements."""

from collections.abc import Sequence
from json import dumps
from typing import Any

import msgspec

from ostler.model.allocation import Allocation
from ostler.model.errand import ErrandState, Notice, Outcome
from ostler.model.job import Element, Job, JobSpec, TaskExit, Usage, format_after
from ostler.model.licences import format_licences
from ostler.model.node import Node
from ostler.model.ranges import format_ranges, parse_ranges
from ostler.model.record import Accounting, Errand, Event
from ostler.model.resources import NodeFacts, Placement
from ostler.model.states import (
    AllocationState,
    JobState,
    NodeStatus,
    NodeWord,
    Result,
    Suspender,
)

LEAVING, LEFT = 1, 2  # of a node: it is being given back, it was
Values = tuple[Any, ...]
Row = dict[str, Any]

_encode = msgspec.msgpack.Encoder().encode
_decode_spec = msgspec.msgpack.Decoder(JobSpec).decode
_decode_notice = msgspec.msgpack.Decoder(Notice).decode
_decode_tasks = msgspec.json.Decoder(tuple[TaskExit, ...]).decode
_decode_numbers = msgspec.json.Decoder(tuple[int, ...]).decode
_decode_names = msgspec.json.Decoder(tuple[str, ...]).decode
_decode_counts = msgspec.json.Decoder(dict[str, int]).decode
_JOB_STATES = {str(s): s for s in JobState}
_RESULTS: dict[str | None, Result | None] = {None: None, **{str(r): r for r in Result}}


def _tasks(tasks: Sequence[TaskExit]) -> str:
    if len(tasks) == 1:  # as nearly always
        return f"[[{tasks[0].rank}, {tasks[0].code}, {tasks[0].signal}]]"
    return dumps([[t.rank, t.code, t.signal] for t in tasks]) if tasks else "[]"


def _usage(u: Usage) -> Values:
    return (u.cpu_user, u.cpu_system, u.max_rss, u.read_bytes, u.written_bytes, u.suspended)


def job_values(job: Job) -> Values:
    """Return the row of a job."""
    spec, request = job.spec, job.spec.request
    return (
        job.id,
        spec.name,
        job.user,
        job.uid,
        job.gid,
        spec.project,
        spec.partition,
        job.rm or None,
        job.state,
        job.result,
        job.exit_status,
        job.reason,
        job.rule,
        job.priority,
        spec.kind,
        spec.command,
        request.tasks,
        request.cpus,
        request.memory,
        request.gpus,
        request.nodes,
        request.constraint or None,
        request.exclusive,
        format_licences(request.licences) or None,
        request.reservation or None,
        spec.time_limit or None,
        format_ranges(list(spec.array)) or None,
        spec.array_cap or None,
        sum(high - low + 1 for low, high in job.spans()),
        format_after(spec.after) or None,
        job.held_by,
        spec.not_before or None,
        job.submitted_at,
        job.started_at,
        job.ended_at,
        job.requeues,
        job.request_id,
        _encode(spec),
        job.rest,
        job.promised_start,
    )


def job_of(row: Values) -> Job:
    """Return the job of a row of `load_jobs`."""
    ident, spec, user, uid, gid, request_id, submitted_at, state, held_by, result = row[:10]
    status, reason, rule, priority, started_at, ended_at, requeues, rm, rest, promised = row[10:]
    return Job(
        ident,
        _decode_spec(spec),
        user,
        uid,
        gid,
        request_id,
        submitted_at,
        _JOB_STATES[state],
        held_by,
        _RESULTS[result],
        status,
        reason,
        rule,
        priority,
        started_at,
        ended_at,
        requeues,
        rm or "",
        _RESULTS[rest],
        promised,
    )


def element_values(element: Element) -> Values:
    """Return the row of an element."""
    return (
        element.job,
        element.index,
        element.state,
        element.attempt,
        element.held_by,
        element.result,
        element.exit_status,
        element.reason,
        element.node,
        element.started_at,
        element.ended_at,
        *_usage(element.usage),
        _tasks(element.tasks),
        element.rm or None,
    )


def element_of(row: Values) -> Element:
    """Return the element of a whole row of `elements`."""
    job, index, state, attempt, held_by, result, status, reason, node, started, ended = row[:11]
    return Element(
        job,
        index,
        _JOB_STATES[state],
        attempt,
        held_by,
        _RESULTS[result],
        status,
        reason,
        node,
        started,
        ended,
        Usage(*row[11:17]),
        _decode_tasks(row[17]),
        row[18] or "",
    )


def allocation_values(alloc: Allocation) -> Values:
    """Return the row of an allocation, without its shares."""
    return (
        alloc.id,
        alloc.job,
        alloc.element,
        alloc.attempt,
        alloc.state,
        alloc.epoch,
        alloc.granted_at,
        alloc.started,
        alloc.started_at,
        alloc.time_limit or None,
        alloc.suspended_at,
        alloc.suspended_by,
        alloc.suspended,
        alloc.resuming,
        alloc.gave_way_to or None,
        alloc.cause,
        alloc.why,
        alloc.end_cause,
        alloc.end_why,
        *_usage(alloc.usage),
        _tasks(alloc.tasks),
        alloc.slot,
        format_ranges(list(alloc.chunk)) or None,
        alloc.heard,
        alloc.running if alloc.running >= 0 else None,
        alloc.since or None,
        alloc.dropped,
        alloc.resized,
    )


def share_values(alloc: Allocation) -> list[Values]:
    """Return one row for each node of an allocation, those that it gave back too."""
    left = len(alloc.placements)
    return [
        (
            alloc.id,
            p.node,
            position,
            p.tasks,
            p.first_rank,
            f"[{p.cpus[0]}]" if len(p.cpus) == 1 else dumps(p.cpus),
            p.memory,
            dumps(p.gpus) if p.gpus else "[]",
            dumps(p.generic) if p.generic else "{}",
            p.node in alloc.made,
            p.node in alloc.freed,
            LEFT if position >= left else p.node in alloc.leaving,
        )
        for position, p in enumerate((*alloc.placements, *alloc.left))
    ]


def allocation_of(row: Row, shares: Sequence[Row]) -> Allocation:
    """Return the allocation of a whole row and its shares by position."""
    places = tuple(
        Placement(
            s["node"],
            s["tasks"],
            s["first_rank"],
            _decode_numbers(s["cpus"]),
            s["memory"],
            _decode_numbers(s["gpus"]),
            _decode_counts(s["generic"]),
        )
        for s in shares
    )
    return Allocation(
        row["id"],
        row["job"],
        row["element"],
        row["attempt"],
        tuple(p for p, s in zip(places, shares, strict=True) if s["leaving"] != LEFT),
        row["granted_at"],
        row["epoch"],
        state=AllocationState(row["state"]),
        made=frozenset(s["node"] for s in shares if s["made"]),
        started=bool(row["started"]),
        started_at=row["started_at"],
        freed=frozenset(s["node"] for s in shares if s["freed"]),
        cause=row["cause"],
        why=row["why"],
        time_limit=row["time_limit_seconds"] or 0,
        suspended_at=row["suspended_at"],
        suspended_by=row["suspended_by"] and Suspender(row["suspended_by"]),
        suspended=row["suspended_so_far_seconds"],
        resuming=bool(row["resuming"]),
        gave_way_to=row["gave_way_to"] or 0,
        tasks=_decode_tasks(row["tasks"]),
        usage=Usage(
            row["cpu_user_seconds"],
            row["cpu_system_seconds"],
            row["max_rss"],
            row["read_bytes"],
            row["written_bytes"],
            row["suspended_seconds"],
        ),
        end_cause=row["end_cause"],
        end_why=row["end_why"],
        slot=bool(row["slot"]),
        chunk=tuple(parse_ranges(row["chunk"])) if row["chunk"] else (),
        heard=row["heard"],
        running=-1 if row["running"] is None else row["running"],
        since=row["running_since"] or 0.0,
        leaving=frozenset(s["node"] for s in shares if s["leaving"] == LEAVING),
        left=tuple(p for p, s in zip(places, shares, strict=True) if s["leaving"] == LEFT),
        dropped=row["dropped"],
        resized=row["resized"],
    )


def accounting_values(a: Accounting, *, first: bool) -> Values:
    """Return the row of a closed attempt. first: of its job, none has ended before."""
    return (
        a.allocation,
        a.job,
        a.element,
        a.attempt,
        a.user,
        a.project,
        a.partition,
        a.nodes,
        a.cpus,
        a.memory,
        a.gpus,
        a.granted_at,
        a.started_at,
        a.ended_at,
        a.result,
        a.exit_status,
        *_usage(a.usage),
        a.part,
        int(first),
    )


def event_values(e: Event) -> Values:
    """Return the row of an event."""
    return (
        *(e.serial, e.at, e.kind, e.job, e.element, e.allocation, e.node, e.user, e.text),
        e.object,
    )


def errand_values(e: Errand) -> Values:
    """Return the row of an errand."""
    return (
        *(e.first, e.handler, e.event.serial, e.events, e.state, e.attempt),
        *(e.due_at, e.began_at, e.ended_at, e.result, e.exit_status, e.reason),
        e.notice and e.notice.user,
        e.notice and _encode(e.notice),
    )


def errand_of(row: Values) -> Errand:
    """Return the errand of a row of `load_errands`."""
    first, handler, events, state, attempt, due, began, ended, result, status, reason = row[:11]
    return Errand(
        first,
        handler,
        Event(*row[12:]),
        events,
        ErrandState(state),
        attempt,
        due,
        began,
        ended,
        None if result is None else Outcome(result),
        status,
        reason,
        None if row[11] is None else _decode_notice(row[11]),
    )


def node_values(node: Node) -> Values:
    """Return the row of a node."""
    facts = node.facts
    return (
        node.name,
        node.partition,
        node.rm or None,
        node.status,
        node.since,
        node.unknown_since,
        node.word,
        node.word_by,
        node.word_at,
        node.word_reason,
        node.boot_id,
        node.gone,
        len(facts.cpus),
        facts.memory,
        len(facts.gpus),
        dumps(facts.cpus),
        dumps(facts.gpus),
        dumps(facts.generic),
        dumps(facts.features),
        None if node.own_features is None else dumps(node.own_features),
        facts.declared,
        facts.until,
    )


def node_of(row: Row) -> Node:
    """Return the node of a whole row."""
    facts = NodeFacts(
        _decode_numbers(row["cpu_numbers"]),
        row["memory"],
        _decode_numbers(row["gpu_numbers"]),
        _decode_counts(row["generic"]),
        bool(row["declared"]),
        _decode_names(row["features"]),
        row["until"],
    )
    return Node(
        row["name"],
        facts,
        row["partition"],
        NodeStatus(row["status"]),
        NodeWord(row["word"]),
        row["word_by"],
        row["word_at"],
        row["word_reason"],
        row["boot_id"],
        row["since"],
        row["unknown_since"],
        bool(row["gone"]),
        None if row["own_features"] is None else _decode_names(row["own_features"]),
        row["rm"] or "",
    )
