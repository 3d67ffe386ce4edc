"""`ostler logs`: labels, arrays of any length, and files that are cut, replaced, absent or none."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ostler.cli.tail import File, Files
from ostler.model.errors import NotNow
from ostler.model.ids import parse_ref
from ostler.wire import messages
from tests.unit.scripted import ROAD, Answer, Request, manager, ostler
from tests.unit.test_cli_commands import ENDED, ROW, answering

Row = dict[str, Any]


class Array:
    """A job whose elements are what a test says, read as the manager lets them be read."""

    def __init__(self, folder: Path, count: int, *, shared: bool = False) -> None:
        self.folder = folder
        self.count = count
        self.ended: set[int] = set()
        self.shared = shared
        self.pages: list[int] = []  # lengths of what was read

    def path(self, number: int) -> Path:
        return self.folder / ("all.out" if self.shared else f"{number}.out")

    def answer(self, request: Request) -> Answer:
        if isinstance(request, messages.Wait):
            return {"jobs": [ENDED]}
        assert isinstance(request, messages.Read)
        row = ROW | {"array": f"0-{self.count - 1}", "elements": self.count}
        if request.options.brief:
            return {"jobs": [row]}
        numbers = [n for a, b in parse_ref(request.ref).elements or () for n in range(a, b + 1)]
        self.pages.append(len(numbers))
        return {"jobs": [row | {"element_rows": [self.row(n) for n in numbers]}]}

    def row(self, number: int) -> Row:
        state = "done" if number in self.ended else "running"
        path = str(self.path(number))
        return {"id": f"12_{number}", "element": number, "state": state, "output_path": path}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "out"
    made.mkdir()
    return made


def test_lines_of_elements_are_whole_and_bear_their_labels(tmp_path: Path, folder: Path) -> None:
    array = Array(folder, 2)
    array.path(0).write_bytes(b"first\nwithout an end")
    array.path(1).write_bytes(b"\xff no text\n\n")
    with manager(tmp_path, array.answer):
        followed = ostler_bytes(tmp_path, "logs", "-f", "12")
        asked = ostler_bytes(tmp_path, "logs", "--label", "12")
    assert asked == b"12_0: first\n12_0: without an end\n12_1: \xff no text\n12_1: \n"
    assert sorted(followed.splitlines()) == sorted(asked.splitlines())


def ostler_bytes(state: Path, *words: str) -> bytes:
    done = subprocess.run(
        [sys.executable, "-SEI", str(ROAD), "--state", str(state), *words],
        capture_output=True,
        timeout=60,
        check=True,
    )
    return done.stdout


@pytest.mark.parametrize("words", [("logs", "-q"), ("logs", "-qf")])
def test_an_array_of_any_length_is_read_page_by_page(
    tmp_path: Path, folder: Path, words: tuple[str, ...]
) -> None:
    array = Array(folder, 2_500)
    array.ended = set(range(2_500))
    for number in range(2_500):
        array.path(number).write_text(f"{number}\n")
    with manager(tmp_path, array.answer):
        done = ostler(tmp_path, *words, "12")
    assert sorted(map(int, done.out.split())) == list(range(2_500))
    assert max(array.pages) == 1_000


@pytest.mark.parametrize("words", [("logs",), ("logs", "-f")])
def test_a_file_that_all_elements_share_is_printed_once(
    tmp_path: Path, folder: Path, words: tuple[str, ...]
) -> None:
    array = Array(folder, 2_100, shared=True)
    array.path(0).write_text("once\n")
    with manager(tmp_path, array.answer):
        assert ostler(tmp_path, *words, "-q", "12").out == "once\n"
        assert ostler(tmp_path, "logs", "--json", "12").document == {
            "files": [{"id": "12_0", "path": str(array.path(0))}]
        }


@pytest.mark.parametrize("words", [("logs", "-f"), ("logs", "--label")])
def test_each_task_has_its_own_label(tmp_path: Path, words: tuple[str, ...]) -> None:
    paths = [tmp_path / f"rank-{rank}" for rank in range(2)]
    for path in paths:
        path.write_text(f"{path.name}\n")
    element = {"id": "12", "element": 0, "state": "done", "output_path": str(paths[0])}
    rows = [element | {"output_paths": [str(path) for path in paths]}]
    with answering(tmp_path, job={"jobs": [ROW | {"element_rows": rows}]}, wait={"jobs": [ENDED]}):
        assert ostler(tmp_path, *words, "12").out == "12 task 0: rank-0\n12 task 1: rank-1\n"


def test_elements_that_start_while_it_follows_are_printed_too(tmp_path: Path, folder: Path) -> None:
    array = Array(folder, 3)
    array.path(0).write_text("early\n")

    def answer(request: Request) -> Answer:
        if isinstance(request, messages.Wait):
            array.path(2).write_text("late\n")
            array.ended = {0, 1, 2}
        return array.answer(request)

    with manager(tmp_path, answer):
        assert ostler(tmp_path, "logs", "-f", "12").out == "12_0: early\n12_2: late\n"


def test_what_is_no_file_is_told_and_does_not_hold_up_the_others(
    tmp_path: Path, folder: Path
) -> None:
    array = Array(folder, 3)
    os.mkfifo(array.path(0))
    array.path(1).mkdir()
    array.path(2).write_text("read\n")
    with manager(tmp_path, array.answer):
        done = ostler(tmp_path, "logs", "-q", "12")
    assert done.out == "read\n"
    assert done.err.count("is no file: nothing of it was kept") == 2


def test_a_reader_that_has_seen_enough_ends_it_without_a_word(tmp_path: Path, folder: Path) -> None:
    array = Array(folder, 2)
    array.path(0).write_bytes(b"x" * 3_000_000)
    command = [sys.executable, "-SEI", str(ROAD), "--state", str(tmp_path), "logs", "-q", "12"]
    with manager(tmp_path, array.answer):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.read(3) == b"xxx"
        process.stdout.close()
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (141, b"")


@pytest.mark.parametrize(
    ("result", "told"),
    [
        ("memory", "nothing was written: job 12 has ended as memory: too much"),
        (None, "nothing was written yet: job 12 is running: too much"),
    ],
)
def test_that_nothing_was_written_is_told(tmp_path: Path, result: str | None, told: str) -> None:
    (tmp_path / "out").touch()
    rows = [{"id": "12", "element": 0, "output_path": str(tmp_path / "out")}]
    why = {"state": "running", "result": result, "reason": "too much"}
    with answering(tmp_path, job={"jobs": [ROW | {"element_rows": rows}]}, explain=why):
        done = ostler(tmp_path, "logs", "12")
    assert (done.status, done.out, done.err) == (0, "", f"ostler: {told}\n")


def test_a_file_that_was_emptied_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "out"
    file = File("12", os.fsencode(path))
    assert file.more() == b""
    path.write_text("a long first text\n")
    assert file.more() == b"a long first text\n"
    path.write_text("cut\n")
    assert file.more() == b"cut\n"
    (tmp_path / "new").write_text("another in its place\n")
    (tmp_path / "new").rename(path)
    assert file.more() == b"another in its place\n"
    path.unlink()
    assert file.more() == b""


def test_a_closed_file_goes_on_where_it_was(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("one\n")
    path = os.fsencode(tmp_path / "out")
    files = Files()
    assert files.get("12_0", path).more() == b"one\n"
    files.close(path)
    with (tmp_path / "out").open("a") as file:
        file.write("two\n")
    assert files.get("12_1", path).more() == b"two\n"


def test_a_line_without_an_end_is_not_kept_for_ever(tmp_path: Path, folder: Path) -> None:
    array = Array(folder, 2)
    array.path(0).write_bytes(b"x" * 200_000)
    with manager(tmp_path, array.answer):
        lines = ostler(tmp_path, "logs", "--label", "12").out.splitlines()
    assert "".join(line.removeprefix("12_0: ") for line in lines) == "x" * 200_000
    assert [len(line) for line in lines] == [65_542, 65_542, 65_542, 3_398]


def test_logs_of_somebody_else_are_refused(tmp_path: Path) -> None:
    row = {key: value for key, value in ROW.items() if key != "command"}
    rows = [{"id": "12", "element": 0, "state": "running"}]
    with answering(tmp_path, job={"jobs": [row | {"element_rows": rows}]}):
        done = ostler(tmp_path, "logs", "12")
    assert done.status == 3
    assert "job 12 belongs to ann" in done.err


def test_following_goes_on_while_the_manager_cannot_answer(tmp_path: Path, folder: Path) -> None:
    array = Array(folder, 2)
    array.path(0).write_text("kept\n")
    full = [NotNow("its disk is full")]

    def answer(request: Request) -> Answer:
        if isinstance(request, messages.Wait) and full:
            return full.pop()
        return array.answer(request)

    with manager(tmp_path, answer):
        done = ostler(tmp_path, "logs", "-f", "12")
    assert (done.status, done.out) == (0, "12_0: kept\n")
    assert "its disk is full; still waiting" in done.err
