"""Arrays in slots: what is handed out, taken back, and told of single elements."""

from typing import Any

import pytest

from ostler.core.events import Tick
from ostler.core.explain import explain
from ostler.core.load import load
from ostler.core.slots import ALONE_SECONDS, FIRST, MOST
from ostler.core.view import element_row
from ostler.core.violations import violations
from ostler.model.allocation import Allocation
from ostler.model.errors import OstlerError
from ostler.model.ids import parse_ref
from ostler.model.job import Element
from ostler.model.orders import (
    LAST_SERIAL,
    ElementEnd,
    Ended,
    EndShare,
    Feed,
    Held,
    Launch,
    Progress,
    ResumeShare,
    SignalTasks,
    SuspendShare,
    Withdraw,
)
from ostler.model.record import Accounting, EndedElement, Loaded
from ostler.model.record import Event as EventRow
from ostler.model.resources import Request
from ostler.model.states import JobState
from tests.unit.core_kit import ROOT, Box, after, orders, saved


@pytest.fixture
def box() -> Any:
    """A machine of one node with two CPUs, sound to the end."""
    made = Box(cpus=2)
    yield made
    assert list(violations(made.machine.state)) == []


def slots(box: Box, job: int) -> list[Allocation]:
    """Return the slots of a job, in order."""
    s = box.machine.state
    return [s.allocations[number] for number in sorted(s.jobs[job].slots)]


def warm(box: Box, job: int, seconds: float = 0.001) -> Allocation:
    """Let the first slot end what it has, with a known duration; return the slot as it is then."""
    first = slots(box, job)[0]
    ended = [(i, 0) for low, high in first.chunk for i in range(low, high + 1)]
    box.progress(first.id, *ended, seconds=seconds)
    return slots(box, job)[0]


def row(box: Box, job: int, index: int) -> dict[str, Any]:
    """Return what is shown of an element."""
    s = box.machine.state
    return element_row(s, s.entry(parse_ref(str(job))), index)


def told(box: Box, ref: str) -> dict[str, Any]:
    """Return what `explain` says."""
    return explain(box.machine.state, box.now, parse_ref(ref))


# -- handing out -----------------------------------------------------------------------------------


def test_an_array_takes_one_slot_for_each_cpu_with_few_elements_at_first(box: Box) -> None:
    job = box.submit(array=((0, 99),))
    launches = [order for _, order in orders(box.done, Launch)]
    assert [launch.chunk.elements for launch in launches] == [((0, 0), (1, 3)), ((4, 4), (5, 7))]
    assert [launch.chunk.last for launch in launches] == [False, False]
    assert all(len(slot.chunk) == 1 and slot.queued == FIRST - 1 for slot in slots(box, job))


def test_what_is_handed_out_grows_with_what_fits_into_half_a_second(box: Box) -> None:
    job = box.submit(array=((0, 99_999),))
    slot = warm(box, job, 0.001)
    assert 495 <= slot.queued + 1 <= 505
    for _ in range(5):
        slot = warm(box, job, 0.0001)
    assert slot.queued + 1 == MOST
    assert row(box, job, slot.chunk[0][1])["state"] == "pending"


def test_long_elements_wait_for_none_before_them(box: Box) -> None:
    job = box.submit(array=((0, 99),))
    slot = warm(box, job, ALONE_SECONDS)
    assert slot.queued == 0
    box.progress(slot.id, running=slot.chunk[0][0])
    assert slots(box, job)[0].queued == 0


def test_a_million_elements_cost_no_more_events_and_plans_than_reports(box: Box) -> None:
    job = box.submit(array=((0, 999_999),))
    warm(box, job)
    before = len(box.done)
    box.machine.state.changed = False
    slot = slots(box, job)[0]
    low, high = slot.chunk[0]
    box.progress(slot.id, *((i, 0) for i in range(low, high + 1)), running=-1)
    assert not box.machine.wants_plan
    writes = saved(box.done[before:])
    assert not [w for w in writes if isinstance(w, EventRow)]
    assert len([w for w in writes if isinstance(w, Element)]) == high - low + 1
    assert len([w for w in writes if isinstance(w, Accounting)]) == high - low + 1
    assert len(orders(box.done[before:], Feed)) == 1


def test_the_last_chunk_says_so_and_the_slot_ends_by_itself(box: Box) -> None:
    job = box.submit(array=((0, 1),))
    launches = [order for _, order in orders(box.done, Launch)]
    assert [launch.chunk.last for launch in launches] == [False, True]
    assert [feed.chunk for _, feed in orders(box.done, Feed)] == []
    box.finish(job, 0)  # here its node hears that nothing more will come
    assert [feed.chunk.last for _, feed in orders(box.done, Feed)] == [True]
    first = slots(box, job)[0]
    box.report("n1", Ended(first.id, box.now, box.now))
    box.finish(job, 1)
    assert box.state(job) == "success"


def test_an_element_over_two_nodes_and_a_single_job_get_no_slot() -> None:
    box = Box(("n1", "n2"), cpus=3)
    wide = box.submit(array=((0, 1),), request=Request(tasks=2, nodes=2))
    single = box.submit()
    assert [order.chunk for _, order in orders(box.done, Launch)] == [None] * 5
    assert not any(slot.slot for slot in slots(box, wide) + slots(box, single))


# -- reports ---------------------------------------------------------------------------------------


def test_a_report_that_comes_twice_counts_once(box: Box) -> None:
    job = box.submit(array=((0, 99),))
    slot = slots(box, job)[0]
    box.progress(slot.id, (0, 3), serial=7)
    rows = len([w for w in saved(box.done) if isinstance(w, Accounting)])
    box.progress(slot.id, (1, 0), returned=((2, 2),), serial=7)
    assert len([w for w in saved(box.done) if isinstance(w, Accounting)]) == rows
    assert row(box, job, 0)["result"] == "failed"
    assert row(box, job, 1)["result"] is None


def test_an_element_of_another_slot_or_attempt_is_not_taken_from_a_report(box: Box) -> None:
    job = box.submit(array=((0, 99),))
    first = slots(box, job)[0]
    end = ElementEnd(4, 1, box.now, box.now)
    other = ElementEnd(0, 2, box.now, box.now)
    box.report("n1", Progress(first.id, 1, (end, other), ((0, 10**7),)))
    assert 4 in box.machine.state.jobs[job].live
    assert row(box, job, 0)["result"] is None


def test_what_a_slot_never_told_of_did_not_run_and_waits_again(box: Box) -> None:
    job = box.submit(array=((0, 99),))
    first = slots(box, job)[0]
    box.progress(first.id, (0, 0), running=1)
    box.report("n1", Ended(first.id, box.now, box.now))
    entry = box.machine.state.jobs[job]
    assert entry.live[1] != first.id  # granted anew, as the lowest that waits
    assert len(entry.slots) == 2


def test_only_a_lost_slot_loses_its_chunk(box: Box) -> None:
    job = box.submit(array=((0, 7),), request=Request(cpus=2))
    (slot,) = slots(box, job)
    box.progress(slot.id, (0, 0), running=1)
    held = [i for low, high in slots(box, job)[0].chunk for i in range(low, high + 1)]
    box.report("n1", Ended(slot.id, box.now, box.now, "lost", "its node was started anew"))
    assert {row(box, job, i)["result"] for i in held} == {"lost"}
    assert row(box, job, 0)["result"] == "success"
    assert row(box, job, 7)["result"] is None


def test_a_failed_element_is_tried_again_in_a_slot_with_its_attempt(box: Box) -> None:
    job = box.submit(array=((0, 9),), request=Request(cpus=2), retries=1)
    (slot,) = slots(box, job)
    box.progress(slot.id, (0, 1), running=1)
    assert row(box, job, 0)["state"] == "pending"
    while box.machine.state.jobs[job].live.get(0) is None:
        low = slots(box, job)[0].chunk[0][0]
        box.progress(slots(box, job)[0].id, (low, 0))
    feeds = [order.chunk for _, order in orders(box.done, Feed)]
    assert [chunk.attempts for chunk in feeds if chunk.attempts] == [((0, 2),)]
    box.progress(slots(box, job)[0].id, (0, 1))
    assert row(box, job, 0)["result"] == "failed"
    entry = box.machine.state.jobs[job]
    assert entry.job.requeues == 1


def test_a_slot_that_cannot_begin_counts_against_its_first_element(box: Box) -> None:
    job = box.submit(array=((0, 9),), request=Request(cpus=2))
    for _ in range(5):
        (slot,) = slots(box, job)
        assert slot.element == 0
        box.report("n1", Ended(slot.id, box.now, None, "", "the moon is full"))
        box.now += 60
        box.do(Tick())
    assert row(box, job, 0)["result"] == "rejected"
    assert "context/failed" in box.events()


# -- who goes on -----------------------------------------------------------------------------------


def test_somebody_ahead_gets_the_cpu_after_the_element_that_runs(box: Box) -> None:
    job = box.submit(array=((0, 99),))
    for slot in slots(box, job):
        box.progress(slot.id, running=slot.chunk[0][0])
    urgent = box.submit(priority=90, by=ROOT)
    taken = orders(box.done, Withdraw)
    assert len(taken) == 1  # one CPU is enough for it
    alloc = box.machine.state.allocations[taken[0][1].alloc]
    assert not taken[0][1].cause
    low, high = alloc.chunk[0]
    box.progress(alloc.id, (low, 0), returned=((low + 1, high),))
    box.report("n1", Ended(alloc.id, box.now, box.now))
    assert box.state(urgent) == "starting"
    assert len(slots(box, job)) == 1
    assert box.machine.state.jobs[job].waiting.first() == low + 1


def test_an_array_goes_on_before_what_came_after_it(box: Box) -> None:
    job = box.submit(array=((0, 99),))
    later = box.submit()
    warm(box, job)
    assert not orders(box.done, Withdraw)
    assert box.rule(later) == "queue"


def test_a_lower_cap_and_a_drained_node_end_slots(box: Box) -> None:
    job = box.submit(array=((0, 99),))
    box.drain("n1")
    for slot in slots(box, job):
        low, high = slot.chunk[0]
        box.progress(slot.id, (low, 0), returned=((low + 1, high),))
        box.report("n1", Ended(slot.id, box.now, box.now))
    assert slots(box, job) == []
    assert box.rule(job) == "nodes"


def test_queued_elements_are_taken_back_when_a_node_is_idle() -> None:
    box = Box(cpus=1)
    job = box.submit(array=((0, 7),))
    (slot,) = slots(box, job)
    box.progress(slot.id, (0, 0), running=1, seconds=0.3)
    while box.machine.state.jobs[job].waiting:
        low = slots(box, job)[0].chunk[0][0]
        box.progress(slot.id, (low, 0), seconds=0.3)
    held = slots(box, job)[0]
    assert held.queued
    box.greet("n2", cpus=1)
    ((node, order),) = orders(box.done, Withdraw)
    assert (node, order.cause) == ("n1", "")
    assert held.running not in range(order.elements[0][0], order.elements[0][1] + 1)
    box.progress(slot.id, returned=order.elements)
    assert [s.placements[0].node for s in slots(box, job)] == ["n1", "n2"]
    assert list(violations(box.machine.state)) == []


def test_a_suspended_slot_gives_its_queue_back_and_goes_on_where_it_was(box: Box) -> None:
    job = box.submit(array=((0, 99),))
    for slot in slots(box, job):
        box.progress(slot.id, running=slot.chunk[0][0])
    first = slots(box, job)[0]
    assert box.act("suspend", f"{job}_0")[0]["ok"]
    assert [order.alloc for _, order in orders(box.done, SuspendShare)] == [first.id]
    assert [order.alloc for _, order in orders(box.done, Withdraw)] == [first.id]
    assert row(box, job, 0)["state"] == "suspended"
    # Its CPU goes to the array itself; who wants it back comes first.
    assert len(slots(box, job)) == 3
    assert box.act("resume", f"{job}_0")[0]["ok"]
    thief = slots(box, job)[2]
    assert [order.alloc for _, order in orders(box.done, Withdraw)] == [first.id, thief.id]
    chunk = thief.chunk
    box.progress(thief.id, returned=chunk)
    box.report("n1", Ended(thief.id, box.now, None, "", ""))
    assert [order.alloc for _, order in orders(box.done, ResumeShare)] == [first.id]


# -- single elements -------------------------------------------------------------------------------


def test_a_queued_element_is_explained(box: Box) -> None:
    job = box.submit(array=((0, 99),))
    slot = warm(box, job, 0.1)
    box.progress(slot.id, running=slot.chunk[0][0])
    last = slots(box, job)[0].chunk[-1][1]
    answer = told(box, f"{job}_{last}")
    assert (answer["state"], answer["rule"]) == ("pending", "chunk")
    assert answer["reason"].startswith("it was handed to n1, and starts there after ")
    assert box.now < answer["expected_start"] < box.now + 2
    assert told(box, f"{job}_{slot.chunk[0][0]}")["reason"].startswith("it runs on n1")
    assert told(box, f"{job}_99")["rule"] == "resources"


def test_cancelling_a_queued_and_a_running_element(box: Box) -> None:
    job = box.submit(array=((0, 99),))
    slot = slots(box, job)[0]
    box.progress(slot.id, running=0)
    assert box.act("cancel", f"{job}_[0-1]")[0]["message"] == "is being cancelled"
    ((_, order),) = orders(box.done, Withdraw)
    assert (order.elements, order.cause) == (((0, 1),), "cancelled")
    box.progress(slot.id, (0, 143), returned=((1, 1),), cause="cancelled", running=2)
    assert [row(box, job, i)["result"] for i in (0, 1, 2)] == ["cancelled", "cancelled", None]
    rows = [w for w in saved(box.done) if isinstance(w, Element) and w.index == 1]
    assert rows[-1].reason == "cancelled by ann"


def test_an_array_does_not_wait_because_an_element_was_cancelled(box: Box) -> None:
    job = box.submit(array=((0, 2),), hold=True)
    before = box.machine.state.jobs[job].job.reason
    assert box.act("cancel", f"{job}_[0-1]")[0]["message"] == "cancelled"
    assert box.machine.state.jobs[job].job.reason == before
    box.act("cancel", f"{job}_2")
    assert box.machine.state.recent[job].job.reason == "cancelled by ann"


def test_an_element_that_ended_before_its_cancel_came_is_told_as_it_was(box: Box) -> None:
    job = box.submit(array=((0, 99),), retries=3)
    slot = slots(box, job)[0]
    box.act("cancel", f"{job}_[0-1]")
    box.progress(slot.id, (0, 0), (1, 2))
    assert [row(box, job, i)["result"] for i in (0, 1)] == ["success", "failed"]


def test_holding_and_releasing_a_queued_element(box: Box) -> None:
    job = box.submit(array=((0, 9),))
    slot = slots(box, job)[0]
    box.progress(slot.id, running=0)
    assert box.act("hold", f"{job}_1")[0]["ok"]
    assert not box.act("hold", f"{job}_0")[0]["ok"]
    assert row(box, job, 1)["state"] == "held"
    assert told(box, f"{job}_1")["rule"] == "hold"
    box.progress(slot.id, returned=((1, 1),), running=0)
    entry = box.machine.state.jobs[job]
    assert 1 not in entry.waiting
    assert 1 not in entry.live
    box.act("release", f"{job}_1")
    assert 1 in entry.waiting or 1 in entry.live


def test_an_element_released_before_it_came_back_waits(box: Box) -> None:
    job = box.submit(array=((0, 99),))
    slot = slots(box, job)[0]
    box.act("hold", f"{job}_1")
    box.act("release", f"{job}_1")
    box.progress(slot.id, returned=((1, 1),), running=0)
    entry = box.machine.state.jobs[job]
    assert 1 in entry.waiting or 1 in entry.live


def test_holding_the_whole_array_takes_the_queues_back(box: Box) -> None:
    job = box.submit(array=((0, 9),))
    box.act("hold", str(job))
    assert len(orders(box.done, Withdraw)) == 2
    for slot in slots(box, job):
        low, high = slot.chunk[0]
        if low < high:
            box.progress(slot.id, (low, 0), returned=((low + 1, high),))
        else:
            box.progress(slot.id, (low, 0))
        box.report("n1", Ended(slot.id, box.now, box.now))
    assert box.state(job) == "held"
    box.act("release", str(job))
    assert len(slots(box, job)) == 2


def test_requeueing_the_running_element(box: Box) -> None:
    job = box.submit(array=((0, 99),))
    slot = slots(box, job)[0]
    box.progress(slot.id, running=0)
    assert not box.act("requeue", f"{job}_1")[0]["ok"]
    assert box.act("requeue", f"{job}_0")[0]["ok"]
    ((_, order),) = orders(box.done, Withdraw)
    assert (order.elements, order.cause) == (((0, 0),), "requeue")
    box.progress(slot.id, (0, 143), cause="requeue", running=1)
    entry = box.machine.state.jobs[job]
    assert 0 in entry.waiting or 0 in entry.live
    assert entry.job.requeues == 1


def test_signals_name_the_element(box: Box) -> None:
    job = box.submit(array=((0, 99),))
    slot = slots(box, job)[0]
    box.progress(slot.id, running=0)
    assert box.act("signal", f"{job}_0", signal=10)[0]["ok"]
    assert not box.act("signal", f"{job}_1", signal=10)[0]["ok"]
    assert [(o.alloc, o.element) for _, o in orders(box.done, SignalTasks)] == [(slot.id, 0)]


def test_cancelling_the_array_ends_all(box: Box) -> None:
    job = box.submit(array=((0, 99),))
    first, second = slots(box, job)
    box.progress(first.id, running=0)
    box.act("cancel", str(job))
    assert len(orders(box.done, EndShare)) == 2
    box.progress(first.id, (0, 143), cause="cancelled")
    for slot in (first, second):
        box.report("n1", Ended(slot.id, box.now, box.now, "cancelled", "cancelled by ann"))
    assert box.state(job) == "cancelled"
    entry = box.machine.state.recent[job]
    assert len(entry.results["cancelled"]) == 100


def test_an_array_of_which_enough_is_done_ends_as_a_success_with_what_runs(box: Box) -> None:
    job = box.submit(array=((0, 99),))
    first, second = slots(box, job)
    box.progress(first.id, running=0)
    box.act("end", str(job), reason="its executor was shut down")
    assert box.state(job) == "running"
    assert orders(box.done, EndShare) == [], "what runs goes on"
    again = reloaded(box).machine.state
    assert list(violations(again)) == []
    assert (not again.jobs[job].waiting, 0 in again.jobs[job].live) == (True, True)
    box.progress(first.id, (0, 0))
    box.progress(second.id, returned=tuple(second.chunk))
    for slot in (first, second):
        box.report("n1", Ended(slot.id, box.now, box.now))
    assert box.state(job) == "success"
    entry = box.machine.state.recent[job]
    assert {result: len(found) for result, found in entry.results.items()} == {"success": 100}
    assert entry.job.reason == "all 100 elements succeeded; of the rest nobody had need"


def test_an_array_that_has_not_begun_ends_at_once_if_it_is_not_needed(box: Box) -> None:
    job = box.submit(array=((0, 9),), hold=True)
    behind = box.submit(after=after(job), hold=True)
    box.act("end", str(job))
    assert box.state(job) == "success"
    assert not box.act("end", str(behind))[0]["ok"], "a job that is no array is needed"


def test_what_depends_on_an_array_waits_for_its_last_element(box: Box) -> None:
    job = box.submit(array=((0, 1),))
    next_one = box.submit(after=after(job))
    box.finish(job, 0)
    box.report("n1", Ended(slots(box, job)[0].id, box.now, box.now))
    assert box.rule(next_one) == "dependency"
    box.finish(job, 1)
    assert box.state(next_one) == "starting"


# -- restarts --------------------------------------------------------------------------------------


def reloaded(box: Box) -> Box:
    """Return a machine made anew from what was saved."""
    kept: dict[Any, Any] = {}
    for write in saved(box.done):
        if isinstance(write, Element):
            kept["element", write.job, write.index] = write
        elif isinstance(write, Allocation) or type(write).__name__ in ("Job", "Node"):
            kept[type(write).__name__, getattr(write, "id", getattr(write, "name", 0))] = write
    elements = [w for k, w in kept.items() if k[0] == "element"]
    done: dict[int, list[EndedElement]] = {}
    for element in elements:
        if element.state is JobState.DONE:
            done.setdefault(element.job, []).append(
                EndedElement(element.index, str(element.result), element.attempt)
            )
    loaded = Loaded(
        [w for k, w in kept.items() if k[0] == "Job" and w.state is not JobState.DONE],
        [e for e in elements if e.state is not JobState.DONE],
        done,
        [w for k, w in kept.items() if k[0] == "Allocation" and w.state != "released"],
        [w for k, w in kept.items() if k[0] == "Node"],
        {},
        {},
        100,
        100,
        100_000,
    )
    again = Box(())
    again.machine.state = load(loaded, 2, box.now)
    again.now = box.now
    return again


def test_after_a_restart_a_node_is_told_all_that_its_slot_should_hold(box: Box) -> None:
    job = box.submit(array=((0, 99),))
    slot = warm(box, job, 0.05)
    box.progress(slot.id, (slot.chunk[0][0], 0), running=slot.chunk[0][0] + 1)
    asked = slots(box, job)[0].chunk[-1][1]
    box.act("cancel", f"{job}_{asked}")
    held = slots(box, job)[0]
    again = reloaded(box)
    assert list(violations(again.machine.state)) == []
    assert slots(again, job) == slots(box, job)
    effects = again.greet(
        "n1", cpus=2, holds=tuple(Held(s.id, "started", box.now) for s in slots(box, job))
    )
    feeds = {order.alloc: order for _, order in orders(effects, Feed)}
    assert feeds[held.id].chunk.elements == held.chunk
    assert feeds[held.id].heard == held.heard
    ((_, order),) = orders(effects, Withdraw)
    assert (order.elements, order.cause) == (((asked, asked),), "cancelled")
    again.progress(held.id, returned=((asked, asked),))
    assert row(again, job, asked)["result"] == "cancelled"
    assert list(violations(again.machine.state)) == []


def test_a_slot_that_its_node_never_got_is_launched_anew(box: Box) -> None:
    job = box.submit(array=((0, 99),))
    again = reloaded(box)
    effects = again.greet("n1", cpus=2)
    launches = [order for _, order in orders(effects, Launch)]
    assert [launch.chunk.elements for launch in launches] == [((0, 0), (1, 3)), ((4, 4), (5, 7))]
    assert slots(again, job) == slots(box, job)


def test_what_is_told_in_a_dead_starters_place_is_heard(box: Box) -> None:
    job = box.submit(array=((0, 99),))
    slot = slots(box, job)[0]
    box.progress(slot.id, (0, 0), serial=3)
    rows = tuple(ElementEnd(i, 1, box.now, box.now) for i in (0, 1))
    box.report("n1", Progress(slot.id, LAST_SERIAL, rows), Ended(slot.id, box.now, box.now))
    assert row(box, job, 1)["state"] == "done"
    assert slot.id not in box.machine.state.allocations


def test_only_whole_jobs_can_be_modified_and_not_what_a_slot_has(box: Box) -> None:
    job = box.submit(array=((0, 99),))
    with pytest.raises(OstlerError):
        box.act("frobnicate", str(job))
    assert box.machine.state.jobs[job].queued > 0


def test_held_elements_wait_by_rule_hold_while_the_others_are_queued_in_a_slot() -> None:
    box = Box()
    job = box.submit(array=((0, 3),), request=Request(cpus=4))
    box.act("hold", f"{job}_3")
    alloc = box.alloc(job)
    box.start(alloc)
    while box.machine.state.jobs[job].waiting:
        box.progress(alloc, (box.machine.state.allocations[alloc].chunk[0][0], 0))
    assert box.machine.state.allocations[alloc].queued
    box.machine.state.changed = True
    box.do(Tick())
    assert box.rule(job) == "hold"
