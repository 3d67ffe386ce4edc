"""Leaving this process's standard input, output and error with agents, for a `run`."""

import _socket
import _struct as struct  # `struct` itself is one more module
import select

from ostler.client.link import connect
from ostler.client.place import exists
from ostler.wire.frames import frame
from ostler.wire.pack import pack

TYPE_CHECKING = False  # as in typing, which is not loaded here
if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable

_PAUSE_MS = 200  # between tries to leave the descriptors with an agent that is not back yet


class Left:
    """Descriptors 0, 1 and 2, kept by one agent under a token for as long as this is open."""

    __slots__ = ("_path", "_sock", "token")

    def __init__(self, path: str, token: str) -> None:
        self._path = path
        self.token = token
        self._sock: _socket.socket | None = None

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when the agent is gone; -1: it is gone."""
        return -1 if self._sock is None else self._sock.fileno()

    def leave(self) -> bool:
        """Hand the descriptors over; return whether an agent took them."""
        self.close()
        try:
            sock = connect(self._path)
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


class Leaving:
    """The agents that one `run` needs: that of its machine, or in a lab those of its nodes.

    scattered: the nodes must be told by `at` once the job has some. The agents of the others get
    nothing: one that hangs would keep our pipes open.
    """

    __slots__ = ("_agents", "_lefts", "scattered", "token")

    def __init__(self, state: str, token: str) -> None:
        self._agents = f"{state}/agents"
        self.scattered = exists(self._agents)
        self.token = token
        self._lefts = {} if self.scattered else {"": Left(f"{state}/agent.sock", token)}

    def at(self, nodes: "Iterable[str]") -> None:
        """Leave them with the agents of these nodes, and with no other."""
        wanted = set(nodes)
        for name in [name for name in self._lefts if name not in wanted]:
            self._lefts.pop(name).close()
        for name in wanted:
            self._lefts.setdefault(name, Left(f"{self._agents}/{name}", self.token))
        self.leave()

    def leave(self) -> None:
        """Hand the descriptors to every agent that does not have them and is there."""
        for left in self._lefts.values():
            if left.fileno() < 0:
                left.leave()

    def filenos(self) -> list[int]:
        """Return the descriptors that become readable when an agent is gone."""
        return [fd for fd in map(Left.fileno, self._lefts.values()) if fd >= 0]

    @property
    def complete(self) -> bool:
        """Say whether every agent that needs them has them."""
        return bool(self._lefts) and len(self.filenos()) == len(self._lefts)

    def tend(self, ready: "Container[int]") -> None:
        """Leave them once more with agents that are gone: they find them again at their return.

        Those of a task that runs are with its starter, so doing it once more does no harm.
        """
        for left in self._lefts.values():
            if left.fileno() in ready:
                left.gone()
        self.leave()

    # -- see `Waiting` ---------------------------------------------------------------------

    def register(self, poll: "select.poll") -> None:
        """Add what there is to wait for: the end of an agent."""
        for fd in self.filenos():
            poll.register(fd, select.POLLIN)

    @property
    def pause(self) -> int | None:
        """Return the milliseconds until the next try; None: all have them, or must be named."""
        return None if self.complete and not self.scattered else _PAUSE_MS

    stopped = ""  # a client that lives holds its job

    is_lost = False  # no relay is here that could be

    def signalled(self, number: int) -> None:
        """Do nothing: only signals for the tasks are caught."""

    def drain(self, step: "Callable[[int | None], None]") -> None:
        """Do nothing: the tasks wrote all themselves."""

    def close(self) -> None:
        """Take all of them back."""
        for left in self._lefts.values():
            left.close()
