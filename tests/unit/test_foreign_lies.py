"""Sizes, states and words of resource managers that cannot be true: what they may not bring about."""

import pytest
from msgspec import ValidationError, msgpack
from msgspec.structs import replace

from ostler.cli.output import Row
from ostler.cli.rm import described
from ostler.cli.status import machine_text
from ostler.core.explain import explain
from ostler.core.view import node_row
from ostler.model.foreign import (
    Did,
    ForeignJob,
    ForeignNode,
    ForeignState,
    NodeState,
    Outcome,
    Share,
)
from ostler.model.ids import Ref
from ostler.model.limits import MAX_FOREIGN_JOBS
from ostler.testing.rm import FOUR, ScriptedRm
from tests.unit.core_kit import ROOT
from tests.unit.foreign_kit import SCHEDULES, WIKI, Foreign, share

_SOME = 30  # jobs
HUGE = 1 << 53  # the most that a driver can tell
ESCAPE = "\x1b]0;mine\x07"


def test_sizes_that_cannot_be_true_can_be_added_up_and_sent_on() -> None:
    """What the manager cannot send on would keep it from planning for anybody."""
    rm = ScriptedRm("slurm", ["n1"], cpus=1, options=SCHEDULES)
    rm.nodes["n1"] = replace(rm.nodes["n1"], memory=HUGE, generic={"tape": HUGE, ESCAPE: 1})
    for number in range(_SOME):
        rm.submit(str(number), memory=HUGE, gpus=HUGE, nodes=HUGE, tasks=HUGE, cpus=HUGE)
        rm.run(str(number), 0.0, Share("n1", 1, 1, HUGE, 0, {"tape": HUGE}))
    rm.submit("idle", memory=HUGE, gpus=HUGE, nodes=HUGE, tasks=HUGE, cpus=HUGE)
    box = Foreign(rm)
    entry = box.machine.state.nodes["slurm/n1"]
    assert len(entry.allocations) == _SOME
    for free in (entry.books.memory, entry.books.generic["tape"]):
        assert -(1 << 63) < free // _SOME * MAX_FOREIGN_JOBS < 0
    row = node_row(entry)
    msgpack.encode(row)
    assert row["free_memory"] == 0
    assert list(row["generic"]) == ["tape"]
    request = box.machine.state.jobs[box.job("slurm", "idle")].job.spec.request
    for each in (request.memory, request.gpus, request.nodes):
        assert 0 < each * request.tasks < 1 << 63


def test_a_job_of_a_state_that_nobody_can_read_is_not_started_before_another_is_told() -> None:
    rm = ScriptedRm("wiki", ["n1"], options=WIKI)
    rm.submit("7")
    rm.jobs["7"] = replace(rm.jobs["7"], state=ForeignState.UNKNOWN, native_state="Blocked")
    box = Foreign(rm)
    box.load()
    assert (box.calls("wiki"), box.state(box.job("wiki", "7"))) == ([], "held")
    rm.submit("7")
    box.load()
    [start] = box.calls("wiki")
    assert start.job == "7"


def test_a_cancel_that_is_refused_is_told_once_and_asked_ever_more_seldom() -> None:
    rm = ScriptedRm("slurm", ["n1"], options=SCHEDULES | FOUR)
    rm.submit("5")
    rm.run("5", 0.0, share("n1"))
    rm.submit("6")
    rm.answer = lambda call: Outcome(Did.REFUSED, text="no") if call.verb == "cancel" else None
    box = Foreign(rm, retry=15)
    running, idle = box.job("slurm", "5"), box.job("slurm", "6")
    box.act("cancel", str(running), by=ROOT)
    box.act("cancel", str(idle), by=ROOT)
    for _ in range(100):
        box.load()
    asked = [call.job for call in box.calls("slurm", "cancel")]
    assert (asked.count("5"), asked.count("6")) == (3, 3)  # at once, after 15 s and 30 s more
    assert len(box.told("cancel/refused")) == 2
    rm.answer = None
    for _ in range(200):
        box.load()
    assert box.state(running) == "cancelled"
    assert not rm.jobs


@pytest.mark.parametrize("lost", [False, True])
def test_a_start_of_which_its_driver_cannot_tell_is_an_event_and_explained(*, lost: bool) -> None:
    rm = ScriptedRm("slurm", ["n1"])
    box = Foreign(rm)
    why = "start: AttributeError: no attribute 'sbatch'"
    rm.answer = lambda call: Outcome(Did.UNKNOWN, text=why)
    if lost:
        why, rm.lost = "it did not answer", 3
    job = box.submit(partition="slurm")
    box.load()
    box.load()
    assert len(box.calls("slurm")) == 3
    assert box.told("start/unknown") == [f"nobody can tell whether slurm did start it: {why}"]
    found = explain(box.machine.state, box.now, Ref(job))
    assert found["reason"].endswith(f"slurm says of it: {why}")
    rm.answer, rm.lost = None, 0
    box.load()
    box.load()
    assert box.state(job) == "running"
    assert why not in explain(box.machine.state, box.now, Ref(job))["reason"]


def test_a_cancel_of_which_its_driver_cannot_tell_is_told_once() -> None:
    rm = ScriptedRm("slurm", ["n1"])
    box = Foreign(rm)
    job = box.submit(partition="slurm")
    box.load()
    rm.answer = lambda call: Outcome(Did.UNKNOWN, text="no contact")
    box.act("cancel", str(job), by=ROOT)
    box.load()
    box.load()
    assert len(box.calls("slurm", "cancel")) == 3
    assert box.told("cancel/unknown") == ["nobody can tell whether slurm did cancel it: no contact"]


@pytest.mark.parametrize("ident", ["7" * 64, "7\n", f"7{ESCAPE}", "7/8", "7 8"])
def test_what_is_no_id_is_no_answer(ident: str) -> None:
    """It would be in every list of jobs."""
    for told in (
        Outcome(Did.DONE, ident),
        ForeignJob(ident, ForeignState.IDLE, "ann"),
        ForeignNode(ident, NodeState.UP),
    ):
        with pytest.raises(ValidationError):
            msgpack.decode(msgpack.encode(told), type=type(told))
    assert msgpack.decode(msgpack.encode(Outcome(Did.REFUSED)), type=Outcome).id == ""


def test_what_a_driver_says_of_itself_cannot_order_a_terminal_about() -> None:
    about: Row = {"name": "x", "title": f"a{ESCAPE}", "limits": [f"b{ESCAPE}"], "options": []}
    node = {"name": "n", "generic": {f"tape{ESCAPE}": 2}}
    for text in (described(about), machine_text({"nodes": [node]})):
        assert "\x1b" not in text
        assert "?]0;mine?" in text
