"""Schedulers of others as the manager keeps them, beside a mediator that says what it is told to."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from ostler.core.events import Event
from ostler.core.machine import Machine
from ostler.manager import mediator, schedulers
from ostler.manager.companion import Companion
from ostler.manager.run_as import Place
from ostler.schedule.snapshot import Piece, Plan
from tests.unit.test_core_charge import planned_by_mine
from tests.unit.test_manager_planning import NOW, play


class Planning:
    """Whoever listens knows everything at once."""

    def __init__(self, machine: Machine) -> None:
        self.listeners: set[Any] = set()
        self._machine = machine

    def tell(self, then: Callable[[Machine | None], None]) -> None:
        then(self._machine)


class Turning:
    """A manager that writes at once."""

    def __init__(self) -> None:
        self.machine = planned_by_mine("n1").machine
        self.planning: Any = Planning(self.machine)

    def put(self, event: Event) -> None:
        self.machine.handle(NOW, event)

    def barrier(self) -> asyncio.Future[None]:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


class Between:
    """The process between the manager and a scheduler."""

    pid = 1

    def __init__(self) -> None:
        self.asked: asyncio.Queue[mediator.Show] = asyncio.Queue()
        self.says: asyncio.Queue[bytes] = asyncio.Queue()
        self.killed = asyncio.Event()
        self.stdin = self.transport = self

    def set_write_buffer_limits(self, _: int) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def write(self, data: bytes) -> None:
        word = mediator.decode_request(data[4:])
        if isinstance(word, mediator.Show):
            self.asked.put_nowait(word)

    async def drain(self) -> None:
        pass

    async def read(self) -> bytes:
        return await self.says.get()

    def propose(self, number: int, *, last: bool) -> None:
        piece = Piece(last=last)
        said = mediator.Proposed(number, Plan([], {}), piece, 0.0, compared=False, wrong=())
        self.says.put_nowait(mediator.encode(said))

    def kill(self) -> None:
        self.killed.set()

    async def end(self) -> None:
        pass


def test_a_mediator_that_hangs_between_two_pieces_is_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def work() -> None:
        between, turning = Between(), Turning()

        async def begin(*_: object) -> Between:
            return between

        monkeypatch.setattr(Companion, "begin", begin)
        found = schedulers.Schedulers(turning, lambda: NOW, Place("/", system=False))
        found.look()
        whole = await between.asked.get()
        between.propose(whole.number, last=True)
        found.look()
        shown = await between.asked.get()
        assert not between.killed.is_set(), "a plan that is whole ends the wait"
        monkeypatch.setattr(schedulers, "SLACK", 0.0)
        between.propose(shown.number, last=False)
        async with asyncio.timeout(10):
            await between.killed.wait()
        await found.close()

    play(work())
