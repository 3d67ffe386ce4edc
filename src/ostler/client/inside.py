"""A command inside a share that runs: asked of the node's agent, with descriptors of ours."""

import _socket
import struct

from ostler.client.link import connect, error_from
from ostler.client.place import exists
from ostler.model.errors import NotNow
from ostler.wire.frames import Splitter, frame
from ostler.wire.pack import pack, unpack

_READ = 1 << 16


class Inside:
    """One command, over a connection to the agent of its own. Its end is in `end`.

    state: the machine's folder. node: where the share is; in a lab each node has an agent.
    """

    def __init__(self, state: str, node: str) -> None:
        self.end: tuple[int, int, str] | None = None  # exit code, signal, a sentence
        agents = f"{state}/agents"
        self._path = f"{agents}/{node}" if exists(agents) else f"{state}/agent.sock"
        self._splitter = Splitter()
        self._sock: _socket.socket | None = None

    def begin(self, wish: dict[str, object], descriptors: tuple[int, int, int]) -> None:
        """Ask for it; raise `NotNow` where no agent is."""
        rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack("3i", *descriptors))]
        data = frame(pack({"type": "exec", **wish}))
        try:
            self._sock = sock = connect(self._path)
            sock.setblocking(True)  # it may be a long command
            sent = sock.sendmsg([data], rights, _socket.MSG_NOSIGNAL)
            sock.sendall(data[sent:], _socket.MSG_NOSIGNAL)
            sock.setblocking(False)
        except OSError as error:
            raise NotNow(f"the node's agent does not answer: {error.strerror}") from None

    def fileno(self) -> int:
        """Return the descriptor to poll for its end."""
        return -1 if self._sock is None else self._sock.fileno()

    def signal(self, number: int) -> None:
        """Send a signal to its process group."""
        if self._sock is not None:
            try:
                data = frame(pack({"type": "exec_signal", "signal": number}))
                self._sock.send(data, _socket.MSG_NOSIGNAL)
            except OSError:
                return  # the agent is gone, as `pump` will find

    def pump(self) -> None:
        """Take in what has come; raise what refused it, or `NotNow` when the agent is gone."""
        try:
            data = self._sock.recv(_READ) if self._sock is not None else b""
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            raise NotNow(
                "the node's agent has gone, and with it the way to the command",
                hint="the job goes on; the command was told to end",
            )
        for payload in self._splitter.feed(data):
            told = unpack(payload)
            if told["type"] == "exec_refused":
                raise error_from(told)
            self.end = (int(told["code"]), int(told["signal"]), str(told["why"]))
