"""The process between the manager and a scheduler of others: what is shown, and what comes back."""

from collections.abc import Iterable

import pytest

from ostler.core.events import Planned, SchedulerSeen
from ostler.manager.pieces import WORK, pieces
from ostler.model.resources import Placement
from ostler.model.states import Rule
from ostler.schedule.snapshot import Line, Piece, Plan, Resume, Start, Wait
from tests.unit.core_kit import Box
from tests.unit.test_core_charge import planned_by_mine, shown


def wait(why: str) -> Wait:
    return Wait(Rule.SCHEDULER, {"why": why})


def start(job: int) -> Start:
    return Start(job, (Placement("n1", cpus=(0,)),))


def joined(found: Iterable[tuple[Plan, Piece]]) -> Plan:
    whole = Plan([], {})
    for plan, _ in found:
        whole.lines += plan.lines
        whole.waits |= plan.waits
    return whole


def test_a_plan_comes_in_pieces_none_of_which_is_much_work() -> None:
    lines: list[Line] = [Resume(1), *(start(job) for job in range(1_000))]
    plan = Plan(lines, {job: wait("busy") for job in range(1_000, 9_000)}, number=7)
    found = list(pieces(plan, None))
    assert joined(found) == Plan(plan.lines, plan.waits)
    assert {piece.number for piece, _ in found} == {7}
    assert max(len(piece.lines) for piece, _ in found) <= WORK // 25
    assert max(len(piece.waits) for piece, _ in found) <= WORK
    assert [(p.anew, p.last) for _, p in found[:2] + found[-1:]] == [
        (True, False),
        (False, False),
        (False, True),
    ]
    first_wait = next(n for n, (piece, _) in enumerate(found) if piece.waits)
    assert not any(piece.lines for piece, _ in found[first_wait + 1 :])  # what starts goes first


def test_of_reasons_only_what_is_new_is_told() -> None:
    before = {1: wait("busy"), 2: wait("busy"), 3: wait("busy")}
    after = {1: wait("busy"), 2: wait("the moon"), 4: wait("new")}
    [(plan, piece)] = pieces(Plan([], after), before)
    assert plan.waits == {2: wait("the moon"), 4: wait("new")}
    assert (piece.silent, piece.anew, piece.last) == ((3,), False, True)


def test_starts_of_an_array_that_follow_in_later_pieces_are_told_with_the_first() -> None:
    lines = [start(1) for _ in range(50)]
    told = [(len(plan.lines), piece.follow) for plan, piece in pieces(Plan(list(lines), {}), {})]
    assert told == [(20, {1: 30}), (20, {1: 10}), (10, {})]


def carried_out(box: Box, before: dict[int, Wait] | None, waits: dict[int, Wait]) -> None:
    for plan, piece in pieces(Plan([], dict(waits)), before, work=2):
        box.do(Planned(plan, "mine", piece))


@pytest.mark.parametrize("anew", [False, True])
def test_pieces_of_reasons_add_up_to_what_all_of_them_would_tell(*, anew: bool) -> None:
    box, other = planned_by_mine(), planned_by_mine()
    jobs = [box.submit() for _ in range(6)]
    assert jobs == [other.submit() for _ in jobs]
    before = {job: wait("busy") for job in jobs[:4]}
    after = {job: wait("busy" if job % 2 else "the moon") for job in jobs[2:]}
    carried_out(box, None, before)
    carried_out(box, None if anew else before, after)
    other.do(Planned(Plan([], before), "mine"))
    other.do(Planned(Plan([], after), "mine"))
    assert box.machine.state.parts.told == other.machine.state.parts.told
    assert box.machine.state.parts.plans == other.machine.state.parts.plans


def test_what_changed_between_two_pieces_counts() -> None:
    box = planned_by_mine("n1")
    jobs = [box.submit() for _ in range(2)]
    plan = Plan([start(job) for job in jobs], {})
    box.act("cancel", str(jobs[1]))
    box.do(Planned(Plan(plan.lines[:1], {}), "mine", Piece()))
    box.do(SchedulerSeen("mine", up=False, why="it crashed"))
    late = box.submit()
    box.do(Planned(Plan([start(late)], {}), "mine", Piece(last=True)))
    assert [box.state(job) for job in (*jobs, late)] == ["starting", "cancelled", "starting"]
    assert len(box.machine.state.allocations) == 2


def test_what_it_said_itself_is_no_reason_that_it_is_shown() -> None:
    box = planned_by_mine("n1")
    job = box.submit()
    box.do(Planned(Plan([], {job: wait("busy")}), "mine"))
    assert [view.blocked for view in shown(box).waiting] == [None]
