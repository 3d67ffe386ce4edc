"""Plays the agent for tests of starters: a state folder, a zygote, a listening socket."""

import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ostler.agent import linux, proc, remains
from ostler.agent.spool import SpoolState, read_spool
from ostler.wire.address import listen
from ostler.wire.frames import Splitter, frame
from ostler.wire.pack import pack, unpack

PATIENCE = 30.0  # seconds; only a defect waits so long
Message = dict[str, Any]


class Line:
    """One starter's connection, seen by the agent."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._splitter = Splitter()
        self._messages: list[Message] = []

    def hear(self) -> Message:
        """Return the next message; fail at the end of the connection."""
        while not self._messages:
            data = self.sock.recv(65536)
            assert data, "the starter closed its connection"
            self._messages += [unpack(payload) for payload in self._splitter.feed(data)]
        return self._messages.pop(0)

    def hear_until(self, kind: str) -> Message:
        while True:
            message = self.hear()
            if message["type"] == kind:
                return message

    def say(self, kind: str, fds: tuple[int, ...] = (), **fields: object) -> None:
        data = frame(pack({"type": kind, **fields}))
        socket.send_fds(self.sock, [data], list(fds))

    def ended(self) -> bool:
        """Wait for the end of the connection."""
        while self.sock.recv(65536):
            pass
        return True


class Agent:
    """A stand-in for the agent daemon."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.zygote: subprocess.Popen[bytes] | None = None
        self._ask: socket.socket | None = None
        self._count = 0
        self.starters: list[Message] = []
        self._lines: list[Line] = []
        self.listen()

    def listen(self) -> None:
        self.door = listen(str(self.state / "agent.sock"), 0o600)
        self.door.settimeout(PATIENCE)

    def start_zygote(self, code: str = "") -> None:
        """Start a zygote; `code` is run in it first, to break it at a chosen point."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        main = "import sys; from ostler.agent import zygote; zygote.main(sys.argv[1:])"
        command = [sys.executable, "-I", "-m", "ostler.agent.zygote"]
        if code:
            command = [sys.executable, "-I", "-c", f"{code}\n{main}"]
        with theirs:
            self.zygote = subprocess.Popen(
                [*command, "--state", str(self.state)], stdin=theirs.fileno()
            )
        ours.settimeout(PATIENCE)
        self._ask = ours

    def ask(self, message: Message) -> Message:
        assert self._ask is not None
        self._ask.send(pack(message))
        answer = unpack(self._ask.recv(65536))
        assert isinstance(answer, dict)
        return answer

    def fork(self) -> Line:
        """Return the connection of a new, idle starter that has greeted."""
        if self.zygote is None:
            self.start_zygote()
        self._count += 1
        answer = self.ask({"type": "fork", "name": f"s{self._count}"})
        assert answer["pid"] > 0, answer
        line = self.accept()
        hello = line.hear()
        assert hello["phase"] == "idle"
        self.starters.append(hello)
        return line

    def accept(self) -> Line:
        sock, _ = self.door.accept()
        sock.settimeout(PATIENCE)
        self._lines.append(Line(sock))
        return self._lines[-1]

    @property
    def pid(self) -> int:
        """The pid of the newest starter."""
        return int(self.starters[-1]["pid"])

    def spool(self) -> SpoolState:
        """What the newest starter has written so far."""
        return read_spool(str(self.state / "node" / "spool" / self.starters[-1]["name"]))

    def die(self) -> None:
        """Close all connections and the listening socket, as a death would."""
        self.door.close()
        for line in self._lines:
            line.sock.close()

    def wait_for_end_of_starter(self) -> None:
        """Wait until the newest starter is gone."""
        pidfd = proc.watch(self.pid, int(self.starters[-1]["start_time"]))
        if pidfd is not None:
            wait_readable(pidfd)
            os.close(pidfd)

    def stop_zygote(self) -> None:
        if self._ask is not None:
            self._ask.close()
            self._ask = None
        if self.zygote is not None:
            self.zygote.wait(PATIENCE)
            self.zygote = None

    def close(self) -> None:
        """End everything that this test has started."""
        self.die()
        self.stop_zygote()
        for hello in self.starters:
            end(int(hello["pid"]), int(hello["start_time"]))
        for path in (self.state / "node" / "spool").glob("*"):
            state = read_spool(str(path))
            for pid in remains.orphans(state):
                end(pid, proc.start_time(pid))
            assert remains.clean(state)


def end(pid: int, started: int) -> None:
    """Kill a process, if it is still there, and reap it, if it is ours."""
    pidfd = proc.watch(pid, started)
    if pidfd is not None:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        wait_readable(pidfd)
        os.close(pidfd)
    with suppress(ChildProcessError):
        os.waitpid(pid, 0)


def wait_readable(fd: int) -> None:
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    assert poller.poll(PATIENCE * 1000), "it did not happen"


def wait_gone(pid: int) -> None:
    """Wait until a process has ended."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    wait_readable(fd)
    os.close(fd)


def order(alloc: int, argv: list[bytes], cwd: Path, **fields: Any) -> Message:
    """Return a launch order with defaults; fields named cpus, memory, tasks go to the placement."""
    place: Message = {"node": "n1", "tasks": 1, "cpus": [0]}
    for key in ("tasks", "cpus", "memory", "gpus", "first_rank"):
        if key in fields:
            place[key] = fields.pop(key)
    request: Message = {"tasks": place["tasks"]}
    for key in ("task_cpus", "task_gpus"):
        if key in fields:
            request[key.removeprefix("task_")] = fields.pop(key)
    message = {
        "alloc": alloc,
        "job": 7,
        "element": 0,
        "attempt": 1,
        "user": "root",
        "uid": os.geteuid(),
        "gid": os.getegid(),
        "placement": place,
        "request": request,
        "total_tasks": place["tasks"],
        "argv": argv,
        "cwd": os.fsencode(cwd),
        "env": b"PATH=/usr/local/bin:/usr/bin:/bin\0",
        "grace": 5,
    }
    return message | fields


@contextmanager
def playing(state: Path) -> Iterator[Agent]:
    linux.become_subreaper()  # what a dead starter leaves behind is then ours to end
    agent = Agent(state)
    try:
        yield agent
    finally:
        agent.close()
