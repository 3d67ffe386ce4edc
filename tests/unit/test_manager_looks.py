"""What a look tells is durable when it leaves, and a listing waits for one commit alone."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec

from ostler.core.events import Acted, AgentGreeted, Event, Submitted
from ostler.manager.looks import Looks
from ostler.manager.reads import Reads
from ostler.manager.session import Client
from ostler.manager.turns import Turns
from ostler.model.ids import Ref
from ostler.model.job import JobSpec
from ostler.model.states import JobState
from ostler.store.sqlite.archive import Archives
from ostler.wire import messages
from tests.store.builders import Held
from tests.unit.core_kit import ANN, facts
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

    def submit(self) -> None:
        self.asked += 1
        self.put(Submitted(0, ANN, f"r{self.asked}", JobSpec(argv=(b"true",)), {}))

    def look(self, what: str, ref: str = "") -> "asyncio.Task[dict[str, Any]]":
        client = cast("Client", SimpleNamespace(caller=ANN, link=SimpleNamespace(closed=False)))
        return asyncio.ensure_future(self.looks.read(client, messages.Read(1, what, ref)))

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


def test_a_listing_waits_for_what_it_tells_and_not_for_what_came_since() -> None:
    async def play() -> None:
        rig = Rig()
        await rig.write_all()
        rig.submit()
        await rig.settle()
        look = rig.look("jobs")
        await rig.settle()
        rig.submit()
        rig.writer.write()  # the first job
        await rig.settle()
        assert not look.done()
        rig.writer.write()  # what came with the question; the second job is among it
        await rig.settle()
        rig.submit()
        await rig.settle()
        assert rig.writer.given
        rows = msgspec.msgpack.decode(messages.encode(look.result()))
        assert [row["id"] for row in rows["jobs"]] == ["1"]
        rig.held.store.close()

    asyncio.run(play())
