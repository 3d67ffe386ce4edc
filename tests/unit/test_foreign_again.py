"""Jobs that their resource manager has taken, and forgotten: once in all they run, and are known."""

from ostler.model.foreign import Did, End, Option, Outcome
from ostler.testing.rm import FOUR, ScriptedRm
from tests.unit.foreign_kit import Foreign


def test_a_job_that_was_forgotten_is_started_again_where_that_runs_it_once() -> None:
    rm = ScriptedRm("slurm", ["n1"], options=FOUR | {Option.ONCE})
    box = Foreign(rm)
    job = box.submit(partition="slurm")
    box.load()
    rm.jobs.clear()
    box.load()
    assert len(box.calls("slurm")) == 1, "the first silence says nothing"
    rm.answer = lambda _: Outcome(Did.REFUSED, text="busy")
    box.load()
    assert box.state(job) == "running", "it may have run, so nothing else is started for it"
    rm.answer = None
    box.load()
    asked = [call.start for call in box.calls("slurm") if call.start is not None]
    assert [start.again for start in asked] == [False, True, True]
    assert len({start.token for start in asked}) == 1
    box.load()
    assert (box.state(job), list(rm.jobs)) == ("running", ["2"])
    rm.end("2", box.now)
    box.load()
    assert box.state(job) == "success"
    assert not box.odd()


def test_a_job_that_was_forgotten_has_its_end_once_its_start_is_known_to_have_ended() -> None:
    rm = ScriptedRm("slurm", ["n1"], options=FOUR | {Option.ONCE})
    box = Foreign(rm)
    job = box.submit(partition="slurm")
    box.load()
    box.holds = True
    rm.end("1", box.now, "failed")
    proof = rm.ends.pop("1")
    box.load()
    box.load()
    rm.answer = lambda _: Outcome(Did.DONE, "1", end=proof)
    box.carry_out()
    assert box.state(job) == "failed"
    rm.answer = None
    rm.submit("1", token=proof.token)  # saved as waiting, before it was killed
    box.load()
    rm.end("1", box.now, "failed")
    box.load()
    assert list(box.machine.state.jobs) == []
    assert not box.odd()


def test_a_job_that_was_taken_and_for_sure_not_begun_waits_again() -> None:
    rm = ScriptedRm("slurm", ["n1"], options=FOUR | {Option.ONCE})
    box = Foreign(rm)
    rm.starts_at_once = False
    job = box.submit(partition="slurm")
    box.load()
    token = rm.jobs.pop("1").token
    rm.ends["1"] = End("1", "cancelled", "never launched", token=token, unbegun=True)
    box.load()
    rm.ends.clear()
    rm.starts_at_once = True
    box.load(after=60.0)
    assert (box.state(job), len({call.token for call in box.calls("slurm")})) == ("running", 2)


def test_a_job_that_was_forgotten_and_is_to_end_is_not_started_again() -> None:
    rm = ScriptedRm("slurm", ["n1"], options=FOUR | {Option.ONCE})
    box = Foreign(rm, job_purge=20)
    job = box.submit(partition="slurm")
    box.load()
    rm.jobs.clear()
    rm.answer = lambda _: Outcome(Did.UNKNOWN)
    box.do_act("cancel", job)
    for _ in range(4):
        box.load()
    assert len(box.calls("slurm")) == 1
