"""Random small machines on which things are tight: ties, exact fits, ends in the same second."""

from collections.abc import Callable, Iterable, Iterator
from math import inf
from random import Random

from msgspec.structs import replace

from ostler.model.resources import NodeFacts, Placement, Request
from ostler.model.states import Rule
from ostler.schedule.rules import Holder, Limit, Reservation, Rules
from ostler.schedule.snapshot import (
    NodeView,
    ResumeView,
    RunningView,
    Snapshot,
    Wait,
    WaitingView,
)
from tests.schedule_kit import machine, node, resume
from tests.slow_seats import all_of, seats

NOW = 100.0
PROJECTS = ["blue", "red"]
CONSTRAINTS = ["old", "!old", "fast|old", "fast*1&old*1", "fast&old*2"]
LIMITS = [  # of each holder and partition one at most
    Limit(Holder.USER, running=2, cpus=6),
    Limit(Holder.USER, "ann", running=3),
    Limit(Holder.USER, "bob", cpus=8, cpu_minutes=1),
    Limit(Holder.USER, partition="main", running=1),
    Limit(Holder.PROJECT, running=2),
    Limit(Holder.PROJECT, "blue", cpus=6),
    Limit(Holder.PARTITION, partition="main", cpus=9, running=5),
]
DURATIONS = (1.0, 2.0, 3.0, 5.0, 5.0, 8.0, 13.0)


def random_machine(random: Random, nodes: int = 6, waiting: int = 12) -> Snapshot:
    """Return a machine of up to so many nodes and waiting jobs, at the second `NOW`."""
    views = list(_nodes(random, random.randint(1, nodes)))
    endless = random.random() < 0.3  # some have no time limit
    runs, resuming = _running(random, views, endless=endless)
    shapes = [_possible(random, views) for _ in range(random.randint(1, 4))]
    queue = [
        _waiting(random, number, random.choice(shapes), endless=endless)
        for number in range(1, random.randint(1, waiting) + 1)
    ]
    ever = random.choice([(), (), (NodeFacts(tuple(range(9)), 99),)])
    limit = random.choice([0, 0, 0, 0, 0, 0, 6, 12])
    found = machine(views, queue, runs=runs, resuming=resuming, limit=limit, known_ever=ever)
    found = replace(found, licences={"solver": random.choice([1, 2, 3])})
    return replace(found, rules=Rules(limits=random_limits(random)))


def random_limits(random: Random) -> tuple[Limit, ...]:
    """Return limits: none at all on most machines."""
    minutes = random.choice([0, 0, 0, 0, 1, 2])  # for each user
    found = [Limit(Holder.USER, cpu_minutes=minutes)] if minutes else []
    if random.random() < 0.25:
        found = random.sample(LIMITS, random.choice([1, 1, 2, 3]))
    return tuple(found)


def _nodes(random: Random, count: int) -> Iterator[NodeView]:
    alike = random.random() < 0.4
    size = random.choice([1, 2, 3, 4, 4, 6, 8])
    for at in range(count):
        usable = random.random() < 0.93
        view = node(
            f"n{at + 8}",  # n8, n9, n10: their order is not that of their letters
            size if alike else random.choice([1, 2, 3, 4, 4, 6, 8]),
            4 if alike else random.choice([2, 4, 6]),
            0 if alike else random.choice([0, 0, 1, 2]),
            generic={} if alike else random.choice([{}, {}, {"lic": 2}]),
            partition="other" if random.random() < 0.15 else "main",
            usable=usable,
            gone=not usable and random.random() < 0.3,
            why="" if usable else "draining: disk",
        )
        features: tuple[str, ...] = random.choice([(), (), ("old",), ("fast",), ("fast", "old")])
        yield replace(view, facts=replace(view.facts, features=features))


def _running(
    random: Random, nodes: list[NodeView], *, endless: bool
) -> tuple[list[RunningView], list[ResumeView]]:
    """Fill the nodes. Some run on several, some are overdue, and some are suspended."""
    free = {v.name: (set(v.free_cpus), v.free_memory, set(v.free_gpus)) for v in nodes}
    runs: list[RunningView] = []
    resuming: list[ResumeView] = []
    pauses = random.random() < 0.25
    for number in range(100, 100 + random.randint(len(nodes) // 2, 3 * len(nodes))):
        suspended = pauses and random.random() < 0.3
        places = []
        for view in random.sample(nodes, min(len(nodes), random.choice([1, 1, 1, 2, 3]))):
            cpus, memory, gpus = free[view.name]
            pool = sorted(view.facts.cpus if suspended else cpus)
            count = random.choice([1, 1, 2, 3, len(pool)])
            mine = tuple(random.sample(pool, min(count, len(pool))))
            if not mine:
                continue
            size = random.randint(0, min(2, memory))
            cards = tuple(sorted(gpus)[: random.choice([0, 0, 1])])
            free[view.name] = (
                cpus if suspended else cpus - set(mine),
                memory - size,
                gpus - {*cards},
            )
            places.append(Placement(view.name, 1, 0, tuple(sorted(mine)), size, cards))
        if places:
            ends = inf if endless and random.random() < 0.3 else NOW + random.choice(DURATIONS)
            if random.random() < 0.05:
                ends = NOW - random.choice([0.0, 1.0])
            user = random.choice(["ann", "bob"])
            run = RunningView(
                number,
                number,
                None,
                user,
                tuple(places),
                ends,
                suspended,
                licences=random.choice([{}, {}, {}, {}, {}, {}, {}, {"solver": 1}]),
                project=random.choice(PROJECTS),
                partition=next(v.partition for v in nodes if v.name == places[0].node),
            )
            runs.append(run)
            if suspended and random.random() < 0.6:
                resuming.append(
                    resume(run, random.choice([*DURATIONS, inf] if endless else DURATIONS))
                )
    return runs, resuming


def _possible(random: Random, nodes: list[NodeView]) -> Request:
    """Return a request; nearly always one that the nodes could hold."""
    rooms = {view.name: all_of(view.facts) for view in nodes if view.partition == "main"}
    features = {view.name: view.facts.features for view in nodes}
    request, tries = _request(random, len(nodes)), random.choice([0, 20, 20, 20, 20, 20])
    while tries and seats(rooms, request, features) is None:
        request, tries = _request(random, len(nodes)), tries - 1
    return request


def _request(random: Random, nodes: int) -> Request:
    names = [(), (), (), (), (), (), (), ("n8",), ("n9", "n10")]
    return Request(
        random.choice([1, 1, 1, 1, 2, 3, 5]),
        random.choice([1, 1, 1, 1, 2, 2, 3, 4, 6]),
        random.choice([0, 0, 0, 1, 2]),
        random.choice([0, 0, 0, 0, 0, 1]),
        random.choice([{}, {}, {}, {}, {}, {"lic": 1}]),
        random.choice([0, 0, 0, 0, 1, 2, min(3, nodes)]),
        random.choice(names),
        random.choice(names),
        random.choice([0, 0, 0, 0, 1, 2]),
        "" if random.random() < 0.6 else random.choice(CONSTRAINTS),
        exclusive=random.random() < 0.1,
        spread=random.random() < 0.1,
        licences=random.choice([{}, {}, {}, {}, {}, {"solver": 1}, {"solver": 2}]),
    )


def _waiting(random: Random, number: int, request: Request, *, endless: bool) -> WaitingView:
    return WaitingView(
        number,
        random.choice([1, 1, 1, 1, 2, 4]),
        request,
        "other" if random.random() < 0.15 else "main",
        random.choice(["ann", "bob"]),
        random.choice([50, 50, 50, 40]),
        random.choice([1.0, 2.0, 3.0]),
        inf if endless and random.random() < 0.3 else random.choice(DURATIONS),
        Wait(Rule.HOLD) if random.random() < 0.05 else None,
        head=random.random() < 0.1,
        project=random.choice(PROJECTS),
    )


def shut_at_times(random: Random, nodes: Iterable[str]) -> tuple[Reservation, ...]:
    """Return windows in which some of the nodes are shut to everybody; now and then none at all."""
    if random.random() < 0.3:
        return ()
    found: list[Reservation] = []
    for name in nodes:
        begin = NOW + random.choice([-2.0, 1.0, 4.0, 9.0, 15.0])
        for length in random.choice([(), (3.0,), (6.0,), (2.0, 5.0)]):
            found.append(Reservation(f"w{len(found)}", (name,), begin, length))
    return tuple(found)


def shrunk(snapshot: Snapshot, fails: Callable[[Snapshot], bool]) -> Snapshot:
    """Return a smaller machine that still fails, by leaving out one thing after the other."""
    going = True
    while going:
        going = False
        for smaller in _smaller(snapshot):
            if fails(smaller):
                snapshot, going = smaller, True
                break
    return snapshot


def _smaller(snapshot: Snapshot) -> Iterator[Snapshot]:
    for at in range(len(snapshot.waiting)):
        yield replace(snapshot, waiting=snapshot.waiting[:at] + snapshot.waiting[at + 1 :])
    for run in snapshot.running:
        rest = [other for other in snapshot.running if other is not run]
        wishes = [wish for wish in snapshot.resuming if wish.alloc != run.alloc]
        yield _again(replace(snapshot, running=rest, resuming=wishes))
    used = {place.node for run in snapshot.running for place in run.placements}
    for view in snapshot.nodes:
        if view.name not in used:
            yield replace(snapshot, nodes=[other for other in snapshot.nodes if other is not view])
    for at, entry in enumerate(snapshot.waiting):
        simpler = [
            replace(entry, elements=1),
            replace(entry, head=False),
            replace(entry, priority=50),
            *(
                replace(entry, request=replace(entry.request, **{name: value}))
                for name, value in _DEFAULTS.items()
            ),
        ]
        for other in simpler:
            if other != entry:
                yield replace(
                    snapshot, waiting=[*snapshot.waiting[:at], other, *snapshot.waiting[at + 1 :]]
                )
    if snapshot.max_cpus_per_user:
        yield replace(snapshot, max_cpus_per_user=0)
    if snapshot.rules.limits:
        yield replace(snapshot, rules=Rules())
    if snapshot.known_ever:
        yield replace(snapshot, known_ever=())


_DEFAULTS = {
    "tasks": 1,
    "memory": 0,
    "gpus": 0,
    "generic": {},
    "nodes": 0,
    "nodelist": (),
    "exclude": (),
    "tasks_per_node": 0,
    "constraint": "",
    "exclusive": False,
    "spread": False,
    "licences": {},
}


def idle_again(views: list[NodeView]) -> list[NodeView]:
    """Return the nodes as if nothing ran."""
    return [
        replace(
            view,
            free_cpus=view.facts.cpus,
            free_memory=view.facts.memory,
            free_gpus=view.facts.gpus,
            free_generic=dict(view.facts.generic),
        )
        for view in views
    ]


def _again(snapshot: Snapshot) -> Snapshot:
    """Return the machine with what is free worked out anew from what runs."""
    found = machine(
        idle_again(snapshot.nodes),
        snapshot.waiting,
        runs=snapshot.running,
        resuming=snapshot.resuming,
        limit=snapshot.max_cpus_per_user,
        known_ever=snapshot.known_ever,
    )
    return replace(found, licences=snapshot.licences, rules=snapshot.rules)
