"""The one connection of a client to a manager: requests out, answers in, any number under way.

When the manager goes away while somebody keeps the machine, the link connects again and repeats
what was not answered; every request may be repeated without harm (`Submit` by its request id).
Loaded by everyday commands: `_socket`, `select` and our own packer, no library.
"""

import _socket
import posix
import select
import time

from ostler.client import place
from ostler.model.errors import NotNow, OstlerError, UsageError, from_parts
from ostler.model.limits import MAX_FRAME
from ostler.wire import pack as light
from ostler.wire.frames import Splitter, frame

TYPE_CHECKING = False  # as in typing, which is not loaded here
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

PATIENCE = 30.0  # seconds for a manager that is being started again
ORPHANED = 5.0  # seconds for an agent to start another supervisor
_PAUSES = (0.01, 0.02, 0.05, 0.1, 0.2)  # seconds between tries to connect; the last one stays
_READ = 1 << 18
_LONGEST_NAME = 100  # bytes of a socket's path that need no detour


def connect(path: str) -> _socket.socket:
    """Return a connected, non-blocking Unix socket; raise OSError. The path may be long."""
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    folder_fd = -1
    try:
        if len(place.encode(path)) > _LONGEST_NAME:
            folder, _, name = path.rpartition("/")
            folder_fd = posix.open(folder, posix.O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC)
            path = f"/proc/self/fd/{folder_fd}/{name}"
        sock.connect(path)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    finally:
        if folder_fd >= 0:
            posix.close(folder_fd)
    return sock


def _is_read_only(folder: str) -> bool:
    """Say whether nothing can be written on its file system."""
    try:
        return bool(posix.statvfs(folder).f_flag & posix.ST_RDONLY)
    except OSError:
        return False


def error_from(answer: "dict[str, Any]") -> OstlerError:
    """Return the error that a `Failure`, or a refused row of an `Act`, tells."""
    return from_parts(
        str(answer.get("code", "error")),
        str(answer.get("message", "it failed")),
        str(answer.get("expected", "")),
        str(answer.get("hint", "")),
    )


class Link:
    """A connection that outlives the manager's process. Not for several threads at once.

    state: the state folder. patience: seconds to try again while the machine is kept up.
    packer, unpacker: MessagePack; the default pair needs no library.
    """

    def __init__(
        self,
        state: str,
        *,
        patience: float = PATIENCE,
        packer: "Callable[[object], bytes]" = light.pack,
        unpacker: "Callable[[bytes], Any]" = light.unpack,
    ) -> None:
        self.state = state
        self.generation = 0  # grows with each connection
        self._patience = patience
        self._pack = packer
        self._unpack = unpacker
        self._sock: _socket.socket | None = None
        self._splitter = Splitter()
        self._next = 1
        self._asked: dict[int, bytes] = {}  # frames without an answer, oldest first
        self._answers: dict[int, dict[str, Any]] = {}
        self._news: dict[int, list[Any]] = {}
        self._fruitless = 0  # connections in a row that were closed without a word
        self._connect(first=True)

    def fileno(self) -> int:
        """Return the descriptor to poll for answers; it changes with `generation`."""
        return -1 if self._sock is None else self._sock.fileno()

    def close(self) -> None:
        """Close the connection."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    # -- requests --------------------------------------------------------------------------

    def send(self, type_: str, **fields: object) -> int:
        """Send a request and return its number; its answer is `result(number)`."""
        number = self._next
        self._next += 1
        data = self._packed({"type": type_, "id": number, **fields})
        self._asked[number] = data
        self._write(data)
        return number

    def result(self, number: int) -> "Any":
        """Wait for the answer's body; raise the `OstlerError` it tells, or `NotNow`."""
        while number not in self._answers:
            if number not in self._asked:
                msg = f"request {number} is not under way"
                raise KeyError(msg)
            self.pump(None)
        answer = self._answers.pop(number)
        if answer["type"] == "ok":
            return answer.get("body")
        raise error_from(answer)

    def call(self, type_: str, **fields: object) -> "Any":
        """Send a request and return its answer's body."""
        return self.result(self.send(type_, **fields))

    def answered(self, number: int) -> bool:
        """Say whether the answer is here."""
        return number in self._answers

    def news(self, number: int) -> "list[Any]":
        """Return, and forget, what a `follow` request has brought so far."""
        return self._news.pop(number, [])

    def pump(self, seconds: float | None) -> None:
        """Take in what has come; wait up to so many seconds (None: for ever) if nothing has."""
        sock = self._sock
        if sock is None:
            self._reconnect()
            return
        waiting = select.poll()
        waiting.register(sock.fileno(), select.POLLIN)
        if waiting.poll(None if seconds is None else seconds * 1000):
            self._read()

    # -- bytes -----------------------------------------------------------------------------

    def _packed(self, request: "dict[str, Any]") -> bytes:
        data = self._pack(request)
        if len(data) > MAX_FRAME:
            raise UsageError(
                f"the request is too large: {len(data)} bytes", expected=f"most: {MAX_FRAME}"
            )
        return frame(data)

    def _write(self, data: bytes) -> None:
        """Send all of it, reading meanwhile, so that neither side waits for the other."""
        while data:
            sock = self._sock
            if sock is None:
                self._reconnect()  # which sends all that has no answer, this too
                return
            try:
                data = data[sock.send(data, _socket.MSG_NOSIGNAL) :]
            except BlockingIOError:
                waiting = select.poll()
                waiting.register(sock.fileno(), select.POLLIN | select.POLLOUT)
                if any(events & ~select.POLLOUT for _, events in waiting.poll()):
                    before = self.generation
                    self._read()
                    if self.generation != before:
                        return
            except OSError:
                self._reconnect()
                return

    def _read(self) -> None:
        sock = self._sock
        try:
            data = sock.recv(_READ) if sock is not None else b""
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._reconnect()
            return
        for payload in self._splitter.feed(data):
            self._fruitless = 0
            answer = self._unpack(payload)
            number = answer.get("id", 0)
            if answer["type"] == "news":
                self._news.setdefault(number, []).append(answer.get("body"))
            elif self._asked.pop(number, None) is not None:
                self._answers[number] = answer
            elif answer["type"] == "error":
                raise error_from(answer)  # about the connection: we may not be here at all

    # -- connecting ------------------------------------------------------------------------

    def _reconnect(self) -> None:
        """Connect again and repeat what has no answer, in order."""
        self.close()
        if self._fruitless:
            if self._fruitless * _PAUSES[-1] > self._patience:
                raise self._unreachable(ConnectionResetError("it closes connections"), kept=True)
            time.sleep(_PAUSES[min(self._fruitless, len(_PAUSES)) - 1])
        self._fruitless += 1
        self._connect(first=False)
        for data in list(self._asked.values()):
            before = self.generation
            self._write(data)
            if self.generation != before:
                return  # it was lost again, and all was repeated there

    def _connect(self, *, first: bool) -> None:
        """Connect; try again while somebody keeps the machine up. Raise `NotNow`."""
        path = f"{self.state}/sock"
        began = time.monotonic()
        tries = 0
        while True:
            try:
                self._sock = connect(path)
            except OSError as error:
                if isinstance(error, PermissionError):
                    raise self._unreachable(error, kept=True) from None
                passed = time.monotonic() - began
                kept = self._kept() or (not first and passed < ORPHANED)
                if kept and _is_read_only(self.state):
                    raise NotNow(
                        f"the state folder {self.state} is read-only, so no manager can start",
                        hint="make it writable; the manager then comes back by itself",
                    ) from None
                if not kept or passed > self._patience:
                    raise self._unreachable(error, kept=kept) from None
            else:
                self.generation += 1
                self._splitter = Splitter()
                return
            time.sleep(_PAUSES[min(tries, len(_PAUSES) - 1)])
            tries += 1

    def _kept(self) -> bool:
        """Say whether a supervisor lives, or an agent that will start another."""
        if place.supervisor(self.state):
            return True
        try:
            connect(f"{self.state}/agent.sock").close()
        except OSError:
            return False
        return True

    def _unreachable(self, error: OSError, *, kept: bool) -> NotNow:
        why = error.strerror or str(error)
        if isinstance(error, PermissionError):
            return NotNow(
                f"the machine at {self.state} belongs to somebody else ({why})",
                hint="name your own with --state DIR, or start one with `ostler up`",
            )
        if kept:
            return NotNow(
                f"the manager at {self.state} does not answer ({why})",
                hint=f"see {self.state}/log/manager.log",
            )
        return NotNow(
            f"no machine is up at {self.state}",
            hint="start one with `ostler up`, or name another with --state DIR",
        )
