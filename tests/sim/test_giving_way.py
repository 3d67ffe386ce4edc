"""Jobs that give way to others, and jobs that take turns, on a whole machine in virtual time."""

from collections import Counter

import pytest

from ostler.model.errors import OstlerError
from ostler.schedule.rules import PartitionRules, Preemption, Rules
from ostler.testing.cluster import ROOT, SimCluster
from ostler.testing.ledger import job_of

POLICIES = pytest.mark.parametrize("policy", ["easy", "conservative"])


def ruled(rules: PartitionRules, *, nodes: int = 1, **attributes: int) -> SimCluster:
    """Return a machine whose partitions have these rules."""
    sim = SimCluster(1, nodes=nodes)
    for key, value in attributes.items():
        sim.configure(key.replace("_", "-"), value)
    sim.core.rules = Rules(rules)
    sim.core.marks.rules = sim.core.changed = True
    return sim


def awake(sim: SimCluster, *jobs: int) -> list[str]:
    """Return the nodes on which tasks of the jobs truly run and do not stand still."""
    runs = [run for found in sim.ledger.active.values() for run in found]
    return sorted(run.node for run in runs if job_of(run.launch) in jobs and not run.frozen)


@POLICIES
def test_two_parallel_jobs_share_all_nodes_in_turns(policy: str) -> None:
    """R-MAU-18: in 60 s of samples never both run, and all nodes turn within 0.5 s."""
    sim = ruled(PartitionRules(policy, time_slice=5.0), nodes=4)
    one, two = (sim.submit(tasks=4, cpus=4, nodes=4, seconds=200) for _ in range(2))
    sim.run_until(lambda: len(awake(sim, one)) == 4)
    sim.run_until(lambda: len(awake(sim, two)) == 4)
    ran: Counter[int] = Counter()
    for _ in range(120):
        sim.run_for(0.5)
        nodes = [awake(sim, one), awake(sim, two)]
        if any(0 < len(found) < 4 for found in nodes):  # between two slices
            sim.run_for(0.5)
            nodes = [awake(sim, one), awake(sim, two)]
        assert sorted(len(found) for found in nodes) == [0, 4]
        ran[one if nodes[0] else two] += 1
    assert 48 <= ran[one] <= 72
    sim.run_until(lambda: sim.states([one, two]) == ["success", "success"])
    sim.settle()


def test_what_alloc_holds_takes_turns_with_a_job_and_its_steps_run_in_its_own() -> None:
    sim = ruled(PartitionRules(time_slice=5.0), nodes=2, client_grace=3_600)  # nobody attends
    held = sim.submit(tasks=2, cpus=4, nodes=2, kind="alloc")
    sim.run_until(lambda: sim.started(held))
    steps = [sim.submit(cpus=4, seconds=50, kind="run", within=held) for _ in range(2)]
    sim.run_until(lambda: len(awake(sim, *steps)) == 2)
    job = sim.submit(tasks=2, cpus=4, nodes=2, seconds=50)
    ran: Counter[str] = Counter()
    for _ in range(80):
        sim.run_for(0.5)
        mine, other = awake(sim, *steps), awake(sim, job)
        if {len(mine), len(other)} != {0, 2}:  # between two slices
            sim.run_for(0.5)
            mine, other = awake(sim, *steps), awake(sim, job)
        assert {len(mine), len(other)} == {0, 2}
        ran["steps" if mine else "job"] += 1
    assert 30 <= ran["steps"] <= 50
    sim.run_until(lambda: sim.states([*steps, job]) == ["success"] * 3)
    sim.act("end", held)
    sim.settle()


@POLICIES
def test_a_job_of_much_more_priority_suspends_one_that_goes_on_by_itself(policy: str) -> None:
    sim = ruled(PartitionRules(policy, preemption=Preemption.SUSPEND, priority_gap=20))
    low = sim.submit(cpus=4, seconds=100, priority=10, time_limit=150)
    sim.run_until(lambda: sim.started(low))
    sim.run_for(10)
    high = sim.submit(cpus=2, seconds=50, priority=50)
    same = sim.submit(cpus=1, seconds=5, priority=10)
    sim.run_until(lambda: sim.started(high))
    assert (sim.state(low), sim.state(same)) == ("suspended", "pending")
    assert "gave way to job 2" in sim.explain(low)["reason"]
    sim.run_until(lambda: sim.state(high) == "success")
    sim.run_until(lambda: bool(awake(sim, low)))
    assert sim.state(same) == "pending"
    sim.run_until(lambda: sim.states([low, same]) == ["success", "success"])
    sim.settle()


def test_what_an_administrator_suspended_its_owner_cannot_resume() -> None:
    sim = ruled(PartitionRules())
    job = sim.submit(cpus=4, seconds=100)
    sim.run_until(lambda: sim.started(job))
    sim.act("suspend", job, by=ROOT)
    with pytest.raises(OstlerError, match="an administrator suspended"):
        sim.act("resume", job)
    sim.act("resume", job, by=ROOT)
    sim.run_until(lambda: sim.state(job) == "success")


def test_a_job_presses_behind_one_whom_nobody_can_help_and_gets_the_room_that_is_made() -> None:
    """The first wants four CPUs, of which one job that gives way to nobody has two."""
    sim = ruled(PartitionRules(preemption=Preemption.REQUEUE, priority_gap=20))
    safe = sim.submit(cpus=2, seconds=100, priority=48, time_limit=150)
    low = sim.submit(cpus=2, seconds=100, priority=10, time_limit=150, requeue=True)
    sim.run_until(lambda: sim.started(safe) and sim.started(low))
    large = sim.submit(cpus=4, seconds=10, priority=50)
    high = sim.submit(cpus=2, seconds=20, priority=49, time_limit=30)
    sim.run_until(lambda: sim.started(high))
    assert sim.states([large, low]) == ["pending", "pending"]
    assert sim.states([safe]) == ["running"]
    sim.run_until(lambda: sim.states([safe, low, large, high]) == ["success"] * 4)
    sim.settle()
