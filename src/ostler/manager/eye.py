"""Looks at nodes from outside: at the host of each, and at its agent.

Two levels, as the node's status has them. A connection that is taken, or refused by its host, is
an answer of the host; a word over it is one of the agent. Until hosts are many, the road to a node
is a Unix socket: in a lab that of the line to its host, STATE/lines/NODE, at which nobody listens
while the host is down or cut off; else the agent's own on this host, which is there for certain.
"""

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Callable

import msgspec

from ostler.model.sight import NO_AGENT, NOBODY, Alive, Probe, Seen
from ostler.wire.address import dial
from ostler.wire.frames import Splitter, frame

log = logging.getLogger("ostler.manager")

LINES = "lines"  # folder of a state folder
_AGENT = "agent.sock"
_QUESTION = frame(msgspec.msgpack.encode(Probe()))
_MOST = 4_096  # bytes of an answer
_NOBODY = (errno.ECONNREFUSED, errno.ENOENT, errno.ECONNRESET, errno.ENOTDIR)
_decode = msgspec.msgpack.Decoder(Alive).decode

Then = Callable[[Seen | None], None]


class Eye:
    """Looks at nodes, at many at once; belongs to the running loop."""

    def __init__(self, state: str) -> None:
        self._state = state
        self._loop = asyncio.get_running_loop()
        self._open: set[Look] = set()

    def look(self, name: str, patience: float, then: Then) -> None:
        """Look at a node; tell within so many seconds what was seen, or None: nothing for certain."""
        line = f"{self._state}/{LINES}/{name}"
        direct = not os.path.lexists(line) or os.sep in name
        path = f"{self._state}/{_AGENT}" if direct else line
        absent = NO_AGENT if direct else NOBODY
        try:
            sock = dial(path, 0.0)
        except OSError as error:
            then(_refused(error, absent, name))
            return
        look = Look(sock, path, absent, self._ended(name, then))
        self._open.add(look)
        look.begin(self._loop, patience)

    def _ended(self, name: str, then: Then) -> "Callable[[Look, Alive | None], None]":
        def ended(look: Look, alive: Alive | None) -> None:
            self._open.discard(look)
            then(Seen(reached=True, alive=alive) if alive else look.host(name))

        return ended

    def close(self) -> None:
        """End all looks; nobody is told."""
        for look in self._open:
            look.close()
        self._open.clear()


class Look:
    """One connection to a node, until its agent has answered or has not."""

    __slots__ = ("_absent", "_ended", "_loop", "_path", "_sock", "_splitter", "_timer")

    def __init__(
        self,
        sock: socket.socket,
        path: str,
        absent: Seen,
        ended: "Callable[[Look, Alive | None], None]",
    ) -> None:
        self._sock = sock
        self._path = path
        self._absent = absent
        self._ended = ended
        self._splitter = Splitter(_MOST)
        self._loop: asyncio.AbstractEventLoop
        self._timer: asyncio.TimerHandle

    def begin(self, loop: asyncio.AbstractEventLoop, patience: float) -> None:
        """Ask, and wait for so many seconds at most."""
        self._loop = loop
        self._timer = loop.call_later(patience, self._end, None)
        loop.add_reader(self._sock.fileno(), self._read)
        try:
            self._sock.send(_QUESTION)
        except OSError:
            loop.call_soon(self._end, None)

    def _read(self) -> None:
        alive = None
        try:
            data = self._sock.recv(_MOST)
            told = self._splitter.feed(data)
            if data and not told:
                return
            alive = _decode(told[0]) if told else None
        except (BlockingIOError, InterruptedError):
            return
        except (OSError, ValueError, msgspec.MsgspecError):  # gone, or nothing of ours
            pass
        self._end(alive)

    def _end(self, alive: Alive | None) -> None:
        if self._sock.fileno() >= 0:
            self.close()
            self._ended(self, alive)

    def close(self) -> None:
        """Let go of it."""
        self._timer.cancel()
        self._loop.remove_reader(self._sock.fileno())
        self._sock.close()

    def host(self, name: str) -> Seen | None:
        """Say whether the host of an agent that did not answer is still there: it is called again."""
        try:
            dial(self._path, 0.0).close()
        except OSError as error:
            return _refused(error, self._absent, name)
        return NO_AGENT


def _refused(error: OSError, absent: Seen, name: str) -> Seen | None:
    if error.errno == errno.EAGAIN:  # it has more callers than it takes
        return NO_AGENT
    if error.errno in _NOBODY:
        return absent
    log.warning("cannot look", extra={"node": name, "error": error.strerror})
    return None
