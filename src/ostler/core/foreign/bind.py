"""A job that was started in a resource manager stays there for ever: it never moves to another."""

from functools import lru_cache

from msgspec.structs import replace

from ostler.core.entry import Entry
from ostler.core.state import State
from ostler.model.constraint import All, Constraint, parse
from ostler.model.errors import Refused, Unsupported
from ostler.model.features import FOREIGN, OF_RM
from ostler.model.job import ALLOC, JobSpec
from ostler.model.resources import Placement


def with_feature(constraint: str, feature: str, *, without: bool = False) -> str:
    """Return a constraint that beside all else wants this feature of each node, or wants none.

    >>> with_feature("a|b", "rm=x"), with_feature("a*2&b*1", "foreign", without=True)
    ('(a|b)&rm=x', '!foreign&a*2&b*1')
    """
    return with_features(constraint, (f"!{feature}" if without else feature,))


@lru_cache(maxsize=1024)
def with_features(constraint: str, more: tuple[str, ...]) -> str:
    """Return a constraint that beside all else wants each of these of each node.

    >>> with_features("a", ("!foreign|rm=x", "!rm=y"))
    '!rm=y&(!foreign|rm=x)&a'
    """
    old = parse(constraint)
    known = old.every.of if isinstance(old.every, All) else (old.every,) if old.every else ()
    new = [expr for text in more if (expr := parse(text).every) is not None and expr not in known]
    if not new:
        return constraint
    every = All((*known, *new)) if len(known) + len(new) > 1 else new[0]
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
    """Bind a job to where it is about to start, if it could go elsewhere another time.

    An array that could is not: each of its elements is, once it has been submitted (see `spread`).
    """
    rm, job = s.nodes[places[0].node].node.rm, entry.job
    partitions = foreign_partitions(s)
    if job.rm or job.spec.within or not (rm or job.spec.partition in partitions):
        return
    spec = bind(job.spec, rm)
    if job.is_array and spec != job.spec:
        begun = entry.bound or entry.slots or job.started_at is not None
        if begun or partitions[job.spec.partition] != {rm}:
            return
    if spec != job.spec or rm:
        entry.job = replace(job, spec=spec, rm=rm)
        s.user_weight[job.user] += spec.weight - entry.weight
        entry.weight = spec.weight
        s.save(entry.job)


def bound(s: State, entry: Entry, spec: JobSpec) -> JobSpec:
    """Return what a job is to ask for now, bound to where it is bound."""
    job = entry.job
    if not (s.rms or job.rm) or (job.is_array and not job.rm):
        return spec
    elsewhere = job.started_at is not None and job.spec.partition in foreign_partitions(s)
    return bind(spec, job.rm) if job.rm or elsewhere else spec


def check_one(s: State, job: int, places: tuple[Placement, ...]) -> None:
    """Raise `Refused` if the places are not all of one resource manager."""
    if len({s.nodes[place.node].node.rm for place in places}) > 1:
        raise Refused(f"job {job} would be on nodes of several resource managers at once")


def foreign_partitions(s: State) -> dict[str, set[str]]:
    """Return the partitions that have nodes of other resource managers, with the names of those.

    The empty name stands for nodes of the machine's own.
    """
    if s.parts.foreign is None:
        found: dict[str, set[str]] = {}
        for entry in s.nodes.values() if s.rms else ():
            if not entry.node.rm or entry.node.rm in s.rms:
                found.setdefault(entry.node.partition, set()).add(entry.node.rm)
        s.parts.foreign = {name: rms for name, rms in found.items() if rms != {""}}
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
