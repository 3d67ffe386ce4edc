"""What a driver is asked in each iteration, by a manager whose clock is a test's."""

import asyncio
import heapq
from collections import Counter
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from ostler.core.events import Event, RmLoaded
from ostler.manager.native import Blobs
from ostler.manager.runner import Runner
from ostler.model.foreign import About
from ostler.model.site import ResourceManager
from ostler.wire.drivers import Do, Done, Role, Up

TAKES = 1.0  # seconds for a load


class Loop:
    """Timers in virtual time; no task runs."""

    def __init__(self) -> None:
        self.now = 0.0
        self._timers: list[tuple[float, int, asyncio.TimerHandle, Callable[[], None]]] = []
        self._number = count()

    def time(self) -> float:
        return self.now

    def create_task(self, story: Any) -> None:
        story.close()

    def call_later(self, seconds: float, do: Callable[[], None]) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(self.now + seconds, do, (), self)  # type: ignore[arg-type]
        heapq.heappush(self._timers, (self.now + seconds, next(self._number), handle, do))
        return handle

    def get_debug(self) -> bool:
        return False

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None: ...

    def live(self, until: Callable[[], bool]) -> None:
        while not until():
            self.now, _, handle, do = heapq.heappop(self._timers)
            if not handle.cancelled():
                do()


def test_each_iteration_asks_once_for_the_nodes_and_once_for_the_jobs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """R-MAU-30: over 100 iterations."""
    loop, asked, loads = Loop(), Counter[str](), list[Event]()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: loop)

    def put(event: Event) -> None:
        if isinstance(event, RmLoaded):
            loads.append(event)

    runner = Runner(ResourceManager("a", "x:Y"), put, Blobs(lambda _: b""), lambda _: False)

    def send(order: Do) -> None:
        asked[order.verb] += 1
        loop.call_later(TAKES, lambda: runner._take(Done(order.number, 0.0, TAKES)))

    monkeypatch.setattr(runner, "_send", send)
    runner._take(Up(Role.QUERY, About("y", "y")))
    loop.live(lambda: len(loads) == 100)
    assert asked == {"list_nodes": 100, "list_jobs": 100}
    assert loop.now == pytest.approx(99 * 30.0, abs=60.0)
