"""Turns of the manager when a commit fails: nobody is told what is not durable, and it goes on."""

import asyncio
import logging
from collections.abc import Sequence

import pytest

from ostler.core.effects import Reply
from ostler.core.events import Administered
from ostler.manager import turns as module
from ostler.manager.turns import Spoken, Turns
from ostler.manager.writer import Writer
from ostler.model.caller import Caller
from ostler.model.errors import NotNow, OstlerError, StaleEpoch
from ostler.model.record import Write
from ostler.model.site_changes import attribute
from ostler.store.sqlite.store import SqliteStore

ROOT = Caller(0, 0, "root", owner=True)


class Moody(SqliteStore):
    """A store whose next commits fail as told."""

    faults: list[Exception]

    def commit(self, writes: Sequence[Write], epoch: int) -> None:
        if self.faults:
            raise self.faults.pop(0)
        super().commit(writes, epoch)


class Ears:
    """Keeps what the turns say."""

    def __init__(self) -> None:
        self.said: asyncio.Queue[object] = asyncio.Queue()

    def speak(self, effects: list[Spoken]) -> None:
        for effect in effects:
            if isinstance(effect, Reply):
                self.said.put_nowait(effect.to)

    def written(self, writes: list[Write]) -> None:
        pass

    def silenced(self, error: OstlerError) -> None:
        self.said.put_nowait(error)


def begin(faults: list[Exception]) -> tuple[Moody, Ears, Turns]:
    store = Moody.open(":memory:")
    store.faults = faults
    epoch = store.take_role(
        ["machine"],
        holder="me",
        pid=1,
        start_time=1.0,
        boot_id="b",
        now_boottime=0.0,
        lease_seconds=1e9,
        is_alive=lambda _pid, _began: False,
    )
    ears = Ears()
    return store, ears, Turns(store, ears, Writer(asyncio.get_running_loop()), epoch, lambda: 100.0)


def ask(turns: Turns, to: int) -> None:
    turns.put(Administered(to, ROOT, (attribute("client-grace", str(to)),)))


async def works_again(turns: Turns) -> None:
    while turns.down is not None:  # noqa: ASYNC110 - no event tells of it
        await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PROBE", 0.001)


@pytest.mark.parametrize("fault", [NotNow("the disk is full"), RuntimeError("nobody knew")])
def test_a_commit_that_fails_is_forgotten_by_all_and_the_next_one_counts(fault: Exception) -> None:
    async def play() -> None:
        store, ears, turns = begin([fault])
        ask(turns, 1)
        told = await ears.said.get()
        assert isinstance(told, NotNow)
        await works_again(turns)
        assert "client-grace" not in turns.machine.state.settings
        ask(turns, 2)
        assert await ears.said.get() == 2
        assert store.load().settings == turns.machine.state.settings
        turns.close()
        store.close()

    asyncio.run(play())


def test_trouble_that_comes_and_goes_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    async def play() -> None:
        store, ears, turns = begin([NotNow("the disk is full") for _ in range(4)])
        for to in range(4):
            await works_again(turns)
            ask(turns, to)
            assert isinstance(await ears.said.get(), NotNow)
        await works_again(turns)
        ask(turns, 5)
        assert await ears.said.get() == 5
        turns.close()
        store.close()

    with caplog.at_level(logging.WARNING, "ostler.manager"):
        asyncio.run(play())
    assert [record.message for record in caplog.records] == ["cannot write", "writing again"]


def test_who_lost_the_role_never_writes_again() -> None:
    async def play() -> None:
        store, ears, turns = begin([StaleEpoch("another has it")])
        ask(turns, 1)
        assert isinstance(await ears.said.get(), StaleEpoch)
        assert isinstance(turns.lost.result(), StaleEpoch)
        with pytest.raises(StaleEpoch):
            ask(turns, 2)
        turns.close()
        store.close()

    asyncio.run(play())
