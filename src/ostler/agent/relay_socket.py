"""Sockets of relays in the state folder: made before a relay is born, asked by starters."""

import _socket
import contextlib
import os
import struct
from collections.abc import Iterator, Sequence

from ostler.agent.link import peer_uid
from ostler.wire.frames import Splitter, frame
from ostler.wire.pack import pack, unpack
from ostler.wire.streams import FOLDER, MOST_FDS

_SECONDS = 10.0  # in which a relay must have answered
_BACKLOG = 16
_INT = struct.calcsize("i")
_READ = 1 << 17

Three = tuple[int, int, int]


class NoRelay(Exception):
    """The relay of a job's streams cannot be had; the text is one sentence."""


def _new() -> _socket.socket:
    return _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)


def _open(folder: bytes) -> int:
    """Return the folder's descriptor, so that the length of its path does not matter."""
    return os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def _is_dead(folder: int, name: str) -> bool:
    """Say whether nobody listens there any more; one that is too busy to answer does."""
    sock = _new()
    sock.setblocking(False)
    try:
        sock.connect(f"/proc/self/fd/{folder}/{name}")
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    finally:
        sock.close()
    return False


def listen(folder: bytes, name: str, uid: int, gid: int) -> _socket.socket | None:
    """Return a socket that listens there, for its user; None if somebody does already.

    Removes what relays left that could not do it themselves. Raises OSError.
    """
    directory = _open(folder)
    sock = _new()
    try:
        for entry in map(os.fsdecode, os.listdir(folder)):
            if _is_dead(directory, entry):
                os.unlink(entry, dir_fd=directory)
            elif entry == name:
                sock.close()
                return None
        mask = os.umask(0o177)
        try:
            sock.bind(f"/proc/self/fd/{directory}/{name}")
        finally:
            os.umask(mask)
        if uid != os.geteuid() == 0:
            os.chown(name, uid, gid, dir_fd=directory, follow_symlinks=False)
        sock.listen(_BACKLOG)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    finally:
        os.close(directory)
    return sock


class Lent:
    """The tasks' ends of their streams, as a starter got them from the relay that holds others."""

    def __init__(self, state: bytes, name: str, uid: int, ranks: Sequence[int]) -> None:
        """Ask the relay of this name and user for those of these tasks; raise `NoRelay`."""
        self.threes: list[Three] = []
        self._fds: list[int] = []
        self._sock = _new()
        self._sock.settimeout(_SECONDS)
        try:
            self._connect(state, name)
            if peer_uid(self._sock) not in (0, os.geteuid(), uid):
                raise PermissionError
            self._sock.sendall(frame(pack({"type": "tasks", "ranks": list(ranks)})))
            for message in self._messages():
                threes = message.get("threes")
                if isinstance(threes, list):
                    self.threes = [self._three(three) for three in threes]
                    break
            if len(self.threes) != len(ranks):
                raise ValueError  # noqa: TRY301 - as what makes no sense at all
        except (OSError, ValueError, IndexError, TypeError):
            self.close()
            raise NoRelay("the relay that holds its streams does not answer") from None

    def _connect(self, state: bytes, name: str) -> None:
        directory = _open(os.path.join(state, FOLDER.encode()))
        try:
            self._sock.connect(f"/proc/self/fd/{directory}/{name}")
        finally:
            os.close(directory)

    def _three(self, places: list[int]) -> Three:
        into, out, err = places
        return self._fds[into], self._fds[out], self._fds[err]

    def _messages(self) -> Iterator[dict[str, object]]:
        splitter = Splitter()
        while True:
            data, extra, flags, _ = self._sock.recvmsg(
                _READ, _socket.CMSG_SPACE(MOST_FDS * _INT), _socket.MSG_CMSG_CLOEXEC
            )
            for level, kind, rights in extra:
                if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
                    count = len(rights) // _INT
                    self._fds += struct.unpack(f"{count}i", rights[: count * _INT])
            if not data or flags & _socket.MSG_CTRUNC:
                raise OSError
            for payload in splitter.feed(data):
                message = unpack(payload)
                if isinstance(message, dict):
                    yield message

    def done(self) -> None:
        """Tell the relay that the tasks have theirs, and let go."""
        with contextlib.suppress(OSError):  # if it is gone, the tasks will notice
            self._sock.sendall(frame(pack({"type": "started"})))
        self.close()

    def close(self) -> None:
        """Let go of all of them."""
        while self._fds:
            os.close(self._fds.pop())
        self._sock.close()
