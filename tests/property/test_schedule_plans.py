"""What holds of every plan of every machine."""

from collections import Counter
from math import inf
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ostler.model.resources import NodeFacts, Placement, Request
from ostler.model.states import Rule
from ostler.schedule.engine import plan
from ostler.schedule.explain import explain
from ostler.schedule.snapshot import (
    NodeView,
    Resume,
    ResumeView,
    RunningView,
    Snapshot,
    Start,
    Wait,
    WaitingView,
)
from tests.outlook import outlook
from tests.schedule_kit import machine, node, resume

USERS = st.sampled_from(["ann", "bob"])
TIMES = st.sampled_from([1.0, 5.0, 10.0, 30.0, inf])


@st.composite
def machines(draw: st.DrawFn) -> Snapshot:
    """Return any machine of up to four small nodes in two partitions."""
    nodes = []
    for at in range(draw(st.integers(2, 4))):
        usable = draw(st.integers(0, 7)) < 7
        nodes.append(
            node(
                f"n{at}",
                draw(st.integers(2, 8)),
                draw(st.integers(4, 12)),
                draw(st.sampled_from([2, 1, 0])),
                generic=draw(st.sampled_from([{"lic": 2}, {}])),
                partition=draw(st.sampled_from(["main", "main", "main", "main", "other"])),
                usable=usable,
                gone=not usable and draw(st.booleans()),
                why="" if usable else "draining: disk",
            )
        )
    runs, resuming = draw(_running(nodes))
    waiting = [draw(waits(number)) for number in range(1, draw(st.integers(1, 8)) + 1)]
    limit = draw(st.sampled_from([0, 0, 0, 9, 4]))
    ever = draw(st.sampled_from([(), (NodeFacts(tuple(range(9)), 99),)]))
    return machine(nodes, waiting, runs=runs, resuming=resuming, limit=limit, known_ever=ever)


@st.composite
def _running(draw: st.DrawFn, nodes: list[NodeView]) -> tuple[list[RunningView], list[ResumeView]]:
    runs: list[RunningView] = []
    resuming = []
    free = {
        view.name: (set(view.free_cpus), view.free_memory, set(view.free_gpus)) for view in nodes
    }
    for number in range(100, 100 + draw(st.integers(0, 5))):
        view = draw(st.sampled_from(nodes))
        cpus, memory, gpus = free[view.name]
        suspended = draw(st.integers(0, 3)) == 0
        pool = sorted(view.facts.cpus if suspended else cpus)
        mine = tuple(pool[: draw(st.integers(0, len(pool)))])
        size = draw(st.integers(0, memory))
        cards = tuple(sorted(gpus)[: draw(st.integers(0, len(gpus)))])
        place = Placement(view.name, 1, 0, mine, size, cards)
        run = RunningView(number, number, None, draw(USERS), (place,), draw(TIMES), suspended)
        runs.append(run)
        left = cpus if suspended else cpus - set(mine)
        free[view.name] = (left, memory - size, gpus - set(cards))
        if suspended and draw(st.booleans()):
            resuming.append(resume(run, draw(TIMES)))
    return runs, resuming


@st.composite
def waits(draw: st.DrawFn, number: int) -> WaitingView:
    """Return any waiting job."""
    names = st.sampled_from([(), (), (), (), (), (), ("n0",), ("n1", "n2")])
    request = Request(
        draw(st.sampled_from([1, 1, 1, 2, 3])),
        draw(st.sampled_from([1, 1, 2, 3])),
        draw(st.sampled_from([0, 1, 3])),
        draw(st.sampled_from([0, 0, 1])),
        draw(st.sampled_from([{}, {}, {"lic": 1}])),
        draw(st.sampled_from([0, 0, 0, 0, 1, 2])),
        draw(names),
        draw(names),
    )
    blocked = draw(st.sampled_from([None] * 7 + [Wait(Rule.HOLD)]))
    return WaitingView(
        number,
        draw(st.integers(1, 3)),
        request,
        draw(st.sampled_from(["main"] * 5 + ["other"])),
        draw(USERS),
        draw(st.sampled_from([40, 50])),
        draw(st.sampled_from([1.0, 2.0])),
        draw(TIMES),
        blocked,
        head=draw(st.booleans()),
    )


class Ledger:
    """What is free, kept by plain sets and counts."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.nodes = {view.name: view for view in snapshot.nodes}
        self.cpus = {view.name: set(view.free_cpus) for view in snapshot.nodes}
        self.gpus = {view.name: set(view.free_gpus) for view in snapshot.nodes}
        self.memory = {view.name: view.free_memory for view in snapshot.nodes}
        self.generic = {view.name: Counter(view.free_generic) for view in snapshot.nodes}

    def take(self, place: Placement, *, cpus_only: bool = False) -> None:
        """Take it; fail if it is not there."""
        name = place.node
        assert len(set(place.cpus)) == len(place.cpus)
        assert set(place.cpus) <= self.cpus[name]
        self.cpus[name] -= set(place.cpus)
        if cpus_only:
            return
        assert set(place.gpus) <= self.gpus[name]
        self.gpus[name] -= set(place.gpus)
        if place.memory:
            assert place.memory <= self.memory[name]
        self.memory[name] -= place.memory
        for kind, count in place.generic.items():
            assert count <= self.generic[name][kind]
            self.generic[name][kind] -= count


def check_request(entry: WaitingView, places: tuple[Placement, ...], ledger: Ledger) -> None:
    """Fail unless the places are exactly what the job asked for."""
    request = entry.request
    names = [place.node for place in places]
    assert len(set(names)) == len(names)
    assert not request.nodes or len(names) == request.nodes
    assert not request.nodelist or set(names) <= set(request.nodelist)
    assert not set(names) & set(request.exclude)
    assert sum(place.tasks for place in places) == request.tasks
    rank = 0
    for place in places:
        view = ledger.nodes[place.node]
        assert view.usable
        assert view.partition == entry.partition
        assert place.tasks >= 1
        assert place.first_rank == rank
        rank += place.tasks
        assert len(place.cpus) == place.tasks * request.cpus
        assert place.memory == place.tasks * request.memory
        assert len(place.gpus) == place.tasks * request.gpus
        assert place.generic == {k: n * place.tasks for k, n in request.generic.items()}


@given(machines())
def test_a_plan_takes_only_what_is_free_and_gives_exactly_what_was_asked(
    snapshot: Snapshot,
) -> None:
    ledger, held = Ledger(snapshot), Counter(snapshot.user_cpus)
    entries = {entry.job: entry for entry in snapshot.waiting}
    wishes = {view.alloc: view for view in snapshot.resuming}
    users = {view.alloc: view.user for view in snapshot.running}
    given_away: set[tuple[str, int]] = set()
    for line in plan(snapshot, 0.0).lines:
        if isinstance(line, Resume):
            wish = wishes.pop(line.alloc)
            for place in wish.placements:
                ledger.take(place, cpus_only=True)
            user, cpus = users[line.alloc], sum(len(p.cpus) for p in wish.placements)
        else:
            assert isinstance(line, Start)
            entry = entries[line.job]
            assert entry.blocked is None
            check_request(entry, line.placements, ledger)
            for place in line.placements:
                ledger.take(place)
                given_away |= {(place.node, cpu) for cpu in place.cpus}
            user, cpus = entry.user, entry.request.tasks * entry.request.cpus
        held[user] += cpus
        if snapshot.max_cpus_per_user and cpus:
            assert held[user] <= snapshot.max_cpus_per_user
    withheld = {
        (p.node, cpu) for wish in wishes.values() for p in wish.placements for cpu in p.cpus
    }
    assert not withheld & given_away


@given(machines())
def test_whatever_does_not_start_has_a_reason(snapshot: Snapshot) -> None:
    found = plan(snapshot, 0.0)
    starts = Counter(line.job for line in found.lines if isinstance(line, Start))
    for entry in snapshot.waiting:
        assert starts[entry.job] <= entry.elements
        assert (entry.job in found.waits) == (starts[entry.job] < entry.elements)
        if entry.blocked is not None:
            assert found.waits[entry.job] == entry.blocked
    resumed = {line.alloc for line in found.lines if isinstance(line, Resume)}
    for view in snapshot.resuming:
        assert (view.job in found.waits) == (view.alloc not in resumed)


@given(machines())
def test_every_explanation_agrees_with_the_plan(snapshot: Snapshot) -> None:
    found, looks = plan(snapshot, 0.0), outlook(snapshot, 0.0)
    assert found.waits.keys() == looks.keys()
    for number, wait in found.waits.items():
        answer = explain(snapshot, 0.0, number)
        if answer.rule is Rule.QUEUE:
            assert int(answer.numbers["first"]) in found.waits
        else:
            assert answer.rule is wait.rule
            if not found.lines:  # else those behind it have taken something, too
                assert answer.numbers.items() >= looks[number].numbers.items()
        assert answer.reason
        assert answer.expected_start == looks[number].expected_start


@given(machines(), st.randoms(use_true_random=False))
def test_equal_machines_give_equal_plans_whatever_the_order_of_their_lists(
    snapshot: Snapshot, random: Random
) -> None:
    other = replace(
        snapshot,
        nodes=random.sample(snapshot.nodes, len(snapshot.nodes)),
        running=random.sample(snapshot.running, len(snapshot.running)),
        waiting=random.sample(snapshot.waiting, len(snapshot.waiting)),
        resuming=random.sample(snapshot.resuming, len(snapshot.resuming)),
    )
    assert plan(other, 0.0) == plan(snapshot, 0.0)
    for number in plan(snapshot, 0.0).waits:
        assert explain(other, 0.0, number) == explain(snapshot, 0.0, number)
