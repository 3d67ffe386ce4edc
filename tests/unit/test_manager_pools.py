"""Nodes as jobs of another resource manager, over a scripted one and in virtual time."""

import asyncio
import re
from typing import Any

import pytest

from ostler.core.effects import Fail, Reply
from ostler.core.events import AgentGone, Event
from ostler.manager.inner import Inner
from ostler.manager.pools import Pools
from ostler.model.foreign import Did, Outcome
from ostler.model.orders import Withdraw
from ostler.model.resources import Request
from ostler.model.site_changes import Change
from ostler.model.states import NodeWord
from ostler.testing.rm import ScriptedRm
from tests.unit.core_kit import ROOT, orders
from tests.unit.foreign_kit import Foreign

LOOK = 0.25  # seconds


class Rig:
    """A machine of one CPU, a resource manager of four, and a pool over it."""

    def __init__(self, **values: str) -> None:
        self.rm = ScriptedRm("hall", ["h1"])
        self.box = Foreign(self.rm)
        self.box.greet("n1", cpus=1)
        pool = {"most": "3", "idle": "10", "time": "10m", **values}
        self.box.change(Change("create", "pool", ("hall",), pool))
        self.here: set[str] = set()  # nodes of the pool that are there
        self.comes = True  # what is asked for
        self.new_manager()

    def new_manager(self) -> None:
        """Let another manager see to the pool, which has no memory."""
        self.inner = Inner(self.put)
        self.pools = Pools(lambda: self.box.machine.state, self.inner, "/state")
        self.pools._clock = lambda: self.box.now

    def put(self, event: Event) -> None:
        """Let the core handle an event, and whoever asked have the answer."""
        for effect in self.box.do(event):
            if isinstance(effect, Reply | Fail) and effect.to < 0:
                self.inner.answered(effect)

    def names(self) -> set[str]:
        """Return the nodes whose jobs run in the resource manager."""
        tokens = {job.token for job in self.rm.jobs.values()}
        calls = [call.start for call in self.box.calls("hall") if call.start is not None]
        return {start.name for start in calls if start.token in tokens}

    def live(self, seconds: float) -> None:
        """Let time pass: looks, loads, and nodes that come with their jobs and go with them."""
        end = self.box.now + seconds
        while self.box.now < end:
            asyncio.run(self.pools.look("hall"))
            names = self.names() if self.comes else set()
            for name in sorted(names - self.here):
                self.box.greet(name, cpus=1)
            for name in sorted(self.here - names):
                self.box.do(AgentGone(name))
            self.here = names
            self.box.load(after=LOOK)

    def row(self) -> dict[str, Any]:
        [row] = self.pools.rows()
        return row

    def change(self, **values: str) -> None:
        self.box.change(Change("set", "pool", ("hall",), values))

    def cancels(self) -> int:
        return len(self.box.calls("hall", "cancel"))


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_nodes_come_for_what_waits_and_go_when_they_have_had_nothing_to_do(rig: Rig) -> None:
    box = rig.box
    jobs = [box.submit(time_limit=60) for _ in range(3)]
    rig.live(0.5)
    assert rig.names() == set(), "it may be over in a moment"
    rig.live(2.0)
    assert rig.here == {"hall-pool-1", "hall-pool-2"}
    placed = {box.machine.state.allocations[box.alloc(job)].placements[0].node for job in jobs}
    assert placed == {"n1", *rig.here}
    assert (rig.row()["nodes"], rig.row()["idle_nodes"], rig.row()["wanted_cpus"]) == (2, 0, 0)
    for job in jobs:
        node = box.machine.state.allocations[box.alloc(job)].placements[0].node
        box.start(box.alloc(job), node)
        box.end(box.alloc(job), node)
    rig.live(9.0)
    assert (rig.row()["idle_nodes"], rig.cancels()) == (2, 0)
    rig.live(3.0)
    assert (rig.here, rig.row()["nodes"]) == (set(), 0)
    assert {box.machine.state.nodes[f"hall-pool-{i}"].node.gone for i in (1, 2)} == {True}
    box.submit(time_limit=60)
    box.submit(time_limit=60)
    rig.live(2.0)
    assert rig.here == {"hall-pool-1"}, "a name is used again"
    assert box.machine.state.nodes["hall-pool-1"].node.word is NodeWord.IN


def test_a_short_array_makes_it_grow_though_its_elements_are_handed_to_a_slot(rig: Rig) -> None:
    job = rig.box.submit(time_limit=60, array=((0, 1),))
    rig.box.progress(rig.box.alloc(job), running=0)
    rig.live(4.0)
    assert rig.here == {"hall-pool-1"}
    [(node, order)] = orders(rig.box.done, Withdraw)
    assert (node, order.elements) == ("n1", ((1, 1),)), "it goes where there is room now"


def test_jobs_that_wait_to_bring_other_nodes_than_are_wanted_now_are_taken_back(rig: Rig) -> None:
    rig.rm.answer = lambda call: Outcome(Did.REFUSED, text="no such memory") if call.start else None
    rig.change(most="1", memory="1G")
    for _ in range(2):
        rig.box.submit(time_limit=60, request=Request(memory=1 << 20))
    rig.live(2.0)
    assert (
        "which is to bring a node, waits: could not start: hall refused it: no such memory"
        in (rig.row()["why"])
    )
    rig.rm.answer = None
    rig.change(memory="64M")
    rig.live(2.0)
    assert (rig.row()["nodes"], rig.row()["why"], rig.row()["failures"]) == (1, "", 0)


def test_one_is_kept_while_the_others_take_their_time_to_go(rig: Rig) -> None:
    jobs = [rig.box.submit(time_limit=60) for _ in range(4)]
    rig.live(2.0)
    for job in jobs:
        node = rig.box.machine.state.allocations[rig.box.alloc(job)].placements[0].node
        rig.box.start(rig.box.alloc(job), node)
        rig.box.end(rig.box.alloc(job), node)
    rig.change(least="1")
    rig.rm.answer = lambda call: Outcome(Did.ACCEPTED) if call.verb == "cancel" else None
    rig.live(11.0)
    for name in ("hall-pool-2", "hall-pool-3"):
        rig.box.do(AgentGone(name))
    rig.live(5.0)
    assert len({call.token for call in rig.box.calls("hall", "cancel")}) == 2
    assert (rig.row()["nodes"], rig.row()["asked"]) == (1, 0)


def test_what_does_not_count_is_told(rig: Rig) -> None:
    rig.box.submit(request=Request(cpus=1))
    rig.box.submit()
    rig.live(2.0)
    assert not rig.here
    assert "it has no time limit (-t)" in rig.row()["why"]


def test_nodes_that_never_come_are_asked_for_ever_more_seldom_with_the_reason(rig: Rig) -> None:
    rig.comes = False
    for _ in range(5):
        rig.box.submit(time_limit=60)
    rig.live(1.5)
    assert len(rig.names()) == 3
    for ident in list(rig.rm.jobs):
        rig.rm.end(ident, rig.box.now, "failed")
    rig.live(1.0)
    assert (rig.row()["failures"], rig.names()) == (1, set()), "they were asked for at once"
    assert re.fullmatch(
        r"job \d+ has brought no node: .*; the next one is asked for in 14s", rig.row()["why"]
    )
    rig.live(20.0)
    assert len(rig.names()) == 1, "one by one"
    rig.rm.end(next(iter(rig.rm.jobs)), rig.box.now, "failed")
    rig.live(20.0)
    assert (rig.row()["failures"], rig.names()) == (2, set())
    rig.comes = True
    rig.change(idle="1m")
    rig.live(1.0)
    assert rig.row()["why"] == "", "whoever changes it has mended it"
    rig.live(1.0)
    rig.live(1.0)
    assert (rig.row()["failures"], rig.row()["why"]) == (0, "")
    assert len(rig.names()) == 3


def test_another_manager_finds_the_nodes_and_a_pool_that_is_removed_lets_go(rig: Rig) -> None:
    box = rig.box
    for _ in range(3):
        box.submit(time_limit=60)
    rig.live(2.0)
    rig.new_manager()
    rig.live(1.0)
    assert (rig.row()["nodes"], len(rig.box.calls("hall"))) == (2, 2)
    lost = next(i for i, job in rig.rm.jobs.items() if job.token == box.calls("hall")[0].token)
    rig.rm.end(lost, box.now, "failed")
    rig.live(1.0)
    assert box.machine.state.nodes["hall-pool-1"].node.gone
    box.change(Change("remove", "pool", ("hall",)), by=ROOT)
    rig.live(20.0)
    assert (rig.cancels(), rig.here) == (0, {"hall-pool-2"})
