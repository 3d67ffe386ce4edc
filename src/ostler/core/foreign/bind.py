"""A job that was started in a resource manager stays there for ever: it never moves to another."""

from msgspec.structs import replace

from ostler.core.entry import Entry
from ostler.core.state import State
from ostler.model.constraint import All, Constraint, Expr, Feature, Not, parse
from ostler.model.errors import Refused, Unsupported
from ostler.model.features import FOREIGN, OF_RM
from ostler.model.job import ALLOC, JobSpec
from ostler.model.resources import Placement


def with_feature(constraint: str, feature: str, *, without: bool = False) -> str:
    """Return a constraint that beside all else wants this feature of each node, or wants none.

    >>> with_feature("a|b", "rm=x"), with_feature("a*2&b*1", "foreign", without=True)
    ('(a|b)&rm=x', '!foreign&a*2&b*1')
    """
    old = parse(constraint)
    more = Not(Feature(feature)) if without else Feature(feature)
    every: Expr
    if old.every is None:
        every = more
    else:
        known = old.every.of if isinstance(old.every, All) else (old.every,)
        if more in known:
            return constraint
        every = All((*known, more))
    return parse(Constraint(every, old.groups).text).text


def bind(spec: JobSpec, rm: str) -> JobSpec:
    """Return what a job asks for that may run in this resource manager alone; empty: in none."""
    request = spec.request
    if rm:
        constraint = with_feature(request.constraint, f"{OF_RM}{rm}")
    else:
        constraint = with_feature(request.constraint, FOREIGN, without=True)
    return replace(spec, request=replace(request, constraint=constraint))


def bind_at_start(s: State, entry: Entry, places: tuple[Placement, ...]) -> None:
    """Bind a job to where it is about to start, if it could go elsewhere another time."""
    rm, job = s.nodes[places[0].node].node.rm, entry.job
    if job.rm or job.spec.within or not (rm or job.spec.partition in foreign_partitions(s)):
        return
    spec = bind(job.spec, rm)
    if spec != job.spec or rm:
        entry.job = replace(job, spec=spec, rm=rm)
        s.user_weight[job.user] += spec.weight - entry.weight
        entry.weight = spec.weight
        s.save(entry.job)


def bound(s: State, entry: Entry, spec: JobSpec) -> JobSpec:
    """Return what a job is to ask for now, bound to where it is bound."""
    job = entry.job
    elsewhere = job.started_at is not None and job.spec.partition in foreign_partitions(s)
    return bind(spec, job.rm) if job.rm or (s.rms and elsewhere) else spec


def check_one(s: State, job: int, places: tuple[Placement, ...]) -> None:
    """Raise `Refused` if the places are not all of one resource manager."""
    if len({s.nodes[place.node].node.rm for place in places}) > 1:
        raise Refused(f"job {job} would be on nodes of several resource managers at once")


def foreign_partitions(s: State) -> set[str]:
    """Return the partitions that have nodes of other resource managers."""
    if s.parts.foreign is None:
        s.parts.foreign = {
            s.nodes[name].node.partition for rm in s.rms.values() for name in rm.nodes
        }
    return s.parts.foreign


def settled(s: State, spec: JobSpec) -> JobSpec:
    """Return what a job asks for that only agents can run, on their nodes alone.

    Raises `Unsupported` if its partition has none of those.
    """
    if not s.rms or spec.within or not _needs_agent(spec):
        return spec
    if spec.partition not in foreign_partitions(s):
        return spec
    nodes = (entry.node for entry in s.nodes.values())
    if not any(n.partition == spec.partition and not (n.rm or n.gone) for n in nodes):
        raise Unsupported(
            f"the nodes of partition {spec.partition!r} are other resource managers', which run"
            f" no `ostler {spec.kind}`",
            hint="use `ostler submit`, or another partition",
        )
    return bind(spec, "")


def _needs_agent(spec: JobSpec) -> bool:
    return spec.kind in ("run", ALLOC) or bool(spec.stdio) or spec.streams is not None
