"""A well-behaved client beside the hostile ones, in a process of its own, as a user of its own."""

import os
import pwd
import select
import signal
import socket
import struct
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ostler.client.link import Link
from ostler.client.spec import make_spec, new_request_id
from ostler.wire.address import dial
from tests.e2e.machine_kit import Host

PATIENCE = 30.0  # seconds for one round; only a defect waits so long


def become(user: pwd.struct_passwd | None) -> None:
    """Take a user's place for good; None: stay who we are."""
    if user is not None:
        os.setgroups([user.pw_gid])
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)


def forked(user: pwd.struct_passwd | None, work: Callable[[], None]) -> int:
    """Return the pid of a child that does this work as a user, and then ends."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        become(user)
        work()
        status = 0
    except BaseException:  # noqa: BLE001 - the edge of a process
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


class Bystander:
    """Submits, waits and looks, round after round; has one job that must outlive all of them."""

    def __init__(self, host: Host, user: pwd.struct_passwd | None) -> None:
        node = host.json("nodes")["nodes"][0]["name"]
        self._pipe, theirs = os.pipe()
        self._told, told = os.pipe()
        self._pid = forked(user, lambda: _serve(host.state, host.work, node, theirs, told))
        os.close(theirs)
        os.close(told)
        self.served()

    def served(self) -> None:
        """Wait for a whole round that began after this call; fail if it does not come."""
        for _ in range(2):  # the first may have begun before
            self._drain()
            ready, _, _ = select.select([self._pipe], [], [], PATIENCE)
            assert ready, f"nobody was served for {PATIENCE:.0f} s"
            assert os.read(self._pipe, 4096), f"a bystander was disturbed:\n{self._story()}"

    def _drain(self) -> None:
        while select.select([self._pipe], [], [], 0)[0]:
            assert os.read(self._pipe, 4096), f"a bystander was disturbed:\n{self._story()}"

    def _story(self) -> str:
        return os.read(self._told, 1 << 16).decode()

    def leave(self) -> None:
        """End it; fail if its long job did not go on undisturbed to here."""
        assert self._pid, "it was disturbed, and ended"
        os.kill(self._pid, signal.SIGUSR1)
        ready, _, _ = select.select([self._told], [], [], PATIENCE)
        assert ready, "its job cannot be ended"
        _, status = os.waitpid(self._pid, 0)
        self._pid = 0
        assert not status, f"a bystander was disturbed:\n{self._story()}"

    def close(self) -> None:
        """Let go of it, whatever it does."""
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            self._pid = 0
        os.close(self._pipe)
        os.close(self._told)


def _serve(state: Path, work: Path, node: str, pipe: int, told: int) -> None:
    leaving = False

    def leave(*_: object) -> None:
        nonlocal leaving
        leaving = True

    signal.signal(signal.SIGUSR1, leave)
    link = Link(str(state))
    try:
        long = _submit(link, work, node, b"/bin/sleep", b"1000000")
        while not leaving:
            _round(link, work, node)
            os.write(pipe, b".")
        row = link.call("read", what="job", ref=long)["jobs"][0]
        assert row["state"] == "running", row
        link.call("act", verb="cancel", refs=[long])
        row = link.call("wait", refs=[long])["jobs"][0]
        assert row["result"] == "cancelled", row
    except BaseException:
        os.write(told, traceback.format_exc().encode()[-60_000:])
        raise


def _submit(link: Link, work: Path, node: str, *argv: bytes) -> str:
    values: dict[str, object] = {"argv": list(argv), "cwd": os.fsencode(work)}
    values |= {"output": b"/dev/null", "nodelist": [node], "priority": 50}
    spec, blobs = make_spec(values)
    request = new_request_id()
    return str(link.call("submit", request_id=request, spec=spec, blobs=blobs)["job"])


def _round(link: Link, work: Path, node: str) -> None:
    ident = _submit(link, work, node, b"/bin/true")
    row: dict[str, Any] = link.call("wait", refs=[ident])["jobs"][0]
    assert row["result"] == "success", row
    began = time.monotonic()
    link.call("read", what="status")
    assert time.monotonic() - began < PATIENCE
    assert link.generation == 1, "its connection was lost"


class Dialler:
    """Connects as a user: a child of that user's connects, and hands the socket over."""

    def __init__(self, user: pwd.struct_passwd) -> None:
        self._sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._pid = forked(user, lambda: self._dial_for(theirs))
        theirs.close()

    def __call__(self, path: Path) -> socket.socket:
        """Return a connection to the socket at a path."""
        self._sock.send(os.fsencode(path))
        data, fds, _, _ = socket.recv_fds(self._sock, 4, 1)
        assert fds, f"cannot connect to {path}: {os.strerror(*struct.unpack('i', data))}"
        return socket.socket(fileno=fds[0])

    def close(self) -> None:
        self._sock.close()
        os.waitpid(self._pid, 0)

    def _dial_for(self, sock: socket.socket) -> None:
        self._sock.close()  # else its end would never be seen
        while path := sock.recv(4096):
            try:
                with dial(os.fsdecode(path)) as made:
                    socket.send_fds(sock, [bytes(4)], [made.fileno()])
            except OSError as error:
                sock.send(struct.pack("i", error.errno or 0))
