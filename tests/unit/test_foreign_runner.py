"""Drivers under the manager: each on its own, whatever becomes of the others."""

import asyncio
import os
import pwd
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import AsyncMock

import pytest
from msgspec.structs import replace

from ostler.core.effects import Call
from ostler.core.events import Event, RmAnswered, RmLoaded, RmTrouble, RmUp
from ostler.core.foreign.rms import Rm
from ostler.manager.companion import Companion
from ostler.manager.foreign import Foreign
from ostler.manager.native import Blobs
from ostler.manager.rm_reads import trace
from ostler.model.errors import Missing
from ostler.model.foreign import About, Did, NodeState, Start
from ostler.model.site import ResourceManager, Site
from ostler.testing.rm import ScriptedRm
from ostler.wire.drivers import (
    QUERIES,
    Begin,
    Do,
    Done,
    Fault,
    FromDriver,
    Lost,
    Role,
    Up,
    decode_request,
    encode,
)
from tests.unit.foreign_kit import Foreign as Foreigners

FILE = Path(__file__).with_name("faulty_driver.py")
ENV = b"HOME=/h\0A=1\0"


class Core:
    """Takes events, and lets a test wait for one."""

    def __init__(self) -> None:
        self.site = Site()
        self.rms: dict[str, Rm] = {}
        self.events: list[Event] = []
        self._news = asyncio.Event()

    def put(self, event: Event) -> None:
        self.events.append(event)
        self._news.set()

    async def until(self, found: Callable[[Event], bool]) -> Event:
        while True:
            for event in self.events:
                if found(event):
                    return event
            self._news.clear()
            await self._news.wait()


def row(name: str, how: str, kind: str = "Driver", interval: int = 30) -> ResourceManager:
    settings = {"how": how, "count": "3"}
    return ResourceManager(name, f"{FILE}:{kind}", settings, interval=interval)


def live(story: Callable[[Core, Foreign], Coroutine[None, None, None]]) -> None:
    async def run() -> None:
        core = Core()
        blobs = Blobs(lambda digest: {"e": ENV, "s": b"#!/bin/sh\n", "i": b"x\ny\n"}[digest])
        foreign = Foreign(lambda: core, core.put, blobs)  # type: ignore[arg-type,return-value]
        try:
            await story(core, foreign)
        finally:
            await foreign.close()

    asyncio.run(run())


def test_a_driver_that_crashes_or_hangs_harms_neither_others_nor_its_own_orders() -> None:
    """R-MAU-23 and R-MAU-24; the deadline is kept where drivers are, and tested there."""

    async def story(core: Core, foreign: Foreign) -> None:
        rows = [row("dies", "segfault"), row("hangs", "hang"), row("lives", "")]
        core.site.rms.update({each.name: each for each in rows})
        foreign.configured()
        loaded = await core.until(lambda e: isinstance(e, RmLoaded) and e.rm == "lives")
        assert isinstance(loaded, RmLoaded)
        assert loaded.nodes
        assert [node.state for node in loaded.nodes.nodes] == [NodeState.UP]
        assert loaded.jobs
        assert loaded.nodes.complete
        failed = await core.until(lambda e: isinstance(e, RmLoaded) and e.rm == "dies")
        assert isinstance(failed, RmLoaded)
        assert (failed.nodes, failed.jobs) == (None, None)
        assert "SIGSEGV" in failed.why
        await core.until(lambda e: isinstance(e, RmUp) and e.rm == "hangs")
        foreign.give(Call("hangs", 7, "start", token="t7", start=Start("t7", ())))
        foreign.give(Call("hangs", 8, "cancel", "segfault", "t7"))
        answer = await core.until(lambda e: isinstance(e, RmAnswered))
        assert isinstance(answer, RmAnswered)
        assert (answer.call, answer.outcome.did) == (7, Did.DONE)
        lost = await core.until(lambda e: isinstance(e, RmTrouble) and e.rm == "hangs")
        assert isinstance(lost, RmTrouble)
        assert (lost.kind, lost.calls) == (Fault.CRASHED, (8,))
        told = foreign.read()
        assert (told["dies"]["losses"], told["lives"]["losses"]) == (1, 0)
        assert told["dies"]["verbs"]["list_nodes"]["failed"] == 1
        assert told["lives"]["verbs"]["list_nodes"]["count"] == 1
        assert told["hangs"]["loading"]

    live(story)


def test_what_happens_in_a_resource_manager_is_loaded_at_once_and_rows_are_obeyed(
    tmp_path: Path,
) -> None:
    bell = tmp_path / "bell"
    os.mkfifo(bell)

    async def story(core: Core, foreign: Foreign) -> None:
        fleet = row("fleet", "", "Fleet", interval=3_600)
        core.site.rms["fleet"] = replace(fleet, settings={**fleet.settings, "bell": str(bell)})
        foreign.configured()
        runner = foreign.runners["fleet"]
        await core.until(lambda e: isinstance(e, RmLoaded))
        await asyncio.to_thread(bell.write_bytes, b"")  # waits for who reads
        await core.until(lambda e: isinstance(e, RmLoaded) and len(loads(core)) > 1)
        assert runner.read()["verbs"]["node"]["count"] == 6
        foreign.configured()
        assert foreign.runners["fleet"] is runner
        core.site.rms["fleet"] = row("fleet", "", "Fleet", interval=3_601)
        foreign.configured()
        assert foreign.runners["fleet"] is not runner
        core.site.rms.clear()
        foreign.configured()
        assert not foreign.runners

    live(story)


class Spoken(Companion):
    """A process of which a test says what it says."""

    def __init__(self) -> None:
        self._says: asyncio.Queue[bytes] = asyncio.Queue()
        self.asked: asyncio.Queue[Begin | Do] = asyncio.Queue()

    @property
    def pid(self) -> int:
        return 1

    @property
    def stdin(self) -> Any:
        return self

    def write(self, frame: bytes) -> None:
        self.asked.put_nowait(decode_request(frame[4:]))

    def say(self, message: FromDriver) -> None:
        self._says.put_nowait(encode(message))

    async def read(self) -> bytes:
        return await self._says.get()

    async def answer(self) -> None:
        """Answer a whole load."""
        for verb in QUERIES:
            asked = await self.asked.get()
            assert isinstance(asked, Do)
            assert asked.verb == verb
            self.say(Done(asked.number, 0.0, 0.0))

    def kill(self) -> None:
        """Nothing is left of it."""

    async def status(self) -> int:
        return 0


def test_a_driver_that_is_gone_is_told_of_at_once_and_asked_at_once_when_it_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its process ends between two loads, when nothing is asked that could fail."""
    why = "the driver cannot be loaded: there is no file /driver.py"

    async def story(core: Core, foreign: Foreign) -> None:
        process = Spoken()
        begin = AsyncMock(return_value=process)
        monkeypatch.setattr(Companion, "begin", begin)
        core.site.rms["a"] = row("a", "", interval=3_600)
        foreign.configured()
        assert isinstance(await process.asked.get(), Begin)
        process.say(Up(Role.QUERY, About("a", "a")))
        await process.answer()
        await core.until(lambda e: isinstance(e, RmLoaded))
        process.say(Lost(Role.QUERY, Fault.CRASHED, "it was killed", 1.0))
        for role in (Role.ORDER, Role.QUERY, Role.ORDER, Role.QUERY):
            process.say(Lost(role, Fault.FAILED, why, 1.0))
        await core.until(lambda e: isinstance(e, RmLoaded) and e.why == why)
        process.say(Up(Role.QUERY, About("a", "a")))
        await process.answer()
        await core.until(lambda e: isinstance(e, RmLoaded) and len(loads(core)) == 3)
        assert [load.jobs is not None for load in loads(core)] == [True, False, True]

    live(story)


def loads(core: Core) -> list[RmLoaded]:
    return [event for event in core.events if isinstance(event, RmLoaded)]


def test_a_start_gets_the_environment_and_script_that_the_core_does_not_hold() -> None:
    async def story(core: Core, foreign: Foreign) -> None:
        core.site.rms["a"] = row("a", "", "Echo")
        foreign.configured()
        start = Start("t", ())
        blobs = ("e", "s", "i")
        foreign.give(Call("a", 1, "start", "", "t", start, blobs, element=1, variables={"A": "2"}))
        answer = await core.until(lambda e: isinstance(e, RmAnswered))
        assert isinstance(answer, RmAnswered)
        assert answer.outcome.text == "HOME=/h A=2 OSTLER_ITEM=y #!/bin/sh"

    live(story)


def test_an_answer_that_nobody_waits_for_any_more_is_dropped_and_counted() -> None:
    async def story(core: Core, foreign: Foreign) -> None:
        core.site.rms["a"] = row("a", "")
        foreign.configured()
        await core.until(lambda e: isinstance(e, RmUp))
        foreign.give(Call("a", 1, "start", "", "t1", Start("t1", ())))
        foreign.forget()  # the core has begun anew, and asks again
        foreign.give(Call("a", 1, "start", "", "t2", Start("t2", ())))
        answer = await core.until(lambda e: isinstance(e, RmAnswered))
        assert isinstance(answer, RmAnswered)
        assert answer.outcome.id == "t2"
        assert foreign.read()["a"]["late"] == 1

    live(story)


WHO = """
import os
from ostler.model.foreign import About, Did, Outcome
class Who:
    about = About("who", "tells as whom it runs")
    def __init__(self, settings):
        self.list_nodes = self.list_jobs = self.cancel = id
    def start(self, order):
        return Outcome(Did.DONE, order.token, text=f"{os.geteuid()} {os.getgroups()}")
"""


@pytest.fixture
def folder_for_all() -> Iterator[Path]:
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_a_driver_runs_as_the_user_that_its_row_says(folder_for_all: Path) -> None:
    nobody = pwd.getpwnam("nobody").pw_uid
    file = folder_for_all / "who.py"
    file.write_text(WHO)

    async def story(core: Core, foreign: Foreign) -> None:
        core.site.rms["a"] = ResourceManager("a", f"{file}:Who", {"run-as": "nobody"})
        foreign.configured()
        foreign.give(Call("a", 1, "start", "", "t", Start("t", ())))
        if os.geteuid() == 0:
            told = await core.until(lambda e: isinstance(e, RmAnswered))
            assert isinstance(told, RmAnswered)
            assert told.outcome.text.startswith(f"{nobody} ")
            assert "[0" not in told.outcome.text
        else:
            told = await core.until(lambda e: isinstance(e, RmTrouble))
            assert isinstance(told, RmTrouble)
            assert "only root can run a driver as nobody" in told.why

    live(story)


def test_a_trace_of_what_is_not_there_tells_what_is() -> None:
    async def story(core: Core, foreign: Foreign) -> None:
        s = Foreigners(ScriptedRm("slurm"), ScriptedRm("ge")).machine.state
        assert trace(s, "ge", foreign) == {"iterations": []}
        with pytest.raises(Missing) as told:
            trace(s, "slrum", foreign)
        assert str(told.value) == "there is no resource manager 'slrum' (known: ge, slurm)"

    live(story)
