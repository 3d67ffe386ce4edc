"""`explain` names the right rule, with its numbers, for each kind of waiting."""

import random
from typing import Any

import pytest

from ostler.testing.cluster import ANN, BOB, SimCluster


@pytest.fixture
def sim() -> SimCluster:
    return SimCluster(7, nodes=2, cpus=4, memory=8 << 30)


def told(sim: SimCluster, job: object, rule: str, *parts: str) -> dict[str, Any]:
    """Check the rule, and that the sentence has each part; return the whole document."""
    answer = sim.explain(job)
    assert answer["rule"] == rule, answer
    for part in parts:
        assert part in answer["reason"], answer["reason"]
    return answer


def test_a_dependency_names_the_job_it_waits_for(sim: SimCluster) -> None:
    first = sim.submit(seconds=60)
    second = sim.submit(after=(first,))
    assert told(sim, second, "dependency", str(first))["blockers"] == [str(first)]


def test_a_hold_names_who_holds(sim: SimCluster) -> None:
    job = sim.submit(hold=True)
    assert f"ostler release {job}" in told(sim, job, "hold", "ann")["to_start_now"]


def test_a_time_not_yet_come_is_the_expected_start(sim: SimCluster) -> None:
    at = sim.now + 3600
    job = sim.submit(not_before=at)
    assert told(sim, job, "not_before")["expected_start"] == at
    sim.run_until(lambda: sim.state(job) == "success")
    assert sim.now >= at


def test_busy_cpus_are_counted_and_a_start_is_foreseen(sim: SimCluster) -> None:
    busy = [sim.submit(cpus=4, seconds=60, time_limit=100) for _ in range(2)]
    job = sim.submit(cpus=3)
    answer = told(sim, job, "resources", "3 CPUs", "the most free: 0")
    assert answer["numbers"]["asked_cpus"] == 3
    assert set(answer["blockers"]) <= {str(number) for number in busy}
    assert 0 < answer["expected_start"] - sim.now <= 100


def test_busy_memory_is_counted_in_bytes(sim: SimCluster) -> None:
    for _ in range(2):
        sim.submit(memory=6 << 30, seconds=60)
    job = sim.submit(memory=3 << 30)
    answer = told(sim, job, "resources", "3G of memory")
    assert answer["numbers"]["short"] == "memory"
    assert answer["numbers"]["most_memory"] == 2 << 30


def test_a_limit_is_told_with_what_is_held_and_asked(sim: SimCluster) -> None:
    sim.configure("max-cpus-per-user", 5)
    sim.submit(cpus=3, seconds=60)
    job = sim.submit(cpus=4)
    answer = told(sim, job, "limit", "ann holds 3 CPUs", "asks for 4", "may hold 5")
    assert answer["numbers"] == {**answer["numbers"], "held": 3, "asked": 4, "limit": 5}
    assert sim.state(sim.submit(cpus=4, by=BOB)) in ("pending", "starting", "running")


def test_a_drained_node_is_named_with_its_reason(sim: SimCluster) -> None:
    sim.drain("n01", "n02", reason="new disk")
    job = sim.submit()
    told(sim, job, "nodes", "n01", "new disk")
    sim.undrain("n01")
    sim.run_until(lambda: sim.state(job) == "success")


def test_who_would_delay_another_is_behind_it(sim: SimCluster) -> None:
    sim.submit(cpus=4, seconds=60, time_limit=100)
    first = sim.submit(cpus=4, nodes=2, tasks=2)
    second = sim.submit(cpus=2)  # would fit on the free node, for nobody knows how long
    told(sim, first, "resources")
    assert told(sim, second, "behind", str(first))["ahead"] == [str(first)]
    brief = sim.submit(cpus=2, seconds=10, time_limit=20)
    sim.run_until(lambda: sim.state(brief) == "success")
    assert sim.state(second) == "pending"


def test_an_array_s_cap_is_told_with_the_elements_that_run(sim: SimCluster) -> None:
    job = sim.submit(array=((0, 9),), array_cap=2, seconds=30)
    sim.run_until(lambda: len(sim.runs(job)) == 2)
    answer = told(sim, job, "array_cap", "2")
    assert answer["numbers"] == {**answer["numbers"], "cap": 2, "live": 2}
    sim.run_until(lambda: sim.state(job) == "success")
    assert len(sim.ledger.runs) == 10


def test_a_node_that_left_is_named_to_a_job_that_only_it_could_hold() -> None:
    sim = SimCluster(8, nodes=2, cpus=4)
    job = sim.submit(nodes=2, tasks=2, cpus=4, hold=True)
    sim.leave("n02")
    sim.act("release", job)
    told(sim, job, "node_left", "need 8 CPUs", "have 4", "n02")
    with pytest.raises(Exception, match="asks for 2 nodes"):
        sim.submit(nodes=2, tasks=2)
    sim.boot("n02")
    sim.undrain("n02")
    sim.run_until(lambda: sim.state(job) == "success")


def test_a_failed_start_is_told_with_what_failed_until_it_is_tried_again(sim: SimCluster) -> None:
    for host in sim.hosts.values():
        host.fail_contexts = 2
    job = sim.submit(nodes=2, tasks=2)
    sim.run_until(lambda: len(sim.events("context/failed")) == 2)
    sim.run_until(lambda: sim.state(job) == "pending")
    assert "no room for its spool" in told(sim, job, "retry")["last"]
    sim.run_until(lambda: sim.state(job) == "success")


def test_who_was_told_to_go_on_waits_for_its_own_cpus(sim: SimCluster) -> None:
    job = sim.submit(cpus=4, nodes=2, tasks=2, seconds=60)
    sim.run_until(lambda: sim.started(job) and len(sim.runs(job)) == 2 and sim.quiet())
    sim.act("suspend", job, by=ANN)
    other = sim.submit(cpus=4, seconds=100)
    sim.run_until(lambda: sim.runs(other) != [])
    sim.act("resume", job)
    assert told(sim, job, "resources", "its own CPUs")["blockers"] == [str(other)]
    sim.run_until(lambda: sim.state(job) == "success")


def test_of_jobs_that_ask_for_the_same_the_first_is_named(sim: SimCluster) -> None:
    for _ in range(2):
        sim.submit(cpus=4, seconds=60, time_limit=100)
    first = sim.submit(cpus=3, time_limit=50)
    second = sim.submit(cpus=3, time_limit=50)
    sim.run_for(1)
    answer = told(sim, second, "queue", f"job {first} asks for the same", "3 CPUs")
    assert answer["numbers"]["first"] == first
    assert sim.core.jobs[second].job.rule in ("queue", "resources")


def test_what_explain_says_would_let_a_job_start_does(sim: SimCluster) -> None:
    busy = [sim.submit(cpus=cpus, seconds=500, time_limit=600) for cpus in (4, 3)]
    wide = sim.submit(cpus=4, nodes=2, tasks=2, time_limit=600)
    small = sim.submit(cpus=1, time_limit=3000)
    sim.run_for(1)
    begun, offered = sim.now, sim.explain(small)["to_start_now"]
    assert offered.startswith("a time limit of at most 9m would let it backfill")
    sim.modify(small, time_limit=540)
    sim.run_until(lambda: sim.started(small))
    assert not sim.started(wide)
    sim.run_until(lambda: sim.state(small) == "success")
    assert f"end jobs {busy[0]} and {busy[1]}" in sim.explain(wide)["to_start_now"]
    for job in busy:
        sim.act("cancel", job)
    sim.run_until(lambda: sim.started(wide))
    assert sim.now - begun < 100


def test_a_start_that_is_foretold_comes_no_later(sim: SimCluster) -> None:
    for seconds in (300, 200):
        sim.submit(cpus=4, seconds=seconds, time_limit=seconds)
    jobs = [sim.submit(cpus=cpus, seconds=90, time_limit=100) for cpus in (3, 4, 2, 3, 4)]
    sim.run_for(1)
    foretold = {job: sim.explain(job)["expected_start"] for job in jobs}
    sim.run_until(lambda: all(sim.state(job) == "success" for job in jobs))
    for job in jobs:
        assert sim.core.recent[job].job.started_at <= foretold[job] + 5


def test_what_conservative_has_promised_is_what_is_told_also_to_who_comes_with_more_priority() -> (
    None
):
    """Job 3 is before job 2 in the queue, and behind what was promised to it already."""
    sim = SimCluster(7, nodes=1, cpus=4)
    sim.configure("scheduler-policy", "conservative")
    first, second, third = (
        sim.submit(cpus=cpus, seconds=600, time_limit=60, priority=priority)
        for cpus, priority in ((4, 50), (4, 40), (2, 50))
    )
    starts = [sim.explain(job)["expected_start"] - sim.now for job in (second, third)]
    assert starts == [pytest.approx(60, abs=2), pytest.approx(120, abs=2)]
    why = f"; job {second} is behind it in the queue and was promised an earlier start there"
    assert sim.explain(third)["reason"].endswith(why)
    assert "promised" not in sim.explain(second)["reason"]
    sim.run_until(lambda: sim.state(second) == "running")
    assert (sim.state(first), sim.state(third)) == ("timeout", "pending")
    sim.run_until(lambda: sim.state(third) == "running")
    assert sim.state(second) == "timeout"


def test_who_runs_reads_times_as_everywhere_else(sim: SimCluster) -> None:
    job = sim.submit(seconds=9000, time_limit=7200)
    sim.run_until(lambda: sim.state(job) == "running")
    sim.run_for(3600)
    reason = sim.explain(job)["reason"]
    assert "begun 1h ago" in reason
    assert reason.split("; ")[1].startswith("its time limit ends it in 59m 5")


@pytest.mark.parametrize("seed", range(12))
def test_where_all_end_at_their_limits_conservative_starts_everybody_when_it_was_told(
    seed: int,
) -> None:
    """But for the moments by which work begins and ends late, which must not add up."""
    rng = random.Random(seed)
    sim = SimCluster(seed, nodes=3, cpus=4)
    sim.configure("scheduler-policy", "conservative")
    sim.configure("licences", "tool:2")
    jobs = []
    for _ in range(14):
        asks: dict[str, Any] = rng.choice(
            [{"exclusive": True}, {"tasks": rng.randint(2, 8)}, {"cpus": rng.randint(1, 4)}]
        )
        if rng.random() < 0.3:
            asks["licences"] = {"tool": rng.randint(1, 2)}
        limit, priority = rng.choice([20, 30, 50, 80]), rng.choice([10, 40, 50])
        jobs.append(sim.submit(seconds=600, time_limit=limit, priority=priority, **asks))
        sim.run_for(0.3)
    waiting = [job for job in jobs if sim.state(job) == "pending"]
    told = {job: sim.explain(job)["expected_start"] for job in waiting}
    sim.run_until(lambda: set(sim.states(jobs)) == {"timeout"})
    real = {job: sim.core.recent[job].job.started_at for job in waiting}
    assert real == {job: pytest.approx(at, abs=5) for job, at in told.items()}
