"""Builders of snapshots with defaults, so that a test of the planner shows only what matters."""

from collections.abc import Sequence
from math import inf

from ostler.model.resources import NodeFacts, Placement, Request
from ostler.schedule.snapshot import (
    NodeView,
    ResumeView,
    RunningView,
    Snapshot,
    Wait,
    WaitingView,
)

G = 1 << 30


def node(
    name: str = "n1",
    cpus: int = 4,
    memory: int = 8 * G,
    gpus: int = 0,
    *,
    generic: dict[str, int] | None = None,
    partition: str = "main",
    usable: bool = True,
    gone: bool = False,
    why: str = "",
    features: tuple[str, ...] = (),
) -> NodeView:
    """Return an idle node."""
    cards = tuple(range(gpus))
    facts = NodeFacts(tuple(range(cpus)), memory, cards, generic or {}, features=features)
    return NodeView(
        name,
        facts,
        partition,
        usable=usable,
        gone=gone,
        why_not=why,
        free_cpus=facts.cpus,
        free_memory=memory,
        free_gpus=facts.gpus,
        free_generic=dict(facts.generic),
    )


def job(
    number: int,
    cpus: int = 1,
    limit: float = inf,
    *,
    tasks: int = 1,
    memory: int = 0,
    gpus: int = 0,
    generic: dict[str, int] | None = None,
    nodes: int = 0,
    nodelist: tuple[str, ...] = (),
    exclude: tuple[str, ...] = (),
    elements: int = 1,
    user: str = "ann",
    priority: int = 50,
    partition: str = "main",
    at: float | None = None,
    head: bool = False,
    blocked: Wait | None = None,
) -> WaitingView:
    """Return a job that waits; it was submitted at the second of its number."""
    request = Request(tasks, cpus, memory, gpus, generic or {}, nodes, nodelist, exclude)
    at = float(number) if at is None else at
    return WaitingView(
        number, elements, request, partition, user, priority, at, limit, blocked, head=head
    )


def running(
    number: int,
    cpus: Sequence[int] = (),
    ends_at: float = inf,
    *,
    on: str = "n1",
    memory: int = 0,
    gpus: tuple[int, ...] = (),
    generic: dict[str, int] | None = None,
    user: str = "bob",
    element: int | None = None,
    suspended: bool = False,
) -> RunningView:
    """Return an allocation on one node; its number is the job's too."""
    place = Placement(on, 1, 0, tuple(cpus), memory, gpus, generic or {})
    return RunningView(number, number, element, user, (place,), ends_at, suspended)


def resume(view: RunningView, left: float = inf) -> ResumeView:
    """Return the wish that a suspended allocation goes on."""
    return ResumeView(view.alloc, view.job, view.placements, left)


def machine(
    nodes: Sequence[NodeView],
    waiting: Sequence[WaitingView] = (),
    *,
    runs: Sequence[RunningView] = (),
    resuming: Sequence[ResumeView] = (),
    limit: int = 0,
    known_ever: tuple[NodeFacts, ...] = (),
    licences: dict[str, int] | None = None,
) -> Snapshot:
    """Return a snapshot in which everything that runs has been taken from the idle nodes."""
    held: dict[str, int] = {}
    views = {}
    for view in nodes:
        cpus, gpus = set(view.free_cpus), set(view.free_gpus)
        memory, generic = view.free_memory, dict(view.free_generic)
        for run in runs:
            for place in run.placements:
                if place.node == view.name:
                    cpus -= set() if run.suspended else set(place.cpus)
                    gpus -= set(place.gpus)
                    memory -= place.memory
                    for name, count in place.generic.items():
                        generic[name] -= count
        views[view.name] = NodeView(
            view.name,
            view.facts,
            view.partition,
            usable=view.usable,
            gone=view.gone,
            why_not=view.why_not,
            free_cpus=tuple(sorted(cpus)),
            free_memory=memory,
            free_gpus=tuple(sorted(gpus)),
            free_generic=generic,
        )
    for run in runs:
        if not run.suspended:
            count = sum(len(place.cpus) for place in run.placements)
            held[run.user] = held.get(run.user, 0) + count
    return Snapshot(
        list(views.values()),
        list(runs),
        list(waiting),
        list(resuming),
        held,
        limit,
        known_ever,
        licences or {},
    )
