"""What is shown of jobs, elements and nodes: the rows of `--json`, keys as in the database."""

from collections.abc import Iterable
from typing import Any

from ostler.core.entry import Entry
from ostler.core.foreign.names import names_there
from ostler.core.foreign.words import unknown_since as missing_since
from ostler.core.node_entry import NodeEntry
from ostler.core.state import State
from ostler.model.allocation import Allocation
from ostler.model.ids import element_name, is_step
from ostler.model.job import FOREIGN, Element, Job, format_after
from ostler.model.licences import format_licences
from ostler.model.patterns import NULL, output_path
from ostler.model.ranges import format_ranges
from ostler.model.states import JobState

Row = dict[str, Any]
TASKS_SHOWN = 1_000  # tasks of which the files are told


def job_row(s: State, entry: Entry) -> Row:
    """Return one job of `ostler jobs --json`."""
    job, request = entry.job, entry.job.spec.request
    counts = {result: len(found) for result, found in entry.results.items()}
    nodes = nodes_of(s, entry) if entry.slots else []
    return {
        "id": job.name,
        "name": job.spec.name,
        "user": job.user,
        "project": job.spec.project,
        "partition": job.spec.partition,
        "rm": job.rm or None,
        "rm_jobs": names_there(s, entry) if s.rms else [],
        "state": str(job.state),
        "result": job.result and str(job.result),
        "exit_status": job.exit_status,
        "reason": job.reason,
        "rule": job.rule,
        "priority": job.priority,
        "kind": job.spec.kind,
        "streams": _streams(job),
        "command": job.spec.command,
        "tasks": request.tasks,
        "cpus": request.cpus,
        "memory": request.memory,
        "gpus": request.gpus,
        "nodes": request.nodes,
        "constraint": request.constraint or None,
        "exclusive": request.exclusive,
        "licences": format_licences(request.licences) or None,
        "reservation": request.reservation or None,
        "time_limit_seconds": job.spec.time_limit or None,
        "array": format_ranges(list(job.spec.array)) or None,
        "array_cap": job.spec.array_cap or None,
        "elements": entry.total,
        "elements_live": len(entry.slots),
        "elements_done": entry.ended,
        "elements_by_result": counts,
        "after": format_after(job.spec.after) or None,
        "held_by": job.held_by,
        "not_before": job.spec.not_before or None,
        "submitted_at": job.submitted_at,
        "promised_start": job.promised_start,
        "started_at": job.started_at,
        "ended_at": job.ended_at,
        "requeues": job.requeues,
        "allocation_nodes": nodes,
        "unknown_since": unknown_since(s, nodes) or (missing_since(s, entry) if s.rms else None),
    }


def _streams(job: Job) -> str:
    """Return who has the tasks' standard streams: files, the client of a `run`, or a relay."""
    if job.spec.streams is not None:
        return "relay"
    return "client" if job.spec.stdio or job.holds else "files"


def nodes_of(s: State, entry: Entry) -> list[str]:
    """Return the names of the nodes on which something of the job is."""
    return sorted({n for number in entry.slots for n in s.allocations[number].nodes})


def unknown_since(s: State, nodes: list[str]) -> float | None:
    """Return since when one of a job's nodes is silent; None when all answer."""
    times = [s.nodes[name].node.unknown_since for name in nodes]
    return min((t for t in times if t is not None), default=None)


def element_row(s: State, entry: Entry, index: int) -> Row:
    """Return one element, as far as memory knows it; ended ones have a fuller row in the store."""
    job, element = entry.job, entry.element(index)
    result = entry.result_of(index)
    alloc = s.allocations.get(entry.live.get(index, 0))
    held = bool(element.held_by or job.held_by)
    runs = alloc is not None and (not alloc.slot or alloc.running == index)
    state = "done"
    if alloc is not None and runs:
        state = str(s.live_state(alloc.id))
        if element.state is JobState.FINISHING:  # in a slot that goes on
            state = str(JobState.FINISHING)
    elif not result:
        state = "held" if held else "pending"
    return {
        "id": element_name(job.id, index if job.is_array else None),
        "job": job.name,
        "element": index,
        "state": state,
        "result": result,
        "exit_status": element.exit_status,
        "reason": element.reason,
        "attempt": element.attempt,
        "node": element.node,
        "started_at": element.started_at,
        "cpus": {},
        "gpus": {},
    } | (_place(alloc, element) if alloc is not None and runs else {})


def _place(alloc: Allocation, element: Element) -> Row:
    """Return where an element runs, since when, and which start of it that is."""
    return {
        "allocation": alloc.id,
        "attempt": element.attempt + 1 if alloc.slot else element.attempt,
        "node": ",".join(p.node for p in alloc.placements),
        "started_at": alloc.since if alloc.slot and alloc.started else alloc.started_at,
        "cpus": {p.node: list(p.cpus) for p in alloc.placements},
        "gpus": {p.node: list(p.gpus) for p in alloc.placements if p.gpus},
    }


def files(job: Job, element: Element) -> Row:
    """Return where the element's output and errors are: of the first task, and by rank if need be."""
    elsewhere = job.spec.kind == FOREIGN  # nobody here knows them
    if job.spec.stdio or job.spec.streams is not None or job.holds or elsewhere:
        return {}
    values = {
        "j": str(job.id),
        "a": str(element.index),
        "t": "0",
        "n": element.node.partition(",")[0],
        "u": job.user,
        "x": job.spec.name,
    }
    out = output_path(job.spec.output, job.spec.cwd, values, array=job.is_array)
    err = out
    if job.spec.error:
        err = output_path(job.spec.error, job.spec.cwd, values, array=job.is_array)
    paths = {"output_path": out, "error_path": err}
    found: Row = {k: _text(v) for k, v in paths.items() if v != NULL}
    for key, pattern in (("output", job.spec.output), ("error", job.spec.error or job.spec.output)):
        if _by_task(job, element, pattern):
            ranks = range(min(job.spec.request.tasks, TASKS_SHOWN))
            each = (
                output_path(pattern, job.spec.cwd, values | {"t": str(rank)}, array=job.is_array)
                for rank in ranks
            )
            found[f"{key}_paths"] = [_text(path) for path in each]
    return found


def _by_task(job: Job, element: Element, pattern: bytes) -> bool:
    """Say whether each task has a file of its own, the name of which can be told.

    Which task is on which of several nodes is not kept.
    """
    several = b"%n" in pattern and "," in element.node
    return job.spec.request.tasks > 1 and b"%t" in pattern.replace(b"%%", b"") and not several


def _text(path: bytes) -> str | bytes:
    """Return the path as text; as bytes where it is none."""
    try:
        return path.decode()
    except UnicodeDecodeError:
        return path


def nodes_in(s: State) -> list[NodeEntry]:
    """Return the nodes by name, but for those that left the machine."""
    return [entry for _, entry in sorted(s.nodes.items()) if not entry.node.gone]


def node_row(entry: NodeEntry) -> Row:
    """Return one node of `ostler nodes --json`."""
    node, books = entry.node, entry.books
    return {
        "name": node.name,
        "partition": node.partition,
        "rm": node.rm or None,
        "status": str(node.status),
        "word": str(node.word),
        "word_by": node.word_by,
        "word_at": node.word_at,
        "word_reason": node.word_reason,
        "since": node.since,
        "unknown_since": node.unknown_since,
        "gone": node.gone,
        "restless": entry.restless,
        "unusable": entry.unusable or None,
        "boot_id": node.boot_id,
        "cpus": len(node.facts.cpus),
        "free_cpus": len(books.cpus),
        "memory": node.facts.memory,
        "free_memory": max(0, books.memory),  # others may have taken more than there is
        "gpus": len(node.facts.gpus),
        "free_gpus": len(books.gpus),
        "generic": node.facts.generic,
        "free_generic": books.generic,
        "features": list(node.facts.features),
        "declared": node.facts.declared,
        "until": node.facts.until or None,
        "allocations": len(entry.allocations),
    }


def rows_held(s: State, held: Iterable[tuple[str, int]]) -> list[Row]:
    """Return the nodes that hold something, each with the number of its jobs. held: node and job."""
    jobs: dict[str, set[int]] = {}
    for name, job in held:
        jobs.setdefault(name, set()).add(job)
    nodes = ((s.nodes[name].node, len(jobs[name])) for name in sorted(jobs))
    return [
        {
            "name": node.name,
            "status": str(node.status),
            "unknown_since": node.unknown_since,
            "jobs": count,
        }
        for node, count in nodes
    ]


def counts(s: State) -> dict[str, int]:
    """Return how many jobs are in each state."""
    found: dict[str, int] = {}
    for number, entry in s.jobs.items():
        if is_step(number):
            continue
        found[entry.job.state] = found.get(entry.job.state, 0) + 1
    return {str(state): n for state, n in sorted(found.items())}
