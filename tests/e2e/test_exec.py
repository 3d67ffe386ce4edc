"""`ostler exec`: a command inside a running job, with what the job has, and without holding it up."""

import fcntl
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from ostler.agent import proc
from ostler.model.errors import OstlerError
from ostler.wire.frames import Splitter, frame
from ostler.wire.pack import pack, unpack
from tests.e2e.machine_kit import OSTLER, PATIENCE, Host, eventually
from tests.e2e.test_system_machine import NOBODY, OTHER, as_user, ask, submit, system
from tests.e2e.test_ups_and_downs import kill

pytestmark = pytest.mark.e2e
__all__ = ["system"]  # a fixture

SHOW = "cat /proc/self/cgroup; grep Cpus_allowed_list /proc/self/status; ulimit -Sn; umask; pwd"


@contextmanager
def job(host: Host, *words: str) -> Iterator[str]:
    """Run a job that lasts until the end of the block."""
    ident = host.submit("-o", "/dev/null", *words, "--", "sleep", "1000")
    host.wait_for(ident, "running")
    try:
        yield ident
    finally:
        host.ostler("cancel", ident)


@contextmanager
def entered(host: Host, ident: str, script: str) -> Iterator["subprocess.Popen[str]"]:
    """Run a script inside a job beside the test."""
    with subprocess.Popen(
        [OSTLER, "--state", str(host.state), "exec", ident, "--", "sh", "-c", script],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=host.work,
    ) as client:
        try:
            yield client
        finally:
            client.kill()


def line(client: "subprocess.Popen[str]") -> str:
    assert client.stdout is not None
    return client.stdout.readline()


def test_it_has_what_the_tasks_have(host: Host) -> None:
    (host.work / "sub").mkdir()
    script = (
        f"ulimit -Sn 99; {OSTLER} --state {host.state} submit --umask 027 -D sub -m 200M -o out"
    )
    whole = f"{script} -- sh -c '{SHOW}; echo $OSTLER_CPU_LIST $MARK; sleep 1000'"
    done = subprocess.run(
        ["sh", "-c", whole],
        env=os.environ | {"MARK": "carried"},
        cwd=host.work,
        capture_output=True,
        text=True,
        check=True,
    )
    ident = done.stdout.strip()
    out = host.work / "sub" / "out"
    of_task = eventually(
        "it has told", lambda: out.exists() and "carried" in (t := out.read_text()) and t
    )
    inside = host.ostler("exec", ident, "--", "sh", "-c", f"{SHOW}; echo $OSTLER_CPU_LIST $MARK")
    assert inside.stdout == of_task
    host.ostler("cancel", ident)


def test_its_streams_and_its_status_are_the_callers_and_the_job_goes_on(host: Host) -> None:
    with job(host) as ident:
        script = "tr a-z A-Z; echo err >&2; exit 9"
        done = host.ostler("exec", ident, "sh", "-c", script, stdin="words\n", check=False)
        assert (done.stdout, done.stderr, done.returncode) == ("WORDS\n", "err\n", 9)
        assert host.ostler("exec", ident, "nosuch", check=False).returncode == 127
        assert host.ostler("exec", ident, "/etc/passwd", check=False).returncode == 126
        done = host.ostler("exec", ident, "--", "sh", "-c", "kill -9 $$", check=False)
        assert done.returncode == 137
        assert host.job(ident)["state"] == "running"


def test_an_interrupt_is_passed_on(host: Host) -> None:
    with job(host) as ident:
        script = "trap 'echo caught; exit 4' INT; echo ready; while :; do sleep 0.05; done"
        with entered(host, ident, script) as client:
            assert line(client) == "ready\n"
            client.send_signal(signal.SIGINT)
            assert line(client) == "caught\n"
            assert client.wait(60) == 4


def test_the_end_of_the_job_ends_it(host: Host) -> None:
    with (
        job(host) as ident,
        entered(host, ident, "trap '' TERM HUP; echo $$; sleep 1000 & wait; wait") as client,
    ):
        task = int(line(client))
        host.ostler("cancel", ident)
        assert client.wait(60) == 128 + signal.SIGKILL
        eventually("its end", lambda: proc.is_zombie(task))


def test_a_command_whose_client_dies_is_told_and_so_is_one_whose_agent_does(own_host: Host) -> None:
    heard = own_host.work / "heard"
    script = f"trap 'echo hup >> {heard}; exit' HUP; echo ready; while :; do sleep 0.05; done"
    with job(own_host) as ident:
        with entered(own_host, ident, script) as client:
            assert line(client) == "ready\n"
            client.kill()
            eventually("it has heard", lambda: heard.exists() and heard.read_text() == "hup\n")
        with entered(own_host, ident, script) as client:
            assert line(client) == "ready\n"
            kill(own_host.pids()["agent"])
            assert client.wait(60) == 5
            eventually("it has heard", lambda: heard.read_text() == "hup\nhup\n")
        again = eventually(
            "the next agent lets in",
            lambda: own_host.ostler("exec", ident, "echo", "in", check=False).stdout,
        )
        assert again == "in\n"
        assert own_host.job(ident)["state"] == "running"


def test_one_element_of_an_array_is_named(host: Host) -> None:
    with job(host, "--array", "3-5") as ident:
        done = host.ostler("exec", ident, "true", check=False)
        assert done.returncode == 2
        assert f"name one: {ident}_3" in done.stderr
        inside = host.ostler("exec", f"{ident}_4", "--", "sh", "-c", "echo $OSTLER_ELEMENT")
        assert inside.stdout == "4\n"


def test_what_does_not_run_cannot_be_entered(host: Host) -> None:
    ident = host.submit("--hold", "--", "true")
    done = host.ostler("exec", ident, "true", check=False)
    assert done.returncode == 5
    assert "only what runs can be entered" in done.stderr
    host.ostler("cancel", ident)


def test_in_an_allocation_it_is_a_step(host: Host) -> None:
    inner = f"{OSTLER} exec $OSTLER_JOB -- sh -c 'echo $OSTLER_STEP; exit 6'"
    done = host.ostler("alloc", "sh", "-c", inner, check=False)
    assert (done.stdout, done.returncode) == ("0\n", 6)


def test_on_a_terminal_it_has_one_with_keys_size_and_interrupts(host: Host) -> None:
    with job(host) as ident:
        pid, screen = pty.fork()
        if pid == 0:
            os.environ["TERM"] = "vt100"
            shell = ["env", "PS1=> ", "sh", "-i"]
            os.execv(OSTLER, [OSTLER, "--state", str(host.state), "exec", ident, "--", *shell])
        resize(screen, 33, 101)
        told = Screen(screen)
        told.until("> ")
        told.type("stty size; echo $TERM-$OSTLER_JOB\n", f"33 101\r\nvt100-{ident}\r\n")
        told.type("sh -c 'echo g''o; exec sleep 1000'\n", "go\r\n")  # so it is in the foreground
        told.type("\x03", "> ")
        resize(screen, 20, 50)
        # The keys may overtake the news of the size.
        seen = "until [ \"$(stty size)\" = '20 50' ]; do :; done; echo se''en; exit 5\n"
        told.type(seen, "seen\r\n")
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 5
        os.close(screen)


def resize(screen: int, rows: int, columns: int) -> None:
    fcntl.ioctl(screen, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))


class Screen:
    """What a terminal has shown since the last key."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._shown = ""

    def until(self, text: str) -> None:
        """Read until it shows this."""
        while text not in self._shown:
            data = b""
            with suppress(OSError):
                data = os.read(self._fd, 4096)
            assert data, self._shown
            self._shown += data.decode(errors="replace")

    def type(self, keys: str, text: str) -> None:
        """Press keys, and read until it shows the text."""
        self._shown = ""
        os.write(self._fd, keys.encode())
        self.until(text)


@pytest.mark.skipif(os.geteuid() != 0, reason="a system machine is root's to start")
def test_nobody_enters_the_job_of_another(system: Host) -> None:
    ident = submit(system, NOBODY, b"/bin/sleep", b"1000")
    eventually("it runs", lambda: system.job(ident)["state"] == "running")

    def enter() -> str:
        from ostler.client.inside import Inside

        readable, writable = os.pipe()
        (element,) = ask_job()["element_rows"]
        inside = Inside(str(system.state), str(element["node"]))
        argv = [b"/usr/bin/id", b"-un"]
        inside.begin({"alloc": element["allocation"], "argv": argv}, (0, writable, 2))
        while inside.end is None:
            select.select([inside], [], [], PATIENCE)
            inside.pump()
        return os.read(readable, 100).decode()

    def ask_job() -> dict[str, list[dict[str, object]]]:
        from ostler.client.link import Link

        row: dict[str, list[dict[str, object]]] = Link(str(system.state)).call(
            "read", what="job", ref=ident
        )["jobs"][0]
        return row

    assert as_user(NOBODY, enter) == "nobody\n"
    with pytest.raises(OstlerError, match="nothing of yours runs there"):
        as_user(OTHER, enter)
    assert system.ostler("exec", ident, "--", "/usr/bin/id", "-un").stdout == "nobody\n"
    ask(system, NOBODY, "act", verb="cancel", refs=[ident])


@pytest.mark.parametrize(
    ("wish", "count", "code"),
    [
        ({"alloc": 4711, "argv": [b"true"]}, 3, "refused"),
        ({"argv": [b"true"]}, 2, "usage"),
        ({"argv": []}, 3, "usage"),
        ({"argv": [b"a\0b"]}, 3, "usage"),
        ({"argv": [b"true"], "term": b"x" * 300}, 3, "usage"),
        ({"argv": [b"true"], "element": 5}, 3, "refused"),
    ],
)
def test_a_wish_that_cannot_be_meant_is_refused_and_nothing_falls(
    host: Host, wish: dict[str, object], count: int, code: str
) -> None:
    with job(host) as ident:
        wish = {"alloc": host.job(ident)["element_rows"][0]["allocation"]} | wish
        before = host.pids()
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(PATIENCE)
            sock.connect(str(host.state / "agent.sock"))
            socket.send_fds(sock, [frame(pack({"type": "exec", **wish}))], [0, 1, 2][:count])
            (told,) = (unpack(payload) for payload in Splitter().feed(sock.recv(65536)))
        assert (told["type"], told["code"]) == ("exec_refused", code)
        assert host.ostler("exec", ident, "echo", "in").stdout == "in\n"
        assert host.pids() == before
