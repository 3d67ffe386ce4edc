"""Windows of reservations: what starts into one, what does not, and who may use it."""

from datetime import timedelta, timezone
from typing import Any

import pytest
from msgspec.structs import replace

from ostler.core.events import Acted, Planned, Tick
from ostler.core.explain import explain
from ostler.core.load import load
from ostler.core.site_view import reservation_rows
from ostler.model.caller import Caller
from ostler.model.ids import Ref
from ostler.model.orders import Ended
from ostler.model.record import Event, Loaded
from ostler.model.resources import Placement, Request
from ostler.model.site_changes import Change
from ostler.schedule.rules import Reservation, Rules
from ostler.schedule.snapshot import Plan, Start
from tests.unit.core_kit import ANN, BOB, Box, OstlerError, orders, saved

DISKS = Reservation("disks", ("n1",), 1_000.0, 500.0)
COURSE = Reservation("course", ("n1",), 1_000.0, 500.0, users=("ann",), projects=("bio",))


def reserved(*rows: Reservation, nodes: tuple[str, ...] = ("n1",)) -> Box:
    """Return a machine with these reservations, at second 100."""
    box = Box(nodes)
    box.machine.state.rules = Rules(reservations=rows)
    box.machine.state.marks.rules = True
    return box


def why(box: Box, job: int) -> str:
    return str(explain(box.machine.state, box.now, Ref(job))["reason"])


def later(box: Box, now: float) -> None:
    """Let the machine plan at another time, as its wake-up makes it do."""
    box.now = now
    box.machine.state.changed = True
    box.ask(lambda to: Planned(Plan([], {}), by=str(to)))


def on_n1(job: int, *cpus: int) -> Start:
    return Start(job, (Placement("n1", 1, 0, cpus),))


def test_what_would_not_end_before_a_window_waits_behind_it_and_shorter_work_starts() -> None:
    box = reserved(DISKS)
    long, short = box.submit(time_limit=901), box.submit(time_limit=900)
    assert (box.state(long), box.state(short)) == ("pending", "starting")
    assert box.rule(long) == "reserved"
    told = "nodes that would do are reserved (disks), or will be before it ends"
    assert why(box, long).startswith(f"{told}; they are open to it in 23m 20s")
    later(box, 1_499.0)
    assert box.state(long) == "pending"
    later(box, 1_500.0)
    assert box.state(long) == "starting"


def test_what_runs_as_a_window_begins_is_left_alone() -> None:
    box = reserved()
    job = box.submit()
    box.start(box.alloc(job))
    box.machine.state.rules = Rules(reservations=(DISKS,))
    box.machine.state.marks.rules = True
    later(box, 1_200.0)
    assert box.state(job) == "running"


def test_a_job_in_a_reservation_starts_when_it_opens_on_its_nodes_alone() -> None:
    box = reserved(COURSE, nodes=("n1", "n2"))
    job, other = box.submit(request=Request(reservation="course")), box.submit()
    assert (box.rule(job), box.state(other)) == ("reserved", "starting")
    assert why(box, job).startswith("its reservation course opens in 15m")
    later(box, 1_000.0)
    (*_, (node, launch)) = orders(box.done)
    assert (node, launch.job) == ("n1", job)
    busy = box.submit(request=Request(cpus=4, reservation="course"))
    assert box.rule(busy) == "resources"


@pytest.mark.parametrize(
    ("name", "project", "by", "why"),
    [
        ("lectures", "", ANN, "there is no reservation 'lectures'"),
        ("disks", "", ANN, "reservation 'disks' is for maintenance; no job may use it"),
        ("course", "", BOB, "reservation 'course' is not for bob"),
        ("course", "law", BOB, "reservation 'course' is not for bob"),
        ("course", "bio", BOB, ""),
        ("course", "", ANN, ""),
    ],
)
def test_whose_it_is_not_is_refused_at_submission(
    name: str, project: str, by: Caller, why: str
) -> None:
    box = reserved(DISKS, COURSE)
    request = Request(reservation=name)
    if not why:
        assert box.submit(by=by, project=project, request=request)
        return
    with pytest.raises(OstlerError, match=why):
        box.submit(by=by, project=project, request=request)


def test_a_reservation_too_small_for_a_job_refuses_it() -> None:
    box = reserved(COURSE, nodes=("n1", "n2"))
    with pytest.raises(OstlerError, match="asks for"):
        box.submit(request=Request(tasks=2, nodes=2, reservation="course"))


def test_a_reservation_that_is_taken_away_keeps_its_jobs_waiting_with_the_reason() -> None:
    box = reserved(COURSE)
    job = box.submit(request=Request(reservation="course"))
    box.machine.state.rules = Rules()
    box.machine.state.marks.rules = True
    later(box, 1_100.0)
    assert box.rule(job) == "reserved"
    assert why(box, job) == "its reservation course does not open to it any more"


@pytest.mark.parametrize(
    ("now", "spec", "refused"),
    [
        (100.0, {"time_limit": 910}, "n1 is reserved (disks) before job 1 would end"),
        (1_200.0, {"time_limit": 10}, "n1 is reserved (disks) before job 1 would end"),
        (100.0, {}, "n1 is reserved (disks) before job 1 would end"),
        (100.0, {"request": Request(reservation="course")}, "is not open to it now"),
        (100.0, {"time_limit": 900}, ""),
        (1_600.0, {}, ""),
    ],
)
def test_the_core_holds_every_scheduler_to_the_windows(
    now: float, spec: dict[str, Any], refused: str
) -> None:
    box = reserved(DISKS, COURSE)
    job = box.submit(hold=True, **spec)
    box.now = now
    box.machine.handle(now, Acted(0, ANN, "release", (Ref(job),)))
    list(box.machine.deltas(now))
    plan = Plan([on_n1(job, 0)], {}, number=box.machine.state.marks.number)
    done = box.machine.handle(now, Planned(plan))
    rows = [row for row in saved(done) if isinstance(row, Event)]
    told = [row.text for row in rows if row.kind == "plan/refused"]
    assert bool(told) == bool(refused)
    assert all(refused in text for text in told)


def test_an_array_hands_out_no_more_elements_than_end_before_the_window() -> None:
    box = reserved(DISKS)
    job = box.submit(array=((0, 99),), time_limit=300, request=Request(cpus=4))
    alloc = box.machine.state.allocations[box.alloc(job)]
    assert alloc.chunk == ((0, 2),)
    box.start(alloc.id)
    for index in range(3):
        box.now += 250
        box.progress(alloc.id, (index, 0), running=index + 1 if index < 2 else -1)
    assert box.machine.state.jobs[job].slots[alloc.id].draining
    box.report("n1", Ended(alloc.id, box.now, box.now))
    assert box.rule(job) == "reserved"


def tick(box: Box, offset: int) -> None:
    """Let time pass where clocks are so many seconds before UTC."""
    box.machine.state.parts.zone = timezone(timedelta(seconds=offset))
    box.do(Tick())


def test_a_recurring_window_keeps_the_wall_clock_when_that_is_changed() -> None:
    box = reserved()
    summer, winter = 7_200, 3_600
    tick(box, summer)
    kept = {"nodes": "n1", "start": 72_000.0, "duration": "1h", "days": [0, 1, 2, 3, 4, 5, 6]}
    box.change(Change("create", "reservation", ("disks",), kept | {"utc_offset": summer}))
    (row,) = reservation_rows(box.machine.state, 0.0)
    assert (row["begins_at"], row["ends_at"], row["is_open"]) == (72_000.0, 75_600.0, False)
    tick(box, winter)
    (row,) = reservation_rows(box.machine.state, 73_600.0)
    assert (row["begins_at"], row["is_open"]) == (75_600.0, False)
    (row,) = reservation_rows(box.machine.state, 75_600.0)
    assert row["is_open"]


def test_a_reservation_without_a_duration_is_refused() -> None:
    box = reserved()
    with pytest.raises(OstlerError, match="reservation disks lasts no time"):
        box.change(Change("create", "reservation", ("disks",), {"nodes": "n1"}))


def test_a_reservation_of_a_partition_follows_its_nodes() -> None:
    box = Box(("n1", "n2"))
    values = {"nodes": "partition:main", "start": 1_000.0, "duration": "500s"}
    box.change(Change("create", "reservation", ("disks",), values))

    def kept() -> str:
        (row,) = reservation_rows(box.machine.state, box.now)
        return str(row["nodes_now"])

    assert kept() == "n[1-2]"
    box.greet("n3")
    assert kept() == "n[1-3]"
    box.change(
        Change("create", "partition", ("night",), {}),
        Change("set", "configuration", ("",), {"nodes": {"night": "n2"}}),
    )
    assert kept() == "n[1,3]"
    long = box.submit(time_limit=5_000)
    there = box.submit(time_limit=5_000, partition="night")
    assert (box.state(long), box.state(there)) == ("pending", "starting")
    state = box.machine.state
    rows = Loaded([], [], {}, [], [entry.node for entry in state.nodes.values()], {}, {}, 1, 1, 1)
    again = load(replace(rows, site=state.site), 2, box.now)
    assert [row.nodes for row in again.rules.reservations] == [("n1", "n3")]
    with pytest.raises(OstlerError, match="names partition 'night', which there is not"):
        box.change(
            Change("set", "reservation", ("disks",), {"nodes": "partition:night"}),
            Change("remove", "partition", ("night",)),
            Change("set", "configuration", ("",), {"nodes": {"night": None}}),
        )
