"""What users of a whole machine see when all is well, and when it is not."""

import pytest

from ostler.model.errors import Refused
from ostler.model.job import Dependency
from ostler.testing.cluster import BOB, SimCluster
from ostler.testing.tasks import make_spec


def test_four_jobs_of_four_cpus_share_sixteen_and_the_fifth_waits() -> None:
    sim = SimCluster(1, nodes=1, cpus=16)
    jobs = [sim.submit(cpus=4, seconds=60) for _ in range(5)]
    sim.run_until(lambda: len(sim.ledger.active.get("n01", ())) == 4)
    sim.run_for(1)
    assert sim.states(jobs) == ["running"] * 4 + ["pending"]
    assert sim.rule(jobs[4]) == "resources"
    sim.run_until(lambda: sim.state(jobs[4]) == "success")


def test_what_no_node_could_ever_hold_is_refused_with_the_most_that_would_fit() -> None:
    sim = SimCluster(1, nodes=2, cpus=4)
    with pytest.raises(Refused, match=r"5 CPUs on one node \(most: 4 on n01\)"):
        sim.submit(cpus=5)


def test_what_alone_exceeds_a_limit_is_refused_and_what_fits_alone_waits() -> None:
    sim = SimCluster(1, nodes=2, cpus=4)
    sim.configure("max-cpus-per-user", 4)
    with pytest.raises(Refused, match="5 CPUs, and ann may hold 4"):
        sim.submit(tasks=5)
    first, second, other = sim.submit(cpus=4), sim.submit(cpus=1), sim.submit(cpus=4, by=BOB)
    assert sim.rule(second) == "limit"
    sim.run_until(lambda: sim.state(other) == "success")
    sim.run_until(lambda: sim.state(second) == "success")
    assert sim.state(first) == "success"


def test_jobs_on_a_cut_node_are_unknown_start_nowhere_else_and_go_on_when_it_is_healed() -> None:
    sim = SimCluster(1, nodes=3)
    job = sim.submit(seconds=300, requeue=True, cpus=4)
    sim.run_until(lambda: sim.state(job) == "running")
    (node,) = sim.runs(job)
    sim.cut(node)
    sim.run_for(200)
    assert sim.state(job) == "running"
    assert sim.explain(job)["unknown_since"] is not None
    assert sim.runs(job) == [node]
    sim.heal(node)
    sim.run_until(lambda: sim.state(job) == "success")
    assert len(sim.ledger.runs[job, 0]) == 1


def test_what_ended_while_the_manager_was_down_is_known_when_it_is_back() -> None:
    sim = SimCluster(1, nodes=2)
    job = sim.submit(seconds=10, exit_code=3)
    sim.run_until(lambda: sim.started(job))
    sim.restarts = False
    sim.kill_manager()
    sim.run_for(60)
    sim.start_manager()
    sim.run_until(lambda: sim.state(job) == "failed")


def test_what_ended_while_the_agent_was_down_is_known_when_it_is_back() -> None:
    sim = SimCluster(1, nodes=1)
    job = sim.submit(seconds=10, exit_code=3)
    sim.run_until(lambda: sim.started(job))
    sim.kill_agent("n01", back_after=60)
    sim.run_until(lambda: sim.state(job) == "failed")


def test_a_context_that_fails_on_one_node_undoes_all_and_the_job_is_first_in_its_queue() -> None:
    sim = SimCluster(1, nodes=2, cpus=4)
    sim.hosts["n02"].fail_contexts = 1
    job = sim.submit(nodes=2, tasks=2, cpus=4, seconds=20)
    later = sim.submit(nodes=2, tasks=2, cpus=4, seconds=20)
    sim.run_until(lambda: sim.runs(job) != [] or sim.runs(later) != [])
    sim.settle()
    assert sim.states([job, later]) == ["running", "pending"]
    assert "n02 has no room for its spool" in " ".join(sim.events("context/failed"))
    sim.run_until(lambda: sim.state(later) == "success")
    assert len(sim.ledger.runs[job, 0]) == 2  # one on each node: the failed start ran nothing


def test_a_host_that_went_down_loses_its_jobs_and_those_that_may_run_again() -> None:
    sim = SimCluster(1, nodes=1, cpus=4)
    kept, gone = sim.submit(seconds=50, requeue=True), sim.submit(seconds=50)
    sim.run_until(lambda: len(sim.ledger.active.get("n01", ())) == 2)
    sim.run_for(1)
    sim.crash("n01")
    sim.run_for(60)
    assert sim.states([kept, gone]) == ["running", "running"]  # nobody knows
    sim.boot("n01")
    sim.run_until(lambda: sim.state(gone) == "lost")
    sim.run_until(lambda: sim.state(kept) == "success")


def test_a_fenced_node_s_jobs_run_elsewhere_if_they_may() -> None:
    sim = SimCluster(1, nodes=2, cpus=4)
    job = sim.submit(cpus=4, seconds=50, requeue=True)
    sim.run_until(lambda: sim.started(job))
    (node,) = sim.runs(job)
    sim.crash(node)
    with pytest.raises(Refused, match="answers"):
        sim.fence(node)
    sim.run_until(lambda: not sim.core.nodes[node].connected)
    sim.fence(node)
    sim.run_until(lambda: sim.state(job) == "success")


def test_a_repeated_submission_after_a_lost_answer_is_the_same_job() -> None:
    sim = SimCluster(1, nodes=1)
    for messages in range(4):  # the manager dies before one after the other of its messages
        sim.kill_manager(after_messages=messages)
        sim.submit(seconds=1)
    sim.run_until(lambda: not sim.core.jobs)
    assert len(sim.store.real.jobs()) == 4


def test_nothing_is_said_of_what_a_full_disk_did_not_take() -> None:
    sim = SimCluster(1, nodes=1)
    sim.store.full = True
    asked = sim.clients["ann"].submit(make_spec(seconds=1), "request")
    sim.run_for(60)
    assert not asked.done
    assert sim.store.real.jobs() == []
    sim.store.full = False
    job = int(sim.answer(asked)["job"])
    sim.run_until(lambda: sim.state(job) == "success")


def test_a_manager_that_was_frozen_past_its_lease_orders_and_writes_no_more() -> None:
    sim = SimCluster(1, nodes=2, cpus=4)
    jobs = [sim.submit(cpus=4, seconds=40) for _ in range(6)]
    sim.run_until(lambda: sim.runs(jobs[0]) != [])
    old = sim.replace_manager()
    sim.run_until(lambda: sim.manager is not old and sim.core.nodes["n01"].connected)
    old.loop.thaw()
    sim.run_until(lambda: all(state == "success" for state in sim.states(jobs)))
    assert not old.alive
    sim.settle()


def test_agents_refuse_the_orders_of_a_manager_that_was_replaced() -> None:
    sim = SimCluster(1, nodes=1)
    old = sim.manager
    job = sim.submit(seconds=100)
    sim.run_until(lambda: sim.started(job))
    sim.replace_manager()
    sim.run_until(lambda: sim.manager is not old and sim.core.nodes["n01"].connected)
    sim.run_for(1)
    sim.speak_late(old, "n01", job)
    sim.run_for(10)
    assert sim.ledger.refused_orders > 0
    assert sim.state(job) == "running"


def test_a_dependency_that_can_no_longer_be_met_ends_the_job_with_the_reason() -> None:
    sim = SimCluster(1, nodes=1)
    bad = sim.submit(exit_code=1, seconds=5)
    wants_ok = sim.submit(after=(bad,))
    wants_fail = sim.submit(after=(Dependency(bad, "fail"),))
    sim.run_until(lambda: sim.state(wants_ok) == "dependency")
    sim.run_until(lambda: sim.state(wants_fail) == "success")


def test_elements_that_fail_are_tried_again_as_often_as_asked() -> None:
    sim = SimCluster(1, nodes=2)
    job = sim.submit(array=((0, 4),), failures=2, retries=2, seconds=2)
    sim.run_until(lambda: sim.state(job) == "success")
    assert [len(runs) for runs in sim.ledger.runs.values()] == [3] * 5


def test_a_suspended_job_gives_up_its_cpus_and_its_time_stands_still() -> None:
    """R-MAU-15, in virtual time."""
    sim = SimCluster(1, nodes=1, cpus=4)
    job = sim.submit(cpus=4, seconds=50, time_limit=60)
    sim.run_until(lambda: sim.started(job) and sim.quiet())
    sim.act("suspend", job)
    other = sim.submit(cpus=4, seconds=100)
    sim.run_until(lambda: sim.state(other) == "success")
    sim.act("resume", job)
    sim.run_until(lambda: sim.state(job) == "success")


def test_a_suspended_job_whose_host_went_down_waits_to_run_again_if_it_may() -> None:
    sim = SimCluster(1, nodes=1)
    job = sim.submit(seconds=50, requeue=True)
    sim.run_until(lambda: sim.started(job) and sim.quiet())
    sim.act("suspend", job)
    sim.crash("n01")
    sim.boot("n01")
    sim.drain("n01")
    sim.run_until(lambda: sim.state(job) == "pending")
    sim.undrain("n01")
    sim.run_until(lambda: sim.state(job) == "success")


def test_an_array_held_while_its_only_live_element_is_suspended_is_held_when_that_is_lost() -> None:
    sim = SimCluster(1, nodes=1)
    job = sim.submit(seconds=50, requeue=True, array=((0, 3),), array_cap=1)
    sim.run_until(lambda: sim.element(job, 0)["state"] == "running")
    sim.act("suspend", job)
    sim.act("hold", job)
    sim.crash("n01")
    sim.boot("n01")
    sim.run_until(lambda: sim.state(job) == "held")
    sim.act("release", job)
    sim.run_until(lambda: sim.state(job) == "success")


def test_an_array_held_while_its_first_element_starts_is_held_when_that_cannot() -> None:
    sim = SimCluster(1, nodes=1)
    sim.hosts["n01"].fail_contexts = 1
    sim.freeze("n01")
    job = sim.submit(seconds=5, array=((0, 3),), array_cap=1)
    sim.act("hold", job)
    sim.thaw("n01")
    sim.run_until(lambda: sim.state(job) == "held")
    sim.act("release", job)
    sim.run_until(lambda: sim.state(job) == "success")
