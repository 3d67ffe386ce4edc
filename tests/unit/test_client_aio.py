"""The client for asyncio, against a manager that answers by script."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

import ostler
from ostler.client import AsyncClient, JobInfo
from ostler.model.errors import Missing, NotNow, Refused
from ostler.wire import messages
from tests.unit.scripted import (
    HANG_UP,
    SILENCE,
    Answer,
    Manager,
    Request,
    manager,
    play_supervisor,
)

ROW = {"id": "1", "state": "done", "result": "success"}


def talk(state: Path, main: Callable[[AsyncClient], Awaitable[None]], patience: float = 30) -> None:
    async def entered() -> None:
        async with ostler.connect_async(str(state), patience=patience) as machine:
            await main(machine)

    asyncio.run(asyncio.wait_for(entered(), 60))


def test_answers_come_in_any_order(tmp_path: Path) -> None:
    waits: list[int] = []

    def answer(request: Request) -> Answer:
        assert isinstance(request, messages.Wait)
        waits.append(request.id)
        if len(waits) < 3:
            return SILENCE
        return [messages.Reply(n, {"jobs": [ROW | {"id": str(n)}]}) for n in reversed(waits)]

    async def main(machine: AsyncClient) -> None:
        found = await asyncio.gather(*(machine.wait(n) for n in (1, 2, 3)))
        assert [infos[0].id for infos in found] == [str(n) for n in waits]

    with manager(tmp_path, answer):
        talk(tmp_path, main)


def test_what_the_old_manager_left_unanswered_is_repeated(tmp_path: Path) -> None:
    play_supervisor(tmp_path)
    answers = iter([HANG_UP, {"jobs": [ROW]}])

    async def main(machine: AsyncClient) -> None:
        assert await machine.wait("1") == [JobInfo("1", "done", "success")]

    with manager(tmp_path, lambda _: next(answers)) as made:
        talk(tmp_path, main)
    assert len(made.requests) == 2


def test_refusals_are_raised(tmp_path: Path) -> None:
    def answer(request: Request) -> Answer:
        if isinstance(request, messages.Act):
            return {"jobs": [{"id": "9", "ok": False, "code": "missing", "message": "no job 9"}]}
        return Refused("too many CPUs")

    async def main(machine: AsyncClient) -> None:
        with pytest.raises(Refused, match="too many CPUs"):
            await machine.submit(["true"], cpus=100)
        with pytest.raises(Refused, match="too many CPUs"):
            await machine.submit_many([{"argv": ["true"]}, {"argv": ["true"]}])
        with pytest.raises(Missing, match="no job 9"):
            await machine.cancel("9")

    with manager(tmp_path, answer):
        talk(tmp_path, main)


def test_no_machine_is_told_at_once(tmp_path: Path) -> None:
    async def main(machine: AsyncClient) -> None:
        raise AssertionError(machine)

    with pytest.raises(NotNow, match="no machine is up"):
        talk(tmp_path, main)


def test_a_manager_that_only_hangs_up_is_given_up(tmp_path: Path) -> None:
    play_supervisor(tmp_path)

    async def main(machine: AsyncClient) -> None:
        with pytest.raises(NotNow, match="does not answer"):
            await machine.status()

    with manager(tmp_path, lambda _: HANG_UP):
        talk(tmp_path, main, patience=0.3)


def test_a_manager_that_came_back_after_patience_ended_is_found(tmp_path: Path) -> None:
    async def main(machine: AsyncClient) -> None:
        first.close()
        with pytest.raises(NotNow, match="does not answer"):
            await machine.status()
        with manager(tmp_path, lambda _: {"up": True}):
            assert await machine.status() == {"up": True}

    first = Manager(tmp_path, lambda _: {"up": True})
    talk(tmp_path, main, patience=0.1)


def test_whoever_gives_up_waiting_leaves_the_connection_as_it_was(tmp_path: Path) -> None:
    held: list[int] = []

    def answer(request: Request) -> Answer:
        if isinstance(request, messages.Wait):
            held.append(request.id)
            return SILENCE
        assert isinstance(request, messages.Read)
        late = [messages.Reply(number, {"jobs": [ROW]}) for number in held]
        return [*late, messages.Reply(request.id, {"up": True})]

    async def main(machine: AsyncClient) -> None:
        waiting = asyncio.ensure_future(machine.wait("1"))
        await asyncio.to_thread(made.await_requests, 1)
        waiting.cancel()
        assert await machine.status() == {"up": True}

    with manager(tmp_path, answer) as made:
        talk(tmp_path, main)


def test_events_come_once_over_two_connections(tmp_path: Path) -> None:
    play_supervisor(tmp_path)
    sinces: list[int] = []

    def answer(request: Request) -> Answer:
        assert isinstance(request, messages.Follow)
        sinces.append(request.since)
        rows = [{"serial": n, "at": 1.0, "kind": "told"} for n in range(4 + len(sinces))]
        news = [messages.News(request.id, row) for row in rows]
        return [messages.Reply(request.id, {}), *news]

    async def main(machine: AsyncClient) -> None:
        seen: list[int] = []
        async for event in machine.events(since=2):
            seen.append(event.serial)
            if event.serial == 4:
                made.links[-1].shutdown(socket.SHUT_RDWR)
            if event.serial == 5:
                break
        assert seen == [3, 4, 5]

    with manager(tmp_path, answer) as made:
        talk(tmp_path, main)
    assert sinces == [2, 4]
