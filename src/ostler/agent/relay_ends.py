"""The two directions of a relay: what tasks have written, and what they are to read. Bounded."""

import contextlib
import fcntl
import os
import struct
import termios
from collections import deque

from ostler.agent.relay_order import Window
from ostler.wire.frames import frame
from ostler.wire.pack import pack
from ostler.wire.streams import PIECE, WINDOW

LONGEST_LINE = 1 << 16  # bytes; a longer one is cut where lines have labels
_SHORT = 4096  # bytes up to which what comes in pieces is put together
_IUTF8 = 0x4000  # a terminal erases characters, not bytes; `termios` has no name for it
_END_OF_FILE = b"\x04"  # as a terminal's line discipline knows it


class Source:
    """What one task, or all of them, write to 1 or 2: the end that is read."""

    __slots__ = ("_label", "_part", "fd", "stream")

    def __init__(self, fd: int, stream: int, label: bytes = b"") -> None:
        self.fd = fd
        self.stream = stream
        self._label = label  # before each line; empty: bytes as they come
        self._part = b""  # of a line that has not ended

    def read(self) -> bytes | None:
        """Return what there is, maybe nothing; None: nobody will write any more."""
        try:
            data = os.read(self.fd, PIECE)
        except BlockingIOError:
            return b""
        except OSError:  # EIO: a terminal that nobody has open
            return None
        if not data:
            return None
        return self._lines(data) if self._label else data

    def _lines(self, data: bytes) -> bytes:
        """Return the lines that are whole now, with labels."""
        if self._part:
            data = self._part + data
        end = data.rfind(b"\n") + 1
        self._part = data[end:]
        lines = self._labelled(data[:end]) if end else b""
        while len(self._part) >= LONGEST_LINE:
            piece, self._part = self._part[:LONGEST_LINE], self._part[LONGEST_LINE:]
            lines += self._labelled(piece + b"\n")
        return lines

    def _labelled(self, lines: bytes) -> bytes:
        label = self._label
        return label + lines[:-1].replace(b"\n", b"\n" + label) + b"\n"

    def rest(self) -> bytes:
        """Return the last line, if it has no end."""
        part, self._part = self._part, b""
        return self._labelled(part + b"\n") if part else b""


class Held:
    """What was read and no client has acknowledged, in the order in which it was read."""

    __slots__ = ("_chunks", "_next", "size")

    def __init__(self) -> None:
        self.size = 0  # bytes
        self._chunks: deque[tuple[int, bytes]] = deque()
        self._next = 0  # the first that the present client was not sent

    @property
    def is_full(self) -> bool:
        """Say whether nothing more may be read."""
        return self.size >= WINDOW

    @property
    def is_sent(self) -> bool:
        """Say whether the present client was sent all of it."""
        return self._next == len(self._chunks)

    def put(self, stream: int, data: bytes) -> None:
        """Take what was read."""
        if not data:
            return
        self.size += len(data)
        if self._next < len(self._chunks):  # of many short ones, each would weigh far more
            last, before = self._chunks[-1]
            if last == stream and len(before) + len(data) <= _SHORT:
                self._chunks[-1] = (stream, before + data)
                return
        self._chunks.append((stream, data))

    def next_frame(self) -> bytes:
        """Return the next message for the client."""
        stream, data = self._chunks[self._next]
        self._next += 1
        return frame(pack({"type": "out", "stream": stream, "data": data}))

    def acknowledge(self, count: int) -> None:
        """Forget so many bytes; raise ValueError if they were never sent."""
        while count > 0:
            if not self._next:
                msg = "the client acknowledges what it was not sent"
                raise ValueError(msg)
            stream, data = self._chunks[0]
            if count < len(data):
                self._chunks[0] = (stream, data[count:])
                self.size -= count
                return
            self._chunks.popleft()
            self._next -= 1
            self.size -= len(data)
            count -= len(data)

    def rewind(self) -> None:
        """Send all of it again, to the next client."""
        self._next = 0


class Sink:
    """Where one task reads its standard input from: the end that is written."""

    __slots__ = ("at", "fd")

    def __init__(self, fd: int, at: int) -> None:
        self.fd = fd
        self.at = at  # bytes of the input that it has had


class Input:
    """Standard input on its way to the tasks that read it; the slowest of them sets the pace."""

    __slots__ = ("_data", "_start", "is_over", "is_terminal", "sinks")

    def __init__(self, *, is_terminal: bool) -> None:
        self.sinks: list[Sink] = []
        self.is_over = False  # its end has come from the client
        self.is_terminal = is_terminal
        self._data = bytearray()  # from the first byte that some task has not had
        self._start = 0

    @property
    def size(self) -> int:
        """Return the bytes that wait."""
        return len(self._data)

    def add(self, fd: int) -> Sink:
        """Let one more task read, from what waits on."""
        sink = Sink(fd, self._start)
        self.sinks.append(sink)
        return sink

    def put(self, data: bytes) -> None:
        """Take more; raise ValueError if the client sends more than it may."""
        if len(self._data) + len(data) > WINDOW:
            msg = "the client sends more input than it may"
            raise ValueError(msg)
        self._data += data

    def end(self) -> None:
        """Note its end. For a terminal that is a character; the terminal itself stays."""
        if not self.is_over:
            self.is_over = True
            if self.is_terminal:
                self._data += _END_OF_FILE

    def write(self, sink: Sink) -> bool:
        """Write what the sink has room for; return False when it is to be closed."""
        while True:
            begin = sink.at - self._start
            with memoryview(self._data) as view:
                piece = bytes(view[begin : begin + PIECE])
            if not piece:
                return not self.is_over or self.is_terminal
            try:
                sink.at += os.write(sink.fd, piece)
            except BlockingIOError:
                return True
            except OSError:  # nobody reads it
                return False

    def waits(self, sink: Sink) -> bool:
        """Say whether the sink has not had all that is here."""
        return sink.at - self._start < len(self._data)

    def trim(self) -> int:
        """Forget what all tasks have had; return how many bytes."""
        least = min((sink.at for sink in self.sinks), default=self._start)
        return self._forget(least - self._start)

    def forget_all(self) -> int:
        """Forget everything, as nobody reads; return how many bytes."""
        return self._forget(len(self._data))

    def _forget(self, count: int) -> int:
        if count:
            del self._data[:count]
            self._start += count
        return count


class Pty:
    """A terminal: the end that is held here, and the name of the task's."""

    def __init__(self, window: Window | None) -> None:
        self._master, self._slave = os.openpty()
        self._name = os.ttyname(self._slave)
        modes = termios.tcgetattr(self._slave)
        modes[0] |= _IUTF8
        termios.tcsetattr(self._slave, termios.TCSANOW, modes)
        if window is not None:
            self.resize(window)

    def other_end(self) -> int:
        """Return a descriptor of the task's end, the caller's to close."""
        slave, self._slave = self._slave, -1
        if slave < 0:
            slave = os.open(self._name, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        return slave

    def dup(self) -> int:
        """Return one more descriptor of our end, to read or to write without waiting."""
        fd = os.dup(self._master)
        os.set_blocking(fd, False)
        return fd

    def resize(self, window: Window) -> None:
        """Give it this size; its foreground processes get SIGWINCH."""
        with contextlib.suppress(OSError):
            fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("4H", *window, 0, 0))
