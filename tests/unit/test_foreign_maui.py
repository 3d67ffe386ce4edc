"""Requirements R-MAU on other resource managers, in virtual time. Each test names its own."""

import pytest
from msgspec.structs import replace

from ostler.core.effects import Call, Effect, Send
from ostler.core.events import NodesWorded, RmTrouble
from ostler.model.caller import Caller
from ostler.model.errors import OstlerError, Unsupported
from ostler.model.foreign import Did, ForeignNode, ForeignState, NodeState, Option, Outcome
from ostler.model.resources import Request
from ostler.model.site_changes import Change
from ostler.testing.rm import FOUR, ScriptedRm
from tests.unit.core_kit import ROOT
from tests.unit.foreign_kit import SCHEDULES, WIKI, Foreign, share


def starts(effects: list[Effect]) -> list[Call]:
    """Return the starts among effects."""
    return [e for e in effects if isinstance(e, Call) and e.verb == "start"]


def test_with_no_driver_that_answers_nothing_starts_and_the_machine_stays_up() -> None:
    """R-MAU-1: 0 starts in 10 iterations; once it answers, they resume with the next."""
    box = Foreign(ScriptedRm("stub", ["n1"]))
    box.fail("stub")
    job = box.submit(partition="stub")
    for _ in range(10):
        box.fail("stub")
    assert box.state(job) == "pending"
    assert not box.calls("stub")
    box.load()
    assert len(box.calls("stub")) == 1


def test_a_driver_supplies_the_state_of_nodes_and_jobs() -> None:
    """R-MAU-2, R-MAU-10, R-MAU-11: 4 nodes and 3 jobs, in the states as scripted."""
    rm = ScriptedRm("stub", ["n1", "n2", "n3", "n4"], options=SCHEDULES)
    rm.nodes["n3"] = replace(rm.nodes["n3"], state=NodeState.DOWN, reason="no power")
    rm.nodes["n4"] = replace(rm.nodes["n4"], state=NodeState.DRAINING)
    box = Foreign(rm)
    rm.submit("1", submitted_at=5.0, cpus=2, memory=1 << 30, time_limit=600)
    rm.submit("2", "bob", reason="(Priority)")
    rm.submit("3")
    rm.run("3", box.now, share("n1", 2))
    rm.submit("4")
    rm.run("4", box.now - 100)
    rm.end("4", box.now - 60)
    rm.submit("5")
    rm.end("5", box.now - 7200)
    box.load()
    s = box.machine.state
    assert {n: box.node(n) for n in s.nodes} == {
        "stub/n1": "",
        "stub/n2": "",
        "stub/n3": "stub says that it is down: no power",
        "stub/n4": "stub drains it",
    }
    assert len(s.nodes["stub/n1"].books.cpus) == 2
    states = {i: box.state(box.job("stub", i)) for i in "1234"}
    assert states == {"1": "pending", "2": "pending", "3": "running", "4": "success"}
    assert "5" not in s.rms["stub"].by_id  # longer ago than it is kept
    one = s.jobs[box.job("stub", "1")].job
    request = one.spec.request
    assert (one.user, one.submitted_at, one.spec.time_limit) == ("ann", 5.0, 600)
    assert (request.cpus, request.memory) == (2, 1 << 30)
    two = s.jobs[box.job("stub", "2")].job
    assert (two.user, two.rule, two.reason) == ("bob", "foreign", "(Priority)")


def test_one_start_and_one_cancel_are_told() -> None:
    """R-MAU-3: the call log holds exactly one start with the node list, and one cancel."""
    box = Foreign(ScriptedRm("stub", ["n1", "n2", "n3"]))
    job = box.submit(partition="stub", request=Request(tasks=2, cpus=4, nodes=2))
    box.load()
    box.load()
    [start] = box.calls("stub")
    assert start.start
    assert [s.node for s in start.start.shares] == ["n1", "n2"]
    box.act("cancel", str(job))
    box.load()
    [cancel] = box.calls("stub", "cancel")
    assert (cancel.job, cancel.token) == ("1", start.token)
    assert box.state(job) == "cancelled"
    assert len(box.rms["stub"].calls) == 2


def test_several_are_served_in_one_iteration() -> None:
    """R-MAU-4: native nodes, one that starts by id, and one that takes submissions."""
    wiki, slurm = ScriptedRm("wiki", ["w1"], options=WIKI), ScriptedRm("big", ["b1"])
    box = Foreign(wiki, slurm, native=("n1",))
    wiki.submit("7")
    box.holds = True
    one, two = box.submit(), box.submit(partition="big")
    effects = box.load("wiki")
    assert [e.start and e.start.id for e in starts(effects)] == ["7"]
    assert [call.rm for call in box.held] == ["big", "wiki"]
    assert any(isinstance(e, Send) and e.node == "n1" for e in box.done)
    assert (box.state(one), box.state(two)) == ("starting", "starting")


def test_a_job_never_moves_to_another() -> None:
    """R-MAU-5: once started in one it waits for that one, however free the other is."""
    a, b = ScriptedRm("a", ["n1"]), ScriptedRm("b", [f"m{i}" for i in range(10)])
    box = Foreign(a, b)
    nodes = {"nodes": {"both": "a/*,b/*"}}
    box.change(
        Change("create", "partition", ("both",)), Change("set", "configuration", ("",), nodes)
    )
    job = box.submit(partition="both", requeue=True, request=Request(nodelist=("a/n1",)))
    box.load()
    assert box.state(job) == "running"
    box.act("requeue", str(job))
    b.starts_at_once = False
    full = box.submit(partition="both", request=Request(cpus=4, nodelist=("a/n1",)), priority=50)
    for _ in range(20):
        box.load()
    assert full
    assert {call.rm for rm in ("a", "b") for call in box.calls(rm)} == {"a"}
    assert box.machine.state.jobs[job].job.rm == "a"
    a.answer = lambda call: Outcome(Did.REFUSED, text="no") if call.verb == "start" else None
    box.act("requeue", str(job))
    box.load()
    box.load()
    with pytest.raises(OstlerError, match="features there: foreign, rm=a") as found:
        box.ask_modify(job, constraint="rm=b")
    assert found.value.exit_status == 3


def test_four_verbs_suffice_and_the_others_are_refused() -> None:
    """R-MAU-9, R-MAU-15: priority orders as on our own nodes; what is not declared is status 6."""
    stub, native = Foreign(ScriptedRm("stub", ["n1"], cpus=1)), Foreign(native=("n1",))
    order: dict[str, list[int]] = {"stub": [], "native": []}
    for box, where in ((stub, "stub"), (native, "native")):
        part = "stub" if where == "stub" else "main"
        jobs = [
            box.submit(partition=part, priority=p, request=Request(cpus=1 if part == "stub" else 4))
            for p in (10, 30, 20, 50, 40)
        ]
        for _ in jobs:
            live = next(j for j in jobs if j in box.machine.state.jobs and _live(box, j))
            order[where].append(jobs.index(live))
            if where == "stub":
                box.load()
                box.rms["stub"].end(next(iter(box.rms["stub"].jobs)), box.now)
                box.load()
            else:
                box.start(box.alloc(live))
                box.end(box.alloc(live))
    assert order["stub"] == order["native"] == [0, 3, 4, 1, 2]
    job = stub.submit(partition="stub")
    stub.load()
    for verb in ("suspend", "resume", "signal"):
        [row] = stub.act(verb, str(job), signal=15)
        assert (row["ok"], row["code"]) == (False, Unsupported.code)
    with pytest.raises(Unsupported) as found:
        stub.ask_modify(job, time_limit=60)
    assert found.value.exit_status == 6
    [row] = stub.act("requeue", str(job))
    assert row["ok"]


def _live(box: Foreign, job: int) -> bool:
    return bool(box.machine.state.jobs[job].slots)


def test_a_start_is_on_exactly_these_nodes_or_refused() -> None:
    """R-MAU-12: running on exactly what was asked; refused, the job waits and no node is taken."""
    rm = ScriptedRm("stub", ["n01", "n02", "n03", "n04"], options=WIKI)
    box = Foreign(rm)
    rm.tells_use = False
    rm.submit("j1", tasks=2, cpus=2, nodes=2, nodelist=("n02", "n04"))
    box.load()
    box.load()
    job = box.job("stub", "j1")
    places = box.machine.state.allocations[box.alloc(job)].placements
    assert [p.node for p in places] == ["stub/n02", "stub/n04"]
    assert [each.node for each in rm.jobs["j1"].shares] == ["n02", "n04"]
    rm.submit("j2", tasks=2, cpus=4, nodes=2, nodelist=("n01", "n03"))
    rm.answer = lambda _: Outcome(Did.REFUSED, text="n03 is busy")
    box.load()
    two = box.job("stub", "j2")
    assert (box.state(two), rm.jobs["j2"].state) == ("pending", ForeignState.IDLE)
    assert len(box.machine.state.nodes["stub/n01"].books.cpus) == 4
    assert box.machine.state.jobs[two].job.reason.endswith("stub refused it: n03 is busy")


def test_an_accepted_start_that_is_repeated_starts_nothing_twice() -> None:
    """R-MAU-12: a lost answer is followed by the same token, and one job runs."""
    rm = ScriptedRm("stub", ["n1"])
    box = Foreign(rm)
    rm.lost, rm.starts_at_once = 1, True
    box.submit(partition="stub")
    kept, rm.jobs = rm.jobs, {}  # nor does the next load show it
    box.load()
    rm.jobs |= kept
    tokens = [call.token for call in box.calls("stub")]
    assert len(tokens) == 2
    assert len(set(tokens)) == 1


def test_a_cancel_ends_whatever_the_state() -> None:
    """R-MAU-13: idle, starting, running and suspended; and what has ended has ended."""
    rm = ScriptedRm("stub", ["n1"], options=WIKI | {Option.SUSPEND, Option.RESUME})
    box = Foreign(rm)
    rm.starts_at_once = False
    rm.submit("idle", cpus=9)
    for ident in ("starting", "running", "suspended"):
        rm.submit(ident)
    box.load()
    rm.run("running", box.now, share("n1"))
    rm.run("suspended", box.now, share("n1"))
    box.load()
    jobs = {i: box.job("stub", i) for i in ("idle", "starting", "running", "suspended")}
    box.act("suspend", str(jobs["suspended"]))
    assert rm.jobs["suspended"].state is ForeignState.SUSPENDED
    box.load()
    assert [box.state(j) for j in jobs.values()] == ["pending", "starting", "running", "suspended"]
    box.act("cancel", *map(str, jobs.values()), by=ROOT)
    box.load()
    assert {box.state(j) for j in jobs.values()} == {"cancelled"}
    assert not rm.jobs
    [row] = box.act("cancel", str(jobs["idle"]), by=ROOT)
    assert (row["ok"], row["message"]) == (True, "had already ended as cancelled")


def test_what_violates_policy_is_cancelled_before_anything_starts() -> None:
    """R-MAU-20: the cancel of a job over its time precedes every start of the iteration."""
    rm = ScriptedRm("stub", ["n1"], options=WIKI, cpus=4)
    box = Foreign(rm)
    rm.submit("late", time_limit=10, cpus=4)
    box.load()
    rm.submit("next", cpus=4)
    for _ in range(4):
        box.load(after=5.0)
    assert [(call.verb, call.job) for call in rm.calls] == [
        ("start", "late"),
        ("cancel", "late"),
        ("start", "next"),
    ]
    assert box.state(box.job("stub", "late")) == "timeout"


def test_jobs_start_by_resources_and_limits() -> None:
    """R-MAU-21: of 500 jobs never more than 16 CPUs in use, nor more than 4 by one user."""
    rm = ScriptedRm("stub", ["n1", "n2", "n3", "n4"])
    box = Foreign(rm, job_purge=1, interval=1)
    box.scheduler._every = 20
    box.configure("max-cpus-per-user", "4")
    by, most = [Caller(2000 + i, 2000, f"user{i}") for i in range(5)], 0
    jobs = [
        box.submit(partition="stub", by=by[i % 5], array=each, request=Request(cpus=1 + i % 4))
        for i, each in enumerate([((0, 19),)] * 25)
    ]
    for _ in range(500):
        box.load()
        rm.ends.clear()
        box.done.clear()
        running = [a for a in box.machine.state.allocations.values() if a.started]
        most = max(most, sum(len(p.cpus) for a in running for p in a.placements))
        assert all(rm.used(node) <= 4 for node in rm.nodes)
        assert max(box.machine.state.user_cpus.values(), default=0) <= 4
        for ident in list(rm.jobs)[: max(1, len(rm.jobs) - 2)]:
            rm.end(ident, box.now)
        if not box.machine.state.jobs:
            break
    assert {box.state(job) for job in jobs} == {"success"}
    assert len(box.calls("stub")) == 500
    assert 12 <= most <= 16


def test_nothing_new_starts_where_a_driver_hung_and_others_start_meanwhile() -> None:
    """R-MAU-24; that its worker is ended at the deadline is tested where workers are."""
    hung, well = ScriptedRm("hung", ["n1"]), ScriptedRm("well", ["n1"])
    box = Foreign(hung, well)
    why = "the driver did not answer to list_nodes in 10 s, so its process was killed"
    box.do(RmTrouble("hung", "hung", why, box.now + 1.0))
    box.fail("hung", why)
    waits, runs = box.submit(partition="hung"), box.submit(partition="well")
    box.load("well")
    box.fail("hung", why)
    assert (len(box.calls("hung")), len(box.calls("well"))) == (0, 1)
    assert (box.state(waits), box.state(runs)) == ("pending", "running")
    assert "did not answer to list_nodes in 10 s" in box.node("hung/n1")
    assert box.told("driver/hung") == [why]
    assert box.told("rm/down") == [why]
    box.load("hung")
    assert len(box.calls("hung")) == 1


def test_commands_are_answered_between_a_thousand_iterations() -> None:
    """R-MAU-22: 200 commands, 200 answers; after the first 100 iterations nothing grows."""
    rm = ScriptedRm("stub", ["n1"])
    box = Foreign(rm, job_purge=60)
    known = box.machine.state.rms["stub"]
    answers, after_100 = 0, 0

    def kept() -> int:
        by_key = len(known.jobs) + len(known.said) + len(known.ending) + len(known.turned)
        by_name = len(known.by_id) + len(known.by_both) + len(known.by_token)
        return by_key + by_name + len(known.odd) + len(known.busier) + len(known.unclear)

    for turn in range(1000):
        if turn % 10 == 0:
            job = box.submit(partition="stub", hold=True)
            [row] = box.act("release", str(job))
            assert row["ok"]
            answers += 2
        if turn == 100:
            after_100 = kept()
        box.load(after=2.0)
        for ident in list(rm.jobs):
            rm.end(ident, box.now)
        for ident in list(rm.ends)[:-5]:
            del rm.ends[ident]
        box.done.clear()
    s = box.machine.state
    assert (answers, s.next_job) == (200, 101)
    assert not s.jobs
    assert 0 < kept() <= after_100 * 1.1
    assert (known.asked, known.under_way) == ({}, set())


def test_a_load_is_taken_in_as_a_whole() -> None:
    """R-MAU-29: nodes and jobs of one load are there together, before anything is decided."""
    rm = ScriptedRm("stub", [], options=WIKI)
    box = Foreign(rm)
    rm.nodes |= ScriptedRm("x", ["n1", "n2"]).nodes
    rm.submit("1", cpus=4)
    rm.submit("2", cpus=4)
    rm.run("2", box.now, share("n1", 4))
    before = len(box.done)
    box.load()
    [start] = starts(box.done[before:])
    assert start.start
    assert [each.node for each in start.start.shares] == ["n2"]


def test_what_was_removed_behind_the_back_is_flagged_after_one_iteration() -> None:
    """R-MAU-30: everything is taken from the load, and silence is no end."""
    rm = ScriptedRm("stub", ["n1"])
    box = Foreign(rm, job_purge=100)
    job = box.submit(partition="stub")
    box.load()
    rm.end("1", box.now, proof=False)
    box.load()
    assert box.state(job) == "running"
    assert box.told("job/unknown") == ["stub does not list 1 any more, nor how it ended"]
    loads = box.machine.state.rms["stub"].loads
    for _ in range(100):
        box.load(after=0.5)
    assert box.machine.state.rms["stub"].loads == loads + 100


def test_a_discrepancy_is_told_once_and_the_node_is_busy() -> None:
    """R-MAU-31: a node told to be idle with a running job: one event with both readings."""
    rm = ScriptedRm("stub", ["n1"])
    box = Foreign(rm)
    job = box.submit(partition="stub", request=Request(cpus=2))
    box.load()
    rm.tells_use = False
    rm.nodes["n1"] = _told(rm, 0)
    box.load(after=5.0)
    assert not box.told()  # it may have begun between the two lists of the load
    box.load()
    other = box.submit(partition="stub")
    for _ in range(5):
        box.load()
    [text] = box.told()
    assert text.startswith(
        "stub/n1 should be busy with 2 CPUs, and stub tells that it is busy with 0"
    )
    assert box.state(job) == "running"
    assert len(box.machine.state.nodes["stub/n1"].books.cpus) == 2
    assert box.state(other) == "pending"


def _told(rm: ScriptedRm, used: int) -> ForeignNode:
    return replace(rm.nodes["n1"], used_cpus=used)


def test_the_word_of_the_resource_manager_counts_after_the_job_deadline() -> None:
    """R-MAU-32: starting up to exactly 10 s, idle again one moment later."""
    rm = ScriptedRm("stub", ["n1"], options=WIKI)
    box = Foreign(rm, job_sync=10)
    rm.starts_at_once = False
    rm.submit("1")
    box.load()
    job = box.job("stub", "1")
    assert box.state(job) == "starting"
    box.load(after=10.0)
    assert box.state(job) == "starting"
    assert not box.told("sync/deadline")
    box.load(after=0.001)
    assert box.state(job) == "pending"
    assert len(box.told("sync/deadline")) == 1


def test_the_word_of_the_resource_manager_counts_after_the_node_deadline() -> None:
    """R-MAU-32: the same with a node: nothing new starts there up to exactly 10 s."""
    rm = ScriptedRm("stub", ["n1"])
    box = Foreign(rm, node_sync=10)
    box.submit(partition="stub")
    box.load()
    rm.tells_use = False
    rm.nodes["n1"] = _told(rm, 0)
    box.load()
    box.load(after=1.0)
    assert "jobs use 1 CPU of it" in box.node("stub/n1")
    box.load(after=9.0)
    assert box.node("stub/n1")
    box.load(after=0.001)
    assert not box.node("stub/n1")
    assert len(box.told("sync/deadline")) == 1
    box.load()
    assert len(box.told("sync/deadline")) == 1


def test_a_stale_node_is_missing_then_gone_and_taken_up_again() -> None:
    """R-MAU-33: missing in the next iteration, gone strictly after 20 s, back when it is listed."""
    rm = ScriptedRm("stub", ["n1", "n2"])
    box = Foreign(rm, node_purge=20)
    gone = rm.nodes.pop("n2")
    seen = box.now
    box.load()
    s = box.machine.state
    assert s.rms["stub"].nodes["stub/n2"].missing_since == seen
    assert "does not list it" in box.node("stub/n2")
    box.load(after=19.0)
    assert "node/left" not in box.events()
    box.load(after=0.001)
    assert s.nodes["stub/n2"].node.gone
    rm.nodes["n2"] = gone
    box.load()
    assert not box.node("stub/n2")
    assert {"node/missing", "node/left", "node/joined"} <= set(box.events())


def test_a_stale_job_is_lost_after_its_time() -> None:
    """R-MAU-33: unknown up to exactly its purge time, then lost; never by a load that failed."""
    rm = ScriptedRm("stub", ["n1"])
    box = Foreign(rm, job_purge=20)
    job = box.submit(partition="stub")
    box.load()
    rm.end("1", box.now, proof=False)
    seen = box.now
    box.load()
    box.fail("stub", after=30.0)
    rm.complete = False
    box.load()
    assert box.state(job) == "running"
    rm.complete = True
    box.load()
    assert box.now > seen + 20
    assert box.state(job) == "lost"
    assert "job/purged" in box.events()
    key = (job, 0, 1)
    assert key in box.machine.state.rms["stub"].jobs
    box.load(after=31.0)  # no sooner than the next load could list it again
    assert key not in box.machine.state.rms["stub"].jobs
    assert {"job/unknown", "job/purged"} <= set(box.events())


def test_iterations_go_on_without_what_a_driver_does_not_offer() -> None:
    """R-MAU-19: without details of use, and with four verbs only, an iteration is complete."""
    rm = ScriptedRm("stub", ["n1"], options=frozenset({Option.SUBMIT}))
    rm.tells_use = False
    box = Foreign(rm)
    job = box.submit(partition="stub")
    box.load()
    assert box.state(job) == "running"
    assert rm.about.options == FOUR - {Option.MANY_NODES}


def test_an_administrators_word_counts_on_their_nodes() -> None:
    """R-MAU-30: what is told of a node changes nothing in what an administrator said of it."""
    rm = ScriptedRm("stub", ["n1"])
    box = Foreign(rm)
    box.ask(NodesWorded, ROOT, "drain", ("stub/n1",), "new disk")
    job = box.submit(partition="stub")
    box.load()
    assert box.state(job) == "pending"
    assert box.node("stub/n1") == "draining: new disk"
