"""Descriptors that clients of `run` leave, and peers that misbehave on the agent's socket."""

import os
import socket

import pytest

from ostler.agent import spool
from ostler.model.orders import Started
from ostler.wire.frames import frame
from ostler.wire.pack import pack
from tests.e2e.agent import kit
from tests.e2e.agent.kit import Node, call_agent, leave

pytestmark = pytest.mark.e2e


def read_all(fd: int) -> bytes:
    """Read to the end of the file, which comes only when nobody holds the other end."""
    with os.fdopen(fd, "rb") as file:
        return file.read()


def closed(sock: socket.socket) -> bool:
    """Say whether the agent ends this connection."""
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True


def run_with_pipes(node: Node, *, first: bool) -> tuple[bytes, bytes]:
    """Run a task on three pipes, left before or after the order; return its output and error."""
    inner, write_in = os.pipe()
    read_out, out = os.pipe()
    read_err, err = os.pipe()
    job = node.job("", stdio="token-1", argv=(b"/bin/sh", b"-c", b"cat; echo oops >&2; exit 3"))
    node.manager.greeting()
    if not first:
        node.manager.order(job.launch)
        node.manager.quiet()
    client = leave(node.state, "token-1", (inner, out, err))
    for fd in (inner, out, err):
        os.close(fd)
    if first:
        node.manager.order(job.launch)
    node.manager.row(Started, job.alloc)
    os.write(write_in, b"through the pipe\n")
    os.close(write_in)
    assert job.ended().tasks[0].code == 3
    client.close()
    return read_all(read_out), read_all(read_err)


@pytest.mark.parametrize("first", [True, False], ids=["left before", "left after"])
def test_a_task_writes_to_the_clients_own_descriptors(alone: Node, *, first: bool) -> None:
    assert run_with_pipes(alone, first=first) == (b"through the pipe\n", b"oops\n")


def test_nobody_holds_the_clients_descriptors_when_its_task_has_closed_them(alone: Node) -> None:
    read_out, out = os.pipe()
    job = alone.job(stdio="t")
    script = job.launch.argv[2].replace(b"echo ran", b"exec </dev/null >/dev/null 2>&1; echo ran")
    alone.manager.greeting()
    client = leave(alone.state, "t", (out, out, out))
    os.close(out)
    alone.manager.order(kit.replaced(job.launch, argv=(b"/bin/sh", b"-c", script)))
    alone.manager.row(Started, job.alloc)
    assert read_all(read_out) == b""  # the end comes while the task runs
    job.release()
    job.ended()
    client.close()


def test_a_client_that_has_gone_takes_its_descriptors_along(alone: Node) -> None:
    read_out, out = os.pipe()
    alone.manager.greeting()
    leave(alone.state, "token-2", (out, out, out)).close()
    os.close(out)
    assert read_all(read_out) == b""


def test_a_run_whose_client_never_comes_is_cancelled(idle: Node) -> None:
    idle.start("from ostler.agent import hand; hand.CLIENT_SECONDS = 0.2")
    job = idle.job(stdio="nobody")
    idle.manager.order(job.launch)
    row = job.ended()
    assert (row.started_at, row.cause) == (None, "cancelled")
    assert "client of run is gone" in row.why


def test_a_run_that_waits_for_its_client_can_be_cancelled(alone: Node) -> None:
    job = alone.job(stdio="nobody")
    alone.manager.order(job.launch, job.end())
    assert job.ended().why == job.end().why


@pytest.mark.parametrize(
    "payload",
    [
        b"\xff\xff\xff\xff",
        b"GET / HTTP/1.1\r\n\r\n",
        frame(b""),
        frame(b"\xc1"),
        frame(pack({"type": "nonsense"})),
        frame(pack({"type": "leave", "token": "no descriptors"})),
        frame(pack({"type": "started", "alloc": 1, "at": 1.0})),
        frame(pack({"type": "progress", "alloc": 1, "serial": 1, "ended": [[0, 1]]})),
        frame(pack({"type": "starter", "name": "../../etc/passwd", "pid": 1, "start_time": 1,
                    "alloc": None, "phase": "idle"})),
        frame(pack({"type": "starter", "name": "s1-1-1", "pid": os.getpid(), "start_time": 1,
                    "alloc": 1, "phase": "ended"})),
    ],
)  # fmt: skip
def test_nonsense_closes_that_connection_only(shared: Node, payload: bytes) -> None:
    peer = call_agent(shared.state, payload)
    assert closed(peer)
    peer.close()
    job = shared.job().run()
    job.release()
    assert job.ended().tasks[0].code == 7


def test_nobody_can_speak_for_a_starter(alone: Node) -> None:
    job = alone.job().run()
    starter = alone.spool_of(job.alloc)
    hello = {
        "type": "starter",
        "name": starter.header["name"],
        "pid": starter.pid,
        "start_time": starter.start_time,
        "alloc": job.alloc,
        "phase": "ended",
    }
    end = {"type": "ended", "alloc": job.alloc, "at": 1.0, "started_at": None}
    impostor = call_agent(alone.state, frame(pack(hello)) + frame(pack(end)))
    assert closed(impostor)
    impostor.close()
    job.release()
    assert job.ended().tasks[0].code == 7


def test_whoever_got_the_pid_of_a_dead_starter_is_not_the_starter(alone: Node) -> None:
    job = alone.job().run()
    starter = alone.spool_of(job.alloc)
    alone.kill_starter(job.alloc)
    header = {**starter.header, "pid": os.getpid()}  # as if that had been its pid
    (alone.state / "node" / "spool" / "dead").write_bytes(spool.encode(spool.HEADER, header))
    hello = {
        "type": "starter",
        "name": "dead",
        "pid": os.getpid(),
        "start_time": starter.start_time,
        "alloc": job.alloc,
        "phase": "ended",
    }
    end = {"type": "ended", "alloc": job.alloc, "at": 1.0, "started_at": None}
    impostor = call_agent(alone.state, frame(pack(hello)) + frame(pack(end)))
    assert closed(impostor)
    impostor.close()
    job.release()
    assert job.ended().tasks[0].code == 7


def test_clients_that_say_nothing_do_not_stop_others(alone: Node) -> None:
    alone.manager.greeting()
    silent = [call_agent(alone.state, b"\0") for _ in range(600)]
    job = alone.job().run()
    job.release()
    job.ended()
    for sock in silent:
        sock.close()
