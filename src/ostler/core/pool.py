"""When a pool grows and shrinks: a pure rule over the queue and its nodes.

It grows by as many nodes as what waits would fill, and not by more than it may have; a node on its
way, or one that has nothing to do, counts as one that is there. It shrinks by nodes that had nothing
to do for a while. Who asks again and again for nodes that never come asks ever more seldom.
"""

from collections.abc import Sequence
from math import ceil
from typing import NamedTuple

from ostler.core.entry import Entry
from ostler.core.state import State
from ostler.model.constraint import parse
from ostler.model.features import POOL
from ostler.model.job import Job
from ostler.model.site import Pool
from ostler.model.states import JobState

MARGIN = 60.0  # seconds at most between a job's start there and that of its node
PAUSE, PAUSE_MOST = 15.0, 600.0  # seconds after nodes that ended without having come


class Pilot(NamedTuple):
    """One node of a pool, from the job that is to bring it on."""

    slot: int  # from 1
    job: int  # in the other resource manager, as it is called here
    came: bool  # its agent is there
    idle_since: float | None  # Unix seconds; None: it works, or is on its way


class Step(NamedTuple):
    """What to do now."""

    start: tuple[int, ...] = ()  # slots
    stop: tuple[Pilot, ...] = ()


def margin(row: Pool) -> float:
    """Return the seconds of a node's time that no job can have: it has to come, and to go."""
    return min(MARGIN, row.time / 10)


def step(row: Pool, now: float, wanted: int, pilots: Sequence[Pilot], failures: int = 0) -> Step:
    """Return by what a pool grows or shrinks. wanted: CPUs that wait for such nodes.

    failures: nodes in a row that ended without having come; then it is asked for one at a time.
    """
    ready = sum(not pilot.came or pilot.idle_since is not None for pilot in pilots)
    more = max(ceil(wanted / row.cpus) - ready, row.least - len(pilots))
    more = min(more, row.most - len(pilots), 1 if failures else row.most)
    taken = {pilot.slot for pilot in pilots}
    free = [slot for slot in range(1, row.most + 1) if slot not in taken]
    patience = row.idle if len(pilots) <= row.most else 0
    idle = [p for p in pilots if p.idle_since is not None and now - p.idle_since >= patience]
    idle.sort(key=lambda pilot: -pilot.slot)
    stop = idle[: max(0, len(pilots) - row.least)]
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


def wanted(s: State, row: Pool) -> int:
    """Return how many CPUs jobs wait for that could run on nodes of a pool, up to all it can have.

    Cost: a look at jobs that wait, until enough are found.
    """
    partition = s.division.of(node_name(row.name, 1))
    enough, found = row.most * row.cpus, 0
    for entry in s.jobs.values():
        if entry.waiting and _fits(entry, row, partition):
            request = entry.job.spec.request
            found += len(entry.waiting) * request.tasks * request.cpus
            if found >= enough:
                return enough
    return found


def _fits(entry: Entry, row: Pool, partition: str) -> bool:
    job: Job = entry.job
    spec, request = job.spec, job.spec.request
    return (
        job.state in (JobState.PENDING, JobState.RUNNING)
        and not entry.unmet
        and spec.partition == partition
        and 0 < spec.time_limit <= row.time - margin(row)
        and request.cpus <= row.cpus
        and not request.nodelist
        and (not row.memory or request.memory <= row.memory)
        and parse(request.constraint).matches((POOL,))
    )
