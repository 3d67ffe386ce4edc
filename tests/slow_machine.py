"""The machine in counts: the part of the slow planner that knows what runs and what goes on.

A suspended allocation that is to go on is to have its very CPUs again: those count as not free for
others.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import ceil, floor, inf
from typing import Protocol

from ostler.model.resources import Placement, Request
from ostler.model.states import Rule
from ostler.schedule.limits import Bucket
from ostler.schedule.rules import Holder, Limit
from ostler.schedule.snapshot import NodeView, ResumeView, Snapshot, WaitingView
from tests.slow_seats import Amounts, Rooms, Seats, all_of, change, copy_of, seats, taken_by


@dataclass
class End:
    """A planned end, and what comes free then."""

    at: float
    user: str
    cpus: int
    gives: Rooms
    licences: Mapping[str, int]
    planned: float = inf  # its end as planned, if it is over already; inf: without a limit
    project: str = ""
    partition: str = ""
    running: int = 1  # 0: it stands still

    def spends(self, time: float) -> int:
        """Return the CPU-seconds that it may still use."""
        return 0 if self.planned == inf else seconds(self.cpus, self.planned, time)


def seconds(cpus: int, end: float, time: float) -> int:
    """Return the CPU-seconds from a time to an end, in whole seconds that are begun."""
    return cpus * max(ceil(end) - floor(time), 0)


class Counted(Protocol):
    """What counts under limits."""

    @property
    def user(self) -> str: ...
    @property
    def project(self) -> str: ...
    @property
    def partition(self) -> str: ...


def counts_in(one: Counted, bucket: Bucket) -> bool:
    """Say whether it counts for this user, project or all, in this partition or in any."""
    holder, name, partition = bucket
    whose = {Holder.USER: one.user, Holder.PROJECT: one.project, Holder.PARTITION: ""}
    return whose.get(holder) == name and partition in ("", one.partition)


def in_order(name: str) -> list[tuple[int, int | str]]:
    """Return a key by which n2 comes before n10."""
    return [
        (0, int(part)) if part.isdigit() else (1, part) for part in re.findall(r"\d+|\D+", name)
    ]


def free_on(view: NodeView, withheld: set[int], users: int) -> Amounts:
    """Return what may be given on this node. users: how many allocations are there."""
    counts = {"memory": view.free_memory, "gpus": len(view.free_gpus), "nobody": 1 - users}
    counts["cpus"] = len(set(view.free_cpus) - withheld)
    return counts | {f":{name}": count for name, count in view.free_generic.items()}


def held_by(place: Placement, cpus: int) -> Amounts:
    """Return what an allocation holds there, with so many CPUs."""
    counts = {"cpus": cpus, "memory": place.memory, "gpus": len(place.gpus), "nobody": 1}
    return counts | {f":{name}": count for name, count in place.generic.items()}


def passes(limit: Limit, what: str, count: float) -> bool:
    """Say whether so much is more than the limit on it, if there is one."""
    most = getattr(limit, what)
    return most is not None and count > most


def spent_by(entry: WaitingView, cpus: int) -> float:
    """Return the CPU-seconds that a start asks for."""
    return inf if entry.duration == inf else cpus * ceil(entry.duration)


@dataclass
class Machine:
    """The snapshot in counts. Those who go on have gone on."""

    snapshot: Snapshot
    now: float
    resumes: list[int] = field(default_factory=list)
    ends: list[End] = field(default_factory=list)
    rules: dict[int, Rule] = field(default_factory=dict)
    rooms: dict[str, Rooms] = field(default_factory=dict)  # partition -> its usable nodes
    whole: dict[str, Rooms] = field(default_factory=dict)  # the same, idle
    configured: dict[str, Rooms] = field(default_factory=dict)  # all that are not gone, idle

    def __post_init__(self) -> None:
        self.held = Counter(self.snapshot.user_cpus)
        self.licensed: Counter[str] = Counter()
        for run in self.snapshot.running:
            self.licensed.update(run.licences)
        self.taken: dict[str, set[int]] = {}  # CPUs of those that go on now or later
        self._resume()
        users = Counter(p.node for run in self.snapshot.running for p in run.placements)
        self.features = {view.name: view.facts.features for view in self.snapshot.nodes}
        self.idle = {view.name: all_of(view.facts) for view in self.snapshot.nodes}
        for view in sorted(self.snapshot.nodes, key=lambda view: in_order(view.name)):
            name, part = view.name, view.partition
            if not view.gone:
                self.configured.setdefault(part, {})[name] = all_of(view.facts)
            if view.usable:
                self.whole.setdefault(part, {})[name] = all_of(view.facts)
                self.rooms.setdefault(part, {})[name] = free_on(
                    view, self.taken.get(name, set()), users[name]
                )

    def over_limit(self, entry: WaitingView, chosen: Seats | None = None) -> bool:
        """Say whether the user would hold too many CPUs: all of those of whole nodes."""
        asked, most = self.cpus_of(entry.request, chosen or []), self.snapshot.max_cpus_per_user
        if most and self.held[entry.user] + asked > most:
            return True
        for bucket, limit in self.limits_of(entry):
            there = [end for end in self.ends if counts_in(end, bucket)]
            spent = sum(end.spends(self.now) for end in there) + spent_by(entry, asked)
            if passes(limit, "running", 1 + sum(end.running for end in there)):
                return True
            if passes(limit, "cpus", asked + sum(end.cpus for end in there)):
                return True
            if passes(limit, "cpu_minutes", spent / 60):
                return True
        return False

    def limits_of(self, one: Counted) -> list[tuple[Bucket, Limit]]:
        """Return the limits that hold for it, with whom it is limited together."""
        rows = {(row.holder, row.name, row.partition): row for row in self.snapshot.rules.limits}
        found: list[tuple[Bucket, Limit]] = []
        if not rows:
            return found
        for scope in ("", one.partition):
            own = rows.get((Holder.USER, one.user, scope))
            projects = rows.get((Holder.PROJECT, one.project, scope))
            if own is None and projects is None:
                projects = rows.get((Holder.PROJECT, "", scope))
            each = {
                (Holder.USER, one.user, scope): own or rows.get((Holder.USER, "", scope)),
                (Holder.PROJECT, one.project, scope): projects,
                (Holder.PARTITION, "", scope): rows.get((Holder.PARTITION, "", scope)),
            }
            found += [(bucket, row) for bucket, row in each.items() if row is not None]
        return found

    def limits_of_others(self, one: Counted) -> list[tuple[Bucket, str]]:
        """Return under which limits it counts that may hold for others, and do not for it."""
        mine = dict(self.limits_of(one))
        whose = {Holder.USER: one.user, Holder.PROJECT: one.project, Holder.PARTITION: ""}
        found = []
        for row in self.snapshot.rules.limits:
            bucket = row.holder, whose[row.holder], row.partition
            if counts_in(one, bucket) and row.name in ("", bucket[1]):
                for what in ("running", "cpus", "cpu_minutes"):
                    limited = bucket in mine and getattr(mine[bucket], what) is not None
                    if getattr(row, what) is not None and not limited:
                        found.append((bucket, what))
        return found

    @property
    def minutes(self) -> bool:
        """Say whether CPU-minutes count."""
        return any(row.cpu_minutes is not None for row in self.snapshot.rules.limits)

    def cpus_of(self, request: Request, chosen: Seats) -> int:
        """Return for how many CPUs it counts in these places."""
        if request.exclusive and chosen:
            return sum(self.idle[name]["cpus"] for name, _ in chosen)
        return request.tasks * request.cpus

    def unlicensed(self, request: Request) -> bool:
        """Say whether too few licences are left."""
        left = Counter(self.snapshot.licences)
        left.subtract(self.licensed)
        return any(count > left[name] for name, count in request.licences.items())

    def seats(self, rooms: Rooms, request: Request) -> Seats | None:
        """Return where the tasks go; None if they do not all fit."""
        return seats(rooms, request, self.features)

    def seats_within(
        self, rooms: Rooms, request: Request, allows: Callable[[Seats], bool]
    ) -> Seats | None:
        """Return where the tasks go if that is allowed; whole nodes among ever smaller ones."""
        found = self.seats(rooms, request)
        if not request.exclusive:
            return found if found is not None and allows(found) else None
        for most in sorted({self.idle[name]["cpus"] for name in rooms}, reverse=True):
            small = {name: room for name, room in rooms.items() if self.idle[name]["cpus"] <= most}
            found = self.seats(small, request)
            if found is None or allows(found):
                return found
        return None

    def takes(self, request: Request, chosen: Seats) -> Rooms:
        """Return what tasks take in these places."""
        return {name: taken_by(request, tasks, self.idle[name]) for name, tasks in chosen}

    def never(self, entry: WaitingView) -> Rule | None:
        """Return why the job would not fit if nothing ran; None if it would."""
        if self.seats(self.whole.get(entry.partition, {}), entry.request) is not None:
            return None
        idle = self.configured.get(entry.partition, {})
        return Rule.NODES if self.seats(idle, entry.request) is not None else Rule.NODE_LEFT

    def start(self, entry: WaitingView, chosen: Seats) -> None:
        """Take the places now."""
        gives = self.takes(entry.request, chosen)
        for name, amounts in gives.items():
            change(self.rooms[entry.partition][name], amounts, -1)
        cpus = sum(amounts.get("cpus", 0) for amounts in gives.values())
        self.held[entry.user] += cpus
        used = entry.request.licences
        self.licensed.update(used)
        end, whose = self.now + entry.duration, (entry.project, entry.partition)
        self.ends.append(End(end, entry.user, cpus, gives, used, end, *whose))

    def after(self, partition: str, time: float) -> Rooms:
        """Return what is free at a time if everything ends as planned and nothing else starts."""
        rooms = copy_of(self.rooms[partition])
        for end in self.ends:
            if end.at <= time:
                for name, amounts in end.gives.items():
                    if name in rooms:
                        change(rooms[name], amounts, +1)
        return rooms

    def _resume(self) -> None:
        """Let go on, in order of allocation, whose very CPUs are free; note who ends when."""
        snapshot = self.snapshot
        free = {view.name: set(view.free_cpus) for view in snapshot.nodes}
        users = {run.alloc: run.user for run in snapshot.running}
        claims = {run.alloc: (run.project, run.partition) for run in snapshot.running}
        kept: dict[str, set[int]] = {}  # what those that cannot go on yet will take
        begins: dict[int, float] = {}
        wishes = sorted(snapshot.resuming, key=lambda wish: wish.alloc)
        for wish in wishes:
            user = users.get(wish.alloc, "")
            cpus = sum(len(place.cpus) for place in wish.placements)
            mine = {(place.node, cpu) for place in wish.placements for cpu in place.cpus}
            most, rule = snapshot.max_cpus_per_user, Rule.RESOURCES
            missing = {
                (node, cpu)
                for node, cpu in mine
                if cpu not in free.get(node, set()) or cpu in self.taken.get(node, set())
            }
            if most and self.held[user] + cpus > most:
                begins[wish.alloc], rule = inf, Rule.LIMIT
            elif missing:
                begins[wish.alloc] = self._when_free(missing, wishes, begins)
            else:
                begins[wish.alloc] = self.now
                self.resumes.append(wish.alloc)
                self.held[user] += cpus
            for node, cpu in mine:
                self.taken.setdefault(node, set()).add(cpu)
            if wish.alloc not in self.resumes:
                self.rules.setdefault(wish.job, rule)
                for node, cpu in mine:
                    kept.setdefault(node, set()).add(cpu)
        self._note_ends(wishes, begins, kept, users, claims)

    def _when_free(
        self, missing: set[tuple[str, int]], wishes: list[ResumeView], begins: dict[int, float]
    ) -> float:
        """Return when the last of those who use these CPUs, or come before it there, ends."""
        ends = [(run.ends_at, run.placements) for run in self.snapshot.running if not run.suspended]
        ends += [
            (begins[wish.alloc] + wish.duration, wish.placements)
            for wish in wishes
            if wish.alloc in begins
        ]
        last, seen = self.now, set()
        for at, placements in ends:
            used = missing & {(place.node, cpu) for place in placements for cpu in place.cpus}
            if used:
                last = max(last, at)
                seen |= used
        return last if seen == missing else inf

    def _note_ends(
        self,
        wishes: list[ResumeView],
        begins: dict[int, float],
        kept: dict[str, set[int]],
        users: dict[int, str],
        claims: dict[int, tuple[str, str]],
    ) -> None:
        used = {run.alloc: run.licences for run in self.snapshot.running}
        for run in self.snapshot.running:
            if run.alloc in begins:
                continue
            if run.suspended:  # it holds no CPUs, and nobody can tell when it ends
                gives = {place.node: held_by(place, 0) for place in run.placements}
                self.ends.append(End(inf, run.user, 0, gives, run.licences, running=0))
                continue
            gives = {
                place.node: held_by(place, len(set(place.cpus) - kept.get(place.node, set())))
                for place in run.placements
            }
            cpus = sum(len(place.cpus) for place in run.placements)
            ends = run.ends_at
            at, whose = max(ends, self.now), claims[run.alloc]
            self.ends.append(End(at, run.user, cpus, gives, run.licences, ends, *whose))
        for wish in wishes:
            later = [w for w in wishes if w.alloc > wish.alloc and w.alloc not in self.resumes]
            gives = {}
            for place in wish.placements:
                others = {
                    cpu
                    for other in later
                    for its in other.placements
                    if its.node == place.node
                    for cpu in its.cpus
                }
                gives[place.node] = held_by(place, len(set(place.cpus) - others))
            now = wish.alloc in self.resumes
            cpus = sum(len(place.cpus) for place in wish.placements) if now else 0
            at = max(begins[wish.alloc] + wish.duration, self.now)
            whose, licences = claims.get(wish.alloc, ("", "")), used.get(wish.alloc, {})
            user = users.get(wish.alloc, "")
            self.ends.append(End(at, user, cpus, gives, licences, at, *whose, running=int(now)))
