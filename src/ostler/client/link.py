"""The one connection of a client to a manager: requests out, answers in, any number under way.

When the manager goes away while somebody keeps the machine, the link connects again and repeats
what was not answered; every request may be repeated without harm (`Submit` by its request id).
`Exchange` and `Dialling` are the protocol, and wait for nothing; `Link` waits for them by poll, and
`aio.AsyncLink` by asyncio. Loaded by everyday commands: `_socket` and our own packer, no library;
`select`, which most calls need not, at its first use.
"""

import _socket
import posix
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
READ = 1 << 18  # bytes taken at once
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


class Exchange:
    """What was asked, what has no answer yet, and what came: bytes out, bytes in, no I/O.

    packer, unpacker: MessagePack; the default pair needs no library.
    """

    __slots__ = (
        "_asked", "_next", "_pack", "_splitter", "_unpack", "answers", "fruitless", "news",
    )  # fmt: skip

    def __init__(
        self, packer: "Callable[[object], bytes]", unpacker: "Callable[[bytes], Any]"
    ) -> None:
        self._pack = packer
        self._unpack = unpacker
        self._splitter = Splitter()
        self._next = 1
        self._asked: dict[int, bytes] = {}  # frames without an answer, oldest first
        self.answers: dict[int, dict[str, Any]] = {}
        self.news: dict[int, list[Any]] = {}
        self.fruitless = 0  # connections in a row that were closed without a word

    def ask(self, type_: str, fields: "dict[str, Any]") -> tuple[int, bytes]:
        """Return the number of a new request and the bytes to send."""
        number = self._next
        self._next += 1
        data = self._pack({"type": type_, "id": number, **fields})
        if len(data) > MAX_FRAME:
            raise UsageError(
                f"the request is too large: {len(data)} bytes", expected=f"most: {MAX_FRAME}"
            )
        framed = self._asked[number] = frame(data)
        return number, framed

    def open(self, number: int) -> bool:
        """Say whether the request waits for its answer."""
        return number in self._asked

    def feed(self, data: bytes) -> None:
        """Take in what came; raise the `OstlerError` of a word to the connection itself."""
        for payload in self._splitter.feed(data):
            self.fruitless = 0
            answer = self._unpack(payload)
            number = answer.get("id", 0)
            if answer["type"] == "news":
                self.news.setdefault(number, []).append(answer.get("body"))
            elif self._asked.pop(number, None) is not None:
                self.answers[number] = answer
            elif answer["type"] == "error":
                raise error_from(answer)  # about the connection: we may not be here at all

    def take(self, number: int) -> "Any":
        """Return the body of an answer that is here; raise the `OstlerError` it tells."""
        answer = self.answers.pop(number)
        if answer["type"] == "ok":
            return answer.get("body")
        raise error_from(answer)

    def forget(self) -> None:
        """Await no more answers: there will be none."""
        self._asked.clear()

    def again(self) -> list[bytes]:
        """Begin anew on another connection: return what to repeat, in order."""
        self._splitter = Splitter()
        return list(self._asked.values())


class Dialling:
    """Tries to connect while somebody keeps the machine up.

    first: nobody was connected before. fruitless: so many connections in a row said nothing.
    """

    __slots__ = ("_began", "_first", "_fruitless", "_patience", "_state", "_tries")

    def __init__(
        self, state: str, patience: float, *, first: bool = False, fruitless: int = 0
    ) -> None:
        self._state = state
        self._patience = patience
        self._first = first
        self._fruitless = fruitless
        self._began = time.monotonic()
        self._tries = 0

    def attempt(self) -> _socket.socket | float:
        """Return a connected socket, or the seconds to pause before the next try.

        Raises `NotNow` where nobody is to be expected.
        """
        if self._fruitless:
            if self._fruitless * _PAUSES[-1] > self._patience:
                raise self._unreachable(ConnectionResetError("it closes connections"), kept=True)
            pause = _PAUSES[min(self._fruitless, len(_PAUSES)) - 1]
            self._fruitless = 0
            self._began += pause
            return pause
        try:
            return _introduced(connect(f"{self._state}/sock"))
        except OSError as error:
            if isinstance(error, PermissionError):
                raise self._unreachable(error, kept=True) from None
            passed = time.monotonic() - self._began
            kept = self._kept() or (not self._first and passed < ORPHANED)
            if kept and _is_read_only(self._state):
                raise NotNow(
                    f"the state folder {self._state} is read-only, so no manager can start",
                    hint="make it writable; the manager then comes back by itself",
                ) from None
            if not kept or passed > self._patience:
                raise self._unreachable(error, kept=kept) from None
        self._tries += 1
        return _PAUSES[min(self._tries, len(_PAUSES)) - 1]

    def _kept(self) -> bool:
        """Say whether a supervisor lives, or an agent that will start another."""
        if place.supervisor(self._state):
            return True
        try:
            connect(f"{self._state}/agent.sock").close()
        except OSError:
            return False
        return True

    def _unreachable(self, error: OSError, *, kept: bool) -> NotNow:
        why = error.strerror or str(error)
        if isinstance(error, PermissionError):
            return NotNow(
                f"the machine at {self._state} belongs to somebody else ({why})",
                hint="name your own with --state DIR, or start one with `ostler up`",
            )
        if kept:
            return NotNow(
                f"the manager at {self._state} does not answer ({why})",
                hint=f"see {self._state}/log/manager.log",
            )
        start = "start one with `ostler up`, or name another with --state DIR"
        if place.exists(f"{self._state}/../lab.json"):  # an `ostler up` there would be no lab's
            start = (
                "it is a lab's: `ostler lab` says what runs, `ostler lab start manager` starts it"
            )
        return NotNow(f"no machine is up at {self._state}", hint=start)


def _introduced(sock: "_socket.socket") -> "_socket.socket":
    """Say first who one is, where that is to be one of a lab's test identities."""
    user = place.identity()
    if user:
        sock.send(frame(light.pack({"type": "introduce", "id": 0, "user": user})))
    return sock


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
        self.sleep: Callable[[float], object] = time.sleep  # between tries to connect
        self._patience = patience
        self._exchange = Exchange(packer, unpacker)
        self._sock: _socket.socket | None = None
        self._connect(Dialling(state, patience, first=True))

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
        number, data = self._exchange.ask(type_, fields)
        self._write(data)
        return number

    def result(self, number: int) -> "Any":
        """Wait for the answer's body; raise the `OstlerError` it tells, or `NotNow`."""
        while number not in self._exchange.answers:
            if not self._exchange.open(number):
                msg = f"request {number} is not under way"
                raise KeyError(msg)
            self.pump(None)
        return self._exchange.take(number)

    def call(self, type_: str, **fields: object) -> "Any":
        """Send a request and return its answer's body."""
        return self.result(self.send(type_, **fields))

    def answered(self, number: int) -> bool:
        """Say whether the answer is here."""
        return number in self._exchange.answers

    def news(self, number: int) -> "list[Any]":
        """Return, and forget, what a `follow` request has brought so far."""
        return self._exchange.news.pop(number, [])

    def pump(self, seconds: float | None) -> None:
        """Take in what has come; wait up to so many seconds (None: for ever) if nothing has."""
        sock = self._sock
        if sock is None:
            self._reconnect()
            return
        if seconds is None:
            self._read(wait=True)
            return
        from select import POLLIN, poll

        waiting = poll()
        waiting.register(sock.fileno(), POLLIN)
        if waiting.poll(seconds * 1000):
            self._read()

    # -- bytes -----------------------------------------------------------------------------

    def _write(self, data: bytes) -> None:
        """Send all of it, reading meanwhile, so that neither side waits for the other."""
        while data:
            sock = self._sock
            if sock is None:
                self._reconnect()  # which sends all that has no answer, this too
                return
            try:
                data = data[sock.send(data, _socket.MSG_NOSIGNAL | _socket.MSG_DONTWAIT) :]
            except BlockingIOError:
                from select import POLLIN, POLLOUT, poll

                waiting = poll()
                waiting.register(sock.fileno(), POLLIN | POLLOUT)
                if any(events & ~POLLOUT for _, events in waiting.poll()):
                    before = self.generation
                    self._read()
                    if self.generation != before:
                        return
            except OSError:
                self._reconnect()
                return

    def _read(self, *, wait: bool = False) -> None:
        sock = self._sock
        flags = 0 if wait else _socket.MSG_DONTWAIT
        try:
            data = sock.recv(READ, flags) if sock is not None else b""
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._exchange.feed(data)
        else:
            self._reconnect()

    # -- connecting ------------------------------------------------------------------------

    def _reconnect(self) -> None:
        """Connect again and repeat what has no answer, in order."""
        self.close()
        dialling = Dialling(self.state, self._patience, fruitless=self._exchange.fruitless)
        self._exchange.fruitless += 1
        self._connect(dialling)
        for data in self._exchange.again():
            before = self.generation
            self._write(data)
            if self.generation != before:
                return  # it was lost again, and all was repeated there

    def _connect(self, dialling: Dialling) -> None:
        """Connect; try again while somebody keeps the machine up. Raise `NotNow`."""
        while isinstance(found := dialling.attempt(), float):
            self.sleep(found)
        found.setblocking(True)  # so that `pump` can wait without `select`; all else says DONTWAIT
        self._sock = found
        self.generation += 1
