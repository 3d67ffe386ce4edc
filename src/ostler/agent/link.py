"""A starter's connection to the agent: non-blocking, bounded, with descriptors that travel along.

Uses `_socket`, because `socket` and what it imports would stay in every starter's memory.
"""

import _socket
import os
import struct

from ostler.agent.rows import pack_progress
from ostler.wire.frames import Splitter, frame
from ostler.wire.pack import pack, unpack

_FDS = 16  # most descriptors taken with one read; three are ever wanted
_into = memoryview(bytearray(1 << 16))  # what is read goes here first
_INT = struct.calcsize("i")
_MOST_UNSENT = 1 << 20  # bytes; a peer that leaves so much unread is as good as gone


def dial(folder: int, name: str) -> _socket.socket:
    """Connect to a Unix socket in an open folder, whatever the length of its path.

    Raises OSError. The connection is non-blocking.
    """
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    try:
        # Non-blocking from the start: a full queue of a stopped agent answers EAGAIN at once.
        sock.setblocking(False)
        sock.connect(f"/proc/self/fd/{folder}/{name}")
    except OSError:
        sock.close()
        raise
    return sock


def peer_uid(sock: _socket.socket) -> int:
    """Return the user of the process that listens, as the kernel knows it."""
    data = sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 3 * _INT)
    return int(struct.unpack("3i", data)[1])


def _map(payload: bytes) -> dict[str, object]:
    message: object = unpack(payload)
    if not isinstance(message, dict):
        msg = "a message must be a map"
        raise ValueError(msg)
    return message


class Link:
    """Frames in, frames out; it is `open` until either side fails."""

    __slots__ = ("_splitter", "_unsent", "fds", "open", "sock")

    def __init__(self, sock: _socket.socket) -> None:
        self.sock = sock
        self.open = True
        self.fds: list[int] = []  # descriptors received and not yet taken
        self._splitter = Splitter()
        self._unsent = bytearray()

    @property
    def wants_to_write(self) -> bool:
        """Say whether something is left that the peer had no room for."""
        return self.open and bool(self._unsent)

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        return self.sock.fileno()

    def send(self, message: dict[str, object]) -> None:
        """Queue a message and send what goes at once; never blocks, never raises."""
        if self.open:
            packed = pack_progress(message) if "ended" in message else pack(message)
            self._unsent += frame(packed)
            self.flush()

    def flush(self) -> None:
        """Send what the peer has room for."""
        try:
            while self._unsent:
                sent = self.sock.send(self._unsent, _socket.MSG_NOSIGNAL)
                del self._unsent[:sent]
        except BlockingIOError:
            if len(self._unsent) > _MOST_UNSENT:
                self.close()
        except OSError:
            self.close()

    def receive(self) -> list[dict[str, object]]:
        """Return the messages that have come; closes the link at its end or at a broken frame."""
        messages: list[dict[str, object]] = []
        while self.open:
            try:
                size, extra, _, _ = self.sock.recvmsg_into(
                    [_into], _socket.CMSG_SPACE(_FDS * _INT), _socket.MSG_CMSG_CLOEXEC
                )
            except BlockingIOError:
                break
            except OSError:
                size, extra = 0, []
            self._take(extra)
            if not size:
                self.close()
                break
            try:
                messages += [_map(payload) for payload in self._splitter.feed(_into[:size])]
            except ValueError:
                self.close()
        return messages

    def _take(self, extra: list[tuple[int, int, bytes]]) -> None:
        for level, kind, data in extra:
            if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
                count = len(data) // _INT
                self.fds += struct.unpack(f"{count}i", data[: count * _INT])

    def take_fds(self, most: int = _FDS) -> list[int]:
        """Return the descriptors that came first; they are the caller's to close."""
        fds, self.fds = self.fds[:most], self.fds[most:]
        return fds

    def close(self) -> None:
        """End the connection; what is unsent is forgotten."""
        self.open = False
        self._unsent.clear()
        while self.fds:
            os.close(self.fds.pop())
        self.sock.close()
