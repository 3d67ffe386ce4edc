"""The thread that writes: one thing after the other, and the loop is told of each end."""

import asyncio
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread

Work = Callable[[], None]
Then = Callable[[Exception | None], None]  # in the loop, with what was raised


class Writer:
    """One thread. An executor would serve, with two more turns of the loop before an end is known."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._queue: SimpleQueue[tuple[Work, Then] | None] = SimpleQueue()
        self._thread = Thread(target=self._serve, name="writer", daemon=True)
        self._thread.start()

    def do(self, work: Work, then: Then) -> None:
        """Have something done after all before it; `then` is called in the loop when it is."""
        self._queue.put((work, then))

    def _serve(self) -> None:
        while (item := self._queue.get()) is not None:
            work, then = item
            error = None
            try:
                work()
            except Exception as raised:  # noqa: BLE001 - whoever wanted it is told
                error = raised
            self._loop.call_soon_threadsafe(then, error)
            del item, work, then, error  # it may be long until the next

    def close(self) -> None:
        """Finish what was asked for, and end the thread."""
        self._queue.put(None)
        self._thread.join()
