"""The process beside the manager that runs handlers and tells users, as the manager sees it.

Frames over two pipes: orders in, ends of attempts out. It is started with the first order, ends
when its stdin does, and takes all that it runs along.
"""

import asyncio
import contextlib
import logging
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from ostler.core.events import Event, Handled, HandlersLost
from ostler.manager.companion import Companion
from ostler.model.errand import Order, Outcome, Ran
from ostler.model.errors import NotNow, OstlerError

log = logging.getLogger("ostler.manager")

MOST = 1 << 20  # bytes of one frame
_LENGTH = 4  # bytes that tell it, before it

encode = msgspec.msgpack.Encoder().encode
decode_order = msgspec.msgpack.Decoder(Order).decode
decode_ran = msgspec.msgpack.Decoder(Ran).decode


def framed(message: Order | Ran) -> bytes:
    """Return a message with its length before it."""
    data = encode(message)
    return len(data).to_bytes(_LENGTH, "big") + data


class Errands:
    """Orders in, and what became of them to the core."""

    def __init__(self, put: Callable[[Event], None], state: Path, *, system: bool) -> None:
        """Begin. put: hands an event to the core. system: users of the machine are not its own."""
        self._put = put
        self._command = [
            *(sys.executable, "-I", "-m", "ostler.manager.errand_worker"),
            *(str(state.absolute()), "system" if system else "personal"),
        ]
        self._process: Companion | None = None
        self._serving: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._orders: list[bytes] = []  # given while the process is being started

    @property
    def pid(self) -> int | None:
        """Return the process, if there is one."""
        return None if self._process is None else self._process.pid

    def give(self, order: Order) -> None:
        """Have an attempt begun; one whose order is too long ends at once, and never goes well."""
        frame = framed(order)
        if (size := len(frame) - _LENGTH) > MOST:  # it would end the process, with all that it runs
            why = f"what it is told is too long: {size} bytes, at most {MOST}"
            attempt = (order.first, order.handler, order.attempt)
            ran = Ran(*attempt, Outcome.HOPELESS, None, why)
            # Later: whoever gives orders is in the middle of a step.
            asyncio.get_running_loop().call_soon(self._tell, Handled(ran))
        elif self._process is not None:
            self._write(self._process, frame)
        else:
            self._orders.append(frame)
            if self._serving is None:
                self._serving = asyncio.get_running_loop().create_task(self._serve())

    async def _serve(self) -> None:
        """Start the process, and take what it says until it ends."""
        process: Companion | None = None
        why = "the process that ran it ended"
        try:
            process = await Companion.begin(self._command, {}, MOST)
            log.info("a process runs handlers", extra={"pid": process.pid})
            self._process = process
            orders, self._orders = self._orders, []
            for frame in orders:
                self._write(process, frame)
            while True:
                self._tell(Handled(decode_ran(await process.read())))
        except EOFError:  # it ended, which was told
            pass
        except (OSError, ValueError) as error:
            why = f"the process that ran it failed: {error}"
        finally:
            if process is not None:
                process.kill()
                await process.status()
        self._process, self._serving = None, None
        self._orders.clear()
        log.error("no process runs handlers", extra={"why": why})
        self._tell(HandlersLost(why))

    def _write(self, process: Companion, frame: bytes) -> None:
        with contextlib.suppress(NotNow):  # it has ended, which is about to be told
            process.stdin.write(frame)

    def _tell(self, event: Event) -> None:
        with contextlib.suppress(OstlerError):  # then all is read anew, and begun anew
            self._put(event)

    def drop(self) -> None:
        """End the process with all that it runs: the core has forgotten of it."""
        self._orders.clear()
        self._process = None
        serving, self._serving = self._serving, None
        if serving is not None:
            serving.cancel()
            self._ending.add(serving)
            serving.add_done_callback(self._ending.discard)

    async def close(self) -> None:
        """End the process, and wait until it has."""
        self.drop()
        while self._ending:
            await asyncio.gather(*self._ending, return_exceptions=True)
