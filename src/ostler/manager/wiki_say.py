"""Jobs and nodes of the core as records of WIKI, by the rules that Maui 3.3.1 needs."""

import re
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache

from msgspec.structs import replace

from ostler.core.delta import begun, blocked
from ostler.core.entry import Entry
from ostler.core.node_entry import NodeEntry
from ostler.core.state import State
from ostler.model.allocation import Allocation
from ostler.model.constraint import Feature, parse
from ostler.model.errors import Refused, UsageError
from ostler.model.ids import Ref, element_name, parse_ref
from ostler.model.job import Job
from ostler.model.resources import Request
from ostler.model.states import AllocationState, NodeStatus, Result
from ostler.wire.wiki_records import ACTIVE, VACATED, Node
from ostler.wire.wiki_records import Job as Told

SCHEDULER = "wiki"  # what partitions name it by
UNLIMITED = 366 * 86_400  # seconds, for a job without a limit: none is an error to Maui
MAX_TASKS = 4_096  # of one job: Maui holds no more
_ODD = re.compile(r"[^A-Za-z0-9._/+@-]")
_STATES = {AllocationState.GRANTED: "Starting", AllocationState.SUSPENDED: "Suspended"}


def node_record(entry: NodeEntry, now: float, *, here: bool) -> Node:
    """Return a node. here: it is in a partition of the scheduler; else it is Down there.

    Idle with something on it would be an error to Maui at each of its iterations.
    """
    node, books = entry.node, entry.books
    free = len(books.cpus)
    away = node.gone or node.status is not NodeStatus.RUNNING or not entry.connected
    if away or not here:
        word = "Down"
    elif entry.unusable:
        # "Draining" is no state of Maui's: it takes it for a new one before it reads it as this.
        word = "Drain" if entry.allocations else "Drained"
    elif not entry.allocations:
        word = "Idle"
    else:
        word = "Running" if free else "Busy"
    usable = here and not entry.unusable
    return Node(
        name=node.name,
        state=word,
        cpus=len(node.facts.cpus),
        free_cpus=free if usable else 0,
        memory=node.facts.memory,
        free_memory=max(0, books.memory) if usable else 0,
        classes=(safe(node.partition),) if here else (),
        features=tuple(map(safe, node.facts.features)),
        updated=int(now),
    )


def active_jobs(s: State, now: float, entry: Entry) -> Iterator[Told]:
    """Yield what runs of a job: each element, or the job with all that it holds."""
    allocs = [s.allocations[number] for number in sorted(entry.slots)]
    if not entry.job.is_array:
        if allocs:
            yield _active(entry, entry.job.name, allocs, now)
        return
    for alloc in allocs:
        index = alloc.running if alloc.slot and alloc.running >= 0 else alloc.element
        yield _active(entry, element_name(entry.job.id, index), [alloc], now)


def _active(entry: Entry, name: str, allocs: list[Allocation], now: float) -> Told:
    places = [place for alloc in allocs for place in alloc.placements]
    return _record(
        entry,
        name,
        now,
        state=_STATES.get(allocs[0].state, "Running"),
        started_at=int(min(map(begun, allocs))),
        task_list=tuple(place.node for place in places for _ in range(place.tasks)),
    )


def waiting_job(s: State, now: float, entry: Entry, index: int, name: str) -> Told:
    """Return what waits: Idle, or Hold where the core itself knows why it cannot start.

    Maui waits an hour before it tries again what was refused.
    """
    free = index in entry.waiting and not blocked(s, now, entry)
    request = entry.job.spec.request
    free = free and not unsayable(request)
    free = free and not is_limited(s, entry.job, request.tasks * request.cpus)
    return _record(entry, name, now, state="Idle" if free else "Hold")


def is_limited(s: State, job: Job, cpus: int) -> bool:
    """Say whether its user, or another holder of a limit, may not have so many CPUs more now."""
    most = s.setting("max-cpus-per-user")
    if most and s.user_cpus.get(job.user, 0) + cpus > most:
        return True
    try:
        s.holds.check(job, cpus)
    except Refused:
        return True
    return False


def ended_job(s: State, before: Told, now: float) -> Told:
    """Return a job that was told of, as one that has ended, with what is known of that."""
    result, at = "", now
    ref = ref_of(before.id)
    entry = None if ref is None else s.jobs.get(ref.job) or s.recent.get(ref.job)
    if ref is not None and entry is not None:
        found = entry.result_of(ref.elements[0][0]) if ref.elements else entry.job.result
        result, at = str(found or ""), entry.job.ended_at or now
    elif ref is not None:
        result = s.ended.get(ref.job, "")
    ran = before.state in ACTIVE or result == Result.SUCCESS
    return Told(
        id=before.id,
        state="Completed" if ran and result != Result.CANCELLED else "Removed",
        user=before.user,
        tasks=before.tasks,
        time_limit=before.time_limit or UNLIMITED,
        submitted_at=before.submitted_at,
        started_at=before.started_at,
        ended_at=int(at),
        updated=int(now),
        task_list=before.task_list,
    )


def vacated(before: Told, now: float) -> Told:
    """Return a job that ran, as one that has left its nodes and is not over."""
    return replace(before, state=VACATED, ended_at=int(now), updated=int(now))


def _record(
    entry: Entry,
    name: str,
    now: float,
    *,
    state: str,
    started_at: int = 0,
    task_list: tuple[str, ...] = (),
) -> Told:
    job, spec = entry.job, entry.job.spec
    request = spec.request
    each = request.tasks // request.nodes if request.nodes else request.tasks_per_node
    return Told(
        id=name,
        state=state,
        user=safe(job.user),
        tasks=request.tasks,
        time_limit=spec.time_limit or UNLIMITED,
        submitted_at=int(job.submitted_at),
        not_before=int(spec.not_before) if spec.not_before > now else 0,
        started_at=started_at,
        updated=int(now),
        task_list=task_list,
        host_list=tuple(name for name in request.nodelist for _ in range(max(1, each))),
        nodes=request.nodes,
        tasks_per_node=each,
        cpus=request.cpus,
        memory=request.memory,
        classes=(safe(spec.partition),),
        features=tuple(map(safe, parse(request.constraint).needed)),
        project=safe(spec.project),
    )


def safe(text: str) -> str:
    """Return a word in the letters that Maui reads as they are: it takes escapes for text, at first."""
    return _ODD.sub("_", text)


@lru_cache(maxsize=4_096)
def _is_plain(constraint: str) -> bool:
    """Say whether a constraint is a list of features, all of which a node must have."""
    found = parse(constraint)
    single = isinstance(found.every, Feature | None)
    every = single or len(found.needed) == len(getattr(found.every, "of", ()))
    return every and not found.groups


def unsayable(request: Request) -> str:
    """Return what of a request WIKI has no words for; empty: it can say all of it."""
    most = request.tasks_per_node
    uneven = request.nodes and (request.tasks % request.nodes or (most and most < each_of(request)))
    several = not request.nodes and most and request.tasks % most
    named = request.nodelist and request.nodes != len(request.nodelist)
    told = {
        f"more than {MAX_TASKS} tasks": request.tasks > MAX_TASKS,
        "GPUs": request.gpus,
        "named resources": request.generic,
        "licences": request.licences,
        "whole nodes": request.exclusive,
        "nodes to leave out": request.exclude,
        "a choice among named nodes": named,
        "its constraint": not _is_plain(request.constraint),
        "as many nodes as there can be": request.spread,
        "reservations": request.reservation,
        "tasks that its nodes share unevenly": uneven or several,
    }
    return next((what for what, asked in told.items() if asked), "")


def each_of(request: Request) -> int:
    """Return how many tasks each node gets where they are dealt out evenly."""
    return request.tasks // max(1, request.nodes)


@lru_cache(maxsize=8_192)
def ref_of(name: str) -> Ref | None:
    """Return the job or the one element that an id names; None: it is none of ours."""
    with suppress(UsageError):
        ref = parse_ref(name)
        if str(ref) == name and (ref.elements is None or ref.elements[0][0] == ref.elements[0][1]):
            return ref
    return None
