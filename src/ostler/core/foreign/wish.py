"""Where a job goes that may run in several resource managers: as its user wants, else where it fits.

The scheduler chooses for whatever is on one node, each time that it plans. What may lie on several
nodes cannot be of several resource managers at once, so it is bound to one at its submission: to
where it would have room now, else to where least waits for what there is.
"""

from collections.abc import Iterable
from typing import NamedTuple

from msgspec.structs import replace

from ostler.core.foreign.bind import bind
from ostler.core.state import NodeEntry, State
from ostler.model.errors import Missing
from ostler.model.job import JobSpec
from ostler.model.node import Node
from ostler.schedule.can_ever import can_ever
from ostler.schedule.room import Room, mask_of

NATIVE = "native"  # what people call the machine's own nodes and jobs


def placed(s: State, spec: JobSpec) -> JobSpec:
    """Return what a job asks for that names a resource manager; raise `Missing`.

    Without a partition it goes to the one of that name.
    """
    if not spec.rm or (spec.rm == NATIVE and not s.rms):
        return spec
    if spec.rm != NATIVE and spec.rm not in s.rms:
        known = ", ".join((NATIVE, *sorted(s.rms)))
        raise Missing(f"there is no resource manager {spec.rm!r}", expected=f"known: {known}")
    if spec.rm == NATIVE:
        return bind(spec, "")
    return replace(bind(spec, spec.rm), partition=spec.partition or spec.rm)


def together(s: State, spec: JobSpec) -> JobSpec:
    """Return what a job asks for that may lie on several nodes: those of one resource manager."""
    request = spec.request
    if not s.rms or spec.rm or spec.within or request.nodes == 1 or request.tasks == 1:
        return spec
    by_rm: dict[str, list[NodeEntry]] = {}
    for entry in s.nodes.values():
        if entry.node.partition == spec.partition and not entry.node.gone:
            by_rm.setdefault(entry.node.rm, []).append(entry)
    if len(by_rm) < 2:
        return spec
    offers = [
        _offer(s, bound, nodes)
        for rm, nodes in sorted(by_rm.items())
        if can_ever((bound := bind(spec, rm)).request, spec.partition, _views(nodes)) is None
    ]
    return min(offers, key=lambda offer: offer.key).spec if offers else spec


class _Offer(NamedTuple):
    key: tuple[bool, float]  # the least is the best
    spec: JobSpec


def _offer(s: State, bound: JobSpec, nodes: list[NodeEntry]) -> _Offer:
    """Say how well a job would be off with these nodes of one resource manager."""
    request = bound.request
    room = sum(_room(entry).capacity(request) for entry in nodes if not entry.unusable)
    total = sum(len(entry.node.facts.cpus) for entry in nodes)
    constraint = request.constraint
    waits = (e.job.spec.request for e in s.jobs.values() if e.waiting and e.job.spec.request.constraint == constraint)
    queued = sum(each.tasks * max(each.cpus, 1) for each in waits)
    return _Offer((room < request.tasks, queued / max(total, 1)), bound)


def _room(entry: NodeEntry) -> Room:
    books, node = entry.books, entry.node
    free = mask_of(books.cpus), books.memory, mask_of(books.gpus), books.generic
    return Room(node.name, *free, node.facts.features, len(entry.allocations))


def _views(nodes: Iterable[NodeEntry]) -> list[Node]:
    return [entry.node for entry in nodes]
