"""A machine that is stopped while other resource managers have jobs."""

from collections.abc import Iterable

import pytest

from ostler.core.effects import Effect, Reply
from ostler.core.events import ShutdownAsked
from ostler.model.errors import Refused
from ostler.testing.rm import ScriptedRm
from tests.unit.core_kit import ROOT
from tests.unit.foreign_kit import SCHEDULES, WIKI, Foreign, share


def stopped(effects: Iterable[Effect]) -> bool:
    """Say whether whoever asked is told that the machine stops."""
    return any(isinstance(each, Reply) and each.to == 77 for each in effects)


@pytest.mark.parametrize("how", ["refuse", "wait", "kill"])
def test_jobs_that_others_submitted_there_neither_hinder_nor_end(how: str) -> None:
    slurm, wiki = (
        ScriptedRm("slurm", ["n1"], options=SCHEDULES),
        ScriptedRm("w", ["n"], options=WIKI),
    )
    box = Foreign(slurm, wiki)
    slurm.submit("4711", "bob")
    slurm.run("4711", box.now, share("n1"))
    wiki.submit("8", "bob")
    box.load()
    box.load()
    assert box.state(box.job("w", "8")) == "running"

    assert box.ask(ShutdownAsked, ROOT, how)["stopped"]

    assert box.calls("slurm", "cancel") == box.calls("w", "cancel") == []


def test_ours_there_are_ended_before_the_machine_stops() -> None:
    slurm = ScriptedRm("slurm", ["n1"])
    box = Foreign(slurm)
    job = box.submit(partition="slurm")
    box.load()
    with pytest.raises(Refused, match="1 job is running"):
        box.ask(ShutdownAsked, ROOT, "refuse")

    assert not stopped(box.do(ShutdownAsked(77, ROOT, "kill")))

    assert stopped(box.load())
    assert box.state(job) == "cancelled"


def test_a_machine_that_kills_does_not_wait_for_who_does_not_answer() -> None:
    slurm, other = ScriptedRm("slurm", ["n1"]), ScriptedRm("other", ["n1"])
    box = Foreign(slurm, other)
    jobs = [box.submit(partition="slurm"), box.submit(partition="other")]
    box.load()
    box.fail("slurm")
    box.holds = True

    assert not stopped(box.do(ShutdownAsked(77, ROOT, "kill"))), "the other one answers"

    box.fail("other")

    assert stopped(box.done)
    assert [box.state(job) for job in jobs] == ["finishing", "finishing"]
