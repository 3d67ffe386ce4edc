"""What resource managers tell that is wrong, forged, twofold or huge: it harms no other's job."""

import asyncio
import os
import pwd
from pathlib import Path

import pytest
from msgspec import ValidationError, msgpack
from msgspec.structs import replace

from ostler.core.events import Event, RmTrouble, RmUp
from ostler.core.foreign.view import rm_rows
from ostler.drivers.finding import find
from ostler.manager.inner import Inner
from ostler.manager.pools import Pools
from ostler.model.caller import Caller
from ostler.model.errors import UsageError
from ostler.model.foreign import (
    Did,
    End,
    ForeignJob,
    ForeignNode,
    ForeignState,
    NodeState,
    Option,
    Outcome,
)
from ostler.model.foreign_rows import Discrepancy
from ostler.model.limits import MAX_FOREIGN_CPUS, MAX_TASKS
from ostler.model.resources import Request
from ostler.model.site_changes import Change
from ostler.schedule.proposal import MOST_LINES, Proposal
from ostler.testing.rm import FOUR, ScriptedRm
from tests.unit.core_kit import BOB, saved
from tests.unit.foreign_kit import SCHEDULES, Foreign, share


def lasting(box: Foreign) -> list[str]:
    """Return the kinds of the discrepancies whose rows say that they go on."""
    rows = {w.serial: w for w in saved(box.done) if isinstance(w, Discrepancy)}
    return [row.kind for row in rows.values() if row.over_at is None]


def jobs(box: Foreign) -> int:
    """Return how many jobs the machine has ever had."""
    return box.machine.state.next_job


def test_a_token_that_another_user_has_copied_says_nothing_of_the_job_it_is_of() -> None:
    rm = ScriptedRm("slurm", ["n1"], options=SCHEDULES | FOUR)
    box = Foreign(rm)
    mine = box.submit(partition="slurm", request=Request(cpus=1))
    box.load()
    [start] = box.calls("slurm")
    rm.submit("66", "mallory", token=start.token)
    rm.run("66", box.now, share("n1"))
    box.load()
    forged = box.job("slurm", "66")
    s = box.machine.state
    assert (forged == mine, s.jobs[forged].job.user) == (False, "mallory")
    rm.end("66", box.now, "success")
    box.load()
    box.load()
    assert (box.state(forged), box.state(mine)) == ("success", "running")
    assert box.calls("slurm", "cancel") == []


def test_an_id_that_another_has_for_itself_does_not_hide_whose_it_is() -> None:
    rm = ScriptedRm("slurm", ["n1"], options=SCHEDULES | FOUR)
    box = Foreign(rm)
    rm.submit("66", "ann")
    rm.run("66", box.now, share("n1"))
    box.load()
    theirs = box.job("slurm", "66")
    rm.answer = lambda call: Outcome(Did.ACCEPTED, "66") if call.verb == "start" else None
    mine = box.submit(by=BOB, partition="slurm", request=Request(cpus=1))
    box.load()
    box.load()
    rm.end("66", box.now, "success")
    box.load()
    assert (box.state(theirs), box.state(mine)) == ("success", "starting")


def test_two_jobs_of_one_id_are_taken_in_once_each() -> None:
    rm = ScriptedRm("slurm", ["n1"], options=SCHEDULES)
    box = Foreign(rm)
    rm.submit("5", incarnation="old")
    rm.jobs["again"] = replace(rm.jobs["5"], incarnation="new", reason="(Priority)")
    rm.ends["5"] = End("5", "failed", "so", "oldest", user="ann", started_at=1.0, ended_at=box.now)
    box.load()
    known = jobs(box)
    for _ in range(3):
        box.load()
    assert jobs(box) == known == 4
    assert box.machine.state.jobs[box.job("slurm", "5")].waiting


def test_a_job_that_is_listed_twice_counts_as_it_is_listed_first() -> None:
    rm = ScriptedRm("slurm", ["n1"], options=SCHEDULES)
    box = Foreign(rm)
    rm.submit("5")
    rm.run("5", box.now, share("n1"))
    rm.jobs["again"] = replace(rm.jobs["5"], state=ForeignState.IDLE, shares=())
    box.load()
    for _ in range(3):
        assert not saved(box.load())
    assert box.state(box.job("slurm", "5")) == "running"


def test_a_second_job_of_one_start_is_ended_and_the_first_is_not_believed_to_have_ended() -> None:
    rm = ScriptedRm("slurm", ["n1"], options=SCHEDULES | FOUR)
    box = Foreign(rm)
    rm.tells_use = False
    mine = box.submit(partition="slurm", request=Request(cpus=1))
    box.load()
    ident = box.machine.state.rms["slurm"].jobs[mine, 0, 1].id
    rm.jobs = {"0": replace(rm.jobs[ident], id="0"), **rm.jobs}
    box.load()
    [cancel] = box.calls("slurm", "cancel")
    assert (cancel.job, box.state(mine), lasting(box)) == ("0", "running", ["stray"])
    rm.jobs.pop(ident)  # nobody knows what became of it
    box.load()
    box.load()
    assert box.state(mine) == "running"
    assert lasting(box) == []


def test_what_was_odd_of_a_job_or_a_node_is_over_when_that_is_gone() -> None:
    rm = ScriptedRm("slurm", ["n1", "n2"], options=SCHEDULES)
    box = Foreign(rm, node_purge=5)
    rm.submit("5")
    rm.run("5", box.now, share("elsewhere"))
    rm.tells_use = False
    rm.nodes["n2"] = replace(rm.nodes["n2"], used_cpus=2)
    box.load()
    box.load()
    assert sorted(lasting(box)) == ["elsewhere", "node_busy"]
    rm.end("5", box.now)
    box.load()
    assert lasting(box) == ["node_busy"]
    del rm.nodes["n2"]
    box.load()
    box.load(after=10)
    assert lasting(box) == []
    rm.nodes["n1"] = replace(rm.nodes["n1"], used_cpus=2)
    box.load()
    box.load()
    assert lasting(box) == ["node_busy"]
    box.change(Change("remove", "rm", ("slurm",)))
    assert lasting(box) == []


def test_a_load_that_began_before_a_job_went_on_does_not_suspend_it_again() -> None:
    rm = ScriptedRm("slurm", ["n1"], options=SCHEDULES | FOUR | {Option.SUSPEND, Option.RESUME})
    box = Foreign(rm)
    mine = box.submit(partition="slurm", request=Request(cpus=1))
    box.load()
    box.act("suspend", str(mine))
    box.load()
    assert box.state(mine) == "suspended"
    old = rm.load(box.now)
    box.now += 1.0
    box.act("resume", str(mine))
    assert box.state(mine) == "running"
    box.now += 1.0
    box.do(old)
    assert box.state(mine) == "running"


def test_a_driver_that_is_begun_anew_without_trouble_is_no_news() -> None:
    rm = ScriptedRm("slurm", ["n1"])
    box = Foreign(rm)
    up = RmUp("slurm", rm.about)
    box.do(RmTrouble("slurm", "crashed", "it ended"))
    box.do(up)
    told = len(box.told("driver/up"))
    box.do(up)
    assert len(box.told("driver/up")) == told
    box.do(RmTrouble("slurm", "crashed", "it ended"))
    box.do(up)
    assert len(box.told("driver/up")) == told + 1


def test_why_a_driver_is_not_begun_is_shown_until_it_is() -> None:
    box = Foreign(rm := ScriptedRm("slurm", ["n1"]))
    s, why = box.machine.state, "the driver cannot be loaded: there is no setting 'intervall'"

    def shown() -> list[str]:
        return [row["why"] for row in rm_rows(s)]

    box.do(RmTrouble("slurm", "failed", "squeue did not answer"))
    assert why not in shown()
    box.do(RmTrouble("slurm", "failed", why, box.now + 1.0))
    assert shown() == [why]
    box.do(RmUp("slurm", rm.about))
    assert why not in shown()


def test_huge_numbers_cost_no_memory() -> None:
    rm = ScriptedRm("slurm", ["n1"], options=SCHEDULES)
    box = Foreign(rm)
    most = 1 << 53
    rm.submit("5", tasks=most, cpus=most, nodes=most, time_limit=most, memory=most)
    rm.run("5", box.now, share("n1", most, most))
    box.load()
    job = box.job("slurm", "5")
    assert box.machine.state.jobs[job].job.spec.request.tasks == MAX_TASKS
    rm.end("5", box.now)
    box.load()
    assert box.state(job) == "success"
    huge = msgpack.encode(ForeignNode("n1", NodeState.UP, MAX_FOREIGN_CPUS + 1))
    with pytest.raises(ValidationError):
        msgpack.decode(huge, type=ForeignNode)


def test_a_plan_that_takes_long_to_be_looked_at_is_none() -> None:
    plan = msgpack.encode(Proposal(suspend=[1] * (MOST_LINES + 1)))
    with pytest.raises(ValidationError):
        msgpack.decode(plan, type=Proposal)


@pytest.mark.parametrize("started_at", [0.0, -1.0, -1e15])
def test_a_job_that_began_at_no_time_is_not_charged_since_1970(started_at: float) -> None:
    rm = ScriptedRm("slurm", ["n1"], options=SCHEDULES)
    box = Foreign(rm)
    rm.submit("5")
    rm.jobs["5"] = ForeignJob(
        "5", ForeignState.RUNNING, "ann", shares=(share("n1"),), started_at=started_at
    )
    box.load()
    [alloc] = box.machine.state.allocations.values()
    assert alloc.granted_at == box.now
    del rm.jobs["5"]
    rm.ends["6"] = End("6", "success", "so", "", "", "ann", 0, 0, started_at, box.now)
    box.load()
    [job] = [e for e in box.machine.state.recent.values() if e.job.rm == "slurm"]
    assert job.job.started_at is None


def test_no_node_says_of_itself_that_it_is_of_another_resource_manager() -> None:
    rm = ScriptedRm("slurm", ["n1"])
    rm.nodes["n1"] = replace(rm.nodes["n1"], features=("gpu", "foreign", "rm=other"))
    box = Foreign(rm, ScriptedRm("other", ["n1"]))
    features = box.machine.state.nodes["slurm/n1"].node.facts.features
    assert features == ("gpu", "foreign", "rm=slurm")


@pytest.mark.parametrize("mode", [0o666, 0o602])
def test_root_runs_no_driver_that_others_can_write(
    mode: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "driver.py"
    path.write_text("class Mine: pass")
    path.chmod(mode)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(UsageError, match="others than root"):
        find(f"{path}:Mine")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert find(f"{path}:Mine").__name__ == "Mine"


def test_a_job_whose_name_ends_like_that_of_a_pools_node_brings_none(
    caplog: pytest.LogCaptureFixture,
) -> None:
    box = Foreign(ScriptedRm("slurm", ["n1"]))
    me = Caller(os.geteuid(), os.getegid(), pwd.getpwuid(os.geteuid()).pw_name)
    mine = [box.submit(by=me, partition="slurm", name=name) for name in ("node-5", "-pool-5")]
    asked: list[Event] = []
    pools = Pools(lambda: box.machine.state, Inner(asked.append), "/nowhere")
    asyncio.run(pools.look(""))
    for job in mine:
        box.act("cancel", str(job), by=me)
    box.load()
    assert not box.machine.state.jobs
    asyncio.run(pools.look(""))
    assert (asked, caplog.records) == ([], [])
