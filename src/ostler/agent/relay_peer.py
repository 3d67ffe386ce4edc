"""One connection of a relay: the client's, or a starter's."""

import _socket
import select

from ostler.agent.relay_order import Message
from ostler.wire.frames import Splitter, frame
from ostler.wire.pack import pack
from ostler.wire.streams import WINDOW

_MOST_UNSENT = 1 << 22  # bytes; a peer that leaves so much unread is as good as gone
_IN, _OUT = select.EPOLLIN, select.EPOLLOUT


def accept(listener: _socket.socket) -> _socket.socket | None:
    """Return the next connection, which never waits; None: there is none."""
    try:
        fd, _ = listener._accept()  # type: ignore[attr-defined]  # noqa: SLF001 - all of `accept`
    except OSError:
        return None
    sock = _socket.socket(fileno=fd)
    sock.setblocking(False)
    return sock


class Peer:
    """Messages in and out; watched by the relay's epoll for room while some could not go."""

    __slots__ = ("_epoll", "_unsent", "is_blocked", "is_starter", "sock", "splitter")

    def __init__(self, sock: _socket.socket, epoll: "select.epoll") -> None:
        self.sock = sock
        self.splitter = Splitter(WINDOW)
        self.is_starter = False
        self.is_blocked = False  # something could not go
        self._epoll = epoll
        self._unsent = bytearray()

    def say(self, message: Message) -> bool:
        """Send a message; return False where too much is unread."""
        self.send(frame(pack(message)))
        return len(self._unsent) <= _MOST_UNSENT

    def send(self, data: bytes = b"") -> bool:
        """Send this behind what could not go; return whether all has gone."""
        unsent = self._unsent
        unsent += data
        try:
            while unsent:
                del unsent[: self.sock.send(unsent, _socket.MSG_NOSIGNAL)]
        except BlockingIOError:
            pass
        except OSError:
            unsent.clear()  # its end is read in a moment
        if bool(unsent) != self.is_blocked and self.sock.fileno() >= 0:
            self.is_blocked = bool(unsent)
            self._epoll.modify(self.sock.fileno(), _IN | _OUT if self.is_blocked else _IN)
        return not self.is_blocked
