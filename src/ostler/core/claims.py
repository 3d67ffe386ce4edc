"""What a job claims beside CPUs, memory and GPUs of nodes: licences, features, whole nodes; and limits."""

from msgspec.structs import replace

from ostler.core.entry import Entry
from ostler.core.node_entry import NodeEntry
from ostler.core.reserved import check_named, nodes_of
from ostler.core.serving import refusal
from ostler.core.state import State
from ostler.model.constraint import parse, typed
from ostler.model.errors import Refused
from ostler.model.job import JobSpec
from ostler.model.resources import NodeFacts, Placement, Request
from ostler.model.settings import licences
from ostler.schedule.choose import choose
from ostler.schedule.fit import allowed
from ostler.schedule.words import counted


def settled(request: Request) -> Request:
    """Return the request with its constraint in the one form, and with the nodes that it counts.

    Counts name the nodes where nothing else does, and each has at least a task. Raises `UsageError`
    where the constraint makes no sense.
    """
    if not request.constraint:
        return request
    constraint = typed(request.constraint)
    nodes = request.nodes or constraint.nodes
    tasks = nodes if constraint.groups and request.tasks == 1 else request.tasks
    return replace(request, constraint=constraint.text, nodes=nodes, tasks=tasks)


def check_claims(s: State, request: Request) -> None:
    """Raise `Refused` or `Missing` for what the machine could never give."""
    constraint = parse(request.constraint)
    if constraint.nodes > request.nodes:
        raise Refused(
            f"its constraint counts {counted(constraint.nodes, 'node')}, and it asks for"
            f" {request.nodes}",
            hint=f"ask for -N {constraint.nodes}",
        )
    have = licences(s.text("licences"))
    for name, count in sorted(request.licences.items()):
        if count > have.get(name, 0):
            known = ", ".join(f"{n}:{c}" for n, c in have.items()) or "none"
            raise Refused(
                f"it asks for {count} of licence {name!r}", expected=f"the machine has: {known}"
            )


def least_whole(s: State, spec: JobSpec) -> int:
    """Return how many CPUs the smallest whole nodes have that may serve the request."""
    nodes = (entry.node for entry in s.nodes.values())
    sizes = sorted(
        len(node.facts.cpus)
        for node in nodes
        if node.partition == spec.partition
        and not node.gone
        and allowed(node.name, node.facts.features, spec.request)
    )
    return sum(sizes[: spec.request.nodes or 1])


def check_user_limit(s: State, spec: JobSpec, user: str) -> None:
    """Raise `Refused` if the request alone exceeds what one user may hold."""
    cpus = spec.request.tasks * spec.request.cpus
    most = s.setting("max-cpus-per-user")
    if most and cpus > most:
        raise Refused(
            f"it asks for {cpus} CPUs, and {user} may hold {most}",
            hint=f"ask for {most} or fewer, or have max-cpus-per-user changed",
        )
    if most and spec.request.exclusive and (least := least_whole(s, spec)) > most:
        raise Refused(
            f"it asks for {least} CPUs at least, and {user} may hold {most}",
            hint="leave out --exclusive, or have max-cpus-per-user changed",
        )


def check_fits(s: State, spec: JobSpec, user: str) -> None:
    """Raise `Refused` if the request exceeds a limit or whatever the partition could give."""
    check_user_limit(s, spec, user)
    check_claims(s, spec.request)
    check_named(s, spec, user)
    shape = spec.partition, spec.request.shape
    if shape in s.fitting:
        return
    own = nodes_of(s, spec.request.reservation)
    nodes = [e.node for e in s.nodes.values() if own is None or e.node.name in own]
    holds = own is None and s.fitting.holds(spec.request, spec.partition, nodes)
    if not holds and (why := refusal(s, spec.request, spec.partition)):
        raise Refused(why)
    s.fitting.add(shape)


# -- licences ----------------------------------------------------------------------------------


def count_licences(s: State, entry: Entry, sign: int) -> None:
    """Count what one allocation of the job holds (1), or gives back (-1)."""
    for name, count in entry.job.spec.request.licences.items():
        left = s.licences_held.get(name, 0) + sign * count
        if left:
            s.licences_held[name] = left
        else:
            s.licences_held.pop(name, None)


def check_licences(s: State, request: Request) -> None:
    """Raise `Refused` if too few are free for one more allocation."""
    have = licences(s.text("licences")) if request.licences else {}
    for name, count in request.licences.items():
        held = s.licences_held.get(name, 0)
        if held + count > have.get(name, 0):
            raise Refused(f"{held} of {have.get(name, 0)} of licence {name!r} are in use")


# -- places ------------------------------------------------------------------------------------


def share_of(
    request: Request, facts: NodeFacts, tasks: int
) -> tuple[int, int, int, dict[str, int]]:
    """Return the CPUs, memory, GPUs and named resources that so many tasks get on a node."""
    if request.exclusive:
        generic = {name: count for name, count in facts.generic.items() if count}
        return len(facts.cpus), facts.memory, len(facts.gpus), generic
    generic = {name: count * tasks for name, count in request.generic.items() if count}
    return tasks * request.cpus, tasks * request.memory, tasks * request.gpus, generic


def check_node(node: NodeEntry, request: Request, tasks: int) -> None:
    """Raise `Refused` if the node is not one of those that were asked for."""
    name, facts = node.node.name, node.node.facts
    if not parse(request.constraint).matches(facts.features):
        raise Refused(f"{name} is not {request.constraint!r}")
    if not request.exclusive:
        return
    if node.allocations:
        raise Refused(f"{name} is not free as a whole")
    least = replace(request, exclusive=False)
    cpus, memory, gpus, generic = share_of(least, facts, tasks)
    few = cpus > len(facts.cpus) or memory > facts.memory or gpus > len(facts.gpus)
    if few or any(count > facts.generic.get(kind, 0) for kind, count in generic.items()):
        raise Refused(f"{name} is too small for {counted(tasks, 'task')}")


def check_groups(s: State, request: Request, places: tuple[Placement, ...]) -> None:
    """Raise `Refused` unless these nodes can be dealt out to the groups of the constraint."""
    constraint = parse(request.constraint)
    if not constraint.groups:
        return
    members = [constraint.member(s.nodes[place.node].node.facts.features) for place in places]
    alike = Request(tasks=len(places), nodes=len(places), constraint=request.constraint)
    if choose([(1, at) for at in range(len(places))], alike, members) is None:
        raise Refused(f"the nodes are not {request.constraint!r}")


def per_task(request: Request, place: Placement) -> Request:
    """Return what a node is told of the request: of a whole node each task has an equal part."""
    if not request.exclusive:
        return request
    cpus, gpus = len(place.cpus) // place.tasks, len(place.gpus) // place.tasks
    return replace(request, cpus=max(cpus, 1), gpus=gpus)
