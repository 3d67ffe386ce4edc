"""Partitions are started, stopped and reloaded; what becomes of their jobs. R-RMS-11."""

from typing import Any

import pytest

from ostler.core.effects import Fail, Reply
from ostler.core.events import Administered, AgentGone, PartitionWorded
from ostler.core.explain import explain
from ostler.core.load import load
from ostler.core.machine import Machine
from ostler.core.site_view import partition_rows
from ostler.core.violations import violations
from ostler.model.caller import Caller
from ostler.model.errors import Missing, NotNow, Refused, UsageError
from ostler.model.ids import Ref
from ostler.model.resources import Request
from ostler.model.site_changes import Change
from tests.unit.core_kit import ANN, ROOT, Box, orders
from tests.unit.test_core_configurations import change, run, stored, submit, where


def two_partitions() -> Box:
    """Return a machine of 2 nodes of `batch` and 2 of `main`."""
    box = Box([f"n{i}" for i in range(1, 5)])
    made = Change("create", "partition", ("batch",))
    nodes = Change("set", "configuration", ("",), {"nodes": {"batch": "n[1-2]"}})
    box.ask(Administered, ROOT, (made, nodes))
    return box


def word(box: Box, verb: str, name: str = "batch", how: str = "", by: Caller = ROOT) -> Any:
    """Say it; return the row of the answer, None if none has come yet."""
    answer = box.ask(PartitionWorded, by, verb, name, how)
    assert not list(violations(box.machine.state))
    return None if answer is None else answer["partitions"][0]


def said(box: Box) -> str:
    return str(box.machine.state.site.partitions["batch"].state)


def test_an_idle_partition_is_down_at_once_and_takes_jobs_that_wait() -> None:
    box = two_partitions()
    assert word(box, "stop")["state"] == "down"
    (job,) = submit(box, "batch")
    (other,) = submit(box, "main")
    assert (box.state(job), box.rule(job)) == ("pending", "partition")
    assert box.state(other) == "starting"
    told = explain(box.machine.state, box.now, Ref(job))
    assert told["reason"] == "partition batch is stopped"
    assert told["to_start_now"] == "start its partition: ostler partitions start batch"
    assert word(box, "start")["state"] == "up"
    assert where(box, job) in ("n1", "n2")


def test_a_stop_is_refused_while_jobs_run_unless_it_says_what_becomes_of_them() -> None:
    box = two_partitions()
    submit(box, "batch", 2)
    with pytest.raises(Refused, match="2 jobs of partition batch would go on") as found:
        word(box, "stop")
    assert "--drain, --wait or --kill" in found.value.hint
    assert said(box) == "up"


def test_with_drain_what_runs_goes_on_and_what_waits_keeps_waiting() -> None:
    box = two_partitions()
    one, two, waiting = submit(box, "batch", 3)
    run(box, one, two)
    row = word(box, "stop", how="drain")
    assert (row["state"], row["allocations"], row["jobs_waiting"]) == ("draining", 2, 1)
    box.end(box.alloc(one), where(box, one))
    assert (box.state(one), box.rule(waiting)) == ("success", "partition")
    box.end(box.alloc(two), where(box, two))
    assert said(box) == "down"
    word(box, "start")
    assert box.state(waiting) == "starting"


def test_with_wait_the_answer_comes_when_the_partition_is_down() -> None:
    box = two_partitions()
    (job,) = submit(box, "batch")
    run(box, job)
    assert word(box, "stop", how="wait") is None
    effects = box.end(box.alloc(job), where(box, job))
    (answer,) = [e.body for e in effects if isinstance(e, Reply)]
    assert answer["partitions"][0]["state"] == "down"


def test_who_waits_for_a_stop_is_told_when_the_partition_is_started_again() -> None:
    box = two_partitions()
    (job,) = submit(box, "batch")
    run(box, job)
    assert word(box, "stop", how="wait") is None
    effects = box.do(PartitionWorded(99, ROOT, "start", "batch"))
    (error,) = [e.error for e in effects if isinstance(e, Fail)]
    assert isinstance(error, NotNow)
    assert "was started again by root" in error.message
    assert box.state(job) == "running"


def test_with_kill_what_runs_is_ended_but_what_may_run_again_waits() -> None:
    box = two_partitions()
    (once,) = submit(box, "batch")
    (again,) = submit(box, "batch", requeue=True)
    waiting, *_ = submit(box, "batch", 2)
    (other,) = submit(box, "main")
    run(box, once, again, other)
    ends = {job: (box.alloc(job), where(box, job)) for job in (once, again)}
    assert word(box, "stop", how="kill") is None
    for alloc, node in ends.values():
        box.end(alloc, node, cause=str(box.machine.state.allocations[alloc].cause))
    assert said(box) == "down"
    assert [box.state(job) for job in (once, again, waiting, other)] == [
        "cancelled",
        "pending",
        "pending",
        "running",
    ]
    assert box.rule(again) == "partition"


def test_a_partition_that_is_being_stopped_tells_for_which_silent_node_it_waits() -> None:
    box = two_partitions()
    (job,) = submit(box, "batch")
    run(box, job)
    node = where(box, job)
    box.do(AgentGone(node))
    assert word(box, "stop", how="kill") is None
    rows = {row["name"]: row["awaited"] for row in partition_rows(box.machine.state)}
    assert [(row["name"], row["unknown_since"], row["jobs"]) for row in rows["batch"]] == [
        (node, box.now, 1)
    ]
    assert rows["main"] == []


def test_with_kill_elements_that_had_not_begun_wait_on_as_the_database_says_too() -> None:
    box = two_partitions()
    (array,) = submit(box, "batch", array=((0, 99),))
    entry = box.machine.state.jobs[array]
    slots = {alloc.id: alloc for alloc in box.machine.state.allocations.values()}
    for slot in slots.values():
        box.start(slot.id, *slot.nodes)
    assert word(box, "stop", how="kill") is None
    ran = []
    for slot in slots.values():
        (first, _), *others = slot.chunk
        ran.append(first)
        box.progress(slot.id, (first, 143), returned=tuple(others), cause="cancelled")
        box.end(slot.id, *slot.nodes, cause="cancelled")
    assert said(box) == "down"
    waiting = [index for index in range(100) if index not in ran]
    assert list(entry.waiting) == waiting
    again = load(stored(box), 2, box.now).jobs[array]
    assert (list(again.waiting), list(again.results)) == (waiting, ["cancelled"])
    assert [*again.results["cancelled"]] == ran


def test_slots_of_a_stopped_partition_take_no_more_elements() -> None:
    box = two_partitions()
    (array,) = submit(box, "batch", array=((0, 99),))
    state = box.machine.state
    for alloc in list(state.allocations.values()):
        box.start(alloc.id, *alloc.nodes)
    word(box, "stop", how="drain")
    assert all(slot.draining for slot in state.jobs[array].slots.values())


def test_a_stop_outlives_the_manager() -> None:
    box = two_partitions()
    (job,) = submit(box, "batch")
    run(box, job)
    word(box, "stop", how="drain")
    again = Box([])
    again.machine = Machine(stored(box), epoch=2, now=box.now)
    assert again.machine.state.parts.closing == {"batch": {box.alloc(job)}}
    again.end(box.alloc(job), where(box, job))
    assert said(again) == "down"


def test_a_reload_holds_what_would_be_refused_now_and_touches_nothing_else() -> None:
    box = two_partitions()
    (runs,) = submit(box, "batch")
    run(box, runs)
    (small,) = submit(box, "batch")
    (wide,) = [box.submit(partition="batch", request=Request(nodes=2, tasks=2, cpus=4), rid="wide")]
    change(box, "set", "configuration", "", nodes={"batch": "n1"})
    row = word(box, "reload")
    assert row["held"] == [str(wide)]
    assert (box.state(wide), box.rule(wide)) == ("held", "hold")
    assert "would refuse it now: it asks for 2 nodes" in box.machine.state.jobs[wide].job.reason
    assert [box.state(job) for job in (runs, small)] == ["running", "starting"]


def test_words_that_mean_nothing_and_people_who_may_not_are_refused() -> None:
    box = two_partitions()
    with pytest.raises(Missing, match="known: batch, main"):
        word(box, "stop", "night")
    with pytest.raises(UsageError, match="no way 'gently'"):
        word(box, "stop", how="gently")
    with pytest.raises(UsageError, match="no verb 'pause'"):
        word(box, "pause")
    with pytest.raises(Refused, match="ann may not stop partitions"):
        word(box, "stop", by=ANN)


def test_a_partition_has_programs_of_its_own_or_none_or_those_of_all() -> None:
    box = Box(["n1"])
    box.configure("prolog", "/site/all")
    told = []
    cases: tuple[dict[str, str], ...] = (
        {},
        {"prolog": "/site/own", "epilog": "/site/after"},
        {"prolog": "off"},
    )
    for values in cases:
        box.change(Change("set", "partition", ("main",), values))
        box.submit()
        programs = orders(box.done)[-1][1].programs
        told.append(programs and (programs.prolog, programs.epilog))
        box.change(Change("set", "partition", ("main",), {"prolog": "none", "epilog": "none"}))
    assert told == [("/site/all", ""), ("/site/own", "/site/after"), None]
    with pytest.raises(UsageError, match="off, or the full path of a program"):
        box.change(Change("set", "partition", ("main",), {"prolog": "site/own"}))
