"""What is promised is kept: run on in time, with ends that come early and jobs that come later."""

from copy import deepcopy
from math import inf
from random import Random

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ostler.model.resources import NodeFacts
from ostler.schedule.counted import Rule, Work, replay
from ostler.schedule.engine import Engine
from ostler.schedule.explain import explained
from ostler.schedule.head import Head
from ostler.schedule.policy import parse_policy
from ostler.schedule.rules import PartitionRules, Reservation, Rules
from ostler.schedule.snapshot import Delta, RunningView, Snapshot, Start, whole
from tests.random_life import Life
from tests.random_machines import NOW, random_machine, shut_at_times
from tests.schedule_kit import job, node

SEEDS = settings(
    max_examples=max(50, settings().max_examples // 2), phases=[Phase.explicit, Phase.generate]
)
MANY = settings(SEEDS, max_examples=2 * SEEDS.max_examples)  # they are quick
PASSES = 30
Told = dict[tuple[int, int], float]  # job and its elements left -> promised start


def under(policy: str, delta: Delta, shut: tuple[Reservation, ...] = ()) -> Delta:
    """Return the delta with all partitions under this policy, and with these windows."""
    if delta.rules is not None:
        delta.rules = replace(delta.rules, default=PartitionRules(policy), reservations=shut)
    return delta


def promises(engine: Engine, *, first: bool = True) -> dict[int, float]:
    """Return when jobs should start at the latest.

    first: of those that EASY promises a start, only the first of each partition.
    """
    heads: dict[object, Head] = {}
    for head in (*engine.heads.values(), *engine.beside.values()):
        key = head.view.partition if first else head.job
        one = heads.setdefault(key, head)
        if head.key < one.key:
            heads[key] = head
    found = {head.job: head.shadow for head in heads.values()}
    for book in engine.books.values():
        for number in book.jobs:
            start = book.start_of(number)
            found[number] = inf if start is None else start
    return found


def places(engine: Engine) -> dict[int, object]:
    """Return to whom a start is promised, when and where."""
    heads = (*engine.heads.values(), *engine.beside.values())
    found: dict[int, object] = {head.job: (head.shadow, head.seats) for head in heads}
    for book in engine.books.values():
        found |= {job: (book.count(job), book.next_of(job)) for job in book.jobs}
    return deepcopy(found)  # promises are moved where they are


@pytest.mark.parametrize("policy", ["easy", "easy-sjbf", "conservative"])
@SEEDS
@given(seed=st.integers(0, 1 << 48))
def test_a_promised_start_only_moves_to_an_earlier_time(policy: str, seed: int) -> None:
    life, engine = Life(Random(seed), calm=True), Engine()
    shut = shut_at_times(Random(seed), life.nodes) if policy != "conservative" else ()
    told: Told = {}
    for _ in range(PASSES):
        engine.apply(under(policy, life.delta(), shut))
        plan = engine.plan(life.now)
        assert plan.wake is None or plan.wake > life.now
        left = {number: entry.elements for number, entry in life.waiting.items()}
        for line in plan.lines:
            if isinstance(line, Start):
                assert life.now <= told.get((line.job, left[line.job]), inf)
                left[line.job] -= 1
        for number, start in promises(engine).items():
            assert start <= told.get((number, left[number]), inf)
            told[number, left[number]] = start
        life.carry_out(plan.lines)
        assert not life.overbooked()
        life.go_on(inf if plan.wake is None else plan.wake)


@pytest.mark.parametrize("policy", ["easy", "easy-sjbf", "reserved-2"])
@MANY
@given(seed=st.integers(0, 1 << 48))
def test_no_job_behind_another_delays_it_by_what_limits_and_licences_count(
    policy: str, seed: int
) -> None:
    """What was promised moves later, or is lost, only if a job before it begins or is promised else.

    With the shortest first, who comes after the first takes what a longer one was promised. Which of
    several whole nodes are within a limit is not known for sure, so their jobs are left out.
    """
    life, engine = Life(Random(seed), calm=True, limited=True), Engine()
    told: dict[int, float] = {}
    known: dict[int, object] = {}
    for _ in range(PASSES):
        engine.apply(under(policy, life.delta()))
        ranks = {number: entry.key for number, entry in engine.queue.entries.items()}
        plan = engine.plan(life.now)
        started = {line.job for line in plan.lines if isinstance(line, Start)}
        assert all(life.now <= told.pop(number, inf) for number in started)
        found, every = promises(engine, first=policy == "easy-sjbf"), places(engine)
        moved = {number for number in {*every, *known} if every.get(number) != known.get(number)}
        first = min((ranks[number] for number in moved | started), default=(inf,))
        told = {number: start for number, start in told.items() if ranks[number] <= first}
        assert all(found.get(number, inf) <= start for number, start in told.items())
        requests = {job: entry.view.request for job, entry in engine.queue.entries.items()}
        sure = {n for n, one in requests.items() if not (one.exclusive and one.tasks > 1)}
        told, known = told | {n: start for n, start in found.items() if n in sure}, every
        life.carry_out(plan.lines)
        assert not life.overbooked()
        life.go_on(inf if plan.wake is None else plan.wake)


@pytest.mark.parametrize("policy", ["easy", "easy-sjbf", "fcfs", "reserved-3", "conservative"])
@SEEDS
@given(seed=st.integers(0, 1 << 48))
def test_the_order_in_which_things_are_told_changes_nothing(policy: str, seed: int) -> None:
    random = Random(seed)
    snapshot = random_machine(random)
    other = replace(
        snapshot,
        nodes=random.sample(snapshot.nodes, len(snapshot.nodes)),
        running=random.sample(snapshot.running, len(snapshot.running)),
        waiting=random.sample(snapshot.waiting, len(snapshot.waiting)),
        resuming=random.sample(snapshot.resuming, len(snapshot.resuming)),
    )
    plans, starts = [], []
    for one in (snapshot, other):
        engine = Engine()
        engine.apply(under(policy, whole(one)))
        plans.append(engine.plan(NOW))
        starts.append(promises(engine))
    assert plans[0] == plans[1]
    assert starts[0] == starts[1]


@st.composite
def works(draw: st.DrawFn) -> tuple[Work, int]:
    """Return a small workload and its processors."""
    procs = draw(st.sampled_from([2, 4, 8]))
    count = draw(st.integers(1, 30))
    submit = sorted(draw(st.lists(st.integers(0, 40), min_size=count, max_size=count)))
    estimate = [draw(st.sampled_from([1, 2, 5, 5, 10, 20])) for _ in submit]
    run = [draw(st.integers(1, most)) if draw(st.booleans()) else most for most in estimate]
    size = [draw(st.integers(1, procs)) for _ in submit]
    return Work(submit, run, size, estimate), procs


@pytest.mark.parametrize("policy", ["fcfs", "easy", "easy-sjbf", "reserved-2", "conservative"])
@SEEDS
@given(found=works())
def test_one_node_is_scheduled_as_a_trace_is_replayed(policy: str, found: tuple[Work, int]) -> None:
    work, procs = found
    assert live(work, procs, policy) == replay(work, procs, parse_policy(policy), Rule.BATCH)


def live(work: Work, procs: int, policy: str) -> list[int]:
    """Return the second at which each job starts on one node; all of a second is told at once."""
    engine = Engine()
    empty = replace(node("n1", procs), facts=NodeFacts(tuple(range(procs))))
    rules = Rules(default=PartitionRules(policy))
    engine.apply(replace(whole(Snapshot([empty], [], [], [], {})), rules=rules))
    engine.plan(0.0)
    starts = [-1] * len(work.submit)
    running: dict[int, tuple[int, RunningView]] = {}  # with the second of its end
    arrived, wake = 0, inf
    while -1 in starts or running:
        submitted = work.submit[arrived] if arrived < len(starts) else inf
        now = min(submitted, wake, *(end for end, _ in running.values()))
        over = [number for number, (end, _) in running.items() if end <= now]
        for number in over:
            del running[number]
        new = arrived
        while arrived < len(starts) and work.submit[arrived] <= now:
            arrived += 1
        jobs = range(new, arrived)
        waiting = [job(n, work.size[n], float(work.estimate[n]), at=float(n)) for n in jobs]
        views = [view for _, view in running.values()]
        busy = {cpu for view in views for cpu in view.placements[0].cpus}
        free = tuple(cpu for cpu in range(procs) if cpu not in busy)
        gone = [n for n, start in enumerate(starts) if start >= 0]
        delta = Delta(0, [replace(empty, free_cpus=free)], views, over, waiting, gone)
        engine.apply(delta)
        plan = engine.plan(now)
        wake = inf if plan.wake is None else plan.wake
        for line in plan.lines:
            assert isinstance(line, Start)
            number = line.job
            starts[number] = int(now)
            view = RunningView(
                number, number, None, "ann", line.placements, now + work.estimate[number]
            )
            running[number] = int(now) + work.run[number], view
    return starts


@pytest.mark.parametrize("policy", ["reserved-3", "conservative"])
def test_explanations_foretell_what_is_promised(policy: str) -> None:
    compared = 0
    for seed in range(30):
        engine = Engine()
        engine.apply(under(policy, whole(random_machine(Random(f"explain {policy} {seed}")))))
        before = engine.copy()
        engine.plan(NOW)
        for number, start in promises(engine).items():
            found = explained(before.copy(), NOW, number)
            assert found.expected_start == (None if start == inf else start), f"seed {seed}"
            compared += 1
    assert compared > 20
