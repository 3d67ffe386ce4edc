"""A machine that lives on: plans are carried out, things end, come, go and change at random.

What happened is told as deltas, as the core tells it: the new state of each thing that changed, and
of all that the lines of the last plan touched, whether they were carried out or refused.
"""

from collections import Counter
from collections.abc import Sequence
from math import inf
from random import Random

from msgspec.structs import replace

from ostler.model.resources import Placement
from ostler.model.states import Rule
from ostler.schedule.rules import Rules
from ostler.schedule.snapshot import (
    Delta,
    NodeView,
    Resume,
    RunningView,
    Snapshot,
    Start,
    Wait,
    WaitingView,
)
from tests.random_machines import DURATIONS, NOW, PROJECTS, idle_again, random_machine
from tests.schedule_kit import machine, resume

Lines = Sequence[object]


class Life:
    """One machine in time. `snapshot` is its state, `delta` what was not told of it yet."""

    def __init__(
        self,
        random: Random,
        nodes: int = 5,
        waiting: int = 10,
        *,
        calm: bool = False,
        limited: bool = False,
    ) -> None:
        """Begin with a random machine.

        calm: nothing happens but that jobs come behind all others, and end as planned or early; and
        who asks for nothing of a node asks for a CPU, for promised whole nodes are not kept from it.
        limited: licences are short and limits hold in spite of that.
        """
        self.random = random
        self.calm = calm
        self.now = NOW
        snapshot = random_machine(random, nodes, waiting)
        self.nodes = {view.name: view for view in idle_again(snapshot.nodes)}
        self.running = {run.alloc: run for run in snapshot.running}
        self.waiting = {entry.job: entry for entry in snapshot.waiting}
        self.resuming = list(snapshot.resuming)
        self.limit = snapshot.max_cpus_per_user
        self.known_ever = snapshot.known_ever
        self.licences = snapshot.licences
        self.limits = snapshot.rules.limits
        if calm:
            self.resuming = []
            if not limited:
                self.limit, self.licences, self.limits = 0, {"solver": 1000}, ()
            self.running = {
                run.alloc: run
                for run in snapshot.running
                if not run.suspended and run.ends_at > self.now
            }
        self.next = 1000
        self.freed: set[str] = set()  # partitions in which room came back since the last plan
        self.snapshot = self._state()
        self._told: Snapshot | None = None
        self._touched: tuple[set[int], set[str], set[int]] = set(), set(), set()

    def delta(self) -> Delta:
        """Return what changed since the last call; the first has everything."""
        old, new = self._told, self.snapshot
        self._told = new
        rules = replace(new.rules, max_cpus_per_user=new.max_cpus_per_user, licences=new.licences)
        if old is None:
            return Delta(
                0,
                new.nodes,
                new.running,
                [],
                new.waiting,
                [],
                new.resuming,
                new.known_ever,
                rules,
                reset=True,
            )
        jobs, names, allocs = self._touched
        self._touched = set(), set(), set()
        nodes = {view.name: view for view in old.nodes}
        runs = {run.alloc: run for run in old.running}
        waits = {entry.job: entry for entry in old.waiting}
        return Delta(
            0,
            [v for v in new.nodes if v.name in names or v != nodes.get(v.name)],
            [r for r in new.running if r.alloc in allocs or r != runs.get(r.alloc)],
            sorted({*runs, *allocs} - {*self.running}),
            [e for e in new.waiting if e.job in jobs or e != waits.get(e.job)],
            sorted({*waits, *jobs} - {*self.waiting}),
            new.resuming if allocs or new.resuming != old.resuming else None,
            None,
            rules if new.max_cpus_per_user != old.max_cpus_per_user else None,
        )

    def carry_out(self, lines: Lines) -> None:
        """Start and let go on what is planned, now and then all but one line."""
        jobs, names, allocs = self._touched
        self.freed = set()
        for line in lines:
            refused = not self.calm and self.random.random() < 0.05
            if isinstance(line, Start):
                jobs.add(line.job)
                names |= {place.node for place in line.placements}
                if refused:
                    self._free(line.placements)
                else:
                    self._start(line.job, line.placements)
            elif isinstance(line, Resume):
                allocs.add(line.alloc)
                run = self.running[line.alloc]
                names |= {place.node for place in run.placements}
                if refused:
                    self._free(run.placements)
                else:
                    wish = next(wish for wish in self.resuming if wish.alloc == line.alloc)
                    self.resuming.remove(wish)
                    ends = self.now + wish.duration
                    self.running[run.alloc] = replace(run, suspended=False, ends_at=ends)
        self.snapshot = self._state()

    def _start(self, job: int, places: tuple[Placement, ...]) -> None:
        entry = self.waiting.pop(job)
        if entry.elements > 1:
            self.waiting[job] = replace(entry, elements=entry.elements - 1)
        self.next += 1
        self.running[self.next] = RunningView(
            self.next,
            job,
            None,
            entry.user,
            places,
            self.now + entry.duration,
            licences=entry.request.licences,
            project=entry.project,
            partition=entry.partition,
        )

    def go_on(self, wake: float = inf) -> None:
        """Let something happen. wake: when the last plan wants to be asked again."""
        ends = [r.ends_at for r in self.running.values() if self.now < r.ends_at < inf]
        soon = min([*ends, wake])
        what = [self._pass_time, self._pass_time, self._end_early, self._come]
        happens = self.random.choice(what if self.calm else [*what, self._change])
        if happens == self._pass_time:
            self.now = soon if soon < inf else self.now + 1.0
        elif soon > self.now and self.random.random() < 0.7:
            self.now += min((soon - self.now) / 2, self.random.choice([0.25, 0.5, 1.0]))
        happens()
        self.snapshot = self._state()

    def _pass_time(self) -> None:
        """End what is due; now and then one is late."""
        for run in list(self.running.values()):
            if run.ends_at <= self.now and (self.calm or self.random.random() < 0.95):
                self._end(run)

    def _end(self, run: RunningView) -> None:
        del self.running[run.alloc]
        self.resuming = [wish for wish in self.resuming if wish.alloc != run.alloc]
        self._free(run.placements)

    def _free(self, places: Sequence[Placement]) -> None:
        self.freed |= {self.nodes[place.node].partition for place in places}

    def _end_early(self) -> None:
        if self.running:
            self._end(self.random.choice(list(self.running.values())))

    def _come(self) -> None:
        for _ in range(self.random.choice([1, 1, 2])):
            like = [*self.snapshot.waiting] or [*random_machine(self.random).waiting]
            entry = self.random.choice(like)
            self.next += 1
            self.waiting[self.next] = replace(
                entry,
                job=self.next,
                submitted_at=self.now if self.calm else self.random.choice([self.now, 2.0]),
                elements=self.random.choice([1, 1, 3]),
                priority=0 if self.calm else self.random.choice([50, 50, 60]),
                duration=self.random.choice([entry.duration, entry.duration, *DURATIONS]),
                user=self.random.choice(["ann", "bob"]),
                project=self.random.choice(PROJECTS),
                blocked=None,
                head=False,
            )

    def _change(self) -> None:
        random, entries = self.random, list(self.waiting.values())
        match random.randint(0, 8):
            case 0 | 1 if entries:
                del self.waiting[random.choice(entries).job]
            case 2 if entries:
                entry = random.choice(entries)
                blocked = Wait(Rule.HOLD) if entry.blocked is None else None
                self.waiting[entry.job] = replace(entry, blocked=blocked)
            case 3 if entries:
                entry = random.choice(entries)
                self.waiting[entry.job] = replace(
                    entry,
                    priority=random.choice([40, 50, 60]),
                    duration=random.choice([entry.duration, random.choice(DURATIONS)]),
                    elements=random.choice([entry.elements, 1, 2]),
                )
            case 4:
                view = random.choice(list(self.nodes.values()))
                self.nodes[view.name] = _switched(view)
                if not view.usable:
                    self.freed.add(view.partition)
            case 5 if self.running:
                run = random.choice(list(self.running.values()))
                ends = max(run.ends_at + random.choice([-2.0, 2.0]), self.now)
                if ends < run.ends_at:
                    self._free(run.placements)
                self.running[run.alloc] = replace(run, ends_at=ends)
            case 6 if self.running:
                run = random.choice(list(self.running.values()))
                if not run.suspended:
                    self.running[run.alloc] = replace(run, suspended=True)
                    self._free(run.placements)
                elif all(wish.alloc != run.alloc for wish in self.resuming):
                    self.resuming.append(resume(run, random.choice(DURATIONS)))
            case 7:
                before, self.limit = self.limit, random.choice([0, 0, 6, 12])
                if self.limit != before:
                    self.freed |= {view.partition for view in self.nodes.values()}
            case 8:
                view = random.choice(list(self.nodes.values()))
                other = "main" if view.partition == "other" else "other"
                self.nodes[view.name] = replace(view, partition=other)
                if view.usable:
                    self.freed.add(other)
            case _:
                pass

    def overbooked(self) -> list[str]:
        """Return the nodes of which more is held than there is."""
        found = []
        for view in self.nodes.values():
            places = [
                (place, run.suspended)
                for run in self.running.values()
                for place in run.placements
                if place.node == view.name
            ]
            cpus = [cpu for place, suspended in places if not suspended for cpu in place.cpus]
            gpus = [gpu for place, _ in places for gpu in place.gpus]
            counts = Counter(
                name for place, _ in places for name in Counter(place.generic).elements()
            )
            if (
                len(cpus) > len(set(cpus) & set(view.facts.cpus))
                or len(gpus) > len(set(gpus) & set(view.facts.gpus))
                or sum(place.memory for place, _ in places) > view.facts.memory
                or any(count > view.facts.generic.get(name, 0) for name, count in counts.items())
            ):
                found.append(view.name)
        return found

    def _state(self) -> Snapshot:
        if self.calm:
            self.waiting = {job: _with_cpus(entry) for job, entry in self.waiting.items()}
        found = machine(
            list(self.nodes.values()),
            list(self.waiting.values()),
            runs=list(self.running.values()),
            resuming=list(self.resuming),
            limit=self.limit,
            known_ever=self.known_ever,
        )
        return replace(found, licences=self.licences, rules=Rules(limits=self.limits))


def _with_cpus(entry: WaitingView) -> WaitingView:
    request = entry.request
    if request.cpus or request.memory or request.gpus or request.generic:
        return entry
    return replace(entry, request=replace(request, cpus=1))


def _switched(view: NodeView) -> NodeView:
    if view.usable:
        return replace(view, usable=False, why_not="draining: disk")
    return replace(view, usable=True, gone=False, why_not="")
