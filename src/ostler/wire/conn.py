"""A connection between two of our processes, for asyncio: whole frames in, whole frames out.

Written on the bare socket because descriptors travel with frames and because nobody may make us
wait: `send` never blocks, and a peer that does not read is dropped once too much waits for it.
"""

import asyncio
import os
import socket
import struct
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ostler.model.errors import UsageError
from ostler.model.limits import MAX_FRAME
from ostler.wire.address import dial, peer
from ostler.wire.descriptors import let_go
from ostler.wire.frames import Splitter, frame

WRITE_BOUND = 2 * MAX_FRAME  # bytes that may wait for a slow reader
UNREAD_BOUND = 8 * MAX_FRAME  # bytes of one user that may wait to become whole, or to be taken
_READ = 1 << 18  # bytes taken at once, so that one peer cannot starve the others
_AHEAD = 1 << 20  # bytes read but not yet consumed, after which we stop reading
_into = memoryview(bytearray(_READ))  # what is read goes here first: a new one would cost more
_MAX_FDS = 4  # descriptors with one frame; three are ever wanted
_INT = struct.calcsize("i")
_NO_ROOM = 0.1  # seconds until the next accept when we are out of descriptors


class Peer(NamedTuple):
    """Who is on the other side, as the kernel recorded it at connect."""

    pid: int
    uid: int
    gid: int


class Budget:
    """How many bytes that came from one user may wait here, over all connections together."""

    def __init__(self, most: int = UNREAD_BOUND) -> None:
        self._most = most
        self._own = os.geteuid()
        self._held: Counter[int] = Counter()

    def change(self, uid: int, by: int) -> bool:
        """Count what came or was taken; False if it is too much. Our own user has no limit."""
        if uid == self._own:
            return True
        self._held[uid] += by
        if not self._held[uid]:
            del self._held[uid]
        return self._held[uid] <= self._most


class Connection:
    """One connected stream socket of frames. Belongs to the running loop.

    `async for payload in connection` yields each frame's payload and ends when the connection is
    over; `reason` then says why. A frame over `frame_limit` bytes raises `UsageError` there:
    nothing after it can be read, but an answer can still be sent before `close`.
    With `descriptors`, those that came with a payload are taken by `take_descriptors()`.
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        frame_limit: int = MAX_FRAME,
        write_bound: int = WRITE_BOUND,
        descriptors: bool = False,
        budget: Budget | None = None,
    ) -> None:
        sock.setblocking(False)
        self._budget = budget or Budget()
        self._charged = 0  # bytes that the budget counts for us
        self.peer = Peer(*peer(sock))
        self.reason = ""  # why it was closed; empty while it is open
        self._sock = sock
        self._fd = sock.fileno()
        self._loop = asyncio.get_running_loop()
        self._splitter = Splitter(frame_limit)
        self._write_bound = write_bound
        self._descriptors = descriptors
        self._in: deque[tuple[bytes, list[int]]] = deque()
        self._in_cost = 0
        self._received: list[int] = []  # descriptors of a frame that is not complete
        self._current: list[int] = []  # descriptors of the payload handed out last
        self._broken: Exception | None = None
        self._take_now: Callable[[bytes], bool] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._out: deque[tuple[bytes, list[int]]] = deque()
        self._out_bytes = 0
        self._flushing = False  # a flush is scheduled, or waits for the socket
        self._reading = True
        self._loop.add_reader(self._fd, self._on_readable)

    @property
    def closed(self) -> bool:
        """Say whether it is over, from either side."""
        return bool(self.reason)

    def fileno(self) -> int:
        """Return the socket's descriptor; another's, perhaps, once it is closed."""
        return self._fd

    # -- out -------------------------------------------------------------------------------

    def send(self, payload: bytes, descriptors: Sequence[int] = ()) -> None:
        """Queue one frame; it leaves with others of this turn of the loop. Never blocks.

        Descriptors are duplicated, so the caller keeps its own. Does nothing once closed. A peer
        that lets more than the bound wait is dropped.
        """
        if self.closed:
            return
        data = frame(payload)
        self._out.append((data, [os.dup(fd) for fd in descriptors]))
        self._out_bytes += len(data)
        if self._out_bytes > self._write_bound:
            self._flush()
            if self._out_bytes > self._write_bound:
                self._end(f"it was too slow: {self._out_bytes} bytes waited for it")
        elif not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def flush(self) -> None:
        """Write what is queued now, for somebody who waits, and not with the rest of this turn."""
        if self._out and not self.closed:
            self._flush()

    def _flush(self) -> None:
        """Write what the socket takes; come back when it takes more."""
        try:
            while self._out and not self.closed:
                self._write_some()
        except (BlockingIOError, InterruptedError):
            self._flushing = True
            self._loop.add_writer(self._fd, self._flush)
            return
        except OSError as error:
            self._end(f"it could not be written to: {error.strerror}")
            return
        self._flushing = False
        if not self.closed:
            self._loop.remove_writer(self._fd)

    def _write_some(self) -> None:
        first, fds = self._out[0]
        if fds:
            sent = socket.send_fds(self._sock, [first], fds)
            let_go(fds)
            fds.clear()
        else:
            chunk = first
            if len(first) < _READ and len(self._out) > 1:
                chunk = self._gather()
            sent = self._sock.send(chunk)
        self._out_bytes -= sent
        while self._out and sent >= len(self._out[0][0]):
            sent -= len(self._out.popleft()[0])
        if sent:
            data, fds = self._out[0]
            self._out[0] = (data[sent:], fds)

    def _gather(self) -> bytes:
        """Return the next frames up to one with descriptors, for a single call."""
        parts: list[bytes] = []
        size = 0
        for data, fds in self._out:
            if fds or size > _READ:
                break
            parts.append(data)
            size += len(data)
        return b"".join(parts)

    # -- in --------------------------------------------------------------------------------

    def __aiter__(self) -> "Connection":
        return self

    async def __anext__(self) -> bytes:
        """Return the next payload."""
        let_go(self._current)
        self._current = []
        while not self._in:
            if self._broken is not None:
                raise self._broken
            if self.closed:
                raise StopAsyncIteration
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        payload, self._current = self._in.popleft()
        self._in_cost -= _cost(payload, self._current)
        self._charge()
        if not self._reading and self._in_cost < _AHEAD // 2 and not self.closed:
            self._reading = True
            self._loop.add_reader(self._fd, self._on_readable)
        return payload

    def offer(self, take: Callable[[bytes], bool]) -> None:
        """Offer a payload that comes alone to `take` at once, while whoever iterates waits for it.

        It is handed out by iteration only if `take` returns False. What `take` raises is raised there.
        """
        self._take_now = take

    def take_descriptors(self) -> list[int]:
        """Return those that came with the payload handed out last; the caller closes them."""
        taken, self._current = self._current, []
        return taken

    def _on_readable(self) -> None:
        try:
            data, fds = self._receive()
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._end(f"it broke: {error.strerror}")
            return
        if not data:
            self._end("the other side closed it")
            return
        try:
            payloads = self._splitter.feed(data)
        except ValueError as error:
            let_go(fds)
            self._broken = UsageError(str(error))
            self._pause()
            self._wake()
            return
        self._take_in(payloads, fds)

    def _take_in(self, payloads: list[bytes], fds: list[int]) -> None:
        """Queue what came in one read.

        The kernel ends a read at the piece that carried descriptors, so they belong to the frame
        of the last byte: the last whole one, or the one that is still incomplete.
        """
        owners: list[list[int]] = [[] for _ in payloads]
        if fds or self._received:
            if payloads:
                owners[0] += self._received
                self._received = []
            if payloads and not self._splitter.pending:
                owners[-1] += fds
            else:
                self._received += fds
            if len(self._received) > _MAX_FDS:
                self._end(f"it sent more than {_MAX_FDS} descriptors with one frame")
                return
        elif self._take_now is not None and self._is_alone(payloads):
            try:
                if self._take_now(payloads[0]):
                    return
            except Exception as error:  # noqa: BLE001 - whoever iterates meets it
                self._broken = error
                self._wake()
                return
        for payload, mine in zip(payloads, owners, strict=True):
            self._in.append((payload, mine))
            self._in_cost += _cost(payload, mine)
        if self._in_cost > _AHEAD:
            self._pause()
        if not self._charge():
            self._end("too many bytes of this user's unfinished messages wait")
        self._wake()

    def _is_alone(self, payloads: list[bytes]) -> bool:
        """Say whether this is all there is, and somebody waits for it."""
        waits = self._waiter is not None and not self._waiter.done()
        return waits and len(payloads) == 1 and not self._in and not self._splitter.pending

    def _charge(self) -> bool:
        """Tell the budget what waits here; False if it is too much."""
        held = 0 if self.closed else self._splitter.size + self._in_cost
        change, self._charged = held - self._charged, held
        return self._budget.change(self.peer.uid, change) if change else True

    def _receive(self) -> tuple[memoryview, list[int]]:
        """Return what has come, valid until somebody receives again, and its descriptors."""
        if not self._descriptors:
            return _into[: self._sock.recv_into(_into)], []
        size, ancillary, _, _ = self._sock.recvmsg_into(
            [_into], socket.CMSG_LEN(_MAX_FDS * _INT), socket.MSG_CMSG_CLOEXEC
        )
        fds: list[int] = []
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds += struct.unpack_from(f"{len(data) // _INT}i", data)
        return _into[:size], fds

    def _pause(self) -> None:
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._fd)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # -- end -------------------------------------------------------------------------------

    def close(self, reason: str = "we closed it") -> None:
        """Write what can be written at once, then end; what was read and not taken is dropped."""
        if self._out:
            self._flush()
        self._end(reason)
        for _, fds in self._in:
            let_go(fds)
        self._in.clear()
        let_go(self._current)
        self._current = []

    def _end(self, reason: str) -> None:
        if self.closed:
            return
        self.reason = reason
        self._loop.remove_reader(self._fd)
        self._loop.remove_writer(self._fd)
        self._sock.close()
        for _, fds in self._out:
            let_go(fds)
        self._out.clear()
        self._out_bytes = 0
        let_go(self._received)
        self._received = []
        self._charge()
        self._wake()


class Listener:
    """Accepts on a listening socket and hands each new `Connection` to a callback."""

    def __init__(
        self,
        sock: socket.socket,
        on_connection: Callable[[Connection], None],
        *,
        frame_limit: int = MAX_FRAME,
        write_bound: int = WRITE_BOUND,
        descriptors: bool = False,
    ) -> None:
        sock.setblocking(False)
        self._budget = Budget()
        self._sock = sock
        self._on_connection = on_connection
        self._frame_limit = frame_limit
        self._write_bound = write_bound
        self._descriptors = descriptors
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._start()

    def _start(self) -> None:
        if not self._closed:
            self._loop.add_reader(self._sock.fileno(), self._on_acceptable)

    def _on_acceptable(self) -> None:
        try:
            sock, _ = self._sock.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError:  # out of descriptors or memory: those who wait stay in the backlog
            self._loop.remove_reader(self._sock.fileno())
            self._loop.call_later(_NO_ROOM, self._start)
            return
        connection = Connection(
            sock,
            frame_limit=self._frame_limit,
            write_bound=self._write_bound,
            descriptors=self._descriptors,
            budget=self._budget,
        )
        self._on_connection(connection)

    def close(self) -> None:
        """Stop accepting. Connections that exist stay."""
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._sock.fileno())
            self._sock.close()


def connect(path: str, *, frame_limit: int = MAX_FRAME, descriptors: bool = False) -> Connection:
    """Return a connection to the socket at `path`; raise OSError when nobody listens there.

    Never waits: with a full backlog it raises BlockingIOError, and the caller tries again later.
    """
    return Connection(dial(path, 0.0), frame_limit=frame_limit, descriptors=descriptors)


def _cost(payload: bytes, fds: Sequence[int]) -> int:
    """Return how much of the read-ahead a frame takes: empty ones and descriptors count too."""
    return len(payload) + 64 + 4096 * len(fds)
