"""Would a job start if something else were different? The front of the queue, planned again."""

from collections.abc import Sequence

from msgspec.structs import replace

from ostler.schedule.planner import Planner
from ostler.schedule.snapshot import NodeView, RunningView, Snapshot, Start, WaitingView


class Trial:
    """The machine, the job asked about, and what comes before it."""

    def __init__(self, planner: Planner, entry: WaitingView, before: Sequence[WaitingView]) -> None:
        self.planner = planner  # after the pass; only looked at
        self.snapshot = planner.snapshot
        self.entry = entry
        self.before = before
        self._starts = sum(1 for line in planner.lines if _is_start(line, entry.job))

    def starts(self, snapshot: Snapshot | None = None, entry: WaitingView | None = None) -> bool:
        """Say whether more of the job starts than now, in another snapshot or as another entry."""
        entry = entry or self.entry
        planner = Planner.of(snapshot or self.snapshot, self.planner.now)
        for other in planner.scorer.in_order([*self.before, entry]):
            planner.offer(other, other.elements)
            if other is entry:
                break
        return sum(1 for line in planner.lines if _is_start(line, entry.job)) > self._starts


def _is_start(line: object, job: int) -> bool:
    return isinstance(line, Start) and line.job == job


def ended(snapshot: Snapshot, over: Sequence[RunningView]) -> Snapshot:
    """Return the machine without these allocations."""
    allocs = {view.alloc for view in over}
    users = dict(snapshot.user_cpus)
    nodes = {view.name: view for view in snapshot.nodes}
    for view in over:
        for place in view.placements:
            node = nodes.get(place.node)
            if node is None:
                continue
            generic = dict(node.free_generic)
            for name, count in place.generic.items():
                generic[name] = generic.get(name, 0) + count
            cpus = () if view.suspended else place.cpus
            nodes[place.node] = replace(
                node,
                free_cpus=tuple(sorted({*node.free_cpus, *cpus})),
                free_memory=node.free_memory + place.memory,
                free_gpus=tuple(sorted({*node.free_gpus, *place.gpus})),
                free_generic=generic,
            )
            users[view.user] = users.get(view.user, 0) - len(cpus)
    return replace(
        snapshot,
        nodes=list(nodes.values()),
        running=[view for view in snapshot.running if view.alloc not in allocs],
        resuming=[view for view in snapshot.resuming if view.alloc not in allocs],
        user_cpus=users,
    )


def usable(snapshot: Snapshot, back: Sequence[NodeView]) -> Snapshot:
    """Return the machine with these nodes usable again."""
    names = {view.name for view in back}
    nodes = [replace(v, usable=True) if v.name in names else v for v in snapshot.nodes]
    return replace(snapshot, nodes=nodes)
