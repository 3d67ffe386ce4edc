"""What a scheduler that is no part of Ostler says: plans by nodes, without the numbers of CPUs.

A snapshot goes out to it, a proposal comes back; both travel as JSON, one line each. Which CPUs and
GPUs a task gets on its node is chosen here.
"""

from collections import Counter
from collections.abc import Mapping
from math import inf
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from ostler.model.bounded import Amount, Count, Name
from ostler.model.limits import MAX_SENTENCE
from ostler.model.resources import Placement, Request
from ostler.model.states import Rule
from ostler.schedule.room import Room, mask_of
from ostler.schedule.rules import Preemption
from ostler.schedule.snapshot import Line, Plan, Preempt, Resume, Snapshot, Start, Suspend, Wait

MOST = 16 << 20  # bytes of a proposal
MOST_LINES = 20_000  # of each kind in it: the manager stands still while it looks at them
_FEW = Meta(max_length=MOST_LINES)
_encode = msgspec.json.Encoder().encode
Sentence = Annotated[str, Meta(max_length=MAX_SENTENCE)]


class Shown(Struct, tag="snapshot"):
    """What a scheduler is shown; answered by a `Proposal` of the same number."""

    number: int
    now: float  # Unix seconds
    snapshot: Snapshot


class Begin(Struct, forbid_unknown_fields=True):
    """Start the next waiting element of this job with so many tasks on each of these nodes."""

    job: Count
    nodes: dict[Name, Count]


class GiveWay(Struct, forbid_unknown_fields=True):
    """This allocation gives way to a job. how: suspend, requeue or cancel."""

    alloc: Count
    how: Preemption
    job: Count
    grace: int = -1  # seconds from SIGTERM to SIGKILL; -1: as the allocation's job asks


class Why(Struct, forbid_unknown_fields=True):
    """Why a job is left waiting, and when it should start, if that can be told."""

    why: Sentence
    expected_start: Amount | None = None  # Unix seconds


class Proposal(Struct, tag="proposal", forbid_unknown_fields=True):
    """A plan. Jobs that it does not name wait, and their users are told for which scheduler."""

    number: int = 0  # of what it was made from
    start: Annotated[list[Begin], _FEW] = []  # in this order
    suspend: Annotated[list[Count], _FEW] = []  # allocations
    resume: Annotated[list[Count], _FEW] = []
    preempt: Annotated[list[GiveWay], _FEW] = []
    waits: dict[Count, Why] = {}  # by job


def shown_line(number: int, now: float, shot: Snapshot) -> bytes:
    """Return a snapshot as a line of JSON without its end; null is a time that never comes."""
    return _encode(Shown(number, now, shot))


def read_shown(line: bytes) -> Shown:
    """Return what `shown_line` wrote; raise ValueError."""
    raw = msgspec.json.decode(line)
    shot = raw["snapshot"]
    for views, key in (("running", "ends_at"), ("waiting", "duration"), ("resuming", "duration")):
        for view in shot[views]:
            view[key] = inf if view[key] is None else view[key]
            rank = view.get("goes_on")
            if rank and rank["duration"] is None:
                rank["duration"] = inf
    return msgspec.convert(raw, Shown)


def plan_of(shot: Snapshot, proposal: Proposal) -> tuple[Plan, list[str]]:
    """Return the plan, and what of the proposal made no sense, one sentence each.

    What had no room when the snapshot was taken is left out; the core checks the rest.
    """
    rooms, wrong, left = _rooms(shot), [], {}
    requests = {view.job: view.request for view in shot.waiting}
    lines: list[Line] = [Suspend(alloc) for alloc in proposal.suspend]
    lines += [Preempt(p.alloc, p.how, p.job, p.grace) for p in proposal.preempt]
    lines += [Resume(alloc) for alloc in proposal.resume]
    for begin in proposal.start:
        request = requests.get(begin.job)
        if request is None:
            wrong.append(f"nothing of job {begin.job} waits")
            continue
        found = _placed(rooms, request, begin.nodes)
        if isinstance(found, str):
            wrong.append(f"job {begin.job}: {found}")
            left[begin.job] = Wait(Rule.SCHEDULER, {"why": f"start it, but {found}"})
        else:
            lines.append(Start(begin.job, found))
    waits = left | {
        job: Wait(Rule.SCHEDULER, {"why": told.why}, told.expected_start)
        for job, told in proposal.waits.items()
    }
    return Plan(lines, waits), wrong


def _rooms(shot: Snapshot) -> dict[str, Room]:
    users = Counter(place.node for view in shot.running for place in view.placements)
    return {
        view.name: Room(
            view.name,
            mask_of(view.free_cpus),
            view.free_memory,
            mask_of(view.free_gpus),
            view.free_generic,
            view.facts.features,
            users[view.name],
        )
        for view in shot.nodes
        if view.usable
    }


def _placed(
    rooms: Mapping[str, Room], request: Request, nodes: Mapping[str, int]
) -> tuple[Placement, ...] | str:
    """Return what the tasks get on these nodes, which is taken; or why they cannot have it."""
    if sum(nodes.values()) != request.tasks or 0 in nodes.values():
        told = sum(nodes.values())
        return f"it has {request.tasks} tasks, at least one on each node, and was given places for {told}"
    places, rank = [], 0
    for name, tasks in sorted(nodes.items()):
        room = rooms.get(name)
        if room is None:
            return f"there is no node {name} that can be used"
        if room.capacity(request) < tasks:
            return f"{name} has room for {room.capacity(request)} of its tasks, not for {tasks}"
        places.append(room.place(request, tasks, rank))
        rank += tasks
    for place in places:
        rooms[place.node].remove(place)
    return tuple(places)
