"""All views of a machine, as deltas told of them: what explanations and what-ifs are worked out from."""

from collections.abc import Container

from msgspec.structs import replace

from ostler.model.resources import NodeFacts
from ostler.model.states import Rule
from ostler.schedule.rules import Rules
from ostler.schedule.snapshot import (
    Delta,
    NodeView,
    ResumeView,
    RunningView,
    Snapshot,
    Standing,
    WaitingView,
)


class Views:
    """The machine as it follows from deltas alone. The views are shared with whoever told them."""

    def __init__(self) -> None:
        self.nodes: dict[str, NodeView] = {}
        self.running: dict[int, RunningView] = {}
        self.waiting: dict[int, WaitingView] = {}
        self.resuming: list[ResumeView] = []
        self.known_ever: tuple[NodeFacts, ...] = ()
        self.rules = Rules()
        self.standings: tuple[Standing, ...] = ()
        self.turned: dict[str, float] = {}
        self.elsewhere: list[ResumeView] = []

    def apply(self, delta: Delta) -> None:
        """Take note of what changed."""
        if delta.reset:
            vars(self).update(vars(Views()))
        self.nodes |= {view.name: view for view in delta.nodes}
        self.running |= {view.alloc: view for view in delta.running}
        self.waiting |= {view.job: view for view in delta.waiting}
        for alloc in delta.over:
            self.running.pop(alloc, None)
        for job in delta.gone:
            self.waiting.pop(job, None)
        if delta.resuming is not None:
            self.resuming = delta.resuming
        if delta.known_ever is not None:
            self.known_ever = delta.known_ever
        if delta.rules is not None:
            self.rules = delta.rules
        if delta.standings is not None:
            self.standings = delta.standings
        if delta.turned is not None:
            self.turned = delta.turned
        if delta.elsewhere is not None:
            self.elsewhere = delta.elsewhere

    def snapshot(self) -> Snapshot:
        """Return the machine at this moment. Cost: copies of the lists, and a sum of the CPUs held."""
        held: dict[str, int] = {}
        for view in self.running.values():
            if not view.suspended:
                cpus = sum(len(place.cpus) for place in view.placements)
                held[view.user] = held.get(view.user, 0) + cpus
        return Snapshot(
            list(self.nodes.values()),
            list(self.running.values()),
            list(self.waiting.values()),
            self.resuming,
            held,
            self.rules.max_cpus_per_user,
            self.known_ever,
            self.rules.licences,
            self.rules,
            self.standings,
            self.turned,
            self.elsewhere,
        )

    def part(self, partitions: Container[str]) -> Snapshot:
        """Return what the scheduler of these partitions sees: nothing of others'. Cost: as above.

        That another one plans them is no reason to it why something waits.
        """
        shot = self.snapshot()
        of = {view.alloc: view.partition for view in shot.running}
        resuming = [v for v in shot.resuming + shot.elsewhere if of.get(v.alloc) in partitions]
        return replace(
            shot,
            nodes=[view for view in shot.nodes if view.partition in partitions],
            running=[view for view in shot.running if view.partition in partitions],
            waiting=[_free(view) for view in shot.waiting if view.partition in partitions],
            resuming=sorted(resuming, key=lambda view: (view.job, view.alloc)),
            elsewhere=[],
        )


def _free(view: WaitingView) -> WaitingView:
    if view.blocked is None or view.blocked.rule is not Rule.SCHEDULER:
        return view
    return replace(view, blocked=None)
