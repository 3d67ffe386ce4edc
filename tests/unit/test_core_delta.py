"""What a scheduler is told of: what has changed, once, as it is by then."""

from ostler.core.events import Acted, Planned
from ostler.model.ids import Ref
from ostler.model.record import Event
from ostler.model.resources import Placement, Request
from ostler.model.states import Rule
from ostler.schedule.snapshot import Plan, Start
from ostler.testing.scheduler import Picture
from tests.unit.core_kit import ANN, Box, saved

FULL = Request(cpus=4)


def test_the_first_delta_has_everything() -> None:
    box = Box(["n1", "n2"])
    box.submit(request=FULL)
    box.machine.state.marks.everything = True
    delta = box.machine.delta(box.now)
    assert delta.reset
    assert [view.name for view in delta.nodes] == ["n1", "n2"]
    assert len(delta.running) == 1


def test_when_nothing_has_changed_nothing_is_told() -> None:
    box = Box()
    box.submit(request=FULL)
    box.submit(request=FULL)
    box.machine.delta(box.now)
    delta = box.machine.delta(box.now)
    told = (delta.nodes, delta.running, delta.over, delta.waiting, delta.gone)
    assert told == ([], [], [], [], [])
    assert (delta.resuming, delta.rules, delta.reset) == (None, None, False)
    assert not box.machine.wants_plan


def test_of_many_that_wait_only_the_changed_one_is_told() -> None:
    box = Box()
    jobs = [box.submit(request=FULL) for _ in range(5)]
    box.machine.delta(box.now)
    box.machine.handle(box.now, Acted(99, ANN, "hold", (Ref(jobs[3]),)))
    [view] = box.machine.delta(box.now).waiting
    assert view.job == jobs[3]
    assert view.blocked is not None
    assert view.blocked.rule is Rule.HOLD


def test_deltas_have_growing_numbers_and_a_new_machine_begins_anew() -> None:
    box = Box()
    first = box.machine.delta(box.now).number
    assert box.machine.delta(box.now).number == first + 1


def test_much_is_told_in_pieces_and_only_all_of_them_make_the_machine() -> None:
    box = Box()
    for _ in range(7):
        box.submit(request=FULL)
    box.machine.state.marks.everything = True
    picture, pieces = Picture(), 0
    while box.machine.state.marks:
        picture.apply(box.machine.delta(box.now, most=3))
        pieces += 1
        assert box.machine.wants_plan == bool(box.machine.state.marks)
    assert pieces == 3
    assert picture.differences(box.machine.snapshot(box.now)) == []


def test_time_alone_is_told_of() -> None:
    box = Box()
    job = box.submit(not_before=500.0)
    box.machine.delta(box.now)
    assert box.machine.delta(499.0).waiting == []
    [view] = box.machine.delta(500.0).waiting
    assert (view.job, view.blocked) == (job, None)


def _planned(box: Box, job: int, *, cancelled: bool) -> list[str]:
    """Start a job on CPUs that are taken; return what became an event."""
    number = box.machine.delta(box.now).number
    if cancelled:
        box.machine.handle(box.now, Acted(99, ANN, "cancel", (Ref(job),)))
    lines = [Start(job, (Placement("n1", cpus=(0, 1, 2, 3)),))]
    effects = box.machine.handle(box.now, Planned(Plan(list(lines), {}, number=number)))
    rows = [row for row in saved(effects) if isinstance(row, Event)]
    return [row.text for row in rows if row.kind == "plan-refused"]


def test_a_line_that_was_overtaken_is_dropped_quietly() -> None:
    box = Box()
    box.submit(request=FULL)
    assert _planned(box, box.submit(request=FULL), cancelled=True) == []
    assert box.machine.state.refused_late == 1


def test_a_line_that_never_was_legal_is_an_event() -> None:
    box = Box()
    box.submit(request=FULL)
    second = box.submit(request=FULL)
    [text] = _planned(box, second, cancelled=False)
    assert "CPU 0 of n1 is not free" in text
    delta = box.machine.delta(box.now)  # the scheduler took it for carried out
    assert [view.name for view in delta.nodes] == ["n1"]
    assert [view.job for view in delta.waiting] == [second]
