"""What a scheduler is told of: what has changed, once, as it is by then."""

from ostler.core.delta import delta
from ostler.core.events import Acted, Planned
from ostler.model.ids import Ref
from ostler.model.record import Event
from ostler.model.resources import Placement, Request
from ostler.model.states import Rule
from ostler.schedule.snapshot import Delta, Plan, Start
from ostler.schedule.views import Views
from ostler.testing.scheduler import differences
from tests.unit.core_kit import ANN, Box, saved

FULL = Request(cpus=4)


def told(box: Box) -> Delta:
    """Return what has changed, in one piece."""
    return next(box.machine.deltas(box.now), Delta())


def test_the_first_delta_has_everything() -> None:
    box = Box(["n1", "n2"])
    box.submit(request=FULL)
    box.machine.state.marks.everything = True
    found = told(box)
    assert found.reset
    assert [view.name for view in found.nodes] == ["n1", "n2"]
    assert len(found.running) == 1


def test_when_nothing_has_changed_nothing_is_told() -> None:
    box = Box()
    box.submit(request=FULL)
    box.submit(request=FULL)
    told(box)
    assert list(box.machine.deltas(box.now)) == []


def test_of_many_that_wait_only_the_changed_one_is_told() -> None:
    box = Box()
    jobs = [box.submit(request=FULL) for _ in range(5)]
    told(box)
    box.machine.handle(box.now, Acted(99, ANN, "hold", (Ref(jobs[3]),)))
    [view] = told(box).waiting
    assert view.job == jobs[3]
    assert view.blocked is not None
    assert view.blocked.rule is Rule.HOLD


def test_deltas_are_numbered() -> None:
    box = Box()
    box.machine.state.marks.nodes.add("n1")
    first = told(box).number
    box.machine.state.marks.nodes.add("n1")
    assert told(box).number == first + 1


def test_much_is_told_in_pieces_and_only_all_of_them_make_the_machine() -> None:
    box = Box()
    for _ in range(7):
        box.submit(request=FULL)
    box.machine.state.marks.everything = True
    views, pieces = Views(), 0
    while box.machine.state.marks:
        assert differences(views, box.machine.snapshot(box.now))
        views.apply(delta(box.machine.state, box.now, most=3))
        pieces += 1
    assert pieces == 3  # of a node, an allocation and seven jobs
    assert differences(views, box.machine.snapshot(box.now)) == []


def test_time_alone_is_told_of() -> None:
    box = Box()
    job = box.submit(not_before=500.0)
    told(box)
    assert list(box.machine.deltas(499.0)) == []
    [found] = box.machine.deltas(500.0)
    [view] = found.waiting
    assert (view.job, view.blocked) == (job, None)


def _planned(box: Box, job: int, *, cancelled: bool) -> list[str]:
    """Start a job on CPUs that are taken; return what became an event."""
    told(box)
    if cancelled:
        box.machine.handle(box.now, Acted(99, ANN, "cancel", (Ref(job),)))
    lines = [Start(job, (Placement("n1", cpus=(0, 1, 2, 3)),))]
    effects = box.machine.handle(
        box.now, Planned(Plan(list(lines), {}, number=box.machine.state.marks.number))
    )
    rows = [row for row in saved(effects) if isinstance(row, Event)]
    return [row.text for row in rows if row.kind == "plan/refused"]


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
    found = told(box)  # the scheduler took it for carried out
    assert [view.name for view in found.nodes] == ["n1"]
    assert [view.job for view in found.waiting] == [second]
