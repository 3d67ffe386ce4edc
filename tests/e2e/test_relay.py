"""The streams of a `run` that a relay holds: every byte once, in order, whoever is slow or gone."""

import hashlib
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import pytest

from ostler.wire.address import dial
from ostler.wire.frames import frame
from ostler.wire.pack import pack
from tests.e2e.machine_kit import OSTLER, Host, eventually, names

pytestmark = pytest.mark.e2e

GATED = "echo up; while [ ! -e go ]; do sleep 0.02; done"  # until the test lets it go on
MOST = 150 << 20  # bytes of memory that any process of ours may take
COUNT = 200_000  # numbers that `seq` writes: more than all pipes and windows hold
NUMBERS = "".join(f"{n}\n" for n in range(1, COUNT + 1)).encode()


@contextmanager
def client(host: Host, *words: str, **pipes: int) -> Iterator["subprocess.Popen[bytes]"]:
    """Run one command beside the test; it is killed if the test fails meanwhile."""
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE} | pipes
    argv = [OSTLER, "--state", str(host.state), *words]
    with subprocess.Popen(argv, cwd=host.work, **pipes) as process:  # type: ignore[call-overload]
        try:
            yield process
            process.wait(60)
        finally:
            process.kill()


def out(process: "subprocess.Popen[bytes]") -> IO[bytes]:
    assert process.stdout is not None
    return process.stdout


def peak(pid: int) -> int:
    """Return the most memory that a process has had, in bytes; 0 if it has ended meanwhile."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    words = status.partition("VmHWM:")[2].split()
    return int(words[0]) << 10 if words else 0


def sleeps_after(pid: int, count: int) -> bool:
    """Say whether a process that only writes has written so much and waits for a reader."""
    state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    written = int(Path(f"/proc/{pid}/io").read_text().partition("wchar: ")[2].split()[0])
    return state == "S" and written >= count


def test_every_byte_goes_there_and_back_again(host: Host) -> None:
    data = random.Random(1).randbytes(8_000_001)
    done = subprocess.run(
        [OSTLER, "--state", str(host.state), "run", "--detach", "cat"],
        input=data,
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(data).digest()


def test_a_stopped_client_stops_the_task_and_nothing_grows_or_is_lost(own_host: Host) -> None:
    size = 40_000_000
    script = f"echo $$ >pid; exec head -c {size} /dev/zero"
    with client(own_host, "run", "--detach", "sh", "-c", script) as process:
        path = own_host.work / "pid"
        eventually("it runs", lambda: path.exists() and path.read_text().strip())
        process.send_signal(signal.SIGSTOP)
        pid = int(path.read_text())
        eventually("the task waits", lambda: sleeps_after(pid, 1 << 17))
        written = int(Path(f"/proc/{pid}/io").read_text().partition("wchar: ")[2].split()[0])
        assert written < 4 << 20
        process.send_signal(signal.SIGCONT)
        count = 0
        while data := out(process).read(1 << 20):
            count += len(data)
            assert not data.strip(b"\0")
        ours = [p for p in Path("/proc").iterdir() if p.name.isdigit() and names(p, own_host.state)]
        assert max(peak(int(p.name)) for p in ours) < MOST
    assert count == size


def test_a_client_that_dies_is_followed_by_one_that_gets_the_rest(own_host: Host) -> None:
    script = f"echo $$ >pid; exec seq {COUNT}"
    with client(own_host, "run", "--detach", "sh", "-c", script) as first:
        path = own_host.work / "pid"
        eventually("it runs", lambda: path.exists() and path.read_text().strip())
        pid = int(path.read_text())
        # Nobody reads, so the client waits as well, with all acknowledged that it has written.
        eventually("the task waits", lambda: sleeps_after(pid, 1 << 17))
        eventually("the client waits", lambda: state_of(first.pid) == "S")
        first.kill()
        begun = out(first).read()
    with client(own_host, "attach", "1") as second:
        rest = out(second).read()
    assert begun
    assert begun + rest == NUMBERS
    assert second.returncode == 0


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_newer_client_takes_the_place_of_one_that_hangs(host: Host) -> None:
    with client(host, "run", "--detach", "sh", "-c", f"{GATED}; seq 5000") as first:
        assert out(first).readline() == b"up\n"
        first.send_signal(signal.SIGSTOP)
        job = host.json("jobs")["jobs"][-1]["id"]
        (host.work / "go").touch()
        with client(host, "attach", job) as second:
            assert out(second).read().split()[-1] == b"5000"
        assert second.returncode == 0
        first.send_signal(signal.SIGCONT)
        first.wait(60)
        assert first.returncode == 5


def test_lines_have_the_rank_of_their_task_and_stay_whole(host: Host) -> None:
    lines = 3000
    script = f"i=0; while [ $i -lt {lines} ]; do echo $i of a line; i=$((i+1)); done; printf end"
    with client(host, "run", "--label", "-n", "4", "sh", "-c", script) as process:
        told = out(process).read().splitlines()
    wanted = [f"{i} of a line" for i in range(lines)] + ["end"]
    for rank in range(4):
        begin = b"%d: " % rank
        mine = [line[3:].decode() for line in told if line.startswith(begin)]
        assert mine == wanted
    assert len(told) == 4 * len(wanted)


@pytest.mark.parametrize(
    ("which", "more", "readers"),
    [("first", (), [0]), ("first", ("--label",), [0]), ("none", (), []), ("all", (), [0, 1, 2])],
)
def test_input_goes_to_the_first_task_all_or_none(
    host: Host, which: str, more: tuple[str, ...], readers: list[int]
) -> None:
    script = 'test "$(cat)" = word && echo $OSTLER_RANK >&2; true'
    done = host.ostler("run", "-n", "3", "--stdin", which, *more, "sh", "-c", script, stdin="word")
    assert sorted(int(line[-1]) for line in done.stderr.splitlines()) == readers


def test_a_task_learns_that_nobody_reads_it_any_more(host: Host) -> None:
    with client(host, "run", "--detach", "yes") as process:
        assert out(process).readline() == b"y\n"
        out(process).close()
        assert process.wait(60) == 128 + signal.SIGPIPE


def test_input_that_no_task_reads_keeps_nobody_waiting(host: Host) -> None:
    with client(host, "run", "--detach", "true", stdin=subprocess.PIPE) as process:
        assert process.wait(60) == 0


@pytest.mark.parametrize("victims", [("manager",), ("agent",), ("manager", "agent", "supervisor")])
def test_the_streams_outlive_the_daemons(own_host: Host, victims: tuple[str, ...]) -> None:
    script = "echo one; read word; echo two $word; read word; echo three $word; exit 7"
    words = ("run", "--detach", "sh", "-c", script)
    with client(own_host, *words, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert out(process).readline() == b"one\n"
        pids = own_host.pids()
        for name in victims:
            os.kill(pids[name], signal.SIGKILL)
        process.stdin.write(b"a\n")
        process.stdin.flush()
        assert out(process).readline() == b"two a\n"
        if "supervisor" in victims:
            own_host.up()
        process.stdin.write(b"b\n")
        process.stdin.close()
        assert out(process).read() == b"three b\n"
        assert process.wait(60) == 7


def test_a_run_without_a_client_is_cancelled_unless_it_may_go_on(own_host: Host) -> None:
    own_host.ostler("config", "set", "client-grace", "1")
    for words in (("--label",), ("--detach",)):
        script = "echo up; read x"
        pipes = {"stdin": subprocess.PIPE}
        with client(own_host, "run", *words, "sh", "-c", script, **pipes) as process:
            out(process).read(1)
            process.kill()
    row = own_host.wait_for("1", "done")
    assert row["result"] == "cancelled"
    assert "client" in row["reason"]
    assert own_host.job("2")["state"] == "running"
    with client(own_host, "attach", "2", stdin=subprocess.PIPE) as process:
        process.communicate(b"\n")
    assert process.returncode == 0


def test_leaving_lets_it_go_on(own_host: Host) -> None:
    own_host.ostler("config", "set", "client-grace", "1")
    script = "echo up; read x; echo $x; exit 3"
    pipes = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE}
    with client(own_host, "run", "--label", "sh", "-c", script, **pipes) as first:
        assert out(first).readline() == b"0: up\n"
        first.send_signal(signal.SIGQUIT)
        assert first.wait(60) == 0
        assert first.stderr is not None
        assert b"ostler attach 1" in first.stderr.read()
    other = own_host.submit("--", "sleep", "1.5")
    own_host.ostler("wait", other)  # more than the grace, by the machine's own clock
    with client(own_host, "attach", "1", stdin=subprocess.PIPE) as second:
        assert second.stdin is not None
        second.stdin.write(b"word\n")
        second.stdin.flush()
        assert out(second).read() == b"0: word\n"
        assert second.wait(60) == 3


def test_the_first_interrupt_reaches_the_tasks_and_the_second_cancels(host: Host) -> None:
    script = "trap 'echo caught' INT; echo ready; while :; do sleep 0.05; done"
    with client(host, "run", "--label", "sh", "-c", script) as process:
        assert out(process).readline() == b"0: ready\n"
        process.send_signal(signal.SIGINT)
        assert out(process).readline() == b"0: caught\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 128 + signal.SIGTERM


def test_what_cannot_be_attached_to_is_told_with_what_can(host: Host) -> None:
    with client(host, "run", "sh", "-c", "echo up; read x", stdin=subprocess.PIPE) as process:
        assert out(process).readline() == b"up\n"
        plain = host.json("jobs")["jobs"][-1]["id"]
        done = host.ostler("attach", plain, check=False)
        assert done.returncode == 3
        assert "--detach" in done.stderr
        assert process.stdin is not None
        process.stdin.close()
    done = host.ostler("attach", plain, check=False)
    assert (done.returncode, "has ended" in done.stderr) == (5, True)
    batch = host.submit("--", "true")
    done = host.ostler("attach", batch, check=False)
    assert done.returncode == 3
    assert f"logs -f {batch}" in done.stderr
    assert host.ostler("attach", "999", check=False).returncode == 4


def test_a_job_that_cannot_begin_says_so_at_once(host: Host) -> None:
    done = host.ostler("run", "--detach", "-D", "/no/such/folder", "true", check=False)
    assert done.returncode == 125
    assert "/no/such/folder" in done.stderr
    done = host.ostler("run", "--label", "nosuch", check=False)
    assert done.returncode == 127
    assert "0: ostler: cannot run 'nosuch'" in done.stderr


def test_nothing_of_a_relay_is_left_after_its_job(host: Host) -> None:
    host.ostler("run", "--label", "-n", "2", sys.executable, "-c", "print(1)")
    job = host.json("jobs", "--all")["jobs"][-1]["id"]
    path = host.state / "node" / "streams" / job
    eventually("the relay is gone", lambda: not path.exists())


@pytest.mark.parametrize(
    "payload",
    [
        b"\xff\xff\xff\xff",
        frame(b"\xc1"),
        frame(pack([])),
        frame(pack({"type": "attach"})) + frame(pack({"type": "ack", "bytes": 1})),
        frame(pack({"type": "attach"})) + frame(pack({"type": "ack", "bytes": -1})),
        frame(pack({"type": "attach"})) + frame(pack({"type": "in", "data": bytes(1 << 17)})) * 3,
        frame(pack({"type": "attach"})) + frame(pack({"type": "shut", "stream": None})),
    ],
)
def test_nonsense_closes_that_connection_only(host: Host, payload: bytes) -> None:
    script = "echo up; read x; echo $x"
    with client(host, "run", "--detach", "sh", "-c", script, stdin=subprocess.PIPE) as process:
        assert out(process).readline() == b"up\n"
        job = host.json("jobs")["jobs"][-1]["id"]
        with dial(str(host.state / "node" / "streams" / job)) as peer:
            peer.settimeout(60)
            peer.sendall(payload)
            with suppress(ConnectionResetError):
                while peer.recv(4096):
                    pass
        with client(host, "attach", job, stdin=subprocess.PIPE) as second:
            second.communicate(b"word\n")
        assert second.returncode == 0


def test_what_nobody_has_read_waits_until_the_machine_is_stopped(own_host: Host) -> None:
    go = own_host.work / "go"
    with client(own_host, "run", "--detach", "sh", "-c", f"{GATED}; echo late") as first:
        assert out(first).readline() == b"up\n"
        first.kill()
    go.touch()
    own_host.wait_for("1", "done")
    path = own_host.state / "node" / "streams" / "1"
    with client(own_host, "attach", "1") as second:
        told = out(second).read()
    assert told.removeprefix(b"up\n") == b"late\n"  # killed before it acknowledged the first
    assert second.returncode == 0
    eventually("the relay is gone", lambda: not path.exists())
    go.unlink()
    with client(own_host, "run", "--detach", "sh", "-c", f"{GATED}; echo") as third:
        assert out(third).readline() == b"up\n"
        third.kill()
    go.touch()
    own_host.wait_for("2", "done")
    path = path.with_name("2")
    assert path.exists()
    own_host.ostler("down")
    eventually("the relay is gone", lambda: not path.exists())
