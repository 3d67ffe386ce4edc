"""A WIKI server on loopback, to which an external scheduler comes: Maui, say.

Each connection has little time and little room, and when there are too many, those that have said
nothing whole yet go first: a slow sender holds up nobody. Only what is signed with the key and made
of late is answered with a signature; whoever does not have the key learns nothing from which it
could be found. A request that comes again as the very same bytes is answered as before, if it was
an order, and refused as a replay, if it was a question of a while ago.
"""

import asyncio
import contextlib
import logging
import os
import stat
import time
from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from ostler.core.events import SchedulerSeen
from ostler.manager.inner import Inner
from ostler.manager.turns import Turns
from ostler.manager.wiki_orders import Orders
from ostler.manager.wiki_say import SCHEDULER
from ostler.manager.wiki_shown import Shown
from ostler.manager.wiki_view import View
from ostler.model.errors import OstlerError
from ostler.model.settings import in_force
from ostler.wire.wiki import (
    CLOCK,
    HEADER,
    INTERNAL,
    MAX_REQUEST,
    SHORT,
    Malformed,
    check_time,
    open_up,
    pack,
    read_key,
    size_of,
)
from ostler.wire.wiki_words import GetJobs, GetNodes, Reply, format_reply, parse_request

log = logging.getLogger("ostler.manager")

CONNECTIONS = 16  # at a time
READING = 5.0  # seconds in which a request must have come whole
WRITING = 10.0  # seconds in which its answer must have been taken
SEEN = 100_000  # requests that are remembered
AGAIN = 2.0  # seconds within which the same question may be asked in the same bytes
QUIET = 10.0  # seconds between two lines of the log about the same kind of refusal
LOOK = 1.0  # seconds between looks at what was configured


class WikiServer:
    """Listens while a port is configured and a partition is planned by the WIKI scheduler."""

    def __init__(
        self, turns: Turns, inner: Inner, state: str, clock: Callable[[], float] = time.time
    ) -> None:
        """Begin. state: the folder of the machine's state."""
        self._turns, self._state, self._clock = turns, state, clock
        self._view = View()
        self._shown = Shown(os.path.join(state, "wiki-shown"), self._view)
        self._orders = Orders(turns, inner, self._view, clock)
        self._heard_at = clock()
        self._server: asyncio.Server | None = None
        self._port = 0
        self._began = 0  # Unix seconds since when it remembers what has come
        self._trouble = ""  # why it does not listen though it should
        self._open: dict[asyncio.Task[Any] | None, bool] = {}  # oldest first -> is it whole yet
        self._seen: OrderedDict[bytes, tuple[float, float, asyncio.Future[str] | None]] = (
            OrderedDict()
        )
        self._refusals: dict[int, tuple[float, int]] = {}  # code -> last line of the log, and since
        self.refused = 0  # messages: tests count them

    async def run(self) -> None:
        """Serve as is configured, until cancelled."""
        try:
            while True:
                try:
                    await self.look()
                except Exception:
                    log.exception("a defect was met")
                await asyncio.sleep(LOOK)
        finally:
            self.close()

    async def look(self) -> None:
        """Do what has become due: listen elsewhere, or tell that nobody has been heard."""
        if self._turns.down is not None:
            return
        wanted = int(self._setting("wiki-port")) if self._planned() else 0
        if wanted != self._port or (wanted and self._server is None):
            await self._listen(wanted)
        with contextlib.suppress(OstlerError):  # while nothing can be written: the next time
            self._tell()
            if self._port:
                self._orders.resume()

    def _planned(self) -> list[str]:
        """Return the partitions that the WIKI scheduler is named for."""
        rows = self._turns.machine.state.site.partitions
        return [name for name, row in rows.items() if row.scheduler == SCHEDULER]

    def _setting(self, key: str) -> int | str:
        return in_force(self._turns.machine.state.settings, key)[0]

    def _tell(self) -> None:
        """Have the one that is built in take over from a scheduler that is silent, and go back."""
        if not self._planned():
            self._heard_at = self._clock()  # from when one is named it has time to come
            return
        silence = int(self._setting("wiki-silence"))
        why = ""
        if not self._port:
            why = self._trouble or "no port is set at which it could come: wiki-port"
        elif self._clock() - self._heard_at > silence:
            why = f"it has not been heard for {silence} s"
        lost = SCHEDULER in self._turns.machine.state.parts.lost
        if bool(why) != lost:
            self._turns.put(SchedulerSeen(SCHEDULER, up=not why, why=why))

    async def _listen(self, port: int) -> None:
        self.close()
        self._port = 0
        if not port:
            return
        try:
            self._key()
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", port)
        except (OSError, OstlerError) as error:
            told = f"nobody listens for it at port {port}: {error}"
            if told != self._trouble:
                log.warning("cannot serve WIKI", extra={"why": told})
            self._trouble = told
            return
        await self._shown.load()
        self._port, self._trouble, self._heard_at = port, "", self._clock()
        self._began = self._began or int(self._heard_at)
        log.info("serves WIKI", extra={"port": port})

    def close(self) -> None:
        """Listen no more, and end what is under way."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in list(self._open):
            if task is not None:
                task.cancel()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._open[task] = False
        task.add_done_callback(lambda done: self._over(done, writer))
        if len(self._open) > CONNECTIONS:
            late = next((each for each, whole in self._open.items() if not whole), task)
            self._refuse(Malformed(f"more than {CONNECTIONS} connections at a time", INTERNAL))
            if late is not None:
                late.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.set_write_buffer_limits(0)  # so that to drain is to have it all sent
        try:
            frame = await self._converse(reader)
            writer.write(frame)
            async with asyncio.timeout(WRITING):
                await writer.drain()
            writer.close()
        except (OSError, TimeoutError):
            self._refuse(Malformed("its answer was not taken in time", SHORT))

    def _over(self, task: asyncio.Task[None], writer: asyncio.StreamWriter) -> None:
        self._open.pop(task, None)
        if not writer.is_closing():  # it was ended
            writer.transport.abort()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a defect was met", exc_info=error)

    async def _converse(self, reader: asyncio.StreamReader) -> bytes:
        """Read a request, and return the frame of its answer."""
        try:
            payload = await self._read(reader)
            if (task := asyncio.current_task()) in self._open:
                self._open[task] = True  # it is not ended any more to make room
            key = self._key()
            opened = open_up(payload, key)
            self._check_age(opened.at or 0)
        except Malformed as error:
            self._refuse(error)
            return pack(format_reply(Reply(error.code, str(error))), None)
        except OstlerError as error:  # of the key's file
            self._refuse(Malformed(error.message, INTERNAL))
            return pack(format_reply(Reply(INTERNAL, "the server has no key")), None)
        try:
            text = await self._answer(payload, opened.data, float(opened.at or 0))
        except Malformed as error:
            self._refuse(error)
            text = format_reply(Reply(error.code, str(error)))
        return pack(text, key, SCHEDULER, int(self._clock()))

    def _check_age(self, made: int) -> None:
        check_time(made, self._clock(), float(self._setting("wiki-window")))
        if made < self._began:
            raise Malformed("it was made before this server began, and may have come", CLOCK)

    async def _read(self, reader: asyncio.StreamReader) -> bytes:
        try:
            async with asyncio.timeout(READING):
                header = await reader.readexactly(HEADER)
                return await reader.readexactly(size_of(header, MAX_REQUEST))
        except asyncio.IncompleteReadError as error:
            raise Malformed(f"the message ends after {len(error.partial)} bytes", SHORT) from None
        except TimeoutError:
            raise Malformed(f"the message did not come within {READING:.0f} s", SHORT) from None

    async def _answer(self, payload: bytes, data: str, made: float) -> str:
        """Return the text of the answer to a request that is proven to be the scheduler's."""
        asked = parse_request(data)
        now, digest = self._clock(), sha256(payload).digest()
        query = isinstance(asked, GetJobs | GetNodes)
        before = self._seen.get(digest)
        if before is not None:
            first, _, answer = before
            if answer is not None:
                return await asyncio.shield(answer)
            if now - first > AGAIN:
                raise Malformed("the very same message has come before", CLOCK)
        self._hear(now)
        window = float(self._setting("wiki-window"))
        self._forget(now)
        if query:
            self._seen.setdefault(digest, (now, made + window, None))
            text = await self._orders.answer(asked)
            if isinstance(asked, GetJobs):
                await self._shown.save()
            return text
        answer = asyncio.get_running_loop().create_future()
        self._seen[digest] = (now, made + window, answer)
        # It is carried out to its end even when whoever asked is gone.
        work = asyncio.ensure_future(self._orders.answer(asked))
        work.add_done_callback(lambda done: _hand_over(done, answer))
        return await asyncio.shield(answer)

    def _hear(self, now: float) -> None:
        self._heard_at = now
        with contextlib.suppress(OstlerError):
            self._tell()

    def _forget(self, now: float) -> None:
        """Forget requests that are too old to be taken once more."""
        while self._seen:
            _, until, _ = next(iter(self._seen.values()))
            if until >= now and len(self._seen) < SEEN:
                return
            self._seen.popitem(last=False)

    def _refuse(self, error: Malformed) -> None:
        """Write it into the log, but not each of a thousand."""
        self.refused += 1
        now = self._clock()
        last, more = self._refusals.get(error.code, (-QUIET, 0))
        if now - last < QUIET:
            self._refusals[error.code] = (last, more + 1)
            return
        self._refusals[error.code] = (now, 0)
        log.warning("a WIKI message was refused", extra={"why": str(error), "more_before": more})

    def _key(self) -> int:
        """Return the key, read anew each time so that it can be changed; raise `OstlerError`."""
        named = str(self._setting("wiki-key-file"))
        path = named or os.path.join(self._state, "wiki-key")
        try:
            if not named and not os.path.exists(path):
                _make_key(path)
            with open(path, "rb") as file:
                found = os.fstat(file.fileno())
                if stat.S_IMODE(found.st_mode) & 0o077 or found.st_uid not in (0, os.geteuid()):
                    raise OstlerError(f"{path} is open to others, or another's: chmod 600 {path}")
                return read_key(file.read(4_096))
        except OSError as error:
            raise OstlerError(f"the key file cannot be used: {error}") from error


def _make_key(path: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(fd, "w") as file:
        file.write(f"{int.from_bytes(os.urandom(4))}\n")


def _hand_over(done: "asyncio.Future[str]", answer: "asyncio.Future[str]") -> None:
    if answer.done():
        return
    if done.cancelled():
        answer.cancel()
    elif (error := done.exception()) is not None:
        log.error("a defect was met", exc_info=error)
        answer.set_result(format_reply(Reply(INTERNAL, "a defect was met, and logged")))
    else:
        answer.set_result(done.result())
