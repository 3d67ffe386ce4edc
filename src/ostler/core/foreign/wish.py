"""Where a job goes that may run in several resource managers: as its user wants, else where it fits.

The scheduler chooses for whatever is on one node, each time that it plans. What may lie on several
nodes cannot be of several resource managers at once, so it is bound to one at its submission: to
where it would have room now, else to where least waits for what there is.
"""

from typing import NamedTuple

from msgspec.structs import replace

from ostler.core.foreign.bind import bind
from ostler.core.foreign.rms import Rm
from ostler.core.node_entry import NodeEntry
from ostler.core.state import State
from ostler.model.errors import Missing, NotNow, Refused
from ostler.model.features import NATIVE
from ostler.model.job import JobSpec
from ostler.schedule.can_ever import can_ever
from ostler.schedule.room import Room, mask_of
from ostler.schedule.words import joined


def placed(s: State, spec: JobSpec) -> JobSpec:
    """Return what a job asks for that names a resource manager.

    Without a partition it goes where nodes of that one are: the default one, if it has some.
    Raises `Missing` if there is none of that name, `NotNow` if it has not told of any node, and
    `Refused` if the partition has none of its nodes.
    """
    if not spec.rm or (spec.rm == NATIVE and not s.rms):
        return spec
    if spec.rm != NATIVE and spec.rm not in s.rms:
        known = ", ".join((NATIVE, *sorted(s.rms)))
        raise Missing(f"there is no resource manager {spec.rm!r}", expected=f"known: {known}")
    if spec.rm == NATIVE:
        return bind(spec, "")
    _check_home(s, s.rms[spec.rm], spec.partition)
    return replace(bind(spec, spec.rm), partition=spec.partition or _home(s, spec.rm))


def _home(s: State, rm: str) -> str:
    """Return the partition for jobs of a resource manager that name none."""
    nodes = (s.nodes[name].node for name in s.rms[rm].nodes)
    found = {node.partition for node in nodes if not node.gone}
    return next((n for n in (s.site.default_partition, rm) if n in found), min(found))


def _check_home(s: State, rm: Rm, partition: str) -> None:
    """Raise `NotNow` if a resource manager has no nodes, `Refused` if this partition has none."""
    if not rm.nodes:
        why = rm.lost or rm.why or "it has none" if rm.row.enabled else "it is disabled"
        raise NotNow(f"{rm.name} has not told of any node: {why}")
    if not partition or any(s.nodes[name].node.partition == partition for name in rm.nodes):
        return
    divisions = [s.site.division(name) for name in s.site.configurations]
    homes = {division.of(name) for division in divisions for name in rm.nodes}
    if partition not in homes:
        has = f"it has some in {joined(sorted(homes), 'and')}"
        raise Refused(f"partition {partition!r} has no node of {rm.name}", hint=has)


def together(s: State, spec: JobSpec) -> JobSpec:
    """Return what a job asks for that may lie on several nodes: those of one resource manager.

    Raises `Refused` if none of them could hold it.
    """
    request = spec.request
    if not s.rms or spec.rm or spec.within or request.nodes == 1 or request.tasks == 1:
        return spec
    by_rm: dict[str, list[NodeEntry]] = {}
    for entry in s.nodes.values():
        if entry.node.partition == spec.partition and not entry.node.gone:
            by_rm.setdefault(entry.node.rm, []).append(entry)
    if len(by_rm) < 2:
        return spec
    offers, refusals = [], []
    for rm, nodes in sorted(by_rm.items(), key=lambda pair: -len(pair[1])):
        bound = bind(spec, rm)
        why = can_ever(bound.request, spec.partition, [entry.node for entry in nodes])
        if why is None:
            offers.append(_offer(s, bound, nodes))
        else:
            refusals.append(f"{rm or NATIVE}: {why}")
    if not offers:
        raise Refused("no resource manager has room for all of its tasks", expected=refusals[0])
    return min(offers, key=lambda offer: offer.key).spec


class _Offer(NamedTuple):
    key: tuple[bool, float]  # the least is the best
    spec: JobSpec


def _offer(s: State, bound: JobSpec, nodes: list[NodeEntry]) -> _Offer:
    """Say how well a job would be off with these nodes of one resource manager."""
    request = bound.request
    room = sum(_room(entry).capacity(request) for entry in nodes if not entry.unusable)
    total = sum(len(entry.node.facts.cpus) for entry in nodes)
    constraint = request.constraint
    waits = (
        e.job.spec.request
        for e in s.jobs.values()
        if e.waiting and e.job.spec.request.constraint == constraint
    )
    queued = sum(each.tasks * max(each.cpus, 1) for each in waits)
    return _Offer((room < request.tasks, queued / max(total, 1)), bound)


def _room(entry: NodeEntry) -> Room:
    books, node = entry.books, entry.node
    free = mask_of(tuple(books.cpus)), books.memory, mask_of(tuple(books.gpus)), books.generic
    return Room(node.name, *free, node.facts.features, len(entry.allocations))
