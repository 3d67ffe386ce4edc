"""The life of a job in the core: granted, started, ended, undone, lost, and run again."""

from typing import Any

import pytest

from ostler.core.effects import Acknowledge, Reply
from ostler.core.events import AgentGone, Awaited, Modified, Tick
from ostler.core.explain import explain
from ostler.model.errors import OstlerError, Refused
from ostler.model.ids import Ref, parse_ref
from ostler.model.orders import EndShare, Held, Launch, Retime, StartTasks, SuspendShare
from ostler.model.record import Accounting
from ostler.model.resources import Request
from tests.unit.core_kit import ANN, BOB, ROOT, Box, after, orders, saved


def test_a_job_on_one_node_is_ordered_and_started_in_one_step() -> None:
    box = Box()
    job = box.submit()
    [(node, launch)] = orders(box.done)
    assert (node, launch.job, launch.start) == ("n1", job, True)
    assert box.state(job) == "starting"
    box.start(launch.alloc)
    assert box.state(job) == "running"
    box.end(launch.alloc)
    assert box.state(job) == "success"


def test_a_report_is_acknowledged_even_when_it_tells_nothing_new() -> None:
    box = Box()
    job = box.submit()
    alloc = box.alloc(job)
    box.end(alloc)
    again = box.end(alloc, code=9)
    assert [e for e in again if isinstance(e, Acknowledge)]
    assert box.state(job) == "success"


def test_the_same_request_id_is_the_same_job() -> None:
    box = Box()
    assert box.submit(rid="x") == box.submit(rid="x")
    assert box.submit(rid="x", by=BOB) != box.submit(rid="x", by=ANN)


def test_tasks_on_several_nodes_start_when_all_hold_the_context() -> None:
    box = Box(["n1", "n2"])
    job = box.submit(request=Request(tasks=2, cpus=3, nodes=2))
    alloc = box.alloc(job)
    assert [launch.start for _, launch in orders(box.done)] == [False, False]
    assert not orders(box.made(alloc, "n1"), StartTasks)
    assert [node for node, _ in orders(box.made(alloc, "n2"), StartTasks)] == ["n1", "n2"]
    box.start(alloc, "n1")
    box.end(alloc, "n1")
    assert box.state(job) == "running"
    box.end(alloc, "n2", code=3)
    assert box.state(job) == "failed"


def test_a_context_that_fails_on_one_node_is_undone_on_all_and_the_job_is_first_again() -> None:
    box = Box(["n1", "n2"])
    first = box.submit(request=Request(tasks=2, cpus=4, nodes=2))
    later = box.submit(request=Request(tasks=2, cpus=4, nodes=2))
    alloc = box.alloc(first)
    box.made(alloc, "n1")
    ends = orders(box.end(alloc, "n2", ran=False, why="no room for its spool"), EndShare)
    assert [node for node, _ in ends] == ["n1"]
    box.end(alloc, "n1", ran=False)
    assert [box.state(first), box.state(later)] == ["starting", "pending"]
    assert "context/failed" in box.events()


def test_a_job_that_no_node_can_start_is_rejected_in_the_end() -> None:
    box = Box()
    job = box.submit()
    for _ in range(10):
        if job not in box.machine.state.jobs:
            break
        box.end(box.alloc(job), ran=False, why="its spool cannot be written")
        box.now += 100

        box.do(Tick())
    assert box.state(job) == "rejected"


@pytest.mark.parametrize(
    ("spec", "causes", "result"),
    [
        ({}, ["", ""], "failed"),
        ({"retries": 1}, ["", ""], "failed"),
        ({"retries": 1, "retry_on": ("75",)}, [""], "failed"),
        ({"retries": 2, "retry_on": ("timeout",)}, ["timeout", "timeout", "timeout"], "timeout"),
        ({}, ["lost"], "lost"),
        ({"retries": 1}, ["lost"], "lost"),
        ({"retries": 1, "retry_on": ("lost",)}, ["lost", "lost"], "lost"),
    ],
)
def test_a_failure_runs_again_only_as_often_and_for_what_was_allowed(
    spec: dict[str, Any], causes: list[str], result: str
) -> None:
    box = Box()
    job = box.submit(**spec)
    for attempt, cause in enumerate(causes, 1):
        if job not in box.machine.state.jobs:
            break
        alloc = box.alloc(job)
        assert box.machine.state.allocations[alloc].attempt == attempt
        box.end(alloc, code=0 if cause else 3, cause=cause)
    assert box.state(job) == result


def test_a_job_that_may_be_requeued_runs_again_after_it_was_lost() -> None:
    box = Box()
    job = box.submit(requeue=True)
    box.end(box.alloc(job), cause="lost")
    assert box.state(job) == "starting"
    assert box.machine.state.jobs[job].job.requeues == 1


def test_silence_of_a_node_ends_nothing_and_starts_nothing_elsewhere() -> None:
    box = Box(["n1", "n2"])
    job = box.submit()
    [(node, launch)] = orders(box.done)
    box.start(launch.alloc, node)
    effects = box.do(AgentGone(node))
    assert box.state(job) == "running"
    assert not orders(effects)
    assert box.machine.state.nodes[node].node.unknown_since == box.now
    told = explain(box.machine.state, box.now + 600.0, Ref(job))["reason"]
    assert told.startswith(f"{node} has been silent for 10m; what runs there is unknown")


def test_an_order_that_never_arrived_is_given_again_at_the_greeting() -> None:
    box = Box()
    job = box.submit()
    box.do(AgentGone("n1"))
    [(_, again)] = orders(box.greet("n1"))
    assert again.alloc == box.alloc(job)


def test_what_was_started_and_is_not_known_any_more_is_lost() -> None:
    box = Box()
    job = box.submit()
    box.start(box.alloc(job))
    box.do(AgentGone("n1"))
    assert not orders(box.greet("n1"))
    assert box.state(job) == "lost"


def test_after_another_boot_an_order_may_have_run() -> None:
    box = Box()
    job = box.submit()
    box.do(AgentGone("n1"))
    box.greet("n1", boot="b2")
    assert box.state(job) == "lost"


def test_what_an_agent_still_holds_goes_on() -> None:
    box = Box()
    job = box.submit()
    alloc = box.alloc(job)
    box.do(AgentGone("n1"))
    box.greet("n1", holds=(Held(alloc, "started", 101.0),))
    assert box.state(job) == "running"


def test_an_allocation_that_nobody_knows_is_ended_and_recorded() -> None:
    box = Box()
    effects = box.greet("n1", holds=(Held(77, "started", 1.0),))
    assert [order.alloc for _, order in orders(effects, EndShare)] == [77]
    assert "discrepancy" in box.events()


def test_cancelling_ends_what_runs_and_frees_its_cpus_only_when_the_node_says_so() -> None:
    box = Box()
    job = box.submit(request=Request(cpus=4))
    waiting = box.submit(request=Request(cpus=4))
    box.start(box.alloc(job))
    box.act("cancel", str(job))
    assert (box.state(job), box.state(waiting)) == ("finishing", "pending")
    box.end(box.alloc(job), cause="cancelled", why="cancelled by ann")
    assert (box.state(job), box.state(waiting)) == ("cancelled", "starting")


def test_only_the_owner_or_an_administrator_may_act_on_a_job() -> None:
    box = Box()
    job = box.submit(hold=True)
    [row] = box.act("cancel", str(job), by=BOB)
    assert not row["ok"]
    assert row["code"] == "refused"
    assert box.state(job) == "held"
    assert box.act("cancel", str(job), by=ROOT)[0]["ok"]


def test_a_suspended_job_gives_up_its_cpus_and_resumes_on_the_very_same() -> None:
    box = Box()
    job = box.submit(request=Request(cpus=4))
    other = box.submit(request=Request(cpus=4))
    box.start(box.alloc(job))
    cpus = box.machine.state.allocations[box.alloc(job)].placements[0].cpus
    box.act("suspend", str(job))
    assert (box.state(job), box.state(other)) == ("suspended", "starting")
    box.act("resume", str(job))
    assert box.state(job) == "suspended"
    box.end(box.alloc(other))
    assert box.state(job) == "running"
    assert box.machine.state.allocations[box.alloc(job)].placements[0].cpus == cpus


def test_suspended_time_does_not_count_against_the_limit_as_planned() -> None:
    box = Box()
    job = box.submit(request=Request(cpus=4), time_limit=100)
    box.start(box.alloc(job))
    box.now += 10
    assert orders(box.do_act("suspend", job), SuspendShare)
    box.now += 500
    box.act("resume", str(job))
    [view] = box.machine.snapshot(box.now).running
    assert view.ends_at == pytest.approx(100 + 500 + 100)


def test_a_dependent_job_starts_after_success_and_ends_after_failure() -> None:
    box = Box()
    first = box.submit()
    ok = box.submit(after=after(first))
    failed = box.submit(after=after(first, kind="fail"))
    whatever = box.submit(after=after(first, kind="any"))
    assert {box.rule(j) for j in (ok, failed, whatever)} == {"dependency"}
    box.end(box.alloc(first))
    assert box.state(ok) == "starting"
    assert box.state(whatever) == "starting"
    assert box.state(failed) == "dependency"


def test_a_dependency_that_can_no_longer_happen_is_refused_at_submission() -> None:
    box = Box()
    first = box.submit()
    box.end(box.alloc(first), code=1)
    with pytest.raises(Refused, match="job 1 ended as failed"):
        box.submit(after=after(first))


def test_an_array_is_one_row_and_keeps_to_its_cap() -> None:
    box = Box()
    job = box.submit(array=((0, 9),), array_cap=3)
    entry = box.machine.state.jobs[job]
    assert sorted(entry.live) == [0, 1, 2]
    assert box.rule(job) == "array_cap"
    box.finish(job, 1)
    assert sorted(entry.live) == [0, 2, 3]
    assert len(entry.slots) == 3


def test_an_array_ends_with_its_last_element_and_counts_results() -> None:
    box = Box()
    job = box.submit(array=((0, 2),))
    entry = box.machine.state.jobs[job]
    for index in (0, 1, 2):
        box.finish(job, index, code=index)
    assert box.state(job) == "failed"
    assert entry.job.exit_status == 1
    assert entry.job.reason == "2 of 3 elements did not succeed: 2 failed"


def test_one_element_can_be_held_released_and_cancelled() -> None:
    box = Box(cpus=1)
    job = box.submit(array=((0, 4),))
    box.act("hold", f"{job}_[1-2]")
    entry = box.machine.state.jobs[job]
    box.progress(entry.live[0], (0, 0), returned=((1, 1),))
    assert sorted(entry.live) == [3]
    box.act("cancel", f"{job}_2")
    box.act("release", f"{job}_1")
    box.finish(job, 3)
    assert sorted(entry.live) == [1]
    assert entry.result_of(2) == "cancelled"


def test_an_array_that_ends_with_a_good_element_still_says_that_one_was_cancelled() -> None:
    box = Box(("n1", "n2"))
    job = box.submit(array=((0, 1),), request=Request(nodes=2, tasks=2))
    entry = box.machine.state.jobs[job]
    first, second = entry.live[0], entry.live[1]
    box.act("cancel", f"{job}_0")
    for alloc, cause in ((first, "cancelled"), (second, "")):
        for node in ("n1", "n2"):
            box.end(alloc, node, cause=cause, why=cause and "cancelled by ann")
    assert box.state(job) == "cancelled"
    assert entry.job.reason == "1 of 2 elements did not succeed: 1 cancelled"


def test_the_last_waiting_element_that_is_cancelled_is_not_the_whole_array() -> None:
    box = Box(cpus=1)
    job = box.submit(array=((0, 1),))
    entry = box.machine.state.jobs[job]
    box.act("hold", f"{job}_1")
    box.finish(job, 0)
    box.act("cancel", f"{job}_1", reason="no need")
    assert entry.job.reason == "1 of 2 elements did not succeed: 1 cancelled"
    other = box.submit(array=((0, 1),))
    box.act("hold", str(other))
    entry = box.machine.state.jobs[other]
    box.finish(other, 0)
    box.act("cancel", str(other))
    assert entry.job.reason == "cancelled by ann"


def test_waiting_is_answered_when_the_job_or_the_element_ends() -> None:
    box = Box()
    job = box.submit(array=((0, 1),))
    assert box.ask(Awaited, ANN, (parse_ref(f"{job}_1"),)) is None
    replies = [e for e in box.finish(job, 1) if isinstance(e, Reply)]
    assert replies[0].body["jobs"][0]["result"] == "success"


def test_a_new_time_limit_reaches_the_node() -> None:

    box = Box()
    job = box.submit(time_limit=100)
    box.start(box.alloc(job))
    box.ask(Modified, ANN, parse_ref(str(job)), {"time_limit": 50})
    assert [order.time_limit for _, order in orders(box.done, Retime)] == [50]


def test_requests_that_make_no_sense_are_refused_with_what_was_expected() -> None:
    box = Box()
    with pytest.raises(OstlerError, match="--cpus cannot be 0"):
        box.submit(request=Request(cpus=0))
    with pytest.raises(OstlerError, match="no job 99"):
        box.submit(after=after(99))
    with pytest.raises(Refused, match="most: 4 on n1"):
        box.submit(request=Request(cpus=100_000))


def test_a_user_over_the_limit_alone_is_refused_and_beside_own_jobs_waits() -> None:
    box = Box()
    box.configure("max-cpus-per-user", "3")
    with pytest.raises(Refused, match="may hold 3"):
        box.submit(request=Request(cpus=4))
    box.submit(request=Request(cpus=2))
    second = box.submit(request=Request(cpus=2))
    assert box.rule(second) == "limit"
    assert box.submit(request=Request(cpus=2), by=BOB)


def test_each_attempt_that_ran_is_accounted_once() -> None:
    box = Box()
    job = box.submit(retries=1)
    box.end(box.alloc(job), code=1)
    box.end(box.alloc(job))
    rows = [w for w in saved(box.done) if isinstance(w, Accounting)]
    assert [(r.attempt, r.result) for r in rows] == [(1, "requeued"), (2, "success")]


def test_a_launch_of_a_held_job_waits_for_its_release() -> None:
    box = Box()
    job = box.submit(hold=True)
    assert not orders(box.done, Launch)
    assert box.rule(job) == "hold"
    box.act("release", str(job))
    assert box.state(job) == "starting"
