"""An engine's queue is in the order of the moment, however it came to be."""

from collections.abc import Sequence
from math import inf
from random import Random

from msgspec.structs import replace

from ostler.model.states import Rule
from ostler.schedule.engine import Engine
from ostler.schedule.rules import DAY, PartitionRules, Rules, Weights
from ostler.schedule.snapshot import (
    Delta,
    Plan,
    Rank,
    RunningView,
    Snapshot,
    Standing,
    Start,
    WaitingView,
    whole,
)
from tests.outlook import outlook
from tests.schedule_kit import job, machine, node, running

NOW = 1_000_020.0  # a full minute


def started(plan: Plan) -> list[int]:
    return [line.job for line in plan.lines if isinstance(line, Start)]


def fresh(snapshot: Snapshot, now: float) -> Plan:
    engine = Engine()
    engine.apply(whole(snapshot))
    return engine.plan(now)


def ranked(jobs: Sequence[WaitingView], weights: Weights, *standings: Standing) -> Snapshot:
    rules = Rules(weights=weights, partitions={"other": PartitionRules(factor=1.0)})
    return replace(machine([node(cpus=1)], jobs), rules=rules, standings=standings)


def test_the_weights_say_who_starts() -> None:
    jobs = [job(1, at=NOW - 600), job(2, at=NOW, user="bob", priority=51)]
    assert started(fresh(ranked(jobs, Weights()), NOW)) == [2]
    assert started(fresh(ranked(jobs, Weights(age=10_000)), NOW)) == [1]
    assert started(fresh(ranked(jobs, Weights(share=10), Standing("", "bob", 0.2)), NOW)) == [1]


def test_an_engine_that_is_told_of_other_weights_or_standings_orders_anew() -> None:
    jobs = [job(1, at=1.0), job(2, at=2.0, user="bob")]
    engine, shot = Engine(), ranked(jobs, Weights(share=10))
    first = running(9, [0], NOW + 10)
    taken = replace(machine([node(cpus=1)], jobs, runs=[first]), rules=shot.rules)
    engine.apply(whole(taken))
    assert engine.plan(NOW).waits[1].rule is Rule.RESOURCES
    engine.apply(Delta(1, standings=(Standing("", "ann", 0.5),)))
    assert {n: w.rule for n, w in engine.plan(NOW).waits.items()} == {
        1: Rule.QUEUE,
        2: Rule.RESOURCES,
    }
    engine.apply(Delta(2, rules=Rules()))
    assert engine.plan(NOW).waits[1].rule is Rule.RESOURCES


def test_the_size_of_a_job_is_a_part_of_the_machine_as_it_is() -> None:
    busy = [running(9, [0, 1, 2, 3])]
    jobs = [job(1, priority=52), job(2, 4, user="bob")]
    shot = machine([node()], jobs, runs=busy)
    engine = Engine()
    engine.apply(whole(replace(shot, rules=Rules(weights=Weights(size=10)))))
    engine.plan(NOW)
    assert engine.ranking.key(jobs[1]) < engine.ranking.key(jobs[0])
    engine.apply(Delta(1, nodes=[node("n2", cpus=96, usable=False)]))
    engine.plan(NOW)
    assert engine.ranking.key(jobs[0]) < engine.ranking.key(jobs[1])


def test_an_engine_says_when_it_wants_to_look_again_because_of_age() -> None:
    runs = [running(9, [0], NOW + DAY)]
    jobs = [job(1, at=NOW - 3_600), job(2, priority=51, at=NOW)]
    weights = Weights(age=1_000, max_age=DAY)
    shot = replace(machine([node(cpus=1)], jobs, runs=runs), rules=Rules(weights=weights))
    engine = Engine()
    engine.apply(whole(shot))
    assert engine.plan(NOW).waits[1].rule is Rule.RESOURCES
    at = engine.plan(NOW).wake
    assert at == NOW - 3_600 + DAY
    assert engine.plan(at).waits == {}
    later = engine.plan(at).wake
    assert later is not None
    assert engine.plan(later - 1).waits == {}
    assert engine.plan(later).waits[2].rule is Rule.RESOURCES
    assert engine.plan(later).wake is None
    assert fresh(machine([node(cpus=1)], jobs, runs=runs), NOW).wake is None


def test_a_slot_yields_to_who_ranks_before_its_array() -> None:
    rank = Rank(50, NOW - 10, "main", job(1).request, inf)
    slot = replace(running(1, [0], user="ann", element=0), goes_on=rank)
    jobs = [job(2, at=NOW, user="bob")]
    shot = replace(
        machine([node(cpus=1)], jobs, runs=[slot]), standings=(Standing("", "ann", 0.1),)
    )
    assert fresh(shot, NOW).yields == frozenset()
    weighed = replace(shot, rules=Rules(weights=Weights(share=10)))
    assert fresh(weighed, NOW).yields == {1}


def test_a_slot_yields_as_soon_as_another_element_would_delay_the_head() -> None:
    """The head needs all four CPUs from NOW + 100 on; elements of the array take 20 seconds."""
    rank = Rank(50, NOW - 10, "main", job(1).request, 20.0)
    slot = replace(running(7, [3], NOW + 95, element=0), goes_on=rank)
    shot = machine([node()], [job(2, 4, at=NOW - 60)], runs=[running(9, [0, 1], NOW + 100), slot])
    engine = Engine()
    engine.apply(whole(shot))
    plan = engine.plan(NOW)
    assert plan.yields == frozenset()
    assert plan.wake is not None
    assert NOW + 80 < plan.wake < NOW + 81
    assert engine.plan(plan.wake - 1).yields == frozenset()
    assert engine.plan(plan.wake).yields == fresh(shot, plan.wake).yields == {7}
    assert engine.plan(plan.wake + 1).wake is None


def test_explanations_know_the_order() -> None:
    jobs = [job(1, at=1.0), job(2, 2, at=2.0, user="bob")]
    shot = replace(
        ranked(jobs, Weights(share=10), Standing("", "ann", 0.5)),
        nodes=machine([node(cpus=2)], runs=[running(9, [0], NOW + 9)]).nodes,
        running=[running(9, [0], NOW + 9)],
    )
    found = outlook(shot, NOW)
    assert {number: wait.rule for number, wait in found.items()} == {
        1: Rule.BEHIND,
        2: Rule.RESOURCES,
    }


def any_job(chance: Random, number: int, now: float) -> WaitingView:
    found = job(
        number,
        limit=chance.choice([60.0, 600.0]),
        priority=chance.choice([50, 50, 51, 60]),
        at=now - chance.choice([0.0, 0.0, 7.5, 600.0, DAY]),
        user=chance.choice(["ann", "bob"]),
        head=chance.random() < 0.1,
    )
    return replace(found, boost=chance.choice([0, 0, 0, 1]))


def test_deltas_lead_to_the_order_that_a_fresh_engine_finds() -> None:
    chance = Random(1)
    starts = 0
    for _ in range(60):
        now, number = NOW, 0
        engine = Engine()
        engine.apply(Delta(nodes=[node(cpus=1)], reset=True))
        waiting: dict[int, WaitingView] = {}
        runs: list[RunningView] = []
        rules, standings = Rules(), tuple[Standing, ...]()
        for _ in range(25):
            now += chance.choice([1.0, 59.0, 60.0, 600.0, DAY / 4])
            delta = Delta(rules=rules, standings=standings)
            if chance.random() < 0.15:
                weights = Weights(age=chance.choice([0, 10, 500]), share=chance.choice([0, 5]))
                rules = delta.rules = Rules(weights=replace(weights, max_age=DAY // 2))
            if chance.random() < 0.15:
                standings = delta.standings = (Standing("", "ann", chance.random()),)
            for _ in range(chance.randint(0, 3)):
                number += 1
                waiting[number] = any_job(chance, number, now)
                delta.waiting.append(waiting[number])
            if runs and chance.random() < 0.5:
                delta.over = [runs.pop().alloc]
            shot = machine([node(cpus=1)], list(waiting.values()), runs=runs)
            delta.nodes, delta.running = shot.nodes, list(runs)
            engine.apply(delta)
            found = engine.plan(now)
            expected = fresh(replace(shot, rules=rules, standings=standings), now)
            assert started(found) == started(expected)
            if runs:  # until then nothing is different
                until = min(found.wake or inf, now + DAY / 8)
                still = fresh(
                    replace(shot, rules=rules, standings=standings), chance.uniform(now, until - 1)
                )
                assert still.waits == expected.waits
            for one in started(found):
                starts += 1
                del waiting[one]
                runs = [running(1_000 + one, [0], now + DAY)]
                told = machine([node(cpus=1)], runs=runs)
                engine.apply(Delta(nodes=told.nodes, running=runs, gone=[one]))
    assert starts > 200


def test_what_a_plan_has_started_does_not_wait_again_in_another_order() -> None:
    engine = Engine()
    engine.apply(whole(machine([node(cpus=2)], [job(1, elements=3)])))
    assert started(engine.plan(NOW)) == [1, 1]
    assert engine.queue.entries[1].left == 1
    engine.picture.ranks_changed = True
    assert started(engine.plan(NOW)) == []
    assert engine.queue.entries[1].left == 1
