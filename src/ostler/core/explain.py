"""`ostler explain`: why it waits, what is ahead, what would let it start; or how it is and ended."""

from typing import Any

from ostler.core.entry import Entry
from ostler.core.planning import snapshot
from ostler.core.state import State
from ostler.core.view import job_row, nodes_of, unknown_since
from ostler.model.ids import Ref
from ostler.model.job import Job
from ostler.model.states import JobState
from ostler.schedule import explain as schedule_explain
from ostler.schedule.backfill import plan

Row = dict[str, Any]


def explain(s: State, now: float, ref: Ref) -> Row:
    """Return the document of `ostler explain --json`; raise `Missing`."""
    entry = s.entry(ref)
    index = ref.elements[0][0] if ref.elements else None
    row: Row = {
        "id": str(ref),
        "state": str(entry.job.state),
        "rule": "",
        "reason": "",
        "expected_start": None,
        "blockers": [],
        "ahead": [],
        "numbers": {},
        "to_start_now": "",
        "elements": {
            "total": entry.total,
            "waiting": len(entry.waiting),
            "live": len(entry.live),
            "ended": entry.ended,
        },
    }
    if index is not None and (result := entry.result_of(index)):
        return row | {"state": "done", "reason": f"it ended as {result}", "result": result}
    if entry.job.state is JobState.DONE:
        return row | {"reason": entry.job.reason, "result": str(entry.job.result)}
    if index in entry.live or (index is None and entry.live and not entry.waiting):
        return row | _running(s, now, entry, index)
    if index is not None:
        row["state"] = "pending" if index in entry.waiting and not entry.job.held_by else "held"
        element = entry.touched.get(index)
        if element is not None and element.held_by:
            why = f"held by {element.held_by}"
            free = f"release it with `ostler release {ref}`"
            return row | {"rule": "hold", "reason": why, "to_start_now": free}
    answer = schedule_explain.explain(snapshot(s, now), now, entry.job.id)
    row |= {
        "rule": str(answer.rule),
        "reason": answer.reason,
        "expected_start": answer.expected_start,
        "blockers": answer.blockers,
        "ahead": answer.ahead,
        "numbers": answer.numbers,
        "to_start_now": answer.to_start_now,
    }
    if entry.job.reason:
        row["last"] = entry.job.reason  # what sent it back to the queue, if anything did
    return row


def _running(s: State, now: float, entry: Entry, index: int | None) -> Row:
    live = [entry.live[index]] if index is not None else list(entry.live.values())
    allocs = [s.allocations[number] for number in live]
    where = ", ".join(nodes_of(s, entry))
    since = unknown_since(s, entry)
    alloc = allocs[0]
    if since is not None:
        silent = f"its node has been silent for {now - since:.0f} s; what runs there is unknown"
        return {"reason": f"{silent}, and it is not started elsewhere", "unknown_since": since}
    if alloc.cause:
        return {"reason": f"it is being ended on {where}: {alloc.why}"}
    if any(a.id in entry.resuming for a in allocs):
        cpus = ", ".join(f"{p.node}: {','.join(map(str, p.cpus))}" for p in alloc.placements)
        return {
            "rule": "resources",
            "reason": f"it waits until its own CPUs are free again ({cpus})",
            "blockers": _users_of(s, alloc.id),
            "to_start_now": "end or suspend what uses these CPUs",
        }
    if alloc.suspended_at is not None:
        return {
            "reason": f"it is suspended on {where} and keeps its memory",
            "to_start_now": f"`ostler resume {entry.job.id}`",
        }
    if alloc.started_at is None:
        return {"reason": f"it was given {where}, and is being started there"}
    limit = ""
    if alloc.time_limit:
        left = alloc.started_at + alloc.suspended + alloc.time_limit - now
        limit = f"; its time limit ends it in {max(left, 0):.0f} s at the latest"
    return {"reason": f"it runs on {where} since {now - alloc.started_at:.0f} s{limit}"}


def _users_of(s: State, number: int) -> list[str]:
    wanted = {p.node: set(p.cpus) for p in s.allocations[number].placements}
    users: set[str] = set()
    for other in s.allocations.values():
        if other.id != number and other.suspended_at is None:
            clash = any(wanted.get(p.node, set()) & set(p.cpus) for p in other.placements)
            users |= {str(other.job)} if clash else set()
    return sorted(users, key=int)


def preview(s: State, now: float, job: Job) -> Row:
    """Return what `submit --dry-run` shows: the row, and when it would start."""
    entry = Entry(job)
    entry.unmet = s.unmet(job)
    s.jobs[job.id] = entry
    try:
        shot = snapshot(s, now)
        would = plan(shot, now)
        starts = sum(1 for line in would.lines if getattr(line, "job", None) == job.id)
        row = job_row(s, entry)
        if starts:
            row |= {"expected_start": now, "rule": "", "starts_now": starts}
        elif not job.held_by:
            answer = schedule_explain.explain(shot, now, job.id)
            row |= {
                "expected_start": answer.expected_start,
                "rule": str(answer.rule),
                "reason": answer.reason,
            }
    finally:
        del s.jobs[job.id]
        s.effects.clear()
    return row
