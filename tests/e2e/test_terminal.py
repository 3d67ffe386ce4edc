"""`run --pty`: a terminal for the task, and the user's own as it was before."""

import os
import pty
import signal
import struct
import subprocess
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import ioctl

import pytest

from tests.e2e.machine_kit import OSTLER, Host, eventually

pytestmark = pytest.mark.e2e


class Screen:
    """A terminal with an `ostler` in its foreground."""

    def __init__(self, host: Host, *words: str) -> None:
        pid, self.fd = pty.fork()
        if not pid:
            os.read(0, 1)  # until the size is set and the modes are known
            os.execv(OSTLER, [OSTLER, "--state", str(host.state), *words])
        self.pid = pid
        self.modes = termios.tcgetattr(self.fd)
        self.seen = b""
        self.resize(30, 100)
        self.type("\n")

    def resize(self, rows: int, columns: int) -> None:
        ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def shows(self, text: str) -> None:
        """Read on until this has come."""
        while text.encode() not in self.seen:
            try:
                data = os.read(self.fd, 4096)
            except OSError:
                data = b""
            assert data, self.seen
            self.seen += data
        self.seen = self.seen.partition(text.encode())[2]

    def status(self) -> int:
        """Wait for the end of the command; return its exit status."""
        try:
            while os.read(self.fd, 4096):
                pass
        except OSError:
            pass  # nobody has it open any more
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        return os.waitstatus_to_exitcode(status)

    def close(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)


@contextmanager
def screen(host: Host, *words: str) -> Iterator[Screen]:
    made = Screen(host, *words)
    try:
        yield made
    finally:
        made.close()


def test_the_task_has_a_terminal_of_the_size_of_ours(host: Host) -> None:
    trap = "trap 'stty size; exit 4' WINCH"
    script = f"tty; stty size; {trap}; echo ready; while :; do sleep 0.05; done"
    with screen(host, "run", "--pty", "bash", "-c", script) as found:
        found.shows("/dev/pts/")
        found.shows("30 100")
        found.shows("ready")
        found.resize(20, 70)
        found.shows("20 70")
        assert found.status() == 4


def test_keys_go_to_the_task_as_they_are_and_the_terminal_is_restored(host: Host) -> None:
    script = "stty raw -echo; echo ready; head -c 4 | od -An -tx1"
    with screen(host, "run", "--pty", "sh", "-c", script) as found:
        before = termios.tcgetattr(found.fd)
        found.shows("ready")
        assert termios.tcgetattr(found.fd) != before
        found.type("\x03\x1a\x1c\x11")
        found.shows("03 1a 1c 11")
        eventually("it is as before", lambda: termios.tcgetattr(found.fd) == before)
        assert found.status() == 0


def test_an_interrupt_is_the_tasks_own(host: Host) -> None:
    script = "trap 'echo caught; exit 9' INT; echo ready; while :; do sleep 0.05; done"
    with screen(host, "run", "--pty", "sh", "-c", script) as found:
        found.shows("ready")
        found.type("\x03")
        found.shows("caught")
        assert found.status() == 9


def test_a_shell_has_job_control_and_ends_at_the_end_of_input(host: Host) -> None:
    with screen(host, "run", "--pty", "bash", "--norc", "--noprofile") as found:
        found.type("PS1='> '; set -o | grep monitor\n")
        found.shows("monitor        \ton")
        found.type("(echo g''o; exec cat)\n")
        found.shows("go")  # which is not in its echo: cat has the terminal now
        found.type("\x1a")
        found.shows("Stopped")
        found.shows("> ")
        found.type("fg\n")
        found.shows("exec cat")  # as bash tells what goes on, once it has made the terminal ready
        found.type("word\n")
        found.shows("word\r\nword")
        found.type("\x04")
        found.type("exit 6\n")
        assert found.status() == 6


def test_three_keys_leave_the_terminal_and_attach_takes_it_again(host: Host) -> None:
    with screen(host, "run", "--pty", "sh", "-c", "printf ready; read x; echo got $x") as first:
        first.shows("ready")
        first.type("\x1d\x1d\x1d")
        first.shows("\r\nostler: job")  # on a line of its own, whatever the task left there
        first.shows("ostler attach")
        assert first.status() == 0
    job = host.json("jobs")["jobs"][-1]["id"]
    with screen(host, "attach", job) as second:
        second.type("word\n")
        second.shows("got")
        assert second.status() == 0


def test_a_terminal_is_for_one_task(host: Host) -> None:
    done = host.ostler("run", "--pty", "-n", "2", "true", check=False)
    assert done.returncode == 2
    assert "one task" in done.stderr


def test_without_a_terminal_of_ours_input_ends_all_the_same(host: Host) -> None:
    done = subprocess.run(
        [OSTLER, "--state", str(host.state), "run", "--pty", "cat"],
        input=b"word\n",
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == b"word\r\nword\r\n"
