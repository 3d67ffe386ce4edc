"""Virtual time: a queue of what is to happen, and a clock that jumps to the next of it."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context
from heapq import heappop, heappush
from typing import Any, cast

START = 1_000_000.0  # Unix seconds at which simulated time begins


class Timer:
    """One thing that is to happen, until it is cancelled."""

    __slots__ = ("action", "cancelled", "time")

    def __init__(self, time: float, action: Callable[[], object]) -> None:
        self.time = time
        self.action = action
        self.cancelled = False

    def cancel(self) -> None:
        """Let it not happen; harmless when it has happened."""
        self.cancelled = True


class VirtualClock:
    """Seconds that pass only when something happens; what is due together happens in order.

    >>> clock = VirtualClock()
    >>> said = []
    >>> timer = clock.after(60, lambda: said.append(clock.now - START))
    >>> while clock.step(): pass
    >>> said
    [60.0]
    """

    def __init__(self) -> None:
        self.now = START
        self.steps = 0
        self._queue: list[tuple[float, int, Timer]] = []
        self._number = 0

    def __call__(self) -> float:
        """Return the time, in Unix seconds."""
        return self.now

    def at(self, time: float, action: Callable[[], object]) -> Timer:
        """Let something happen at that time; a time that is over means at once."""
        timer = Timer(max(time, self.now), action)
        self._number += 1
        heappush(self._queue, (timer.time, self._number, timer))
        return timer

    def after(self, seconds: float, action: Callable[[], object]) -> Timer:
        """Let something happen after so many seconds."""
        return self.at(self.now + seconds, action)

    def next_time(self) -> float | None:
        """Return when something happens next; None when nothing is left."""
        while self._queue and self._queue[0][2].cancelled:
            heappop(self._queue)
        return self._queue[0][0] if self._queue else None

    def step(self) -> bool:
        """Jump to the next thing and let it happen; False when nothing is left."""
        if self.next_time() is None:
            return False
        self.now, _, timer = heappop(self._queue)
        self.steps += 1
        timer.action()
        return True


class Process:
    """A simulated process: it can be frozen, and it can die, and then nothing of it happens."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.alive = True
        self.frozen = False
        self._thawed: list[Callable[[], object]] = []

    def kill(self) -> None:
        """Never run anything again."""
        self.alive = False
        self._thawed.clear()

    def freeze(self) -> None:
        """Stop, as by SIGSTOP."""
        self.frozen = True

    def thaw(self) -> None:
        """Go on with what should have happened meanwhile, and what that leads to, in order."""
        while self.alive and self._thawed:
            self._run(self._thawed.pop(0))
        self.frozen = False

    def call(self, action: Callable[[], object]) -> None:
        """Run something in this process: now, when it is thawed, or never."""
        if self.alive and self.frozen:
            self._thawed.append(action)
        elif self.alive:
            self._run(action)

    def later(self, seconds: float, action: Callable[[], object]) -> Timer:
        """Run something in this process after so many seconds."""
        return self.clock.after(seconds, lambda: self.call(action))

    def _run(self, action: Callable[[], object]) -> None:
        action()


class ProcessLoop(Process):
    """The part of an asyncio event loop that a manager's turns need, for one simulated process.

    Work for another thread takes virtual time before and after its effect, so that the process can
    die in between.
    """

    def __init__(self, clock: VirtualClock, work_seconds: Callable[[], float]) -> None:
        super().__init__(clock)
        self._work_seconds = work_seconds

    @contextmanager
    def running(self) -> Iterator[None]:
        """Be the loop that `asyncio.get_running_loop` returns."""
        outer = asyncio._get_running_loop()  # noqa: SLF001
        asyncio._set_running_loop(cast("asyncio.AbstractEventLoop", self))  # noqa: SLF001
        try:
            yield
        finally:
            asyncio._set_running_loop(outer)  # noqa: SLF001

    def _run(self, action: Callable[[], object]) -> None:
        with self.running():
            action()

    # -- what asyncio asks of a loop -------------------------------------------------------

    def time(self) -> float:
        """Return the virtual time."""
        return self.clock.now

    def get_debug(self) -> bool:
        """Say no: asyncio's futures ask."""
        return False

    def create_future(self) -> asyncio.Future[Any]:
        """Return a future of this loop."""
        return asyncio.Future(loop=cast("asyncio.AbstractEventLoop", self))

    def call_soon(
        self,
        callback: Callable[..., object],
        *args: object,
        context: Context | None = None,  # noqa: ARG002 - asyncio's futures pass it
    ) -> Timer:
        """Call back in the next step."""
        return self.call_later(0.0, callback, *args)

    def call_later(self, delay: float, callback: Callable[..., object], *args: object) -> Timer:
        """Call back after so many virtual seconds."""
        timer = self.clock.after(delay, lambda: self.call(run))

        def run() -> None:
            if not timer.cancelled:
                callback(*args)

        return timer

    # -- the thread of the writer ----------------------------------------------------------

    def do(self, work: Callable[[], None], then: Callable[[Exception | None], None]) -> None:
        """Do the work after some virtual time, and tell its end after some more."""

        def do() -> None:
            if not self.alive:
                return
            error = None
            try:
                work()
            except Exception as raised:  # noqa: BLE001 - a thread's edge: `then` has it
                error = raised
            self.clock.after(self._work_seconds(), lambda: self.call(lambda: then(error)))

        self.clock.after(self._work_seconds(), do)

    def close(self) -> None:
        """Do nothing: there is no thread."""
