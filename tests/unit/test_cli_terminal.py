"""What only a terminal gets: a line of progress, a table drawn anew, colours. And nobody else."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ostler.cli.output import table
from ostler.cli.progress import Pace
from ostler.wire import messages
from tests.unit.scripted import ROAD, SILENCE, Answer, Manager, Request, manager, ostler
from tests.unit.swf_kit import job, written
from tests.unit.test_cli_commands import ENDED, ROW, answering

PATIENCE = 60.0  # seconds: bounds hanging
ARRAY = ROW | {"array": "0-99", "elements": 100, "command": "fit"}


class Terminal:
    """A command on a terminal of its own, and what it has written there."""

    def __init__(self, process: subprocess.Popen[bytes], fd: int) -> None:
        self.process = process
        self.text = ""
        self._fd = fd

    def until(self, seen: Callable[[str], bool]) -> str:
        """Read until what was written so far satisfies; fail if it ends before."""
        while not seen(self.text):
            assert self._more(), self.text
        return self.text

    def end(self) -> tuple[int, str]:
        """Return the exit status, and all that was written."""
        while self._more():
            pass
        return self.process.wait(PATIENCE), self.text

    def _more(self) -> bool:
        ready, _, _ = select.select([self._fd], [], [], PATIENCE)
        assert ready, f"nothing more came after {self.text!r}"
        try:
            data = os.read(self._fd, 65_536)
        except OSError:  # Linux tells the end of a terminal so
            data = b""
        self.text += data.decode()
        return bool(data)

    def resize(self, lines: int, columns: int) -> None:
        """Change the size, as a window does."""
        set_size(self._fd, lines, columns)
        self.process.send_signal(signal.SIGWINCH)


def set_size(fd: int, lines: int, columns: int) -> None:
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))


@contextmanager
def terminal(state: Path, *words: str, **env: str) -> Iterator[Terminal]:
    ours, theirs = pty.openpty()
    set_size(theirs, 24, 60)
    process = subprocess.Popen(
        [sys.executable, "-SEI", str(ROAD), "--state", str(state), *words],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={"PATH": os.environ["PATH"], "TERM": "xterm", **env},
    )
    os.close(theirs)
    try:
        yield Terminal(process, ours)
    finally:
        process.kill()
        process.wait(PATIENCE)
        os.close(ours)


class Waited:
    """A manager that lets a wait end when the test says so."""

    def __init__(self, state: Path, row: dict[str, Any]) -> None:
        self.row = row
        self.looks = 0
        self.waits: list[int] = []
        self.made: Manager
        self._state = state

    def answer(self, request: Request) -> Answer:
        if isinstance(request, messages.Wait):
            self.waits.append(request.id)
            return SILENCE
        self.looks += 1
        done = min(self.looks * 10, 100)
        return {
            "jobs": [
                self.row
                | {"elements_done": done, "elements_by_result": {"success": done - 2, "failed": 2}}
            ]
        }

    def finish(self) -> None:
        self.made.tell(messages.Reply(self.waits[-1], {"jobs": [ENDED]}))


@contextmanager
def waited(state: Path, row: dict[str, Any]) -> Iterator[Waited]:
    found = Waited(state, row)
    with manager(state, found.answer) as found.made:
        yield found


def test_wait_keeps_a_line_of_how_far_an_array_is(tmp_path: Path) -> None:
    with waited(tmp_path, ARRAY) as made, terminal(tmp_path, "wait", "12") as shown:
        shown.until(lambda text: "left" in text)
        made.finish()
        status, text = shown.end()
    assert status == 0
    first, second, *_ = text.split("\r")[1:]
    assert first.rstrip() == "12: 2 failed, 10 of 100 ended"
    assert second.startswith("12: 2 failed, 20 of 100 ended, ")
    assert "/s, " in second
    assert max(len(line) for line in text.split("\r")) < 60
    assert text.split("\r")[-2].strip() == "12: success: it succeeded"


@pytest.mark.parametrize("words", [("wait", "-q", "12"), ("wait", "--json", "12")])
def test_wait_keeps_no_line_where_it_was_not_wanted(tmp_path: Path, words: tuple[str, ...]) -> None:
    with waited(tmp_path, ARRAY) as made, terminal(tmp_path, *words) as shown:
        made.made.await_requests(1)
        made.finish()
        _, text = shown.end()
    assert made.looks == 0
    assert "ended," not in text


def test_wait_keeps_no_line_without_a_terminal(tmp_path: Path) -> None:
    with answering(tmp_path, wait={"jobs": [ENDED]}) as made:
        done = ostler(tmp_path, "wait", "12")
    assert (done.out, done.err) == ("12: success: it succeeded\n", "")
    assert [type(request) for request in made.requests] == [messages.Wait]


def test_wait_looks_once_at_what_is_no_array(tmp_path: Path) -> None:
    with waited(tmp_path, ROW) as made, terminal(tmp_path, "wait", "12") as shown:
        made.made.await_requests(2)
        made.finish()
        _, text = shown.end()
    assert made.looks == 1
    assert text == "12: success: it succeeded\r\n"


def test_the_rate_is_that_of_late() -> None:
    pace = Pace(1_000)
    texts = [pace.text(float(n), n * 10 if n < 5 else 40 + (n - 4) * 20) for n in range(30)]
    assert texts[0] == "0 of 1000 ended"
    assert texts[4] == "40 of 1000 ended, 10/s, 1m 36s left"
    assert texts[29] == "540 of 1000 ended, 20/s, 23s left"


def test_a_replay_tells_how_far_it_is_and_cuts_no_number(tmp_path: Path) -> None:
    trace = written(tmp_path / "four.swf", *(job(n, 10 * n, 50, 6) for n in range(4)))
    with terminal(tmp_path, "sim", "--policy", "fcfs", trace) as shown:
        status, text = shown.end()
    assert status == 0
    line, _, table = text.partition("POLICY")
    assert line.split("\r")[1].rstrip() == "[....................] 0 of 4 jobs"
    assert table.split()[6:10] == ["fcfs", "60.000", "60.0", "2.200000"]


@pytest.mark.parametrize("flag", ["-q", "--json"])
def test_a_replay_keeps_no_line_where_it_was_not_wanted(tmp_path: Path, flag: str) -> None:
    trace = written(tmp_path / "one.swf", job())
    with terminal(tmp_path, "sim", flag, trace) as shown:
        status, text = shown.end()
    assert status == 0
    assert "of 1 jobs" not in text


def test_jobs_are_drawn_anew_in_their_place_until_ctrl_c(tmp_path: Path) -> None:
    looks: list[int] = []

    def jobs(request: Request) -> Answer:
        looks.append(1)
        state = "pending" if len(looks) == 1 else "running"
        return {"jobs": [ROW | {"id": f"{n}", "state": state} for n in range(100, 150)]}

    with answering(tmp_path, jobs=jobs), terminal(tmp_path, "jobs", "--watch") as shown:
        shown.until(lambda text: "50 running" in text)
        frames = shown.text.split("\x1b[H")
        shown.resize(10, 30)
        shown.until(lambda text: "more" in "".join(text.split("\x1b[2J")[2:]))
        shown.process.send_signal(signal.SIGINT)
        status, text = shown.end()
    assert status == 0
    assert text.endswith("\n")
    assert "50 pending; Ctrl-C ends this" in frames[1]
    assert frames[1].count("\n") == 22
    assert "… 31 more" in frames[1]
    small = text.split("\x1b[2J")[-1].split("\x1b[J")[0]
    assert small.count("\n") == 8
    assert "… 45 more" in small
    assert max(len(line) for line in bare(small).splitlines()) <= 30


def bare(text: str) -> str:
    """Return the text without colours and other orders to the terminal."""
    for order in ("\x1b[K", "\x1b[0m", "\x1b[31m", "\x1b[32m", "\x1b[33m", "\r"):
        text = text.replace(order, "")
    return text


def test_a_terminal_that_knows_nothing_gets_one_table_after_the_other(tmp_path: Path) -> None:
    with (
        answering(tmp_path, jobs={"jobs": [ROW]}),
        terminal(tmp_path, "jobs", "--watch", TERM="dumb") as shown,
    ):
        shown.until(lambda text: text.count("1 running") == 2)
    assert "\x1b" not in shown.text


@pytest.mark.parametrize("words", [("jobs", "--watch"), ("jobs", "--watch", "--json")])
def test_watch_needs_a_terminal_and_says_what_to_use(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    with answering(tmp_path, jobs={"jobs": []}):
        done = ostler(tmp_path, *words)
    assert done.status == 2
    assert "ostler events -f --json" in done.err


@pytest.mark.parametrize("quiet", [(), ("-q",)])
def test_options_behind_a_script_are_told_to_go_there(
    tmp_path: Path, quiet: tuple[str, ...]
) -> None:
    script = tmp_path / "job.sh"
    script.write_text("#!/bin/sh\n")
    with answering(tmp_path, submit={"job": "12"}):
        with terminal(tmp_path, "submit", *quiet, str(script), "-t", "5m") as shown:
            _, text = shown.end()
        piped = ostler(tmp_path, "submit", str(script), "-t", "5m")
    told = "ostler: -t goes to the script; options of submit stand before its name\r\n"
    assert text == ("12\r\n" if quiet else f"{told}12\r\n")
    assert (piped.out, piped.err) == ("12\n", "")


def test_colours_are_for_terminals_alone(tmp_path: Path) -> None:
    with answering(tmp_path, jobs={"jobs": [ROW]}):
        with terminal(tmp_path, "jobs") as shown:
            _, coloured = shown.end()
        with terminal(tmp_path, "jobs", NO_COLOR="1") as shown:
            _, plain = shown.end()
        piped = ostler(tmp_path, "jobs").out
    assert "\x1b[32mrunning\x1b[0m" in coloured
    assert bare(coloured) == bare(plain)
    assert "\x1b" not in plain + piped
    assert "running" in plain


def test_no_line_of_a_table_is_longer_than_the_terminal() -> None:
    row: dict[str, object] = {f"k{n}": "x" * n for n in range(1, 12)}
    columns = [(f"k{n}", f"HEAD{n}") for n in range(1, 12)]
    for room in range(8, 90):
        lines = table([row], columns, room=room).splitlines()
        assert max(len(line) for line in lines) <= room
