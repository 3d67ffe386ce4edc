"""Jobs of other resource managers: whose they are, what is asked about them, what is believed."""

from itertools import pairwise

import pytest
from msgspec.structs import replace

from ostler.core.delta import snapshot
from ostler.core.effects import Call
from ostler.core.events import RmAnswered
from ostler.core.explain import explain
from ostler.core.view import job_row
from ostler.model.errors import Unsupported
from ostler.model.foreign import Did, ForeignState, Option, Outcome
from ostler.model.foreign_rows import RmJob
from ostler.model.ids import Ref
from ostler.model.job import Usage
from ostler.model.record import Accounting, Loaded
from ostler.model.resources import Request
from ostler.model.site_changes import Change
from ostler.testing.rm import ScriptedRm
from tests.unit.core_kit import BOB, ROOT, saved
from tests.unit.foreign_kit import SCHEDULES, WIKI, Foreign, share

HALTS = frozenset({Option.SUSPEND, Option.RESUME})


def durable(box: Foreign) -> Loaded:
    """Return what a database would have."""
    s = box.machine.state
    rms = s.rms.values()
    return Loaded(
        [e.job for e in s.jobs.values()],
        [],
        {},
        list(s.allocations.values()),
        [e.node for e in s.nodes.values()],
        {},
        dict(s.ended),
        s.next_job,
        s.next_allocation,
        s.next_event,
        site=s.site,
        rm_nodes=[n for rm in rms for n in rm.nodes.values()],
        rm_jobs=[j for rm in rms for j in rm.jobs.values()],
        discrepancies=[d for rm in rms for d in rm.odd.values()],
    )


# -- jobs that were submitted there ---------------------------------------------------------------


def test_a_job_that_runs_there_holds_what_it_has_and_is_accounted() -> None:
    rm = ScriptedRm("slurm", ["n1", "n2"], options=SCHEDULES)
    box = Foreign(rm)
    rm.submit("4711", "bob", tasks=3, project="p")
    rm.run("4711", box.now, share("n1", 4, 2), share("n2", 1))
    box.load()
    job = box.job("slurm", "4711")
    s = box.machine.state
    assert (box.state(job), s.user_cpus) == ("running", {"bob": 5})
    assert len(s.nodes["slurm/n2"].books.cpus) == 3
    mine = box.submit(partition="slurm", request=Request(cpus=4))
    assert box.state(mine) == "pending"
    ended = box.now
    rm.end("4711", ended, "failed")
    rm.ends["4711"] = replace(rm.ends["4711"], usage=Usage(1.5), exit_status=3)
    box.load()
    assert (box.state(job), s.recent[job].job.exit_status) == ("failed", 3)
    told = explain(s, box.now, Ref(job))
    assert (told["result"], told["rule"]) == ("failed", "")
    [row] = [w for w in saved(box.done) if isinstance(w, Accounting)]
    assert (row.user, row.project, row.cpus, row.ended_at) == ("bob", "p", 5, ended)
    assert row.usage.cpu_user == 1.5
    assert box.state(mine) in ("starting", "running")


def test_what_its_resource_manager_starts_waits_with_its_reason_and_is_not_planned() -> None:
    rm = ScriptedRm("slurm", ["n1"], options=SCHEDULES)
    box = Foreign(rm)
    rm.submit("4711", reason="(QOSMaxJobs)")
    box.load()
    job = box.job("slurm", "4711")
    s = box.machine.state
    assert snapshot(s, box.now).waiting == []
    told = explain(s, box.now, Ref(job))
    assert told["rule"] == "foreign"
    assert told["reason"] == (
        "it is slurm/4711, which slurm starts by itself, and says: (QOSMaxJobs)"
    )
    rm.put(replace(rm.jobs["4711"], reason="(Resources)"))
    box.load()
    assert s.jobs[job].job.reason == "(Resources)"
    for verb in ("hold", "requeue"):
        [row] = box.act(verb, str(job))
        assert row["code"] == "unsupported"
    with pytest.raises(Unsupported, match="starts it by itself"):
        box.ask_modify(job, time_limit=60)
    assert not box.calls("slurm")


def test_an_owner_is_known_by_name() -> None:
    rm = ScriptedRm("slurm", ["n1"], options=SCHEDULES)
    box = Foreign(rm)
    rm.submit("1", "ann")
    box.load()
    job = box.job("slurm", "1")
    [row] = box.act("cancel", str(job), by=BOB)
    assert row["code"] == "refused"
    box.act("cancel", str(job))
    assert (box.state(job), rm.jobs) == ("cancelled", {})


def test_a_job_that_is_not_ended_there_at_once_is_asked_again_until_it_is() -> None:
    rm = ScriptedRm("slurm", ["n1"], options=SCHEDULES)
    box = Foreign(rm)
    rm.submit("1", "ann")
    box.load()
    rm.answer = lambda _: Outcome(Did.UNKNOWN)
    job = box.job("slurm", "1")
    box.act("cancel", str(job))
    box.load()
    rm.answer = None
    box.load()
    box.load()
    assert len(box.calls("slurm", "cancel")) == 3
    assert (box.state(job), rm.jobs) == ("cancelled", {})


def test_one_that_is_held_there_is_held() -> None:
    rm = ScriptedRm("wiki", ["n1"], options=WIKI)
    box = Foreign(rm)
    rm.submit("1", reason="by root")
    rm.put(replace(rm.jobs["1"], state=ForeignState.HELD))
    box.load()
    job = box.job("wiki", "1")
    assert box.state(job) == "held"
    rm.put(replace(rm.jobs["1"], state=ForeignState.IDLE))
    box.load()
    assert box.state(job) in ("starting", "running")


def test_a_job_nobody_started_is_a_discrepancy_where_only_we_start() -> None:
    rm = ScriptedRm("wiki", ["n1"], options=WIKI)
    box = Foreign(rm)
    rm.submit("1")
    rm.run("1", box.now, share("n1", 2))
    box.load()
    box.load()
    assert [row[:2] for row in box.odd()] == [("not_started", "wiki/1")]
    assert box.state(box.job("wiki", "1")) == "running"


def test_a_job_put_back_into_its_queue_waits_again() -> None:
    rm = ScriptedRm("slurm", ["n1"], options=SCHEDULES)
    box = Foreign(rm)
    rm.submit("1")
    rm.run("1", box.now, share("n1"))
    box.load()
    job = box.job("slurm", "1")
    rm.put(replace(rm.jobs["1"], state=ForeignState.IDLE, shares=(), started_at=None))
    box.load()
    assert (box.state(job), box.rule(job)) == ("pending", "foreign")
    rm.run("1", box.now, share("n1"))
    box.load()
    rm.end("1", box.now)
    box.load()
    assert box.state(job) == "success"
    assert box.machine.state.recent[job].job.requeues == 1


def test_a_vacated_job_is_the_same_job_and_is_started_again_once_it_waits() -> None:
    rm = ScriptedRm("wiki", ["n1"], options=WIKI)
    box = Foreign(rm)
    rm.submit("1")
    box.load()
    box.load()
    job = box.job("wiki", "1")
    assert box.state(job) == "running"
    rm.put(replace(rm.jobs["1"], state=ForeignState.VACATED))
    for _ in range(2):
        box.load()
        assert (box.state(job), len(box.calls("wiki"))) == ("held", 1)
    rm.put(replace(rm.jobs["1"], state=ForeignState.IDLE, shares=(), started_at=None, token=""))
    box.load()
    box.load()
    assert (box.state(job), len(box.calls("wiki"))) == ("running", 2)
    rm.end("1", box.now)
    box.load()
    assert box.state(job) == "success"
    assert box.machine.state.recent[job].job.requeues == 1
    assert not box.odd()


def test_an_id_that_is_used_again_is_another_job() -> None:
    rm = ScriptedRm("ge", ["n1"], options=SCHEDULES)
    box = Foreign(rm)
    rm.submit("1", incarnation="first")
    box.load()
    first = box.job("ge", "1")
    rm.jobs.clear()
    rm.submit("1", incarnation="second")
    box.load()
    assert box.job("ge", "1") != first
    assert box.state(first) == "pending"  # nobody knows what became of it


# -- what was asked, and what is believed ---------------------------------------------------------


def test_a_job_is_where_it_is_told_to_be() -> None:
    rm = ScriptedRm("stub", ["n1", "n2"])
    box = Foreign(rm)
    job = box.submit(partition="stub")
    rm.run("1", box.now, share("n2"))
    box.load()
    box.load()
    s = box.machine.state
    assert [row[:4] for row in box.odd()] == [
        ("elsewhere", "stub/1", "1 CPU of stub/n1", "1 CPU of stub/n2")
    ]
    assert job_row(s, s.jobs[job])["allocation_nodes"] == ["stub/n2"]
    assert len(s.nodes["stub/n1"].books.cpus) == 4
    rm.end("1", box.now)
    box.load()
    assert box.state(job) == "success"


def test_more_cpus_than_granted_count_as_used() -> None:
    rm = ScriptedRm("stub", ["n1"])
    box = Foreign(rm)
    job = box.submit(partition="stub")
    rm.run("1", box.now, share("n1", 3))
    box.load()
    box.load()
    assert [row[0] for row in box.odd()] == ["more_cpus"]
    s = box.machine.state
    assert (s.user_cpus, len(s.nodes["stub/n1"].books.cpus)) == ({"ann": 3}, 1)
    assert box.state(job) == "running"


def test_a_discrepancy_of_a_job_is_over_with_it() -> None:
    rm = ScriptedRm("stub", ["n1"])
    box = Foreign(rm)
    box.submit(partition="stub")
    rm.run("1", box.now, share("n1", 9))
    box.load()
    rm.run("1", box.now, share("n1", 8))
    box.load()
    assert ("more_cpus", "stub/1") in box.machine.state.rms["stub"].odd
    rm.end("1", box.now)
    box.load()
    assert box.machine.state.rms["stub"].odd == {}


def test_cpus_that_nobody_known_uses_are_not_given_away() -> None:
    rm = ScriptedRm("stub", ["n1"])
    box = Foreign(rm)
    rm.tells_use = False
    rm.nodes["n1"] = replace(rm.nodes["n1"], used_cpus=3)
    box.load()
    job = box.submit(partition="stub", request=Request(cpus=2))
    assert box.state(job) == "pending"
    assert box.odd() == []  # somebody's job may have begun there between the two lists
    box.load()
    assert box.state(job) == "pending"
    assert [row[0] for row in box.odd()] == ["node_busy"]
    rm.nodes["n1"] = replace(rm.nodes["n1"], used_cpus=0)
    box.load()
    assert box.state(job) == "starting"


def test_a_running_job_that_is_told_to_wait_is_believed_after_the_deadline() -> None:
    rm = ScriptedRm("stub", ["n1"])
    box = Foreign(rm, job_sync=10)
    job = box.submit(partition="stub", requeue=True)
    box.load()
    rm.put(replace(rm.jobs["1"], state=ForeignState.IDLE, shares=()))
    box.load()
    box.load(after=10.0)
    assert (box.state(job), [row[0] for row in box.odd()]) == ("running", ["state"])
    box.load(after=0.5)
    assert [call.verb for call in rm.calls] == ["start", "cancel"]
    box.load()
    assert len({call.token for call in box.calls("stub")}) == 2  # its own, anew


def test_a_job_that_was_taken_and_never_started_is_taken_back_after_the_deadline() -> None:
    rm = ScriptedRm("slurm", ["n1"], options=SCHEDULES)
    box = Foreign(rm, job_sync=10, retry=100)
    rm.starts_at_once = False
    job = box.submit(partition="slurm")
    rm.put(replace(rm.jobs["1"], reason="(Priority)"))
    box.load()
    box.load(after=11.0)
    box.load()
    assert [call.verb for call in rm.calls] == ["start", "cancel"]
    assert (box.state(job), box.rule(job)) == ("pending", "retry")
    assert "(Priority)" in box.machine.state.jobs[job].job.reason


def test_a_refused_start_is_tried_again_as_configured_and_keeps_the_words() -> None:
    rm = ScriptedRm("stub", ["n1"])
    box = Foreign(rm, retries=3, retry=10)
    rm.answer = lambda _: Outcome(Did.REFUSED, text="Job violates accounting policy\x1b")
    job, times = box.submit(partition="stub"), [box.now]
    while box.state(job) == "pending":
        before = len(rm.calls)
        box.load()
        times += [box.now] * (len(rm.calls) - before)
    assert [round(b - a) for a, b in pairwise(times)] == [10, 20, 40]
    assert box.state(job) == "rejected"
    why = box.machine.state.recent[job].job.reason
    assert why.endswith("stub refused it: Job violates accounting policy?")


def test_what_will_always_be_refused_ends_or_is_held_with_the_words() -> None:
    own, theirs = ScriptedRm("own", ["n1"]), ScriptedRm("theirs", ["m1"], options=WIKI)
    for rm in (own, theirs):
        rm.answer = lambda _: Outcome(Did.NEVER, text="invalid account")
    box = Foreign(own, theirs)
    job = box.submit(partition="own")
    theirs.submit("9")
    for _ in range(5):
        box.load()
    s = box.machine.state
    assert (box.state(job), len(own.calls)) == ("rejected", 1)
    assert "own refused it: invalid account" in s.recent[job].job.reason
    nine = box.job("theirs", "9")
    assert (box.state(nine), len(theirs.calls)) == ("held", 1)
    assert "theirs refused it: invalid account" in s.jobs[nine].job.reason


def test_suspend_and_resume_are_asked_where_they_are_declared() -> None:
    rm = ScriptedRm("stub", ["n1"], options=WIKI | HALTS)
    box = Foreign(rm)
    rm.submit("1")
    box.load()
    box.load()
    job = box.job("stub", "1")
    box.act("suspend", str(job))
    box.load()
    assert (box.state(job), rm.jobs["1"].state) == ("suspended", ForeignState.SUSPENDED)
    box.act("resume", str(job))
    box.load()
    assert (box.state(job), rm.jobs["1"].state) == ("running", ForeignState.RUNNING)
    assert [call.verb for call in rm.calls] == ["start", "suspend", "resume"]


def test_a_refused_suspend_leaves_the_job_running() -> None:
    rm = ScriptedRm("stub", ["n1"], options=WIKI | HALTS)
    box = Foreign(rm)
    rm.submit("1")
    box.load()
    box.load()
    rm.answer = lambda _: Outcome(Did.REFUSED, text="not allowed")
    box.act("suspend", str(box.job("stub", "1")))
    assert box.state(box.job("stub", "1")) == "running"
    assert box.told("suspend/refused") == ["stub does not suspend it: not allowed"]


def test_what_its_resource_manager_suspends_stands_still_here_too() -> None:
    rm = ScriptedRm("stub", ["n1"], options=SCHEDULES)
    box = Foreign(rm)
    rm.submit("1")
    rm.run("1", box.now, share("n1"))
    box.load()
    rm.put(replace(rm.jobs["1"], state=ForeignState.SUSPENDED))
    box.load()
    assert box.state(box.job("stub", "1")) == "suspended"
    rm.put(replace(rm.jobs["1"], state=ForeignState.RUNNING))
    box.load()
    assert box.state(box.job("stub", "1")) == "running"
    assert not rm.calls


# -- silence --------------------------------------------------------------------------------------


def test_an_outage_ends_nothing_and_others_go_on() -> None:
    one, two = ScriptedRm("one", ["n1"]), ScriptedRm("two", ["n1"])
    box = Foreign(one, two)
    job = box.submit(partition="one")
    box.load()
    for _ in range(5):
        box.fail("one", "its controller does not answer", after=3600.0)
        box.load("two", after=0.0)
    s = box.machine.state
    row = job_row(s, s.jobs[job])
    assert (row["state"], row["unknown_since"]) == ("running", s.rms["one"].down_since)
    assert box.node("one/n1") == "one does not answer: its controller does not answer"
    other = box.submit(partition="two")
    box.load("two")
    assert box.state(other) == "running"
    waits = box.submit(partition="one")
    assert box.state(waits) == "pending"
    assert box.told("rm/down") == ["its controller does not answer"]
    box.load()
    box.load()
    assert (box.state(job), box.state(waits)) == ("running", "running")


def test_an_empty_list_ends_nothing() -> None:
    rm = ScriptedRm("stub", ["n1"])
    box = Foreign(rm)
    jobs = [box.submit(partition="stub") for _ in range(4)]
    box.load()
    kept, rm.jobs = rm.jobs, {}
    box.load()
    rm.jobs = kept
    assert {box.state(job) for job in jobs} == {"running"}
    s = box.machine.state
    assert job_row(s, s.jobs[jobs[0]])["unknown_since"] is not None
    box.load()
    assert job_row(s, s.jobs[jobs[0]])["unknown_since"] is None


def test_a_job_that_was_lost_and_comes_back_is_taken_up_again() -> None:
    rm = ScriptedRm("stub", ["n1"])
    box = Foreign(rm, job_purge=20)
    job = box.submit(partition="stub")
    box.load()
    kept, rm.jobs = rm.jobs, {}
    box.load()
    box.load(after=30.0)
    assert box.state(job) == "lost"
    rm.jobs = kept
    box.load()
    again = box.job("stub", "1")
    assert (again == job, box.state(again)) == (False, "running")
    assert [row[0] for row in box.odd()] == ["state"]
    assert not box.calls("stub", "cancel")


def test_one_that_comes_back_while_it_runs_once_more_is_ended() -> None:
    rm = ScriptedRm("stub", ["n1", "n2"])
    box = Foreign(rm, job_purge=20, interval=5)
    job = box.submit(partition="stub", requeue=True)
    box.load()
    kept, rm.jobs = rm.jobs, {}
    box.load()
    box.load(after=21.0)
    rm.jobs |= kept
    box.load()
    box.load()
    assert [row[0] for row in box.odd()] == ["stray"]
    assert [call.job for call in box.calls("stub", "cancel")] == ["1"]
    assert (box.state(job), list(rm.jobs)) == ("running", ["2"])


def test_a_start_that_is_asked_again_has_no_id_though_one_was_told_since() -> None:
    """A driver is told the id of what its users have submitted; it would refuse any other."""
    rm = ScriptedRm("stub", ["n1"])
    box = Foreign(rm)
    rm.starts_at_once, rm.lost = False, 1
    job = box.submit(partition="stub")
    box.load()
    box.load()
    asked = [call.start for call in box.calls("stub") if call.start is not None]
    assert len(asked) > 1
    assert {(start.id, start.token) for start in asked} == {("", asked[0].token)}
    rm.run("1", box.now, share("n1"))
    box.load()
    assert (box.state(job), list(rm.jobs)) == ("running", ["1"])


def test_what_is_explained_by_when_nodes_and_jobs_were_listed_is_no_discrepancy() -> None:
    """Jobs begin and end between the two lists of a load, by a clock of whole seconds."""
    rm = ScriptedRm("stub", ["n1", "n2"], options=SCHEDULES, cpus=9)
    box = Foreign(rm)
    rm.tells_use = False
    for turn in range(20):
        before = {name: rm.used(name) for name in rm.nodes}
        for ident in list(rm.jobs)[:-2]:
            rm.end(ident, box.now)
        for node in list(rm.nodes):
            rm.submit(f"{turn}{node}", cpus=2)
            rm.run(f"{turn}{node}", float(int(box.now)) - 1.0, share(node, 2))
        # The nodes of one load in two were listed before all that.
        for name, each in rm.nodes.items():
            used = before[name] if turn % 2 else rm.used(name)
            rm.nodes[name] = replace(each, used_cpus=used)
        box.load()
        assert not any("jobs use" in box.node(f"stub/{name}") for name in rm.nodes)
    assert box.odd() == []
    assert len(box.machine.state.allocations) >= 2


def test_another_conflict_in_each_load_is_none() -> None:
    rm = ScriptedRm("stub", ["n1"], options=SCHEDULES)
    box = Foreign(rm)
    rm.tells_use = False
    for turn in range(10):  # a job begins when the jobs were listed, and the nodes were not
        rm.submit(f"later{turn}")
        rm.nodes["n1"] = replace(rm.nodes["n1"], used_cpus=1)
        box.load()
        rm.run(f"later{turn}", box.now - 1.0, share("n1"))
        rm.nodes["n1"] = replace(rm.nodes["n1"], used_cpus=2)
        rm.jobs.pop(f"later{turn - 1}", None)
        rm.ends.clear()
        box.load()
        rm.end(f"later{turn}", box.now)
    assert box.odd() == []
    rm.jobs.clear()
    for turn in range(10):
        rm.submit(str(turn))
        rm.run(str(turn), box.now - 1.0, share("n1"))
        rm.nodes["n1"] = replace(rm.nodes["n1"], used_cpus=0)  # as it was before
        box.load()
        rm.end(str(turn), box.now)
    assert box.odd() == []
    rm.submit("stays")
    rm.run("stays", box.now - 1.0, share("n1"))
    box.load()
    box.load()
    assert [row[0] for row in box.odd()] == ["node_idle"]


# -- restarts -------------------------------------------------------------------------------------


def test_after_a_restart_jobs_go_on_and_unanswered_starts_are_asked_by_the_same_token() -> None:
    rm = ScriptedRm("stub", ["n1"])
    box = Foreign(rm)
    runs = box.submit(partition="stub")
    box.load()
    box.holds = True
    asked = box.submit(partition="stub")
    [call] = box.held
    box.restart(durable(box))
    box.holds = False
    assert (box.state(runs), box.state(asked)) == ("running", "starting")
    box.do(RmAnswered("stub", call.call, Outcome(Did.NEVER)))  # of the manager before
    assert box.state(asked) == "starting"
    box.load()
    [_, again] = box.calls("stub")
    assert again.token == call.token
    box.load()
    assert (box.state(runs), box.state(asked)) == ("running", "running")
    assert len(rm.jobs) == 2


def test_after_a_restart_a_start_that_was_given_up_is_still_known_by_its_token() -> None:
    rm = ScriptedRm("stub", ["n1", "n2"])
    box = Foreign(rm, retry=1)
    rm.answer = lambda call: Outcome(Did.REFUSED, text="no") if call.verb == "start" else None
    job = box.submit(partition="stub")
    box.load()
    rm.answer = None
    box.load(after=5.0)
    assert box.state(job) == "running"
    first, second = (call.token for call in box.calls("stub")[:: len(box.calls("stub")) - 1])
    box.restart(durable(box))
    rm.submit("late", token=first)  # it was refused, and was made all the same
    rm.run("late", box.now, share("n2"))
    box.load()
    assert [row[:2] for row in box.odd()] == [("stray", "stub/late")]
    assert [call.job for call in box.calls("stub", "cancel")] == ["late"]
    assert (box.state(job), second != first) == ("running", True)
    assert len(box.machine.state.jobs) == 1


def test_a_job_by_the_token_of_a_start_that_is_forgotten_is_told_as_such() -> None:
    rm = ScriptedRm("stub", ["n1"])
    box = Foreign(rm, job_purge=20, interval=5)
    job = box.submit(partition="stub")
    box.load()
    kept = dict(rm.jobs)
    rm.end("1", box.now)
    box.load()
    del rm.ends["1"]
    box.load()
    box.load(after=30.0)
    box.restart(durable(box))
    rm.jobs |= kept
    token = kept["1"].token
    rm.submit("guess", token=f"{token}9")  # of a start that there never was
    box.load()
    box.load()
    again = box.job("stub", "1")
    assert (box.state(again), again != job) == ("running", True)
    assert box.odd() == [("state", "stub/1", f"over, as start {token} of this machine", "running")]


def test_after_a_restart_nothing_starts_before_there_was_a_load() -> None:
    rm = ScriptedRm("stub", ["n1"])
    box = Foreign(rm)
    box.restart(durable(box))
    job = box.submit(partition="stub")
    assert (box.state(job), box.node("stub/n1")) == (
        "pending",
        "stub does not answer: it has not been asked yet",
    )
    box.load()
    assert box.state(job) == "starting"


def test_an_end_that_was_ordered_is_ordered_again_after_a_restart() -> None:
    rm = ScriptedRm("stub", ["n1"])
    box = Foreign(rm)
    job = box.submit(partition="stub")
    box.load()
    box.holds = True
    box.act("cancel", str(job))
    box.restart(durable(box))
    box.holds = False
    box.load()
    box.load()
    assert box.state(job) == "cancelled"


# -- where they may go ----------------------------------------------------------------------------


def test_what_agents_alone_can_run_stays_away() -> None:
    box = Foreign(ScriptedRm("stub", ["n1"]), native=("n9",))
    with pytest.raises(Unsupported, match="run no `ostler run`") as found:
        box.submit(partition="stub", kind="run")
    assert found.value.exit_status == 6
    box.change(
        Change("set", "configuration", ("",), {"nodes": {"main": "n9,stub/n1", "stub": None}})
    )
    job = box.submit(partition="main", kind="run", request=Request(cpus=4))
    assert [p.node for p in box.machine.state.allocations[box.alloc(job)].placements] == ["n9"]


def test_elements_get_an_allocation_each() -> None:
    rm = ScriptedRm("stub", ["n1"])
    box = Foreign(rm, native=("n9",))
    there, here = (box.submit(partition=p, array=((0, 9),)) for p in ("stub", "main"))
    s = box.machine.state
    allocs = [s.allocations[number] for number in s.jobs[there].slots]
    assert [(a.element, a.slot) for a in allocs] == [(i, False) for i in range(4)]
    assert all(s.allocations[number].slot for number in s.jobs[here].slots)
    variables = [call.variables["OSTLER_ELEMENT"] for call in box.calls("stub")]
    assert variables == ["0", "1", "2", "3"]


def test_a_resource_manager_with_jobs_of_ours_is_not_removed() -> None:
    rm = ScriptedRm("stub", ["n1"], options=SCHEDULES)
    box = Foreign(rm)
    job = box.submit(partition="stub")
    box.load()
    with pytest.raises(Exception, match="1 unfinished job can run in stub alone"):
        box.change(Change("remove", "rm", ("stub",)))
    box.change(Change("set", "rm", ("stub",), {"enabled": False}))
    assert box.node("stub/n1") == "stub is disabled"
    box.change(Change("set", "rm", ("stub",), {"enabled": True}))
    rm.submit("9")
    rm.run("9", box.now, share("n1"))
    box.act("cancel", str(job))
    box.load()
    nine = box.job("stub", "9")
    box.change(Change("remove", "rm", ("stub",)))
    s = box.machine.state
    assert (box.state(nine), s.nodes["stub/n1"].node.gone, s.rms) == ("lost", True, {})


def test_a_computer_that_two_have_counts_once() -> None:
    one, two = ScriptedRm("one", ["n1"]), ScriptedRm("two", ["x1"])
    one.nodes["n1"] = replace(one.nodes["n1"], host="h1")
    two.nodes["x1"] = replace(two.nodes["x1"], host="h1")
    box = Foreign(one, two)
    box.load()
    both = "`ostler rm set two shares-hosts=true` if both are to count"
    assert (box.node("one/n1"), box.node("two/x1")) == (
        "",
        f"it is the computer of node one/n1, and counts there; {both}",
    )
    box.change(Change("set", "rm", ("two",), {"shares_hosts": True}))
    box.load()
    assert box.node("two/x1") == ""
    box.change(Change("set", "rm", ("two",), {"shares_hosts": False}))
    box.load()
    assert "counts there" in box.node("two/x1")
    one.nodes["n1"] = replace(one.nodes["n1"], host="another")
    box.load("one")
    assert box.node("two/x1") == ""


def test_a_node_with_another_name_is_found_by_its_computer() -> None:
    rm = ScriptedRm("stub", [], options=SCHEDULES)
    rm.nodes["n1"] = replace(ScriptedRm("x", ["n1"]).nodes["n1"], host="h1")
    box = Foreign(rm)
    rm.submit("1")
    rm.run("1", box.now, share("n1"))
    box.load()
    rm.nodes = {"m1": replace(rm.nodes["n1"], name="m1")}
    rm.put(replace(rm.jobs["1"], shares=(share("m1"),)))
    box.load()
    box.load()
    s = box.machine.state
    assert {row[:2] for row in box.odd()} == {("node_renamed", "stub/m1"), ("elsewhere", "stub/1")}
    assert job_row(s, s.jobs[box.job("stub", "1")])["allocation_nodes"] == ["stub/m1"]


def test_starts_of_one_user_that_are_not_answered_keep_that_users_jobs_apart() -> None:
    """A job without a token may be the one whose start was not answered: it is not adopted yet."""
    rm = ScriptedRm("ge", ["n1"], options=SCHEDULES)
    box = Foreign(rm)
    box.holds = True
    job = box.submit(partition="ge")
    [call] = box.held
    rm.take(box.now, call)
    rm.put(replace(rm.jobs["1"], token=""))
    box.load()
    assert "1" not in box.machine.state.rms["ge"].by_id
    box.do(RmAnswered("ge", call.call, Outcome(Did.DONE, "1")))
    box.load()
    assert (box.state(job), box.job("ge", "1")) == ("running", job)


def test_rows_of_jobs_tell_how_far_they_are() -> None:
    rm = ScriptedRm("stub", ["n1"])
    box = Foreign(rm)
    box.submit(partition="stub")
    box.load()
    rm.end("1", box.now)
    box.load()
    rows = [w for w in saved(box.done) if isinstance(w, RmJob)]
    assert [str(row.stage) for row in rows] == ["asked", "taken", "taken", "seen", "over"]
    assert {(row.rm, row.job, row.allocation) for row in rows} == {("stub", 1, 1)}


def test_calls_carry_what_a_driver_needs() -> None:
    rm = ScriptedRm("stub", ["n1"])
    box = Foreign(rm)
    box.submit(
        partition="stub",
        name="fit",
        cwd=b"/home/ann",
        output=b"%x-%j.out",
        time_limit=600,
        request=Request(tasks=2, cpus=2, memory=1 << 30),
        by=ROOT,
    )
    [call] = box.calls("stub")
    assert isinstance(call, Call)
    assert call.start
    assert (call.start.output, call.start.time_limit, call.start.cpus_per_task) == (
        b"/home/ann/fit-1.out",
        600,
        2,
    )
    [one] = call.start.shares
    assert (one.node, one.tasks, one.cpus, one.memory) == ("n1", 2, 4, 2 << 30)
    assert call.start.token == call.token == "ostler-1"
