"""What was acknowledged holds across crashes: each of these once did not, in some history."""

import pytest

from ostler.model.errors import OstlerError
from ostler.model.ids import Ref
from ostler.testing.cluster import SimCluster
from ostler.testing.tasks import make_spec


@pytest.fixture
def sim() -> SimCluster:
    return SimCluster(1, nodes=2)


def start(sim: SimCluster, **named: object) -> int:
    job = sim.submit(**named)  # type: ignore[arg-type]
    sim.run_until(lambda: sim.started(job) and sim.quiet())
    return job


def test_a_cancelled_job_does_not_run_again_because_its_host_went_down(sim: SimCluster) -> None:
    job = start(sim, seconds=600, requeue=True)
    (node,) = sim.nodes_of(job)
    sim.cut(node)
    sim.act("cancel", job)
    sim.crash(node)
    sim.boot(node)
    sim.heal(node)
    sim.run_until(lambda: sim.state(job) == "lost")


def test_a_cancelled_job_does_not_run_again_because_it_was_requeued_before(
    sim: SimCluster,
) -> None:
    job = start(sim, seconds=600, ignores_term=True, grace=20)
    sim.act("requeue", job)
    sim.run_for(5)
    sim.act("cancel", job)
    sim.run_until(lambda: sim.state(job) == "cancelled")


def test_a_cancelled_job_is_not_tried_again_when_it_fails_by_itself(sim: SimCluster) -> None:
    job = start(sim, seconds=20, failures=9, retries=3)
    (node,) = sim.nodes_of(job)
    sim.cut(node)
    sim.act("cancel", job)
    sim.run_for(60)
    sim.heal(node)
    sim.run_until(lambda: sim.state(job) == "failed")
    assert len(sim.ledger.runs[job, 0]) == 1


def test_a_cancelled_job_is_not_tried_again_when_a_node_could_not_make_it(sim: SimCluster) -> None:
    for host in sim.hosts.values():
        host.fail_contexts = 1
    job = sim.submit(nodes=2, tasks=2, cpus=4)
    sim.run_until(lambda: sim.state(job) == "finishing")
    sim.act("cancel", job)
    sim.run_until(lambda: sim.state(job) == "cancelled")


def test_a_job_waits_again_for_one_that_it_named_and_that_is_requeued(sim: SimCluster) -> None:
    first = start(sim, seconds=5)
    second = sim.submit(after=(first,), not_before=sim.now + 300)
    sim.run_until(lambda: sim.state(first) == "success")
    sim.act("requeue", first)
    assert sim.rule(second) == "dependency"
    sim.run_until(lambda: sim.state(first) == "success")
    assert sim.rule(second) == "not_before"
    sim.settle()
    sim.run_until(lambda: sim.state(second) == "success")


def test_a_hold_of_the_job_does_not_outlive_its_release_in_an_element_that_ran(
    sim: SimCluster,
) -> None:
    job = start(sim, seconds=30, failures=1, retries=1, array=((0, 3),), array_cap=1)
    sim.act("hold", job)
    sim.kill_manager()
    sim.run_until(lambda: sim.state(job) == "running" and sim.quiet())
    sim.act("release", job)
    sim.drain(*sim.hosts)
    sim.run_until(lambda: sim.state(job) == "pending")
    sim.settle()
    sim.kill_manager()
    sim.undrain(*sim.hosts)
    sim.run_until(lambda: sim.state(job) == "success")


def test_a_job_cancelled_while_it_waited_for_another_can_run_again_after_that(
    sim: SimCluster,
) -> None:
    first = start(sim, seconds=30)
    second = sim.submit(after=(first,))
    sim.act("cancel", second)
    sim.run_until(lambda: sim.state(first) == "success")
    sim.act("requeue", second)
    sim.run_until(lambda: sim.state(second) == "success")


def occupied(sim: SimCluster) -> tuple[int, int]:
    """Return a suspended job, and one that has its CPUs for a long time."""
    first = start(sim, seconds=100, cpus=4, nodes=2, tasks=2)
    sim.act("suspend", first)
    return first, start(sim, seconds=1000, cpus=4, nodes=2, tasks=2)


def test_a_job_that_was_to_go_on_does_so_after_a_restart_of_the_manager(sim: SimCluster) -> None:
    first, second = occupied(sim)
    sim.act("resume", first)
    sim.settle()
    sim.kill_manager()
    sim.act("cancel", second)
    sim.run_until(lambda: sim.state(first) == "success")


def test_a_job_goes_on_although_the_word_for_it_was_lost_on_the_way(sim: SimCluster) -> None:
    job = start(sim, seconds=100, cpus=4, nodes=2, tasks=2)
    sim.act("suspend", job)
    sim.cut("n01")
    sim.act("resume", job)
    sim.run_for(30)
    sim.heal("n01")
    sim.run_until(lambda: sim.state(job) == "success")


def test_a_time_limit_changed_behind_a_node_s_back_holds_when_it_is_back(sim: SimCluster) -> None:
    job = start(sim, seconds=1000)
    (node,) = sim.nodes_of(job)
    sim.cut(node)
    sim.run_for(30)
    sim.modify(job, time_limit=120)
    sim.heal(node)
    sim.run_until(lambda: sim.state(job) == "timeout")


def test_a_node_whose_agent_died_before_it_was_told_to_start_is_told_again(sim: SimCluster) -> None:
    job = sim.submit(seconds=20, nodes=2, tasks=2)
    sim.run_until(lambda: len(sim.hosts["n02"].starters) == 1)
    sim.net.cut("n02", "manager")
    sim.run_until(lambda: sim.state(job) == "starting" and sim.now > 1_000_000)
    sim.kill_agent("n02")
    sim.heal("n02")
    sim.run_until(lambda: sim.state(job) == "success")


def test_a_launch_that_is_overtaken_by_a_greeting_and_a_cancel_starts_nothing() -> None:
    sim = SimCluster(3, nodes=1)
    sim.commit_seconds = 0.5
    asked = sim.clients["ann"].submit(make_spec(seconds=500), "x")
    sim.run_until(lambda: bool(sim.core.allocations))
    sim.net.reset("n01", "manager")
    sim.run_until(lambda: not sim.core.nodes["n01"].connected)
    sim.clients["ann"].act("cancel", (Ref(1),))
    sim.run_until(lambda: asked.done and sim.state(1) == "cancelled")
    sim.run_for(30)
    assert sim.runs(1) == []


def test_a_fenced_node_that_was_alive_gets_no_work_before_what_it_holds_has_ended(
    sim: SimCluster,
) -> None:
    job = start(sim, seconds=600, cpus=4, requeue=True, ignores_term=True)
    (node,) = sim.nodes_of(job)
    sim.cut(node)
    sim.run_for(30)
    sim.drain(*(set(sim.hosts) - {node}))
    sim.fence(node)
    sim.heal(node)
    sim.run_until(lambda: sim.core.nodes[node].connected)
    assert "given up" in sim.explain(job)["reason"]
    sim.run_until(lambda: sim.state(job) == "running")


def test_what_a_node_still_holds_of_a_share_that_was_fenced_is_ended(sim: SimCluster) -> None:
    job = start(sim, seconds=600, cpus=4, nodes=2, tasks=2, ignores_term=True, grace=60)
    sim.cut("n01")
    sim.run_for(30)
    sim.fence("n01")
    sim.heal("n01")
    sim.run_until(lambda: sim.state(job) == "lost")
    following = sim.submit(cpus=4, nodes=2, tasks=2)
    sim.run_until(lambda: sim.state(following) == "success")


def test_a_job_that_is_being_cancelled_cannot_be_requeued_by_the_way(sim: SimCluster) -> None:
    job = start(sim, seconds=600, ignores_term=True, grace=20)
    sim.act("cancel", job)
    with pytest.raises(OstlerError, match="is being ended"):
        sim.act("requeue", job)


def test_a_job_cancelled_before_its_time_and_requeued_after_a_restart_starts_at_its_time(
    sim: SimCluster,
) -> None:
    job = sim.submit(not_before=sim.now + 500)
    sim.act("cancel", job)
    sim.settle()
    sim.kill_manager()
    sim.act("requeue", job)
    assert sim.rule(job) == "not_before"
    sim.run_until(lambda: sim.state(job) == "success", seconds=1000)


def test_an_element_that_is_being_ended_is_shown_so(sim: SimCluster) -> None:
    job = start(sim, seconds=600, array=((0, 1),), ignores_term=True, grace=20)
    sim.run_until(lambda: sim.started(job) and len(sim.runs(job)) == 2 and sim.quiet())
    sim.act("cancel", f"{job}_1")
    assert sim.element(job, 1)["state"] == "finishing"
    sim.run_until(lambda: sim.element(job, 1)["state"] == "done")
    assert sim.element(job, 0)["state"] == "running"


def test_a_node_that_missed_the_start_before_a_suspension_starts_when_the_job_goes_on(
    sim: SimCluster,
) -> None:
    job = sim.submit(seconds=50, nodes=2, tasks=2)
    sim.run_until(lambda: all(a.made == a.nodes for a in sim.core.allocations.values()))
    sim.cut("n02")
    sim.run_until(lambda: sim.runs(job) == ["n01"])
    sim.run_for(1)
    sim.act("suspend", job)
    sim.run_for(30)
    sim.heal("n02")
    sim.run_until(lambda: sim.core.nodes["n02"].connected)
    sim.run_for(10)
    assert sim.runs(job) == ["n01"]
    sim.act("resume", job)
    sim.run_until(lambda: sim.state(job) == "success")
