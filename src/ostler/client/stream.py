"""This process's standard streams, joined to the relays that hold those of a job's tasks.

Loaded by `run` only where it needs a relay. Nothing is buffered beyond the windows of
`wire.streams`: what cannot be written is not acknowledged, and the relay sends no more.
"""

import _socket
import posix
import select
import stat

from ostler.client.link import connect
from ostler.wire.frames import Splitter, frame
from ostler.wire.pack import pack, unpack
from ostler.wire.streams import PIECE, VERSION, WINDOW

TYPE_CHECKING = False  # as in typing, which is not loaded here
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Window = tuple[int, int]
    Message = dict[str, object]

_READ = 1 << 17
_SAFE = 4096  # bytes that a pipe or terminal takes without waiting once it is ready to write
_GONE = select.POLLHUP | select.POLLERR | select.POLLNVAL


class Joint:
    """The connection to one relay."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.is_over = False  # no task has its streams, and all that came of them is here
        self.is_closed = False
        self.is_taken = False  # another client is in our place
        self.is_joined = False  # it has answered
        self.is_lost = False  # the relay went away before the end
        self.wants_input = False
        self.is_terminal = False
        self.sent = 0  # bytes of input that it has not told of as taken
        self._sock: _socket.socket | None = None
        self._splitter = Splitter()
        self._unsent = bytearray()

    def fileno(self) -> int:
        """Return the descriptor to poll; -1 while there is no connection."""
        return -1 if self._sock is None else self._sock.fileno()

    def connect(self, window: "Window | None") -> bool:
        """Try to reach the relay; return whether there is a connection."""
        if self._sock is None and not self.is_closed:
            try:
                self._sock = connect(self.path)
            except OSError:
                return False
            self.say({"type": "attach", "version": VERSION, "window": window})
        return self._sock is not None

    @property
    def has_unsent(self) -> bool:
        """Say whether something waits for room."""
        return bool(self._unsent)

    def say(self, message: "Message") -> None:
        """Send a message, as far as there is room at once."""
        if self._sock is not None:
            self._unsent += frame(pack(message))
            self.flush()

    def flush(self) -> None:
        """Send what the relay has room for."""
        try:
            while self._unsent and self._sock is not None:
                del self._unsent[: self._sock.send(self._unsent, _socket.MSG_NOSIGNAL)]
        except BlockingIOError:
            return
        except OSError:
            self._unsent.clear()  # its end is read in a moment

    def receive(self) -> "list[Message]":
        """Return what the relay has said; note when it is gone."""
        if self._sock is None:
            return []
        try:
            data = self._sock.recv(_READ)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        if not data:
            self.is_lost = not self.is_over
            self.close()
            return []
        messages = []
        for payload in self._splitter.feed(data):
            message = unpack(payload)
            if isinstance(message, dict):
                messages.append(message)
        return messages

    def close(self) -> None:
        """End the connection."""
        self.is_closed = self.is_over = True
        if self._sock is not None:
            self._sock.close()
            self._sock = None


class Out:
    """Our standard output or error: what the relays sent for it and it has not taken."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.is_shut = False  # nobody reads it
        self.waiting: list[tuple[Joint, bytes]] = []
        mode = posix.fstat(fd).st_mode
        self._most = PIECE if stat.S_ISREG(mode) else _SAFE
        if stat.S_ISFIFO(mode):
            # Opened once more it can be made non-blocking for us alone: nobody else shares that.
            flags = posix.O_WRONLY | posix.O_NONBLOCK | posix.O_CLOEXEC
            try:
                self.fd = posix.open(f"/proc/self/fd/{fd}", flags)
                self._most = PIECE
            except OSError:
                pass

    def write(self) -> None:
        """Write what it takes now, and acknowledge that; raise BrokenPipeError."""
        joint, data = self.waiting[0]
        try:
            count = posix.write(self.fd, data[: self._most])
        except BlockingIOError:
            return
        joint.say({"type": "ack", "bytes": count})
        if count < len(data):
            self.waiting[0] = (joint, data[count:])
        else:
            self.waiting.pop(0)

    def shut(self) -> None:
        """Throw away what nobody reads any more."""
        self.is_shut = True
        for joint, data in self.waiting:
            joint.say({"type": "ack", "bytes": len(data)})
        self.waiting.clear()


class Streams:
    """Descriptors 0, 1 and 2 of this process, and the relays of one job.

    Poll with `register`, then call `tend` with what is ready. window: rows and columns of the
    terminal here, where the task gets one. on_input: is shown each piece of input before it is
    sent, and says whether to send it.
    """

    def __init__(
        self,
        window: "Window | None" = None,
        on_input: "Callable[[bytes], bool]" = lambda _data: True,
    ) -> None:
        self.joints: dict[str, Joint] = {}
        self.error: OSError | None = None  # why our output could not be written
        self.moved = 0  # grows with everything that comes or is written
        self._window = window
        self._on_input = on_input
        self._outs = {1: Out(1), 2: Out(2)}
        self._is_input_open = True

    def at(self, paths: "Mapping[str, str]") -> None:
        """Join the relays that listen at these paths, and no others. By node."""
        for node, path in paths.items():
            known = self.joints.get(node)
            if known is None:
                self.joints[node] = Joint(path)

    def connect(self) -> bool:
        """Reach the relays that are not joined yet; return whether all are."""
        found = [
            joint.connect(self._window) for joint in self.joints.values() if not joint.is_closed
        ]
        return bool(self.joints) and all(found)

    @property
    def is_over(self) -> bool:
        """Say whether all has ended and everything is written."""
        over = bool(self.joints) and all(joint.is_over for joint in self.joints.values())
        return over and not self.is_busy

    @property
    def is_joined(self) -> bool:
        """Say whether there is a connection to any relay."""
        return any(joint.fileno() >= 0 for joint in self.joints.values()) or self.is_busy

    @property
    def is_terminal(self) -> bool:
        """Say whether the task has a terminal."""
        return any(joint.is_terminal for joint in self.joints.values())

    @property
    def is_busy(self) -> bool:
        """Say whether something is here that was not written yet."""
        return any(out.waiting for out in self._outs.values())

    @property
    def is_taken(self) -> bool:
        """Say whether another client has come in our place."""
        return any(joint.is_taken for joint in self.joints.values())

    @property
    def is_lost(self) -> bool:
        """Say whether a relay went away before the end, with what it held."""
        return any(joint.is_lost for joint in self.joints.values())

    # -- polling ---------------------------------------------------------------------------

    def register(self, poll: "select.poll") -> None:
        """Add what there is to wait for."""
        for joint in self.joints.values():
            if joint.fileno() >= 0:
                more = select.POLLOUT if joint.has_unsent else 0
                poll.register(joint.fileno(), select.POLLIN | more)
        for out in self._outs.values():
            if out.waiting:
                poll.register(out.fd, select.POLLOUT)
        if self._room() > 0:
            poll.register(0, select.POLLIN)

    def _readers(self) -> list[Joint]:
        return [
            joint for joint in self.joints.values() if joint.wants_input and not joint.is_closed
        ]

    def _room(self) -> int:
        """Return how many bytes of input may be sent now."""
        if not self._is_input_open or not all(joint.is_joined for joint in self.joints.values()):
            return 0
        return min((WINDOW - joint.sent for joint in self._readers()), default=0)

    def tend(self, ready: "Mapping[int, int]") -> None:
        """Move what can be moved. ready: poll's events by descriptor."""
        for joint in self.joints.values():
            if joint.fileno() in ready:
                joint.flush()
                for message in joint.receive():
                    self.moved += 1
                    self._take(joint, message)
        for number, out in self._outs.items():
            if out.waiting and out.fd in ready:
                self.moved += 1
                self._write(number, out)
        if 0 in ready and self._room() > 0:
            self._read()

    def _take(self, joint: Joint, message: "Message") -> None:
        kind, count = message.get("type"), message.get("bytes")
        if kind == "out":
            data, out = message.get("data"), self._outs[1 if message.get("stream") == 1 else 2]
            if isinstance(data, bytes):
                out.waiting.append((joint, data))
                if out.is_shut:
                    out.shut()
        elif kind == "took" and isinstance(count, int):
            joint.sent -= count
        elif kind == "attached":
            joint.is_joined = True
            joint.wants_input = message.get("stdin") is True
            joint.is_terminal = message.get("pty") is True
            waits = message.get("waits")
            joint.sent = waits if isinstance(waits, int) else 0
        elif kind == "shut":
            joint.wants_input = False
        elif kind in ("end", "again"):
            joint.is_over = kind == "end"
        elif kind == "taken":
            joint.is_taken = True
            joint.close()

    def _write(self, number: int, out: Out) -> None:
        try:
            out.write()
        except OSError as error:
            if not isinstance(error, BrokenPipeError):
                self.error = error
            out.shut()
            for joint in self.joints.values():
                joint.say({"type": "shut", "stream": number})

    def _read(self) -> None:
        """Pass a piece of our standard input on."""
        try:
            data = posix.read(0, min(self._room(), PIECE))
        except BlockingIOError:
            return
        except OSError:  # a terminal of which we are not in the foreground, or that is gone
            data = b""
        if not data:
            self._is_input_open = False
        elif not self._on_input(data):
            return
        for joint in self._readers():
            joint.sent += len(data)
            joint.say({"type": "in", "data": data} if data else {"type": "eof"})

    # -- words -----------------------------------------------------------------------------

    def resize(self, window: "Window") -> None:
        """Tell the size that our terminal has now."""
        self._window = window
        self._tell({"type": "window", "window": window})

    def keep(self) -> None:
        """Let the relays wait long for the next client."""
        self._tell({"type": "keep"})

    def _tell(self, message: "Message") -> None:
        for joint in self.joints.values():
            joint.say(message)

    def close(self) -> None:
        """End the connections; the relays keep what was not acknowledged."""
        for joint in self.joints.values():
            joint.close()
