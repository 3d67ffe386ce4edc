"""Leaving this process's standard input, output and error with the agent, for a `run`."""

import _socket
import struct

from ostler.client.link import connect
from ostler.wire.frames import frame
from ostler.wire.pack import pack


class Left:
    """Descriptors 0, 1 and 2, kept by the agent under a token for as long as this is open."""

    __slots__ = ("_sock", "_state", "token")

    def __init__(self, state: str, token: str) -> None:
        self._state = state
        self.token = token
        self._sock: _socket.socket | None = None

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when the agent is gone; -1: it is gone."""
        return -1 if self._sock is None else self._sock.fileno()

    def leave(self) -> bool:
        """Hand the descriptors over; return whether an agent took them."""
        self.close()
        try:
            sock = connect(f"{self._state}/agent.sock")
        except OSError:
            return False
        rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack("3i", 0, 1, 2))]
        data = frame(pack({"type": "leave", "token": self.token}))
        try:  # a new connection has room for these few bytes
            sock.sendmsg([data], rights, _socket.MSG_NOSIGNAL)
        except OSError:
            sock.close()
            return False
        self._sock = sock
        return True

    def gone(self) -> bool:
        """Say whether the agent has closed the connection; what it sent is thrown away."""
        if self._sock is None:
            return True
        try:
            over = not self._sock.recv(4096)
        except BlockingIOError:
            return False
        except OSError:
            over = True
        if over:
            self.close()
        return over

    def close(self) -> None:
        """Take the descriptors back, as far as no task has them."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None
