"""A planner that is slow and easy to see right, written from the definitions.

It shares the records of snapshots with the real one and nothing else. Everything is found by
trying: how many tasks fit on a node by adding one more, a shadow time by walking the planned ends.

Resources are *counted*: the CPUs of a node are interchangeable, and so are its GPUs. Only a
suspended allocation is to have its very CPUs again, and those count as not free for others.

Where tasks go, among places that would all do:
- If the tasks that are left fit on one node: the node with room for the fewest tasks of those on
  which they fit; of equals the first. Else: as many as fit on the node with room for the most; of
  equals the first; and so on with the rest.
- On an exact number of nodes: an even share is the tasks by the nodes, rounded up. The nodes are
  those with room for the fewest tasks that still have room for an even share; if there are too few
  of them, the nodes with room for the most. From the least roomy on, each gets its even part of
  what is left, or what it has room for.
- Spread: over as many nodes as there are tasks, or all; those with room for the most. An exact
  number of nodes is then of those with room for the most, always.
- With counted groups: nodes are taken in the order said above, each that leaves it possible to deal
  out those taken to the groups, each to one, and the rest of the exact number to nobody.
Room is counted in tasks of this request.

A whole node is one on which no allocation has anything, one that is suspended included; whoever
gets it gets all that it has. Licences are counted over all nodes; who lacks some waits for these
alone, and is promised nothing.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import permutations
from math import inf

from msgspec.structs import replace

from ostler.model.resources import NodeFacts, Placement, Request
from ostler.model.states import Rule
from ostler.schedule.snapshot import NodeView, ResumeView, Snapshot, WaitingView

Amounts = dict[str, int]  # cpus, memory, gpus, and generic ones by their names with a colon before
Rooms = dict[str, Amounts]  # node -> what is free there, in the order of nodes
Seats = list[tuple[str, int]]  # node, tasks there
Features = Mapping[str, tuple[str, ...]]  # of each node
WHOLE = "whole"  # among the amounts: 1 where nothing is, one less for each allocation


@dataclass
class Told:
    """What is planned: who starts, in this order and where; who goes on; why the rest waits."""

    starts: list[tuple[int, Seats]]
    resumes: list[int]
    rules: dict[int, Rule]
    heads: dict[str, tuple[int, float]]  # partition -> the job with the promise, and its start


@dataclass
class End:
    """A planned end, and what comes free then."""

    at: float
    user: str
    cpus: int
    gives: Rooms


@dataclass
class Head:
    """The first job of a partition that waits for room, and what is left beside it then."""

    job: int
    user: str
    shadow: float
    beside: Rooms
    user_left: float


def in_order(name: str) -> list[tuple[int, int | str]]:
    """Return a key by which n2 comes before n10."""
    return [
        (0, int(part)) if part.isdigit() else (1, part) for part in re.findall(r"\d+|\D+", name)
    ]


def in_rank(waiting: Iterable[WaitingView]) -> list[WaitingView]:
    """Return the queue: high priority first, then the returned, then the oldest, then by number."""
    return sorted(waiting, key=lambda e: (-e.priority, not e.head, e.submitted_at, e.job))


def asked_of(request: Request, tasks: int) -> Amounts:
    """Return what so many tasks take."""
    each = {"cpus": request.cpus, "memory": request.memory, "gpus": request.gpus}
    each |= {f":{name}": count for name, count in request.generic.items()}
    return {kind: tasks * count for kind, count in each.items() if count}


def taken_of(room: Amounts, request: Request, tasks: int) -> Amounts:
    """Return what an allocation with so many tasks takes of this room."""
    return (dict(room) if request.exclusive else asked_of(request, tasks)) | {WHOLE: 1}


def free_on(view: NodeView, withheld: set[int], users: int) -> Amounts:
    """Return what may be given on this node."""
    counts = {"memory": view.free_memory, "gpus": len(view.free_gpus), WHOLE: 1 - users}
    counts["cpus"] = len(set(view.free_cpus) - withheld)
    return counts | {f":{name}": count for name, count in view.free_generic.items()}


def all_of(facts: NodeFacts) -> Amounts:
    """Return what the idle node has."""
    counts = {"cpus": len(facts.cpus), "memory": facts.memory, "gpus": len(facts.gpus), WHOLE: 1}
    return counts | {f":{name}": count for name, count in facts.generic.items()}


def held_by(place: Placement, cpus: int) -> Amounts:
    """Return what an allocation holds there, with so many CPUs."""
    counts = {"cpus": cpus, "memory": place.memory, "gpus": len(place.gpus), WHOLE: 1}
    return counts | {f":{name}": count for name, count in place.generic.items()}


def change(room: Amounts, by: Amounts, sign: int) -> None:
    """Give or take."""
    for kind, count in by.items():
        room[kind] = room.get(kind, 0) + sign * count


def copy_of(rooms: Rooms) -> Rooms:
    """Return rooms that may be changed on their own."""
    return {name: dict(room) for name, room in rooms.items()}


def less_of(one: Rooms, other: Rooms) -> Rooms:
    """Return what is free in both."""
    return {
        name: {kind: min(count, other[name].get(kind, 0)) for kind, count in room.items()}
        for name, room in one.items()
    }


def tasks_on(room: Amounts, request: Request) -> int:
    """Return how many tasks fit, by adding one more until something is short."""
    most = request.tasks if not request.cpus else 10**9
    if request.tasks_per_node:
        most = min(most, request.tasks_per_node)
    if request.exclusive and room[WHOLE] < 1:
        return 0
    tasks = 0
    while tasks < most and all(
        count <= room.get(kind, 0) for kind, count in asked_of(request, tasks + 1).items()
    ):
        tasks += 1
    return tasks


def is_like(features: Sequence[str], term: str) -> bool:
    """Say whether a node is like `a`, `!a` or `a|b`: what stands between the & of a constraint."""
    return any((part.lstrip("!") in features) != part.startswith("!") for part in term.split("|"))


def seats(rooms: Rooms, request: Request, features: Features) -> Seats | None:
    """Return where the tasks go, in the order of nodes; None if they do not all fit."""
    terms = [term.partition("*") for term in request.constraint.split("&") if term]
    every = [term for term, star, _ in terms if not star]
    groups = [term for term, star, count in terms if star for _ in range(int(count))]
    able = [
        (tasks, at, name)
        for at, (name, room) in enumerate(rooms.items())
        if name not in request.exclude
        and (not request.nodelist or name in request.nodelist)
        and all(is_like(features[name], term) for term in every)
        and (tasks := tasks_on(room, request))
    ]
    if count := max(request.nodes, len(groups)):
        found = _exactly(able, replace(request, nodes=count), groups, features)
    else:
        found = (_spread if request.spread else _fewest)(able, request.tasks)
    return None if found is None else [(name, tasks) for _, name, tasks in sorted(found)]


Able = list[tuple[int, int, str]]  # room in tasks, place in the order, name
Chosen = list[tuple[int, str, int]]  # place in the order, name, tasks


def _roomiest(able: Able) -> tuple[int, int, str]:
    return min(able, key=lambda one: (-one[0], one[1]))


def _fewest(able: Able, left: int) -> Chosen | None:
    chosen: Chosen = []
    while able:
        if enough := [one for one in able if one[0] >= left]:
            _, at, name = min(enough)
            return [*chosen, (at, name, left)]
        room, at, name = _roomiest(able)
        chosen.append((at, name, room))
        left -= room
        able = [one for one in able if one[1] != at]
    return None


def _spread(able: Able, tasks: int) -> Chosen | None:
    return _shared(sorted(able, key=lambda one: (-one[0], one[1]))[:tasks], tasks)


def _exactly(able: Able, request: Request, groups: list[str], features: Features) -> Chosen | None:
    if not len(able) >= request.nodes <= request.tasks:
        return None
    even = (request.tasks + request.nodes - 1) // request.nodes
    some: Able = []
    if not request.spread:
        enough = sorted(one for one in able if one[0] >= even)
        some = _dealt_out(enough, request.nodes, groups, features)
    if len(some) < request.nodes:
        down = sorted(able, key=lambda one: (-one[0], one[1]))
        some = _dealt_out(down, request.nodes, groups, features)
    return _shared(some, request.tasks) if len(some) == request.nodes else None


def _dealt_out(order: Able, count: int, groups: list[str], features: Features) -> Able:
    """Take from an order what can be dealt out, each to one group or to nobody, by trying."""
    seats_of = [*groups, *[""] * (count - len(groups))]  # the empty one is for anybody
    chosen: Able = []
    for one in order:
        more = [features[name] for _, _, name in (*chosen, one)]
        if len(more) <= count and any(
            all(not term or is_like(mine, term) for mine, term in zip(more, some, strict=True))
            for some in permutations(seats_of, len(more))
        ):
            chosen.append(one)
    return chosen


def _shared(some: Able, left: int) -> Chosen | None:
    chosen: Chosen = []
    for done, (room, at, name) in enumerate(sorted(some)):
        here = min(room, left // (len(some) - done))
        chosen.append((at, name, here))
        left -= here
    return None if left or not some else chosen


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
        self.features = {view.name: view.facts.features for view in self.snapshot.nodes}
        users = Counter(p.node for run in self.snapshot.running for p in run.placements)
        self.licences = dict(self.snapshot.licences)
        for run in self.snapshot.running:
            change(self.licences, run.licences, -1)
        self.taken: dict[str, set[int]] = {}  # CPUs of those that go on now or later
        self._resume()
        for view in sorted(self.snapshot.nodes, key=lambda view: in_order(view.name)):
            name, part = view.name, view.partition
            if not view.gone:
                self.configured.setdefault(part, {})[name] = all_of(view.facts)
            if view.usable:
                self.whole.setdefault(part, {})[name] = all_of(view.facts)
                self.rooms.setdefault(part, {})[name] = free_on(
                    view, self.taken.get(name, set()), users[name]
                )

    def over_limit(self, entry: WaitingView) -> bool:
        """Say whether the user would hold too many CPUs."""
        asked, most = entry.request.tasks * entry.request.cpus, self.snapshot.max_cpus_per_user
        return bool(most) and self.held[entry.user] + asked > most

    def never(self, entry: WaitingView) -> Rule | None:
        """Return why the job would not fit if nothing ran; None if it would."""
        if self.seats(self.whole.get(entry.partition, {}), entry.request) is not None:
            return None
        idle = self.configured.get(entry.partition, {})
        return Rule.NODES if self.seats(idle, entry.request) is not None else Rule.NODE_LEFT

    def seats(self, rooms: Rooms, request: Request) -> Seats | None:
        """Return where the tasks go if this is free."""
        return seats(rooms, request, self.features)

    def lacks_licences(self, entry: WaitingView) -> bool:
        """Say whether somebody holds licences that it needs."""
        asked = entry.request.licences.items()
        return any(count > self.licences.get(name, 0) for name, count in asked)

    def start(self, entry: WaitingView, chosen: Seats) -> None:
        """Take the places now."""
        rooms, request = self.rooms[entry.partition], entry.request
        gives = {name: taken_of(rooms[name], request, tasks) for name, tasks in chosen}
        for name, amounts in gives.items():
            change(rooms[name], amounts, -1)
        change(self.licences, request.licences, -1)
        cpus = sum(amounts.get("cpus", 0) for amounts in gives.values())
        self.held[entry.user] += cpus
        self.ends.append(End(self.now + entry.duration, entry.user, cpus, gives))

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
        self._note_ends(wishes, begins, kept, users)

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
    ) -> None:
        for run in self.snapshot.running:
            if run.alloc in begins:
                continue
            if run.suspended:  # it holds no CPUs, and nobody can tell when it ends
                gives = {place.node: held_by(place, 0) for place in run.placements}
                self.ends.append(End(inf, run.user, 0, gives))
                continue
            gives = {
                place.node: held_by(place, len(set(place.cpus) - kept.get(place.node, set())))
                for place in run.placements
            }
            cpus = sum(len(place.cpus) for place in run.placements)
            self.ends.append(End(max(run.ends_at, self.now), run.user, cpus, gives))
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
            self.ends.append(End(at, users.get(wish.alloc, ""), cpus, gives))


class Pass:
    """EASY and what is close to it: `offer` jobs in order."""

    def __init__(self, machine: Machine, policies: Mapping[str, str]) -> None:
        self.machine = machine
        self.policies = policies  # partition -> policy
        self.heads: dict[str, Head] = {}
        self.starts: list[tuple[int, Seats]] = []

    def offer(self, entry: WaitingView) -> None:
        """Start as many elements as may start; note why the rest waits."""
        for _ in range(entry.elements):
            found = self.look(entry)
            if isinstance(found, Rule):
                self.machine.rules[entry.job] = found
                return
            self._start(entry, found)

    def look(self, entry: WaitingView) -> Seats | Rule:
        """Return where one element starts now, or why it waits."""
        machine, head = self.machine, self.heads.get(entry.partition)
        if machine.over_limit(entry):
            return Rule.LIMIT
        if machine.lacks_licences(entry):
            return Rule.LICENCES
        rooms = machine.rooms.get(entry.partition, {})
        found = machine.seats(rooms, entry.request)
        if found is None:
            if (rule := machine.never(entry)) is not None:
                return rule
            if head is None:
                self.heads[entry.partition] = self._lead(entry)
            return Rule.RESOURCES
        if head is None:
            return found
        if self.policies.get(entry.partition) == "fcfs":
            return Rule.BEHIND
        if not self._late(entry, head):
            return found
        if head.user == entry.user and entry.request.tasks * entry.request.cpus > head.user_left:
            return Rule.BEHIND
        return machine.seats(less_of(rooms, head.beside), entry.request) or Rule.BEHIND

    def _late(self, entry: WaitingView, head: Head) -> bool:
        return entry.duration == inf or self.machine.now + entry.duration > head.shadow

    def _lead(self, entry: WaitingView) -> Head:
        """Walk the planned ends until the job fits; if it never does, nobody can tell when."""
        machine, part, request = self.machine, entry.partition, entry.request
        shadow, then, found = inf, copy_of(machine.whole[part]), None
        for time in sorted({end.at for end in machine.ends if end.at < inf}):
            rooms = machine.after(part, time)
            if (found := machine.seats(rooms, request)) is not None:
                shadow, then = time, rooms
                break
        for name, tasks in found or machine.seats(then, request) or []:
            change(then[name], taken_of(then[name], request, tasks), -1)
        user_left = inf
        if most := machine.snapshot.max_cpus_per_user:
            ended = sum(e.cpus for e in machine.ends if e.user == entry.user and e.at <= shadow)
            user_left = most - machine.held[entry.user] + ended - request.tasks * request.cpus
        return Head(entry.job, entry.user, shadow, then, user_left)

    def _start(self, entry: WaitingView, chosen: Seats) -> None:
        head = self.heads.get(entry.partition)
        if head is not None and self._late(entry, head):
            for name, tasks in chosen:
                change(head.beside[name], taken_of(head.beside[name], entry.request, tasks), -1)
            if head.user == entry.user:
                head.user_left -= entry.request.tasks * entry.request.cpus
        self.machine.start(entry, chosen)
        self.starts.append((entry.job, chosen))


def slow_plan(snapshot: Snapshot, now: float, policies: Mapping[str, str] | None = None) -> Told:
    """Return the plan. policies: of partitions that have another than EASY."""
    machine = Machine(snapshot, now)
    work = Pass(machine, policies or {})
    machine.rules |= {e.job: e.blocked.rule for e in snapshot.waiting if e.blocked is not None}
    queue = in_rank(entry for entry in snapshot.waiting if entry.blocked is None)
    while queue:
        entry = _next(work, queue)
        queue.remove(entry)
        work.offer(entry)
    heads = {part: (head.job, head.shadow) for part, head in work.heads.items()}
    return Told(work.starts, machine.resumes, machine.rules, heads)


def _next(work: Pass, queue: list[WaitingView]) -> WaitingView:
    """Return who is offered next: the first, those that go shortest first only after all others."""
    short = [
        entry
        for entry in queue
        if entry.partition in work.heads and work.policies.get(entry.partition) == "easy-sjbf"
    ]
    if len(short) < len(queue):
        return next(entry for entry in queue if entry not in short)
    return min(short, key=lambda entry: (entry.duration, queue.index(entry)))
