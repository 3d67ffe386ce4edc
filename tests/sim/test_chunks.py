"""Arrays in slots: what 0006-chunks promises, seen from outside, in virtual time."""

from itertools import pairwise
from typing import Any

import pytest

from ostler.model.errors import OstlerError
from ostler.model.ids import Ref
from ostler.testing.cluster import ANN, ROOT, SimCluster
from ostler.testing.slot import GAP
from ostler.testing.starter import Proof
from ostler.testing.tasks import make_spec


def one_slot(**named: Any) -> tuple[SimCluster, int]:
    """Return a machine of one CPU, and an array that has begun there."""
    sim = SimCluster(1, nodes=1, cpus=1)
    return sim, begun(sim, **{"seconds": 0.5, **named})


def begun(sim: SimCluster, count: int = 20, **named: Any) -> int:
    """Submit an array, and wait until the machine knows that an element of it has ended."""
    job = sim.submit(array=((0, count - 1),), **named)
    sim.run_until(lambda: sim.core.jobs[job].ended > 0 and sim.quiet())
    return job


def running(sim: SimCluster, job: int) -> int:
    """Return the element that truly runs, of a job with one slot."""
    found = [r for runs in sim.ledger.active.values() for r in runs if r.launch.job == job]
    assert len(found) == 1
    return found[0].index


def queued(sim: SimCluster, job: int) -> int:
    """Return an element that is with a node, behind another."""
    slot = next(a for a in sim.core.allocations.values() if a.job == job and a.queued)
    return next(i for a, b in slot.chunk for i in range(a, b + 1) if i != running(sim, job))


def part(job: int, index: int) -> Ref:
    """Return the name of one element."""
    return Ref(job, ((index, index),))


def results(sim: SimCluster, job: int) -> dict[str, int]:
    """Return how many elements of a job ended how."""
    return {result: len(found) for result, found in sim.core.entry(Ref(job)).results.items()}


def order(sim: SimCluster, job: int) -> list[int]:
    """Return the elements of a job as they began, those of later attempts again."""
    runs = [run for found in sim.ledger.runs.values() for run in found if run.launch.job == job]
    return [run.index for run in sorted(runs, key=lambda run: run.began)]


def done(sim: SimCluster, job: int, state: str = "success") -> None:
    """Wait until the job has ended so, and check everything."""
    sim.run_until(lambda: sim.state(job) == state, 3600)
    sim.run_for(10)
    sim.settle()
    sim.judge.finish(sim.core)


# -- cost ----------------------------------------------------------------------------------


def test_ten_thousand_elements_of_a_millisecond_cost_a_few_hundred_messages_and_commits() -> None:
    sim = SimCluster(1, nodes=1, cpus=2)
    frames, commits, began = sim.net.frames, sim.store.commits, sim.now
    job = sim.submit(array=((0, 9_999),), seconds=0.001)
    sim.run_until(lambda: sim.state(job) == "success")
    assert sim.net.frames - frames < 600
    assert sim.store.commits - commits < 250
    # Two slots that never wait for the manager, but for the little that it gives them at first.
    assert sim.now - began < 5_000 * (0.001 + GAP) + 0.3


def test_elements_of_seconds_are_handed_out_one_by_one() -> None:
    sim, job = one_slot(seconds=5)
    sim.run_for(30)
    assert all(a.queued == 0 for a in sim.core.allocations.values())
    done(sim, job)
    assert order(sim, job) == list(range(20))


def test_a_short_array_is_launched_once_and_told_once_its_end() -> None:
    sim = SimCluster(1, nodes=1, cpus=1)
    frames = sim.net.frames
    job = sim.submit(array=((0, 1),), seconds=0.001)
    done(sim, job)
    # request, answer, launch, start, progress with the end, and what acknowledges these
    assert sim.net.frames - frames <= 10


# -- who gets what -------------------------------------------------------------------------


def test_a_queue_is_shared_with_a_node_that_comes_in() -> None:
    sim = SimCluster(1, nodes=2, cpus=1)
    sim.drain("n02")
    job = sim.submit(array=((0, 7),), seconds=2.5, failures=0)
    sim.run_for(0.5)
    (slot,) = sim.core.allocations.values()
    assert slot.queued == 3  # nobody knew how long they would take
    sim.undrain("n02")
    done(sim, job)
    nodes = [run.node for runs in sim.ledger.runs.values() for run in runs]
    assert sorted(nodes) == ["n01"] * 4 + ["n02"] * 4


def test_a_higher_priority_waits_for_the_element_that_runs_and_for_no_other() -> None:
    sim, job = one_slot(count=100)
    began = sim.now
    urgent = sim.submit(by=ROOT, priority=80, seconds=7)
    sim.run_until(lambda: sim.runs(urgent) != [])
    assert sim.now - began < 0.6
    ran = len(order(sim, job))
    sim.run_until(lambda: sim.state(urgent) == "success")
    assert len(order(sim, job)) == ran
    done(sim, job)


def test_what_came_later_and_is_no_more_urgent_waits_for_the_whole_array() -> None:
    sim, job = one_slot()
    later = sim.submit(seconds=1)
    sim.run_until(lambda: sim.runs(later) != [])
    assert len(order(sim, job)) == 20


def test_slots_beside_a_job_that_they_cannot_help_are_not_given_up_and_granted_again() -> None:
    sim = SimCluster(1, nodes=2, cpus=4)
    sim.submit(by=ROOT, seconds=600, cpus=4)
    sim.submit(nodes=2, tasks=2, cpus=2, priority=50)  # waits for both nodes
    job = sim.submit(array=((0, 99),), seconds=0.05, priority=10)
    sim.run_until(lambda: sim.state(job) == "success")
    launched = {run.launch.alloc for runs in sim.ledger.runs.values() for run in runs}
    assert sim.core.next_allocation - 1 == len(launched) <= 5


def test_no_more_slots_than_the_cap_are_busy_and_that_many_are() -> None:
    sim = SimCluster(1, nodes=3, cpus=4)
    job = sim.submit(array=((0, 99),), array_cap=5, seconds=0.2)
    most = 0
    while sim.state(job) != "success":
        sim.clock.step()
        most = max(most, len(sim.runs(job)))
    assert most == 5  # the ledger is broken by a sixth
    done(sim, job)


def test_a_lower_cap_takes_slots_away() -> None:
    sim = SimCluster(1, nodes=1, cpus=8)
    job = begun(sim, 400, seconds=0.2)
    sim.modify(job, array_cap=2)
    sim.run_for(1.0)
    assert len(sim.runs(job)) == 2
    sim.modify(job, array_cap=0)
    sim.run_for(1.0)
    assert len(sim.runs(job)) == 8
    done(sim, job)


def test_a_limit_of_the_user_takes_slots_away() -> None:
    sim = SimCluster(1, nodes=1, cpus=8)
    job = begun(sim, 400, seconds=0.2)
    sim.configure("max-cpus-per-user", 3)
    sim.run_for(1.0)
    assert len(sim.runs(job)) == 3
    done(sim, job)


def test_a_drained_node_runs_its_element_to_the_end_and_gives_the_others_back() -> None:
    sim = SimCluster(1, nodes=2, cpus=1)
    job = begun(sim, 40, seconds=0.4)
    sim.drain("n01")
    sim.run_for(1.0)
    assert sim.runs(job) == ["n02"]
    sim.drain("n02")
    sim.run_for(1.0)
    assert sim.state(job) == "pending"
    assert sim.rule(job) == "nodes"
    sim.undrain("n01")
    done(sim, job)


# -- dependencies --------------------------------------------------------------------------


def test_a_job_after_an_array_starts_when_its_last_element_has_ended() -> None:
    sim, job = one_slot(count=8)
    after = sim.submit(after=(job,))
    sim.run_until(lambda: sim.runs(after) != [])
    ends = [run.ended for i in range(8) for run in sim.ledger.runs[job, i]]
    starts = [run.began for run in sim.ledger.runs[after, 0]]
    assert None not in ends
    assert max(end or 0.0 for end in ends) < starts[0]


def test_an_array_with_a_failed_element_ends_what_wanted_it_to_succeed() -> None:
    sim, job = one_slot(count=8, exit_code=3)
    after = sim.submit(after=(job,))
    sim.run_until(lambda: sim.state(after) == "dependency")
    assert sim.state(job) == "failed"


# -- single elements -----------------------------------------------------------------------


def test_a_queued_element_that_is_cancelled_never_runs() -> None:
    sim, job = one_slot()
    index = queued(sim, job)
    sim.act("cancel", f"{job}_{index}")
    done(sim, job, "cancelled")
    assert sorted(order(sim, job)) == [i for i in range(20) if i != index]
    assert sim.element(job, index)["result"] == "cancelled"


def test_a_running_element_that_is_cancelled_ends_and_the_next_one_runs_in_its_slot() -> None:
    sim, job = one_slot(seconds=0.4)
    index = running(sim, job)
    began = sim.now
    sim.act("cancel", f"{job}_{index}")
    sim.run_until(lambda: sim.runs(job) != [] and running(sim, job) != index)
    assert sim.now - began < 0.2
    done(sim, job, "cancelled")
    (run,) = sim.ledger.runs[job, index]
    assert not run.succeeded
    assert len({r.launch.alloc for runs in sim.ledger.runs.values() for r in runs}) == 1


def test_a_queued_element_that_is_held_waits_for_its_release_and_the_others_do_not() -> None:
    sim, job = one_slot()
    index = queued(sim, job)
    sim.act("hold", f"{job}_{index}")
    sim.run_until(lambda: sim.core.jobs[job].ended == 19)
    sim.settle()
    assert sim.rule(f"{job}_{index}") == "hold"
    assert sim.state(job) == "held"
    sim.act("release", f"{job}_{index}")
    done(sim, job)
    assert order(sim, job)[-1] == index


def test_a_running_element_cannot_be_held() -> None:
    sim, job = one_slot(seconds=0.9)
    sim.run_for(0.3)
    with pytest.raises(OstlerError, match="only what waits can be held"):
        sim.act("hold", f"{job}_{running(sim, job)}")


def test_a_held_element_that_is_released_before_the_node_has_answered_runs_once() -> None:
    sim, job = one_slot()
    index = queued(sim, job)
    for verb in ("hold", "release", "hold", "release"):
        sim.clients["ann"].act(verb, (part(job, index),))
    done(sim, job)
    assert sorted(order(sim, job)) == list(range(20))


def test_a_held_array_gives_everything_back_but_what_runs() -> None:
    sim, job = one_slot()
    sim.act("hold", job)
    sim.run_until(lambda: sim.state(job) == "held")
    ran = len(order(sim, job))
    sim.run_for(100)
    assert len(order(sim, job)) == ran
    sim.act("release", job)
    done(sim, job)


def test_a_running_element_that_is_requeued_runs_again_and_counts_its_attempts() -> None:
    sim, job = one_slot(seconds=0.9)
    sim.run_for(0.3)
    index = running(sim, job)
    sim.act("requeue", f"{job}_{index}")
    done(sim, job)
    assert [run.attempt for run in sim.ledger.runs[job, index]] == [1, 2]
    assert len(order(sim, job)) == 21


def test_an_ended_element_of_an_array_that_goes_on_can_run_again() -> None:
    sim, job = one_slot()
    sim.act("requeue", f"{job}_0")
    done(sim, job)
    assert len(sim.ledger.runs[job, 0]) == 2


def test_elements_that_failed_are_tried_again_as_often_as_asked_in_their_slots() -> None:
    sim = SimCluster(1, nodes=1, cpus=2)
    job = sim.submit(array=((0, 29),), failures=2, retries=2, seconds=0.05)
    done(sim, job)
    attempts = [[run.attempt for run in sim.ledger.runs[job, i]] for i in range(30)]
    assert attempts == [[1, 2, 3]] * 30
    assert sim.core.next_allocation < 12


def test_the_time_limit_is_one_of_each_element_and_not_of_the_slot() -> None:
    sim, job = one_slot(seconds=0.9, time_limit=1)
    done(sim, job)
    sim = SimCluster(1, nodes=1, cpus=1)
    began = sim.now
    job = sim.submit(array=((0, 4),), seconds=9, time_limit=2)
    done(sim, job, "timeout")
    assert len(order(sim, job)) == 5
    assert 10 < sim.now - began < 10 + 12  # `done` waits a little


def test_a_time_limit_that_is_changed_holds_for_the_element_that_runs() -> None:
    sim, job = one_slot(count=3, seconds=0.9, time_limit=1)
    sim.run_for(0.2)
    sim.modify(job, time_limit=0)
    done(sim, job)


def test_a_suspended_element_gives_up_its_cpu_and_its_queue_and_goes_on_where_it_was() -> None:
    sim, job = one_slot(seconds=0.9)
    sim.run_for(0.3)
    index = running(sim, job)
    sim.act("suspend", f"{job}_{index}")
    other = sim.submit(by=ROOT, priority=80, seconds=50)
    sim.run_until(lambda: sim.state(other) == "success")
    assert sim.element(job, index)["state"] == "suspended"
    sim.act("resume", f"{job}_{index}")
    done(sim, job)
    assert len(sim.ledger.runs[job, index]) == 1


def test_a_context_that_is_refused_rejects_all_elements() -> None:
    sim = SimCluster(1, nodes=2, cpus=2)
    job = sim.submit(array=((0, 999),), rejected=True)
    done(sim, job, "rejected")
    assert order(sim, job) == []
    assert results(sim, job) == {"rejected": 1000}


def test_a_context_that_one_node_cannot_make_costs_no_element() -> None:
    sim = SimCluster(1, nodes=1, cpus=1)
    sim.hosts["n01"].fail_contexts = 2
    job = sim.submit(array=((0, 9),), seconds=0.1)
    done(sim, job)
    assert order(sim, job) == list(range(10))


def test_a_node_whose_disk_is_full_in_the_middle_gives_everything_back() -> None:
    sim, job = one_slot()
    sim.hosts["n01"].fail_starts = 1
    done(sim, job)
    assert sorted(order(sim, job)) == list(range(20))


def test_an_element_that_ends_again_and_again_in_one_slot_is_accounted_for_each_time() -> None:
    sim, job = one_slot(count=100, exit_code=3)
    for _ in range(3):
        ended = len(sim.ledger.runs[job, 0])
        sim.act("requeue", f"{job}_0")
        sim.run_until(lambda: len(sim.ledger.runs[job, 0]) > ended)  # noqa: B023
        sim.run_for(1.5)
    done(sim, job, "failed")
    runs = sim.ledger.runs[job, 0]
    assert [run.attempt for run in runs] == [1, 2, 3, 4]
    assert len(sim.store.real.accounting(limit=1000)) == 103


def test_what_a_cancelled_slot_gives_back_stays_cancelled_after_a_restart() -> None:
    sim, job = one_slot(failures=1, retries=1)
    sim.cut("n01")
    sim.act("cancel", job)
    sim.kill_manager()
    sim.heal("n01")
    sim.run_until(lambda: sim.state(job) == "cancelled")
    sim.settle()
    sim.kill_manager()
    sim.run_for(100)
    done(sim, job, "cancelled")


# -- deaths --------------------------------------------------------------------------------


def test_elements_go_on_while_the_agent_is_away_and_are_told_of_when_it_is_back() -> None:
    sim, job = one_slot(seconds=0.1, count=200)
    sim.kill_agent("n01", back_after=30)
    before = len(order(sim, job))
    sim.run_for(20)
    assert len(order(sim, job)) > before  # what it was handed
    done(sim, job)
    assert sorted(order(sim, job)) == list(range(200))


def test_elements_go_on_while_the_manager_is_away_and_none_is_counted_twice() -> None:
    sim, job = one_slot(seconds=0.1, count=200)
    sim.restarts = False
    for _ in range(5):
        sim.kill_manager(after_messages=3)
        sim.run_until(lambda: not any(m.alive for m in sim.managers))
        sim.run_for(2)
        sim.start_manager()
        sim.run_for(3)
    done(sim, job)
    assert sorted(order(sim, job)) == list(range(200))
    assert len(sim.store.real.accounting(limit=1000)) == 200


def test_the_element_of_a_dead_starter_runs_to_its_end_and_the_others_elsewhere() -> None:
    sim, job = one_slot(seconds=0.9)
    sim.run_for(0.3)
    index = running(sim, job)
    sim.kill_starter("n01", job)
    done(sim, job)
    assert sorted(order(sim, job)) == list(range(20))
    (run,) = sim.ledger.runs[job, index]
    assert run.succeeded


def test_with_its_starter_and_agent_dead_an_element_runs_to_its_end() -> None:
    sim, job = one_slot(seconds=0.9)
    sim.run_for(0.3)
    sim.kill_starter("n01", job)
    sim.kill_agent("n01", back_after=5)
    done(sim, job)
    assert sorted(order(sim, job)) == list(range(20))


def test_only_the_element_that_ran_is_lost_when_nobody_reaped_it() -> None:
    sim, job = one_slot(seconds=0.3)
    sim.run_for(0.1)
    index = running(sim, job)
    sim.kill_starter("n01", job, Proof.STARTS)
    done(sim, job, "lost")
    assert sim.element(job, index)["result"] == "lost"
    assert results(sim, job) == {"success": 19, "lost": 1}


def test_all_that_a_slot_held_is_lost_when_nobody_can_tell_what_it_did() -> None:
    sim, job = one_slot(seconds=0.1, count=50)
    (slot,) = sim.core.allocations.values()
    held = slot.queued + 1
    sim.kill_starter("n01", job, Proof.NOTHING)
    done(sim, job, "lost")
    lost = results(sim, job)["lost"]
    assert 0 < lost <= held + 16  # and what was on its way to it
    assert results(sim, job) == {"success": 50 - lost, "lost": lost}


def test_a_starter_that_dies_before_anything_ran_costs_no_element() -> None:
    sim = SimCluster(1, nodes=1, cpus=1)
    job = sim.submit(array=((0, 9),), seconds=0.1)
    sim.run_until(lambda: bool(sim.hosts["n01"].starters))
    sim.kill_starter("n01", job)
    done(sim, job)
    assert order(sim, job) == list(range(10))


def test_what_a_new_starter_of_a_slot_tells_is_not_taken_for_what_the_dead_one_told() -> None:
    sim = SimCluster(1, nodes=1, cpus=1)
    host = sim.hosts["n01"]
    asked = sim.clients["ann"].submit(make_spec(seconds=0.1, array=((0, 9),)), "x")
    sim.run_until(lambda: bool(host.starters))  # its context is being made
    (starter,) = host.starters.values()
    sim.clients["ann"].act("cancel", (part(1, 3),))
    sim.run_until(lambda: sim.core.allocations[1].heard == 1)
    assert starter.started_at is None
    sim.kill_agent("n01", back_after=1)
    host.kill_starter(1)
    sim.run_until(lambda: asked.done)
    done(sim, 1, "cancelled")
    assert order(sim, 1) == [0, 1, 2, *range(4, 10)]


@pytest.mark.parametrize("spared", [False, True])
@pytest.mark.parametrize("requeue", [False, True])
def test_of_a_host_that_went_down_only_what_it_held_is_lost_or_runs_again(
    spared: bool,  # noqa: FBT001
    requeue: bool,  # noqa: FBT001
) -> None:
    sim = SimCluster(1, nodes=2, cpus=1)
    job = begun(sim, 60, seconds=0.2, requeue=requeue)
    sim.run_for(1.05)
    held = next(a.queued + 1 for a in sim.core.allocations.values() if "n01" in a.nodes)
    sim.crash("n01", spared=spared)
    sim.run_for(30)
    assert sim.state(job) == "running"  # nobody knows
    sim.boot("n01")
    done(sim, job, "success" if requeue else "lost")
    found = results(sim, job)
    assert found.get("lost", 0) <= (0 if requeue else held)
    assert sum(found.values()) == 60


def test_the_queue_of_a_fenced_node_runs_elsewhere_if_it_may() -> None:
    sim = SimCluster(1, nodes=2, cpus=1)
    job = begun(sim, 60, seconds=0.2, requeue=True)
    sim.crash("n01")
    sim.run_until(lambda: not sim.core.nodes["n01"].connected)
    sim.fence("n01")
    done(sim, job)


def test_an_empty_slot_that_nobody_told_of_its_end_takes_what_waits_when_its_node_greets() -> None:
    sim = SimCluster(1, nodes=2, cpus=1)
    job = sim.submit(array=((0, 4),), seconds=20)
    sim.run_until(lambda: sim.core.jobs[job].ended == 4)
    (idle,) = (a for a in sim.core.allocations.values() if not a.chunk)
    (node,) = idle.nodes
    sim.cut(node)  # the word that it may end is lost
    sim.run_until(sim.quiet)
    sim.kill_manager()
    (other,) = sim.hosts.keys() - {node}
    sim.run_until(lambda: sim.manager.serving and sim.core.nodes[other].connected)
    sim.run_for(1)
    sim.act("requeue", f"{job}_0")
    sim.heal(node)
    sim.run_until(lambda: len(sim.ledger.runs[job, 0]) == 2)
    assert sim.ledger.runs[job, 0][-1].node == node
    done(sim, job)


def test_a_suspended_slot_whose_elements_ended_unheard_goes_on_with_others() -> None:
    sim, job = one_slot(seconds=0.9)
    sim.run_for(0.2)
    sim.cut("n01")
    sim.act("suspend", job)
    sim.kill_manager()
    sim.run_for(30)
    sim.heal("n01")
    sim.run_until(lambda: all(not a.chunk for a in sim.core.allocations.values()))
    assert sim.state(job) == "suspended"
    sim.act("resume", job)
    done(sim, job)


def test_a_slot_with_nothing_left_ends_although_its_node_was_away_meanwhile() -> None:
    sim = SimCluster(1, nodes=2, cpus=1)
    job = begun(sim, 30, seconds=0.3)
    sim.cut("n01")
    sim.run_for(3)
    sim.kill_manager()
    sim.heal("n01")
    done(sim, job)


# -- what people see -----------------------------------------------------------------------


def test_a_queued_element_is_pending_by_rule_chunk_with_its_place_and_its_start() -> None:
    sim, job = one_slot(seconds=0.2, count=100)
    sim.run_for(2.0)
    sim.run_until(sim.quiet)
    (slot,) = sim.core.allocations.values()
    index = slot.chunk[-1][1]
    row = sim.explain(f"{job}_{index}")
    assert row["state"] == "pending"
    assert row["rule"] == "chunk"
    assert row["numbers"]["before"] == slot.queued > 1
    assert "n01" in row["reason"]
    assert row["blockers"] == [f"{job}_{slot.running}"]
    assert row["expected_start"] - sim.now == pytest.approx(0.2 * slot.queued, abs=0.2)
    assert sim.element(job, index)["state"] == "pending"
    assert sim.element(job, slot.running)["state"] == "running"


def test_an_element_that_nobody_has_handed_out_waits_as_its_array_does() -> None:
    sim, job = one_slot(seconds=0.9, count=100)
    assert sim.rule(f"{job}_99") == "resources"


def test_each_element_has_its_own_row_and_accounting() -> None:
    sim, job = one_slot(count=8, seconds=0.25)
    done(sim, job)
    rows = sim.store.real.elements(job, limit=100)
    assert [row["element"] for row in rows] == list(range(8))
    spans = [(row["started_at"], row["ended_at"]) for row in rows]
    assert all(end - start == pytest.approx(0.25) for start, end in spans)
    assert all(one[1] <= other[0] for one, other in pairwise(spans))
    charged = sim.store.real.accounting(limit=100)
    assert len(charged) == 8
    assert {row["user"] for row in charged} == {ANN.user}
