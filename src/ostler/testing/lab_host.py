"""The host of one member of a lab: what stands for its kernel and its network card.

Everything that runs on the node is below this process, whatever dies there, because it is the
reaper of orphans; so a crash is the end of this process and of all below it. Its life is one boot.
Whatever the node says to the manager passes through here, from STATE/sock of the node to that of
the manager, and who looks at it from outside comes in at STATE/line; so that the line can be cut:
then bytes stand still, neither side hears a reset, and who calls finds nobody.

Orders come on STATE/host, one line each: `start`, `cut`, `heal`, `look`, and after the end of all
that ran, `sweep PID-START ...` for what the kernel keeps of it. The answer is one line.
Started by its file's name, not as a module, because the package around it loads the whole kit.
"""

import argparse
import asyncio
import os
import secrets
import signal
import sys

from ostler.agent.linux import become_subreaper, set_name
from ostler.agent.proc import LAB_BOOT
from ostler.agent.starter_protocol import SOCKET
from ostler.model.errors import OstlerError
from ostler.wire.address import dial, listen
from ostler.wire.cgroup import groups_of, remove
from ostler.wire.supervise import launch_supervisor, process_start, take_lock, write_json

_PIECE = 1 << 18  # bytes taken from one side at once
_ORDER_SECONDS = 5.0  # in which an order must have come


class Line:
    """The line between a node and its manager."""

    def __init__(self, manager: str, agent: str = "", door: str = "") -> None:
        self._manager = manager
        self._agent = agent  # the socket of the node's agent
        self._door = door  # where the node is looked at from outside, while it is there
        self._open = asyncio.Event()
        self._open.set()

    @property
    def is_cut(self) -> bool:
        """Say whether nothing passes."""
        return not self._open.is_set()

    def cut(self) -> None:
        """Let nothing pass from now on, in either direction; whoever calls finds nobody."""
        if self._door and not self.is_cut:
            os.rename(self._door, f"{self._door}.cut")
        self._open.clear()

    def heal(self) -> None:
        """Let pass what stood still, and what comes."""
        if self._door and self.is_cut:
            os.rename(f"{self._door}.cut", self._door)
        self._open.set()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection of the node to its end."""
        await self._carry(self._manager, reader, writer)

    async def admit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry a connection from outside to the node's agent; where none listens it is reset."""
        await self._carry(self._agent, reader, writer)

    async def _carry(
        self, to: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            if self.is_cut:
                await self._open.wait()  # it would never have come about: nobody is to hear of it
                return
            far = await asyncio.open_unix_connection(sock=dial(to, 0.0))
        except OSError:
            return  # closed at once, so that the node tries again
        else:
            out = asyncio.ensure_future(self._pump(reader, far[1]))
            await self._pump(far[0], writer)
            await out
        finally:
            writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass bytes on until one side closes; the other side hears of that as late as of bytes."""
        try:
            while data := await reader.read(_PIECE):
                await self._open.wait()
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        await self._open.wait()
        writer.close()


class Host:
    """One host over one state folder."""

    def __init__(self, state: str, manager: str) -> None:
        self._state = state
        self._line = Line(manager, f"{state}/{SOCKET}", f"{state}/line" if manager else "")
        self._relays = bool(manager)

    def start(self) -> None:
        """Start the supervisor; raise `OstlerError` when it cannot."""
        launch_supervisor(self._state)

    async def run(self) -> None:
        """Serve for ever: a host ends by being killed."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, _reap)
        if self._relays:
            sock = listen(f"{self._state}/sock", 0o600)
            await asyncio.start_unix_server(self._line.carry, sock=sock)
            sock = listen(f"{self._state}/line", 0o600)
            await asyncio.start_unix_server(self._line.admit, sock=sock)
        self.start()
        # Last: who can reach it knows that all the rest is there.
        orders = await asyncio.start_unix_server(
            self._take, sock=listen(f"{self._state}/host", 0o600)
        )
        await orders.serve_forever()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            word = await asyncio.wait_for(reader.readline(), _ORDER_SECONDS)
            writer.write(self._answer(word.decode().strip()).encode() + b"\n")
            await writer.drain()
        except (OSError, ValueError, TimeoutError):
            return
        finally:
            writer.close()

    def _answer(self, order: str) -> str:
        word, *ended = order.split()
        match word:
            case "sweep":
                _reap()  # a zombie still is a member of its group
                for pid, _, began in (one.partition("-") for one in ended):
                    remove(groups_of(int(pid), int(began)))
            case "start":
                try:
                    self.start()
                except OstlerError as error:
                    return str(error).replace("\n", " ")
            case "cut":
                self._line.cut()
            case "heal":
                self._line.heal()
            case "look":
                return "cut" if self._line.is_cut else "open"
            case _:
                return f"no order is called {word!r}"
        return "ok"


def _reap() -> None:
    """Take away what ended and belongs to nobody else."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


def main() -> int:
    """Be the host of a state folder; return 5 when there is one already."""
    parser = argparse.ArgumentParser(prog="ostler-lab-host")
    parser.add_argument("--state", required=True, help="state folder of the member")
    parser.add_argument("--manager", default="", help="the manager's socket; none: it is itself")
    options = parser.parse_args()
    if take_lock(f"{options.state}/host.lock") is None:
        print(f"{options.state} has a host already", file=sys.stderr)  # noqa: T201 - its log
        return 5
    os.chdir("/")
    os.environ[LAB_BOOT] = f"-{secrets.token_hex(4)}"
    set_name(b"ostler-host")
    become_subreaper()
    own = {"pid": os.getpid(), "start_time": process_start(os.getpid())}
    write_json(f"{options.state}/host.json", own)
    try:
        asyncio.run(Host(options.state, options.manager).run())
    except (OSError, OstlerError) as error:
        print(f"the host of {options.state} cannot start: {error}", file=sys.stderr)  # noqa: T201
    return 5


if __name__ == "__main__":
    sys.exit(main())
