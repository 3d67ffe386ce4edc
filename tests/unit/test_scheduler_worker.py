"""A scheduler that is a class: what it is given, and what its answers become."""

import io
import json

from ostler.manager.scheduler_worker import serve
from ostler.manager.shadow import Shadow, parted
from ostler.model.resources import Request
from ostler.schedule.proposal import Begin, Proposal, plan_of, read_shown, shown_line
from ostler.schedule.snapshot import Plan, Snapshot, whole
from ostler.schedule.views import Views
from tests.unit.core_kit import Box


def shown(*, limit: int = 0) -> tuple[Box, Snapshot, int]:
    box = Box(("n1",))
    box.submit(request=Request(cpus=4))
    waiting = box.submit(request=Request(cpus=4), time_limit=limit)
    return box, box.machine.snapshot(box.now), waiting


class First:
    """Starts the first that waits on the first node."""

    def plan(self, snapshot: Snapshot, now: float) -> Proposal:
        assert now == 100.0
        job, node = snapshot.waiting[0].job, snapshot.nodes[0].name
        return Proposal(start=[Begin(job, {node: 1})])


def test_a_snapshot_comes_back_from_its_line_as_it_was() -> None:
    _, shot, _ = shown()
    found = read_shown(shown_line(3, 100.0, shot))
    assert (found.number, found.now, found.snapshot) == (3, 100.0, shot)


def test_what_has_no_end_is_null_in_json() -> None:
    for limit, told in ((0, None), (60, 60.0)):
        _, shot, _ = shown(limit=limit)
        raw = json.loads(shown_line(1, 100.0, shot))
        assert raw["snapshot"]["waiting"][0]["duration"] == told


def test_each_line_is_answered_with_its_number() -> None:
    _, shot, waiting = shown()
    out = io.BytesIO()
    lines = b"".join(shown_line(number, 100.0, shot) + b"\n" for number in (7, 8))
    serve(First(), io.BytesIO(lines), out)
    told = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [t["number"] for t in told] == [7, 8]
    assert told[0]["start"] == [{"job": waiting, "nodes": {"n1": 1}}]


def test_a_shadow_tells_each_difference_once() -> None:
    box = Box(("n1", "n2"))
    box.drain("n1", "n2")
    one, two = box.submit(), box.submit()
    shot = box.machine.snapshot(box.now)
    for view in shot.nodes:
        view.usable = True
    plan, wrong = plan_of(shot, Proposal(start=[Begin(one, {"n1": 1})]))
    assert not wrong
    own, other = parted(plan, shot, frozenset())
    assert (own.lines, other) == ([], plan)
    shadow, views = Shadow(), Views()
    views.apply(whole(shot))

    def told(number: int, plan: Plan) -> str:
        shadow.keep(number, shot, plan)
        return shadow.difference(views, number, (1, 1))

    assert told(1, plan) == f"it would have started job {one} on n1"
    assert told(2, plan) == ""
    more, _ = plan_of(shot, Proposal(start=[Begin(two, {"n2": 1})]))
    assert told(3, more).endswith(f"job {two} on n2")
    assert shadow.difference(views, 3, (1, 1)) == ""  # it is compared once


def test_of_a_plan_only_what_it_decides_is_carried_out() -> None:
    _, shot, waiting = shown()
    shot.nodes[0].free_cpus = (0, 1, 2, 3)
    plan, _ = plan_of(shot, Proposal(start=[Begin(waiting, {"n1": 1})]))
    own, other = parted(plan, shot, frozenset({"main"}))
    assert (own.lines, other) == (plan.lines, None)
