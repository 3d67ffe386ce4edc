"""Corners of the core: what is rare, or only seen when several things happen together."""

from typing import Any

import pytest

from ostler.core.entry import Entry
from ostler.core.events import (
    AgentGreeted,
    Awaited,
    ClientGone,
    NotOrdered,
    ShutdownAsked,
    Submitted,
    Tick,
)
from ostler.core.violations import violations
from ostler.model.errors import OstlerError, Refused
from ostler.model.ids import parse_ref
from ostler.model.job import JobSpec
from ostler.model.limits import MAX_COMMAND
from ostler.model.orders import Held
from ostler.model.resources import Request
from tests.unit.core_kit import ANN, BOB, ROOT, Box, after, facts

ALL = Request(cpus=4)


@pytest.fixture
def box() -> Box:
    """A machine with one node of four CPUs."""
    return Box()


def tick(box: Box, seconds: float) -> None:
    """Let time pass, with every deadline on the way."""
    until = box.now + seconds
    while (at := box.machine.next_deadline()) is not None and at <= until:
        box.now = max(box.now, at)
        box.do(Tick())
    box.now = until


def dry(box: Box, **spec: Any) -> dict[str, object]:
    """Return what `submit --dry-run` tells."""
    made = JobSpec(argv=(b"true",), **spec)
    would: dict[str, object] = box.ask(Submitted, ANN, "dry", made, {}, dry=True)["would"]
    return would


def test_a_dry_run_counts_what_the_job_would_wait_for(box: Box) -> None:
    first = box.submit(request=ALL)
    box.start(box.alloc(first))

    would = dry(box, after=after(first), request=Request(cpus=1))

    assert would["rule"] == "dependency"
    assert "starts_now" not in would


def test_a_failed_start_leaves_nothing_behind_in_memory(box: Box) -> None:
    job = box.submit()
    box.end(box.alloc(job), ran=False, why="no room")

    kept = {ident for kind, ident in box.machine.state._stories if kind == "allocation"}
    assert kept <= box.machine.state.allocations.keys()


def test_the_second_of_two_clients_keeps_a_run_alive_when_the_first_is_gone(box: Box) -> None:
    job = box.submit(kind="run", request=ALL)
    box.start(box.alloc(job))
    ref = (parse_ref(str(job)),)
    box.do(Awaited(901, ANN, ref, attach=True))
    box.do(Awaited(902, ANN, ref, attach=True))

    box.do(ClientGone((901,)))
    tick(box, 100)

    assert box.state(job) == "running"


def test_a_run_whose_client_is_gone_ends_also_when_it_was_given_more_time(box: Box) -> None:
    job = box.submit(kind="run", request=ALL)
    box.start(box.alloc(job))
    box.configure("client-grace", "60")

    tick(box, 50)
    assert box.state(job) == "running"
    tick(box, 50)
    assert box.state(job) == "finishing"


def test_a_job_that_was_rejected_and_requeued_is_tried_as_often_as_at_first(box: Box) -> None:
    job = box.submit()
    for _ in range(5):
        tick(box, 100)
        box.end(box.alloc(job), ran=False, why="no room")
    assert box.state(job) == "rejected"

    box.act("requeue", str(job))
    tick(box, 100)
    box.end(box.alloc(job), ran=False, why="no room")

    assert box.state(job) == "starting"


def test_trouble_of_a_node_costs_no_element_its_tries(box: Box) -> None:
    job = box.submit(array=((0, 99),), request=Request(cpus=1))
    for _ in range(4):
        tick(box, 100)
        for alloc in list(box.machine.state.jobs[job].live.values()):
            box.end(alloc, ran=False, why="no room")

    tick(box, 100)

    assert box.machine.state.jobs[job].ended == 0


def test_a_node_that_shrank_below_what_runs_still_takes_what_needs_no_memory(box: Box) -> None:
    job = box.submit(request=Request(memory=8 << 30))
    box.start(box.alloc(job))
    holds = (Held(box.alloc(job), "started", box.now),)
    box.do(AgentGreeted("n1", facts(4, memory=4 << 30), "b1", holds))

    other = box.submit()

    assert box.state(other) == "starting"


def test_what_is_killed_with_the_machine_is_shown_as_ending(box: Box) -> None:
    job = box.submit(request=ALL)
    box.start(box.alloc(job))

    box.do(ShutdownAsked(903, ROOT, "kill"))

    assert box.state(job) == "finishing"
    assert list(violations(box.machine.state)) == []


def test_a_cancelled_array_of_which_nothing_started_has_no_start(box: Box) -> None:
    job = box.submit(array=((0, 9),))

    box.act("cancel", str(job))

    assert box.machine.state.jobs[job].job.started_at is None


def test_releasing_an_element_of_a_held_array_says_that_it_stays_held(box: Box) -> None:
    job = box.submit(array=((0, 9),), hold=True)

    (row,) = box.act("release", f"{job}_3")

    assert not row["ok"]
    assert str(job) in row["message"]


def test_a_launch_that_could_not_be_sent_is_tried_again_and_given_up_with_the_reason(
    box: Box,
) -> None:
    job = box.submit()
    for _ in range(5):
        tick(box, 100)
        box.do(NotOrdered("n1", box.alloc(job), "the environment cannot be read"))

    assert box.state(job) == "rejected"
    assert "the environment cannot be read" in box.machine.state.recent[job].job.reason


def test_elements_between_two_ranges_of_an_array_cannot_be_waited_for(box: Box) -> None:
    job = box.submit(array=((0, 1), (2, 3), (8, 9)))

    with pytest.raises(OstlerError, match="no element"):
        box.ask(Awaited, ANN, (parse_ref(f"{job}_[3-8]"),))
    assert box.ask(Awaited, ANN, (parse_ref(f"{job}_[1-2]"),)) is None  # it waits


def test_waiting_for_elements_costs_no_look_at_each_of_them(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 60
    job = box.submit(array=((0, count - 1),), request=ALL)
    box.ask(Awaited, ANN, (parse_ref(f"{job}_[0-{count - 1}]"),))
    looks: list[int] = []
    known = Entry.result_of

    def counted(entry: Entry, index: int) -> str | None:
        looks.append(index)
        return known(entry, index)

    monkeypatch.setattr(Entry, "result_of", counted)

    for index in range(count):
        box.finish(job, index)

    assert box.state(job) == "success"
    assert len(looks) <= 3 * count


def test_a_huge_command_is_shown_cut_so_that_a_list_of_jobs_fits_into_an_answer(box: Box) -> None:
    spec = JobSpec(argv=(b"echo", b"x" * 1_000_000))

    would: dict[str, Any] = box.ask(Submitted, ANN, "dry", spec, {}, dry=True)["would"]

    assert would["command"].startswith("echo xxx")
    assert len(would["command"]) == MAX_COMMAND


def test_a_user_cannot_fill_the_memory_with_long_commands(box: Box) -> None:
    long = JobSpec(argv=(b"true", *[b"x" * 100_000] * 10), hold=True)

    def fill() -> None:
        for number in range(1000):
            box.ask(Submitted, ANN, f"n{number}", long, {})

    with pytest.raises(OstlerError, match="memory"):
        fill()

    assert 100 < len(box.machine.state.jobs) < 300
    assert box.submit(by=BOB)  # nobody else is concerned
    box.act("cancel", "1")
    assert box.ask(Submitted, ANN, "again", long, {})["job"]
    assert list(violations(box.machine.state)) == []


def test_ended_jobs_with_long_commands_are_kept_in_memory_for_a_shorter_while(box: Box) -> None:
    for number in range(100):
        box.ask(
            Submitted, ANN, f"n{number}", JobSpec(argv=(b"true", b"x" * 1_000_000), hold=True), {}
        )
        box.act("cancel", str(number + 1))

    assert sum(len(entry.job.spec.argv[1]) for entry in box.machine.state.recent.values()) < 70e6
    assert box.state(100) == "cancelled"


def test_a_machine_that_was_to_be_stopped_goes_on_when_nobody_ends_it(box: Box) -> None:
    assert box.ask(ShutdownAsked, ROOT, "wait")["stopped"]
    with pytest.raises(OstlerError, match="being stopped"):
        box.submit()

    tick(box, 100)

    assert box.state(box.submit()) == "starting"


def test_what_fitted_once_is_refused_when_its_node_has_become_too_small(box: Box) -> None:
    wide = Request(cpus=4)
    for _ in range(2):
        box.submit(request=wide)
    box.greet("n1", cpus=2, boot="b2")
    with pytest.raises(Refused, match="most: 2"):
        box.submit(request=wide)
