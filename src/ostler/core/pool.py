"""When a pool grows and shrinks: a pure rule over the queue and its nodes.

It grows by as many nodes as what has waited for a moment would fill, and not by more than it may
have; a node on its way, or one that has nothing to do, counts as one that is there. It shrinks by nodes that had nothing
to do for a while. Who asks again and again for nodes that never come asks ever more seldom.
"""

from collections.abc import Sequence
from math import ceil
from typing import NamedTuple

from ostler.core.delta import blocked
from ostler.core.entry import Entry
from ostler.core.slots import may_be_taken_at
from ostler.core.state import State
from ostler.model.constraint import parse
from ostler.model.features import NATIVE, POOL
from ostler.model.job import Job
from ostler.model.site import Pool
from ostler.model.units import format_duration, format_size
from ostler.schedule.words import counted

MARGIN = 60.0  # seconds at most between a job's start there and that of its node
PAUSE, PAUSE_MOST = 15.0, 600.0  # seconds after nodes that ended without having come
STEADY = 0.5  # seconds: what waits for less is served by what is there
WORTH = 2.0  # seconds of work behind an element that runs, for which another node is worth its way


class Pilot(NamedTuple):
    """One node of a pool, from the job that is to bring it on."""

    slot: int  # from 1
    job: int  # in the other resource manager, as it is called here
    came: bool  # its agent is there
    idle_since: float | None  # Unix seconds; None: it works, or is on its way
    goes: bool = False  # it was told to, and its resource manager has not said that it has


class Step(NamedTuple):
    """What to do now."""

    start: tuple[int, ...] = ()  # slots
    stop: tuple[Pilot, ...] = ()


def margin(row: Pool) -> float:
    """Return the seconds of a node's time that no job can have: it has to come, and to go."""
    return min(MARGIN, row.time / 10)


def step(row: Pool, now: float, wanted: int, pilots: Sequence[Pilot], failures: int = 0) -> Step:
    """Return by what a pool grows or shrinks. wanted: CPUs that wait for such nodes.

    failures: nodes in a row that ended without having come; then one at a time is on its way.
    """
    stay = [pilot for pilot in pilots if not pilot.goes]
    ready = sum(not pilot.came or pilot.idle_since is not None for pilot in stay)
    more = max(ceil(wanted / row.cpus) - ready, row.least - len(stay))
    more = min(more, row.most - len(pilots))
    if failures:
        more = min(more, 1 - sum(not pilot.came for pilot in stay))
    taken = {pilot.slot for pilot in pilots}
    free = [slot for slot in range(1, row.most + 1) if slot not in taken]
    patience = row.idle if len(stay) <= row.most else 0
    idle = [p for p in stay if p.idle_since is not None and now - p.idle_since >= patience]
    idle.sort(key=lambda pilot: -pilot.slot)
    stop = idle[: max(0, len(stay) - row.least)]
    return Step(tuple(free[: max(0, more)]), tuple(stop))


def pause(failures: int) -> float:
    """Return the seconds until a node is asked for again."""
    return min(PAUSE_MOST, PAUSE * 2 ** min(failures - 1, 10)) if failures else 0.0


def node_name(rm: str, slot: int) -> str:
    """Return what a node of a pool is called, and the job that brings it."""
    return f"{rm}-pool-{slot}"


def rm_of(node: str) -> str:
    """Return the resource manager of a node of a pool, empty if it is no such node."""
    return node.rpartition("-pool-")[0]


class Demand(NamedTuple):
    """What waits for nodes of a pool."""

    cpus: int = 0  # up to all that it can have
    why: str = ""  # if none: why something that waits does not count; empty: nothing waits


def demand(s: State, now: float, row: Pool) -> Demand:
    """Return what waits for nodes of a pool.

    Cost: a look at jobs that wait, until enough are found.
    """
    partition = s.division.of(node_name(row.name, 1))
    enough, found, why = row.most * row.cpus, 0, ""
    for entry in s.jobs.values():
        spec = entry.job.spec
        if not (entry.waiting or entry.queued) or spec.partition != partition:
            continue
        if spec.rm not in ("", NATIVE):  # such as the jobs that bring nodes
            continue
        elements = _waiting(s, now, entry)
        if elements <= 0:
            continue
        if unfit := _unfit(entry.job, row):
            why = why or f"job {entry.job.name} waits for no node of it: {unfit}"
            continue
        request = spec.request
        found += elements * request.tasks * request.cpus
        if found >= enough:
            return Demand(enough)
    return Demand(found, "" if found else why)


def _waiting(s: State, now: float, entry: Entry) -> int:
    """Return how many elements another node could begin with.

    Those behind one that runs count if that takes a while: they are taken back as soon as there is
    room elsewhere.
    """
    if blocked(s, now, entry) is not None:
        return 0
    count = len(entry.waiting)
    for number in entry.slots if entry.queued else ():
        alloc = s.allocations[number]
        since = alloc.since or alloc.granted_at
        long = alloc.queued * entry.mean > WORTH or now - since > WORTH
        count += alloc.queued if long and may_be_taken_at(entry, alloc) <= now else 0
    cap = entry.job.spec.array_cap
    return min(count, cap - len(entry.slots)) if cap else count


def _unfit(job: Job, row: Pool) -> str:
    """Return why a job cannot run on nodes of a pool; empty: it can."""
    spec, request = job.spec, job.spec.request
    longest = row.time - margin(row)
    if not spec.time_limit:
        return "it has no time limit (-t), and a node is there for a while only"
    if spec.time_limit > longest:
        return f"its time limit is above the {format_duration(longest)} of a node"
    if request.cpus > row.cpus:
        return f"a task wants {counted(request.cpus, 'CPU')}, and a node has {row.cpus}"
    if row.memory and request.memory > row.memory:
        return f"a task wants {format_size(request.memory)}, a node has {format_size(row.memory)}"
    if request.nodelist:
        return "it names its nodes"
    if not parse(request.constraint).matches((POOL,)):
        return f"its nodes are to be {request.constraint}"
    return ""


def steady(seen: Sequence[tuple[float, int]], now: float) -> int:
    """Return how many CPUs were wanted all the time of late. seen: times and CPUs, oldest first."""
    if not seen or now - seen[0][0] < STEADY:
        return 0
    last = next(at for at, _ in reversed(seen) if now - at >= STEADY)
    return min(cpus for at, cpus in seen if at >= last)
