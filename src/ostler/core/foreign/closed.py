"""Resource managers that take no jobs but their own users', as WIKI's: ours stay away from them."""

from msgspec.structs import replace

from ostler.core.entry import Entry
from ostler.core.foreign.bind import foreign_partitions, with_feature
from ostler.core.foreign.rms import Rm
from ostler.core.state import State
from ostler.model.errors import Refused, Unsupported
from ostler.model.features import OF_RM
from ostler.model.foreign import Option
from ostler.model.job import FOREIGN, JobSpec
from ostler.model.resources import Placement


def is_closed(rm: Rm) -> bool:
    """Say whether a resource manager is known to take no job of ours."""
    return rm.about is not None and not rm.can(Option.SUBMIT)


def kept_out(s: State, spec: JobSpec) -> JobSpec:
    """Return what a job of ours asks for, away from nodes that would refuse it.

    Raises `Unsupported` if its partition has none but those, or if it names their resource manager.
    """
    if not s.rms or spec.within or spec.kind == FOREIGN:
        return spec
    if spec.rm in s.rms:
        if is_closed(s.rms[spec.rm]):
            raise _unsupported(spec.rm)
        return spec
    if spec.partition not in foreign_partitions(s):
        return spec
    return _without(s, spec, _closed(s, spec.partition))


def turn_away(s: State, entry: Entry, places: tuple[Placement, ...]) -> None:
    """Raise `Refused` if a job of ours would be on nodes that take none, and keep all like it away.

    They were submitted before those nodes were in their partition, or had told what they take.
    """
    rm, partition = s.rms.get(s.nodes[places[0].node].node.rm), entry.job.spec.partition
    if rm is None or entry.job.spec.kind == FOREIGN or not is_closed(rm):
        return
    names = _closed(s, partition)
    for other in s.jobs.values():
        spec = other.job.spec
        if spec.partition == partition and spec.kind != FOREIGN and not (spec.within or spec.rm):
            _keep(s, other, _constrained(spec, names))
    raise Refused(f"{rm.name} takes no jobs but its own users'")


def _keep(s: State, entry: Entry, spec: JobSpec) -> None:
    if spec == entry.job.spec:
        return
    s.user_weight[entry.job.user] += spec.weight - entry.weight
    entry.job, entry.weight = replace(entry.job, spec=spec), spec.weight
    s.marks.jobs.add(entry.job.id)
    s.changed = True
    s.save(entry.job)


def _closed(s: State, partition: str) -> list[str]:
    """Return those with nodes in a partition."""
    return [
        rm.name
        for rm in s.rms.values()
        if is_closed(rm) and any(s.nodes[node].node.partition == partition for node in rm.nodes)
    ]


def _without(s: State, spec: JobSpec, names: list[str]) -> JobSpec:
    nodes = (entry.node for entry in s.nodes.values())
    open_ones = (n for n in nodes if n.partition == spec.partition and not n.gone)
    if names and all(node.rm in names for node in open_ones):
        raise _unsupported(names[0])
    return _constrained(spec, names)


def _constrained(spec: JobSpec, names: list[str]) -> JobSpec:
    constraint = spec.request.constraint
    for name in names:
        constraint = with_feature(constraint, f"{OF_RM}{name}", without=True)
    return replace(spec, request=replace(spec.request, constraint=constraint))


def _unsupported(name: str) -> Unsupported:
    return Unsupported(
        f"{name} takes no jobs but those that its users submit to it",
        hint="submit it there, or to another partition",
    )
