"""Who gives way to a job that waits, tried in the plainest way: by leaving out one after the other.

- Who may have to: what runs in a partition with preemption, of a lower tier or of a priority that is
  lower by the gap, for `least-run` or longer; to be requeued if its job may run again, to be
  suspended if it can be. What a scheduler has suspended may have to stay so, however long it ran.
- In which order: who stands still, then by tier, priority, the youngest, who frees fewest nodes for
  nothing, the newest. All of use are taken; from the last on back, who can be spared is left alone.
- What they give: all that they hold; by being suspended their CPUs alone. Who stands still keeps its
  CPUs from the job until it has to stay so. What leaves already is as good as gone, but has no CPUs
  to give if it stands still.
"""

from collections.abc import Collection, Mapping

from ostler.model.constraint import holds, parse
from ostler.schedule.rules import Preemption
from ostler.schedule.snapshot import RunningView, Snapshot, WaitingView
from tests.slow_seats import Rooms, Seats, all_of, change, seats, taken_by

Kept = list[tuple[WaitingView, Seats]]  # what is to start when others are gone, and where


class Giving:
    """A machine at one time. kept: room that is being made for others."""

    def __init__(self, shot: Snapshot, now: float, kept: Kept) -> None:
        self.shot, self.now, self.kept = shot, now, kept
        self.nodes = {view.name: view for view in shot.nodes}
        self.runs = {run.alloc: run for run in shot.running}
        self.leaving = {run.alloc for run in shot.running if run.leaving}
        self.features = {view.name: view.facts.features for view in shot.nodes}

    def way(self, entry: WaitingView) -> list[int] | None:
        """Return who gives way; None: nobody has to, or that would not do."""
        line_up = sorted(self._able(entry), key=lambda alloc: self._order(entry, alloc))
        if self.seats(entry, self.leaving) or not self.seats(entry, self.leaving | {*line_up}):
            return None
        for alloc in reversed(line_up.copy()):
            if self.seats(entry, self.leaving | {*line_up} - {alloc}):
                line_up.remove(alloc)
        return line_up

    def _part(self, run: RunningView) -> str:
        return self.nodes[run.placements[0].node].partition

    def _able(self, entry: WaitingView) -> list[int]:
        mine = self.shot.rules.of(entry.partition)
        found = []
        for run in self.runs.values():
            its = self.shot.rules.of(self._part(run))
            gap = its.priority_gap and entry.priority - run.priority >= its.priority_gap
            outranks = mine.tier > its.tier if mine.tier != its.tier else gap
            can = {Preemption.OFF: False, Preemption.REQUEUE: run.again, Preemption.CANCEL: True}
            able = can.get(its.preemption, run.halts) and self.now - run.started_at >= its.least_run
            if run.suspended:
                able = run.halted_at is not None and its.preemption is not Preemption.OFF
            of_use = {*self._open(entry)} & {place.node for place in run.placements}
            licensed = {*entry.request.licences} & {*run.licences}
            if outranks and able and not run.leaving and (of_use or licensed):
                found.append(run.alloc)
        return found

    def _open(self, entry: WaitingView) -> list[str]:
        views = [v for v in self.shot.nodes if v.usable and v.partition == entry.partition]
        one, every = entry.request.exclude, parse(entry.request.constraint).every
        return [
            view.name
            for view in views
            if view.name not in one
            and (every is None or holds(every, view.facts.features))
            and (not entry.request.nodelist or view.name in entry.request.nodelist)
        ]

    def _order(self, entry: WaitingView, alloc: int) -> tuple[bool, int, int, float, int, int]:
        run = self.runs[alloc]
        idle = len({place.node for place in run.placements} - {*self._open(entry)})
        tier = self.shot.rules.of(self._part(run)).tier
        return not run.suspended, tier, run.priority, -run.started_at, idle, -alloc

    def seats(
        self, entry: WaitingView, gone: Collection[int], *, ending: bool = True
    ) -> Seats | None:
        """Return where the job goes without these. ending: as if all were gone that are to end."""
        if not self._licensed(entry.request.licences, gone if ending else ()):
            return None
        rooms: Rooms = {name: self._room(name, gone, ending=ending) for name in self._open(entry)}
        for other, chosen in self.kept:
            for name, tasks in chosen:
                if name in rooms:
                    idle = all_of(self.nodes[name].facts)
                    change(rooms[name], taken_by(other.request, tasks, idle), -1)
        return seats(rooms, entry.request, self.features)

    def _room(self, name: str, gone: Collection[int], *, ending: bool) -> dict[str, int]:
        view = self.nodes[name]
        cpus, memory, gpus = {*view.free_cpus}, view.free_memory, len(view.free_gpus)
        generic, there = dict(view.free_generic), 0
        standing: set[int] = set()
        for run in self.runs.values():
            for place in run.placements:
                if place.node != name:
                    continue
                there += 1
                if run.alloc not in gone:
                    waits = run.halted_at is not None and not run.leaving
                    standing |= {*place.cpus} if waits else set()
                    continue
                if not run.suspended and (ending or not self._ends(run)):
                    cpus |= {*place.cpus}
                if ending and self._ends(run):
                    memory, gpus, there = memory + place.memory, gpus + len(place.gpus), there - 1
                    for kind, count in place.generic.items():
                        generic[kind] += count
        found = {"cpus": len(cpus - standing), "memory": memory, "gpus": gpus}
        return (
            found | {f":{kind}": count for kind, count in generic.items()} | {"nobody": 1 - there}
        )

    def _ends(self, run: RunningView) -> bool:
        how = self.shot.rules.of(self._part(run)).preemption
        return run.leaving or (not run.suspended and how is not Preemption.SUSPEND)

    def _licensed(self, asked: Mapping[str, int], gone: Collection[int]) -> bool:
        there = [run for run in self.runs.values() if run.alloc not in gone or not self._ends(run)]
        holds = [run.licences for run in there] + [one.request.licences for one, _ in self.kept]
        have = self.shot.licences
        return all(
            have.get(kind, 0) - sum(held.get(kind, 0) for held in holds) >= count
            for kind, count in asked.items()
        )
