"""What a look tells is durable when it leaves, and a listing waits for nothing else."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from ostler.core.events import (
    Acted,
    AgentGone,
    AgentGreeted,
    AgentReported,
    Event,
    Submitted,
)
from ostler.core.machine import Machine
from ostler.core.slots import attempt_of
from ostler.core.state import State
from ostler.manager.documents import Listing
from ostler.manager.looks import Looks
from ostler.manager.reads import Reads
from ostler.manager.session import Client
from ostler.manager.turns import Turns
from ostler.model.allocation import Allocation
from ostler.model.caller import Caller
from ostler.model.ids import JobId, Ref
from ostler.model.job import Dependency, JobSpec, TaskExit
from ostler.model.orders import ElementEnd, Ended, Progress, ReportRow, Started
from ostler.model.orders import Held as Kept
from ostler.model.resources import Request
from ostler.model.states import JobState
from ostler.store.sqlite.archive import Archives
from ostler.wire import messages
from tests.store.builders import Held
from tests.unit.core_kit import ANN, BOB, ROOT, facts
from tests.unit.test_manager_turns import Ears

Then = Callable[[Exception | None], None]


class Slow:
    """A writer that writes when it is told to."""

    def __init__(self) -> None:
        self.given: list[tuple[Callable[[], None], Then]] = []
        self.commits = 0

    def do(self, work: Callable[[], None], then: Then) -> None:
        self.given.append((work, then))

    def write(self) -> None:
        work, then = self.given.pop(0)
        work()
        self.commits += 1
        then(None)

    def close(self) -> None:
        """End."""


class Rig:
    """A manager's turns, and who looks."""

    def __init__(self) -> None:
        self.held, self.writer = Held(":memory:"), Slow()
        store = self.held.store
        epoch = self.held.epoch
        self.turns = Turns(store, Ears(), self.writer, epoch, lambda: 100.0)
        nobody: Any = None
        machine = lambda: self.turns.machine  # noqa: E731
        reads = Reads(store, machine, dict, nobody, Archives(Path("/nowhere")))
        self.looks = Looks(store, self.turns, reads, nobody, nobody, nobody, lambda: 100.0)
        self.asked = 0
        self.put(AgentGreeted("n1", facts(4), "boot", ()))

    def put(self, event: Event) -> None:
        self.turns.put(event)

    def submit(self, by: Caller = ANN, **spec: Any) -> None:
        self.asked += 1
        self.put(Submitted(0, by, f"r{self.asked}", JobSpec(argv=(b"true",), **spec), {}))

    def report(self, row: ReportRow) -> None:
        self.asked += 1
        self.put(AgentReported("n1", self.asked, (row,)))

    def look(
        self, what: str, ref: str = "", by: Caller = ANN, **options: Any
    ) -> "asyncio.Task[dict[str, Any]]":
        client = cast("Client", SimpleNamespace(caller=by, link=SimpleNamespace(closed=False)))
        asked = messages.Read(1, what, ref, messages.ReadOptions(**options))
        return asyncio.ensure_future(self.looks.read(client, asked))

    async def look_at_once(self, what: str, by: Caller, **options: Any) -> dict[str, Any] | None:
        """Return the answer if it waits for no commit."""
        look = self.look(what, by=by, **options)
        for _ in range(3):  # turns of the loop: one to begin, one for others
            await asyncio.sleep(0)
        return look.result() if look.done() else None

    async def durable(self, by: Caller, **options: Any) -> dict[str, Any]:
        """Return the listing of a manager that begins now, from the database."""
        machine = Machine(self.held.store.load(), epoch=self.held.epoch, now=100.0)
        nobody: Any = None
        reads = Reads(self.held.store, lambda: machine, dict, nobody, Archives(Path("/nowhere")))
        asked = messages.Read(1, "jobs", "", messages.ReadOptions(**options))
        found = reads.answer(by, asked, 100.0)
        assert isinstance(found, Listing)
        return await found.document(lambda: None)

    async def write_all(self) -> None:
        await self.settle()
        while self.writer.given:
            self.writer.write()
            await self.settle()

    async def settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)


def test_what_happened_while_a_look_waited_is_told_only_when_it_is_durable() -> None:
    async def play() -> None:
        rig = Rig()
        rig.submit()
        await rig.write_all()
        rig.submit()
        await rig.settle()
        look = rig.look("job", "1")
        await rig.settle()
        rig.submit()
        rig.writer.write()
        await rig.settle()
        rig.put(Acted(0, ANN, "cancel", (Ref(1),)))  # while all that the look waits for is written
        rig.writer.write()
        await rig.settle()
        assert not look.done()
        await rig.write_all()
        kept = rig.held.store.job(1)
        assert kept is not None
        assert (await look)["jobs"][0]["state"] == kept.state == JobState.FINISHING
        rig.held.store.close()

    asyncio.run(play())


def told(answer: object) -> dict[str, Any]:
    """Return a document as its client decodes it."""
    document: dict[str, Any] = msgspec.msgpack.decode(messages.encode(answer))
    return document


def test_a_listing_waits_for_the_rows_it_tells_and_for_no_others() -> None:
    async def play() -> None:
        rig = Rig()
        await rig.write_all()
        rig.submit()
        await rig.settle()
        assert rig.writer.given  # the first job is being written
        rig.submit(BOB)
        look, bobs = rig.look("jobs"), rig.look("jobs", by=BOB)
        await rig.settle()
        rig.submit()
        assert not look.done()
        assert await rig.look_at_once("jobs", ROOT) == {"jobs": [], "more": 0}
        rig.writer.write()  # the first job, and no more
        await rig.settle()
        assert rig.writer.given
        assert [row["id"] for row in told(look.result())["jobs"]] == ["1"]
        assert not bobs.done()  # his came with the next commit
        rig.writer.write()
        await rig.settle()
        assert [row["id"] for row in told(bobs.result())["jobs"]] == ["2"]
        rig.held.store.close()

    asyncio.run(play())


def test_a_listing_of_what_runs_on_a_node_waits_for_news_of_the_node() -> None:
    async def play() -> None:
        rig = Rig()
        rig.submit()
        await rig.write_all()
        rig.submit(BOB, request=Request(cpus=99))
        await rig.write_all()
        rig.put(AgentGone("n1"))
        assert await rig.look_at_once("jobs", BOB) is not None
        look = rig.look("jobs")
        await rig.settle()
        assert not look.done()
        await rig.write_all()
        assert told(look.result())["jobs"][0]["unknown_since"] == 100.0
        rig.held.store.close()

    asyncio.run(play())


@pytest.mark.parametrize("seed", range(40))
def test_a_listing_that_does_not_wait_tells_what_the_database_has(seed: int) -> None:
    """Whatever is on its way to the disk: jobs that come, start and end, nodes that fall silent."""

    async def play() -> int:
        rig, chance, at_once = Rig(), Random(seed), 0
        for _ in range(60):
            happen(rig, chance)
            if chance.random() < 0.4 and rig.writer.given:
                rig.writer.write()
            if chance.random() < 0.7:
                await rig.settle()
            limit, by = chance.choice([1, 3, None]), chance.choice([ANN, BOB])
            if (found := await rig.look_at_once("jobs", by, limit=limit)) is not None:
                at_once += 1
                assert known(found) == known(await rig.durable(by, limit=limit))
        rig.held.store.close()
        return at_once

    assert asyncio.run(play()) > 0


def known(answer: object) -> dict[str, Any]:
    """Return a listing without what a manager that begins cannot know: which nodes are silent."""
    document = told(answer)
    for row in document["jobs"]:
        del row["unknown_since"]
    return document


def one_ended(state: State, slot: Allocation) -> Progress:
    """Return the report of a slot that one of its elements has ended."""
    entry = state.jobs[slot.job]
    rows = tuple(
        ElementEnd(index, attempt_of(entry, index), 100.0, 100.0, "", "", (TaskExit(0, 0),))
        for index, alloc in entry.live.items()
        if alloc == slot.id
    )
    return Progress(slot.id, slot.heard + 1, rows[:1], (), -1, 1, 100.0)


def happen(rig: "Rig", chance: Random) -> None:
    """Let one thing happen to a job, an allocation or the node."""
    state = rig.turns.machine.state
    live = [alloc.id for alloc in state.allocations.values()]
    slots = [alloc for alloc in state.allocations.values() if alloc.slot]
    words = [
        "submit",
        "submit",
        "array",
        "start",
        "end",
        "end",
        "element",
        "cancel",
        "gone",
        "greet",
        "requeue",
        "hold",
        "release",
        "after",
    ]
    match chance.choice(words):
        case "start" if live:
            rig.report(Started(chance.choice(live), 100.0))
        case "end" if live:
            rig.report(Ended(chance.choice(live), 100.0, 100.0, tasks=(TaskExit(0, 0),)))
        case "element" if slots:
            rig.report(one_ended(state, chance.choice(slots)))
        case "array":
            rig.submit(chance.choice([ANN, BOB]), array=((0, 3),))
        case "cancel" if state.jobs:
            job = state.jobs[chance.choice(list(state.jobs))].job
            part = ((3, 3),) if job.is_array and chance.random() < 0.7 else None
            rig.put(Acted(0, ROOT, "cancel", (Ref(job.id, part),)))
        case "requeue" | "hold" | "release" as verb if rig.asked:  # of jobs that have ended, too
            rig.put(Acted(0, ROOT, verb, (Ref(JobId(chance.randint(1, rig.asked))),)))
        case "after" if state.jobs:
            rig.submit(ANN, after=(Dependency(chance.choice(list(state.jobs)), "any"),))
        case "gone":
            rig.put(AgentGone("n1"))
        case "greet":
            held = tuple(Kept(number, "started", 100.0) for number in live)
            rig.put(AgentGreeted("n1", facts(4), "boot", held))
        case _:
            rig.submit(chance.choice([ANN, BOB]))
