"""Plays the manager for tests of the agent, which is a real process with real starters."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from msgspec import structs

from ostler.agent.spool import SpoolState, read_spool
from ostler.model.orders import Ended, EndShare, Launch, Order, ReportRow
from ostler.model.resources import Placement, Request
from ostler.wire import messages
from ostler.wire.address import dial, listen
from ostler.wire.frames import Splitter, frame
from ostler.wire.pack import pack
from ostler.wire.supervise import process_start, read_supervisor
from tests.e2e.machine_kit import kill_leftovers

PATIENCE = 30.0  # seconds; only a defect waits so long
NOTHING = 0.3  # seconds in which something that must not come would have come

Row = TypeVar("Row", bound=ReportRow)

# A supervisor that keeps an agent only, because the test itself is the manager.
SUPERVISE = (
    "import sys; from ostler.agent import supervisor as s; s._CHILDREN = ('agent',); "
    "sys.exit(s.main(sys.argv[1:]))"
)


def eventually(what: str, condition: Callable[[], object]) -> None:
    """Wait until the condition holds; for states of other processes that no event tells."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"it never came: {what}"
        select.select([], [], [], 0.01)


def children(pid: int) -> list[int]:
    """Return the children of a process."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(word) for word in file.read().split()]


def open_gate(path: str | Path) -> None:
    """Let a task go on that waits on this pipe, as soon as it has come there."""

    def opened() -> bool:
        try:
            fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            return False
        os.write(fd, b"go\n")
        os.close(fd)
        return True

    eventually(f"a task waits at {path}", opened)


class Manager:
    """A manager on STATE/sock: greets the agent, takes reports, gives orders."""

    def __init__(self, state: Path, epoch: int = 1) -> None:
        self.epoch = epoch
        self.acknowledges = True
        self.rows: list[ReportRow] = []
        self.hellos: list[messages.AgentHello] = []
        self.door = listen(str(state / "sock"), 0o600)
        self._sock: socket.socket | None = None
        self._splitter = Splitter()

    def close(self) -> None:
        self.hang_up()
        self.door.close()

    def hang_up(self) -> None:
        """Close the connection; the agent greets again."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def greeting(self) -> messages.AgentHello:
        """Wait for a new greeting, and return it."""
        count = len(self.hellos)
        self._pump("a greeting", lambda: len(self.hellos) > count)
        return self.hellos[-1]

    def order(self, *orders: Order, epoch: int | None = None) -> None:
        """Give orders, in the name of an epoch."""
        self._pump("an agent", lambda: self._sock is not None and self.hellos)
        given = messages.Orders(self.epoch if epoch is None else epoch, list(orders))
        self._say(given)

    def row(self, kind: type[Row], alloc: int) -> Row:
        """Wait for a report of this kind about an allocation, and return the first."""

        def found() -> list[Row]:
            return [r for r in self.rows if isinstance(r, kind) and r.alloc == alloc]

        self._pump(f"{kind.__name__} of {alloc}", found)
        return found()[0]

    def until(self, what: str, condition: Callable[[], object]) -> None:
        """Take what comes until the condition holds."""
        self._pump(what, condition)

    def quiet(self) -> None:
        """Take what comes for a moment in which something wrong would have come."""
        deadline = time.monotonic() + NOTHING
        while (left := deadline - time.monotonic()) > 0:
            self._step(left)

    def _pump(self, what: str, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            left = deadline - time.monotonic()
            assert left > 0, f"it never came: {what}; so far {self.rows}"
            self._step(left)

    def _step(self, patience: float) -> None:
        watched = [self.door] if self._sock is None else [self.door, self._sock]
        ready, _, _ = select.select(watched, [], [], patience)
        if self.door in ready:
            self.hang_up()
            self._sock, _ = self.door.accept()
            self._splitter = Splitter()
        elif self._sock is not None and self._sock in ready:
            self._hear(self._sock)

    def _hear(self, sock: socket.socket) -> None:
        try:
            data = sock.recv(1 << 20)
        except ConnectionError:
            data = b""
        if not data:
            self.hang_up()
        for payload in self._splitter.feed(data):
            match messages.decode_request(payload):
                case messages.AgentHello() as hello:
                    self.hellos.append(hello)
                    self._say(messages.Welcome(self.epoch, 60.0))
                case messages.Report(seq, rows):
                    self.rows += rows
                    if self.acknowledges:
                        self._say(messages.Ack(seq))

    def _say(self, message: messages.ToAgent) -> None:
        if self._sock is not None:
            with suppress(OSError):  # the agent was killed; it comes back and greets
                self._sock.sendall(frame(messages.encode(message)))


class Node:
    """One state folder with an agent, by itself or below a supervisor."""

    def __init__(self, state: Path, *, supervised: bool) -> None:
        self.state = state
        self.supervised = supervised
        self.manager = Manager(state)
        self._process: subprocess.Popen[bytes] | None = None
        self._log = (state / "log.txt").open("ab")
        self._count = 0

    def start(self, code: str = "") -> None:
        """Start the agent, or the supervisor that keeps one; `code` is run in the agent first."""
        main = "import sys; from ostler.agent import daemon; sys.exit(daemon.main(sys.argv[2]))"
        argv = ["-c", f"{code}\n{main}"] if code else ["-m", "ostler.agent"]
        if self.supervised:
            argv = ["-c", SUPERVISE]
        self._process = subprocess.Popen(
            [sys.executable, "-I", *argv, "--state", str(self.state)],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )

    @property
    def agent(self) -> int:
        """The pid of the present agent."""
        assert self._process is not None
        if not self.supervised:
            return self._process.pid
        children = read_supervisor(str(self.state)).get("children")
        assert isinstance(children, dict)
        return int(children["agent"]["pid"])

    @property
    def supervisor(self) -> int:
        """The pid of the supervisor."""
        assert self._process is not None
        return self._process.pid

    def kill_agent(self) -> None:
        """Kill -9 the agent, and wait until it is gone."""
        pid = self.agent
        os.kill(pid, signal.SIGKILL)
        if not self.supervised and self._process is not None:
            self._process.wait(PATIENCE)
        eventually("the agent is gone", lambda: not process_start(pid))

    def stop(self) -> None:
        """End the agent or the supervisor as `down` does."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE)
            self._process = None

    def detach(self) -> subprocess.Popen[bytes]:
        """Return the present process, to be ended by somebody else."""
        assert self._process is not None
        process, self._process = self._process, None
        return process

    def spools(self) -> list[SpoolState]:
        """What all starters have written, but for one that has not said yet who it is."""
        found = []
        for path in (self.state / "node" / "spool").glob("s[0-9]*"):
            with suppress(OSError):
                found.append(read_spool(str(path)))
        return [state for state in found if state.pid]

    def spool_of(self, alloc: int) -> SpoolState:
        """What the starter of an allocation has written."""
        return next(state for state in self.spools() if state.alloc == alloc)

    def kill_starter(self, alloc: int) -> None:
        """Kill -9 the starter of an allocation, and wait until it is gone."""
        pid = self.spool_of(alloc).pid
        os.kill(pid, signal.SIGKILL)
        eventually("the starter is gone", lambda: not process_start(pid))

    def job(self, end: str = "exit 7", **fields: object) -> "Job":
        """Return a job whose task runs until it is released."""
        self._count += 1
        return Job(self, self._count, end, fields)

    def log(self) -> str:
        return (self.state / "log.txt").read_text(errors="replace")

    def close(self) -> None:
        self.stop()
        self.manager.close()
        self._log.close()
        kill_leftovers(self.state)


class Job:
    """One allocation whose task notes that it ran, and waits on a pipe until it may end."""

    def __init__(self, node: Node, alloc: int, end: str, fields: dict[str, object]) -> None:
        self.alloc = alloc
        self._node = node
        self.notes = node.state / f"notes-{alloc}"
        self._gate = node.state / f"gate-{alloc}"
        os.mkfifo(self._gate)
        script = f"echo ran >>'{self.notes}'; read word <'{self._gate}'; {end}"
        values: dict[str, object] = {
            "alloc": alloc,
            "job": alloc,
            "element": 0,
            "attempt": 1,
            "user": "someone",
            "uid": os.getuid(),
            "gid": os.getgid(),
            "placement": Placement("n1", cpus=(0,)),
            "request": Request(),
            "argv": (b"/bin/sh", b"-c", script.encode()),
            "env": b"PATH=/usr/bin:/bin\0",
            "output": b"/dev/null",
            "cwd": os.fsencode(node.state),
        }
        self.launch = Launch(**{**values, **fields})  # type: ignore[arg-type]

    def run(self) -> "Job":
        """Order it, and wait until its task has begun."""
        self._node.manager.order(self.launch)
        self._gate_open()
        return self

    def _gate_open(self) -> None:
        eventually(f"the task of {self.alloc} runs", self.notes.exists)

    def release(self) -> None:
        """Let the task go on to its end."""
        open_gate(self._gate)

    def times_run(self) -> int:
        """How often the task was started."""
        return self.notes.read_text().count("ran") if self.notes.exists() else 0

    def ended(self) -> Ended:
        """Wait for the report of its end."""
        return self._node.manager.row(Ended, self.alloc)

    def end(self, grace: int = 5) -> EndShare:
        return EndShare(self.alloc, "cancelled", "somebody cancelled it", grace)


def replaced(launch: Launch, **fields: object) -> Launch:
    """Return the order with other fields."""
    return structs.replace(launch, **fields)


@contextmanager
def node(
    folder: Path, *, supervised: bool = False, start: bool = True, **declared: object
) -> Iterator[Node]:
    """Run an agent; nothing of it is left afterwards."""
    state = folder / "state"
    state.mkdir(mode=0o700)
    facts = {"cpus": 8, "memory": 1 << 30, "node": "n1", **declared}
    (state / "machine.json").write_text(json.dumps(facts))
    one = Node(state, supervised=supervised)
    try:
        if start:
            one.start()
        yield one
    except BaseException:
        print(one.log())  # noqa: T201 - pytest shows it beside the failure
        raise
    finally:
        one.close()


def call_agent(state: Path, payload: bytes, descriptors: tuple[int, ...] = ()) -> socket.socket:
    """Return a connection to the agent over which this was said."""
    sock = dial(str(state / "agent.sock"))
    sock.settimeout(PATIENCE)
    socket.send_fds(sock, [payload], list(descriptors))
    return sock


def leave(state: Path, token: str, descriptors: tuple[int, int, int]) -> socket.socket:
    """Leave descriptors with the agent, as a client of `run` does."""
    return call_agent(state, frame(pack({"type": "leave", "token": token})), descriptors)
