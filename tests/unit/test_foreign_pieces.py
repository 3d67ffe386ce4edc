"""A load is taken in in pieces: how much of it one turn takes, and what waits until all is in.

R-MAU-26: the user interface answers while what was loaded is processed.
"""

import asyncio
from collections.abc import Iterator

import pytest

from ostler.core.effects import Call, Effect, Save, TakenIn
from ostler.core.events import Administered, Planned, RmLoaded, RmMore, Submitted
from ostler.core.foreign import intake, jobs
from ostler.core.foreign.intake import check_whole
from ostler.core.foreign.look import Look
from ostler.core.machine import Machine
from ostler.model.errors import Refused
from ostler.model.foreign import ForeignJob, ForeignNode, ForeignState, Jobs, Nodes, NodeState
from ostler.model.job import JobSpec
from ostler.model.record import Event as EventRow
from ostler.model.resources import Placement, Request
from ostler.model.site_changes import Change
from ostler.schedule.snapshot import Start
from ostler.testing.rm import ScriptedRm
from tests.store.builders import Held
from tests.unit.core_kit import ROOT, saved
from tests.unit.foreign_kit import SCHEDULES, WIKI, Foreign, share
from tests.unit.test_manager_turns import begin

MANY = 3_000
DRIVER = {"driver": "scripted"}
ROWS = 300  # that one turn writes, at most
LOOKS = 700  # jobs of which nothing is new at which one turn looks, at most


def listed(count: int, *, reason: str = "Priority", nodes: int = 1) -> tuple[Nodes, Jobs]:
    idle, up = ForeignState.IDLE, NodeState.UP
    return (
        Nodes(tuple(ForeignNode(f"n{n}", up, 4, used_cpus=0) for n in range(nodes))),
        Jobs(tuple(ForeignJob(f"j{n}", idle, f"u{n % 9}", reason=reason) for n in range(count))),
    )


def turns(box: Foreign, load: RmLoaded) -> Iterator[list[Effect]]:
    """Take a load in; yield what comes of each turn, which plans if that is asked for."""
    yield box.do(load)
    while box.machine.wants_more:
        yield box.do(RmMore())


def unplanned(box: Foreign, load: RmLoaded) -> Iterator[list[Effect]]:
    """Take a load in, and plan nothing; yield what comes of each turn."""
    yield box.machine.handle(box.now, load)
    while box.machine.wants_more:
        yield box.machine.handle(box.now, RmMore())


def make(*rms: ScriptedRm, native: tuple[str, ...] = ()) -> Foreign:
    box = Foreign(*rms, native=native)
    box.whole = False
    return box


def ended(effects: list[Effect]) -> list[str]:
    return [effect.rm for effect in effects if isinstance(effect, TakenIn)]


def taken(machine: Machine) -> int:
    """Return how many pieces of a load are in; 0: none is being taken in."""
    found = machine.state.rms["a"].intake
    return 0 if found is None else found.pieces


def finish(box: Foreign) -> None:
    """Take in what is left of a load."""
    while box.machine.wants_more:
        box.do(RmMore())


@pytest.fixture
def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each step of a load be a turn."""
    monkeypatch.setattr(intake, "PIECE", 0.0)


def test_no_turn_takes_more_of_a_load_than_a_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    """R-MAU-26: by counts. New jobs, the same again, other words, and none of them any more."""
    looks, one = 0, jobs._one

    def counted(look: Look, told: ForeignJob) -> tuple[int, int, int] | None:
        nonlocal looks
        looks += 1
        return one(look, told)

    monkeypatch.setattr(jobs, "_one", counted)
    rm = ScriptedRm("a", options=SCHEDULES)
    box = make(rm)
    last = (Nodes(()), Jobs(()))
    for told in (listed(MANY), listed(MANY), listed(MANY, reason="Resources"), last):
        box.now += 10.0
        found = looks = 0
        box.machine.begin_plan()
        for effects in unplanned(box, RmLoaded("a", rm.about, *told, box.now, 0.1)):
            found += 1
            assert sum(isinstance(effect, Save) for effect in effects) <= ROWS
            assert looks <= LOOKS
            assert not (box.machine.wants_plan and box.machine.wants_more)
            looks = 0
        assert found > MANY / LOOKS
    assert len(box.machine.state.jobs) == MANY  # they are unknown, not gone


def test_no_turn_takes_more_nodes_than_a_piece() -> None:
    """R-MAU-26."""
    rm = ScriptedRm("a")
    box = make(rm)
    for up in (NodeState.UP, NodeState.UP, NodeState.DOWN):
        box.now += 10.0
        nodes = Nodes(tuple(ForeignNode(f"n{n}", up, 4) for n in range(MANY)))
        found = list(unplanned(box, RmLoaded("a", rm.about, nodes, Jobs(()), box.now, 0.1)))
        assert max(len(effects) for effects in found) <= ROWS
    box.now += 10.0
    found = list(unplanned(box, rm.fail(box.now)))
    assert len(found) > 1
    assert "does not answer" in box.node("a/n7")


@pytest.mark.usefixtures("one_by_one")
def test_native_jobs_start_while_a_load_is_taken_in_and_none_of_its_own_do() -> None:
    rm = ScriptedRm("a", ["n1", "n2"])
    box = make(rm, native=("n9",))
    theirs = [box.submit(partition="a", request=Request(cpus=4)) for _ in range(3)]
    box.load("a")
    while box.machine.wants_more:
        box.do(RmMore())
    assert len(box.calls("a")) == 2
    rm.end("1", box.now)
    rm.submit("x", "eve")
    rest = turns(box, rm.load(box.now))
    next(rest)
    mine = box.submit()
    assert box.machine.state.jobs[mine].slots
    asked = box.submit(partition="a")
    for effects in rest:
        assert len(ended(effects)) != box.machine.wants_more
        if not ended(effects):
            assert len(box.calls("a")) == 2
            assert not box.machine.state.jobs[theirs[2]].slots
            assert not box.machine.state.jobs[asked].slots
    assert len(box.calls("a")) == 3


@pytest.mark.usefixtures("one_by_one")
def test_a_plan_that_was_made_from_a_part_of_a_load_starts_nothing_there() -> None:
    """R-MAU-29: when it comes all is in; it is no refusal, and another one follows."""
    rm = ScriptedRm("a", ["n1"])
    box = make(rm)
    finish(box)
    rm.submit("x", "eve")
    box.now += 10.0
    handle = box.machine.handle
    handle(box.now, rm.load(box.now))
    spec = JobSpec(argv=(b"true",), partition="a")
    handle(box.now, Submitted(99, ROOT, "r", spec, {}))
    plan = box.scheduler.plan(box.machine, box.now)
    [line] = plan.lines
    while box.machine.wants_more:
        handle(box.now, RmMore())
    done = handle(box.now, Planned(plan))
    assert not [e for e in done if isinstance(e, Call)]
    assert not [w for w in saved(done) if isinstance(w, EventRow) and w.kind == "plan/refused"]
    assert box.machine.wants_plan
    again = box.scheduler.plan(box.machine, box.now)
    assert line in again.lines
    assert next(e.verb for e in handle(box.now, Planned(again)) if isinstance(e, Call)) == "start"


@pytest.mark.usefixtures("one_by_one")
def test_another_scheduler_is_told_why_its_start_has_to_wait() -> None:
    rm = ScriptedRm("a", ["n1"], options=WIKI)
    box = make(rm)
    finish(box)
    line = Start(1, (Placement("a/n1"),))
    box.do(rm.load(box.now))
    with pytest.raises(Refused, match="what a has told is being taken in"):
        check_whole(box.machine.state, line)
    finish(box)
    check_whole(box.machine.state, line)


@pytest.mark.usefixtures("one_by_one")
def test_what_a_load_lacks_is_decided_on_last_and_starts_are_asked_again_after_that() -> None:
    rm = ScriptedRm("a", ["n1", "n2"])
    box = make(rm)
    finish(box)
    rm.lost = 1
    mine = box.submit(partition="a")  # nobody knows whether it was started
    rm.jobs.clear()
    rm.ends.clear()
    for name in "xyz":
        rm.submit(name, "eve")
    box.load("a")
    finish(box)
    del rm.jobs["x"]
    rm.submit("w", "eve")
    rm.end("y", box.now)
    del rm.nodes["n1"]
    rm.nodes["n3"] = ForeignNode("n3", NodeState.UP, 4)
    box.done.clear()
    for _ in turns(box, box.later(rm)):
        pass
    kinds = [row.kind for row in saved(box.done) if isinstance(row, EventRow)]
    told = [kind for kind in kinds if kind in ("node/joined", "job/adopted", "job/unknown")]
    assert kinds.index("node/missing") < kinds.index("job/ended")
    assert told == ["node/joined", "job/adopted", "job/unknown"]
    last = next(i for i, e in enumerate(box.done) if isinstance(e, Call))
    assert not [row for row in saved(box.done[last:]) if getattr(row, "kind", "") == "job/unknown"]
    assert mine in box.machine.state.jobs


@pytest.mark.usefixtures("one_by_one")
def test_a_manager_that_dies_between_two_pieces_has_lost_nothing_and_doubled_nothing() -> None:
    """The next load tells all of it once more."""
    lives, whole = 0, None
    while True:
        rm = ScriptedRm("a", ["n1", "n2"], options=SCHEDULES)
        box, held = make(rm), Held(":memory:")
        finish(box)
        rm.submit("gone", "eve")
        box.load("a")
        finish(box)
        rm.end("gone", box.now)
        rm.submit("idle", "bob")
        rm.submit("runs", "eve")
        rm.run("runs", box.now, share("n2", 2))
        rm.nodes["n3"] = ForeignNode("n3", NodeState.UP, 8)
        rest = turns(box, box.later(rm))
        over = all(next(rest, None) is not None for _ in range(lives))
        held.commit(*saved(box.done))
        box.restart(held.store.load())
        box.load("a")
        finish(box)
        s = box.machine.state
        found = (
            sorted((job.id, str(job.stage), job.state) for job in s.rms["a"].jobs.values()),
            sorted((node, len(entry.books.cpus)) for node, entry in s.nodes.items()),
            sorted(s.ended.values()),
            len(s.jobs),
            len(s.allocations),
        )
        whole = whole or found
        assert found == whole
        lives += 1
        if not over:
            break
    assert lives > 8


@pytest.mark.usefixtures("one_by_one")
def test_of_the_loads_that_come_meanwhile_the_newest_follows() -> None:
    rm = ScriptedRm("a", ["n1"])
    box = make(rm)
    finish(box)
    seen = box.machine.state.rms["a"].loads
    box.do(box.later(rm))
    for name in "xy":
        rm.submit(name, "eve")
        box.do(box.later(rm))
    assert not box.machine.state.rms["a"].by_id
    finish(box)
    assert sorted(box.machine.state.rms["a"].by_id) == ["x", "y"]
    assert box.machine.state.rms["a"].loads == seen + 2


@pytest.mark.usefixtures("one_by_one")
def test_resource_managers_take_turns_and_one_that_goes_takes_none() -> None:
    a, b, c = (ScriptedRm(name, ["n1", "n2"]) for name in "abc")
    box = make(a, b, c)
    finish(box)
    for rm in (a, b, c):
        rm.submit("x", "eve")
        box.do(box.later(rm))
    assert list(box.machine.state.parts.taking) == ["a", "b", "c"]
    box.do(RmMore())
    assert list(box.machine.state.parts.taking) == ["b", "c", "a"]
    box.change(Change("set", "rm", ("b",), {"enabled": False}), Change("remove", "rm", ("c",)))
    done: list[str] = []
    while box.machine.wants_more:
        done += ended(box.do(RmMore()))
    assert sorted(done) == ["a", "b"]
    assert "x" in box.machine.state.rms["a"].by_id
    assert "x" not in box.machine.state.rms["b"].by_id
    assert "disabled" in box.node("b/n1")


def test_who_asks_is_answered_between_two_pieces() -> None:
    """R-MAU-26: an answer waits for the piece at which it finds the manager, and for the next one."""

    async def play() -> None:
        store, _, live = begin([])
        rows = [Change("create", "partition", ("a",)), Change("create", "rm", ("a",), DRIVER)]
        live.put(Administered(1, ROOT, tuple(rows)))
        await live.barrier()
        rm = ScriptedRm("a", options=SCHEDULES)
        live.put(RmLoaded("a", rm.about, *listed(MANY), 90.0, 0.1))
        left = answers = 0
        while live.machine.wants_more:
            before = taken(live.machine)
            await live.barrier()
            answers += 1
            left += taken(live.machine) > before + 2
            assert len(live.machine.state.marks.jobs) <= ROWS  # the scheduler knows the others
        assert answers > MANY / LOOKS
        assert left == 0
        assert len(live.machine.state.jobs) == MANY
        await live.barrier()
        assert len(store.load().jobs) == MANY
        live.close()
        store.close()

    asyncio.run(play())
