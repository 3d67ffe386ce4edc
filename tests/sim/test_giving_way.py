"""Jobs that give way to others, and jobs that take turns, on a whole machine in virtual time."""

from collections import Counter

import pytest

from ostler.model.errors import OstlerError
from ostler.schedule.rules import PartitionRules, Preemption, Rules
from ostler.testing.cluster import ROOT, SimCluster


def ruled(rules: PartitionRules, *, nodes: int = 1) -> SimCluster:
    """Return a machine whose partitions have these rules."""
    sim = SimCluster(1, nodes=nodes)
    sim.core.rules = Rules(rules)
    sim.core.marks.rules = sim.core.changed = True
    return sim


def awake(sim: SimCluster, job: int) -> list[str]:
    """Return the nodes on which tasks of the job truly run and do not stand still."""
    runs = [run for found in sim.ledger.active.values() for run in found]
    return sorted(run.node for run in runs if run.launch.job == job and not run.frozen)


def test_two_parallel_jobs_share_all_nodes_in_turns_r_mau_18() -> None:
    sim = ruled(PartitionRules(time_slice=5.0), nodes=4)
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


def test_a_job_of_much_more_priority_suspends_one_that_goes_on_by_itself() -> None:
    sim = ruled(PartitionRules(preemption=Preemption.SUSPEND, priority_gap=20))
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
