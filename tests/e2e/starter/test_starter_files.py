"""Where a starter's tasks read from and write to."""

import os
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from ostler.wire.frames import frame
from ostler.wire.pack import pack
from tests.e2e.starter.kit import Agent, Message, order

pytestmark = pytest.mark.e2e

SCRIPT = b"echo out; echo err >&2"


def run(agent: Agent, work: Path, script: bytes = SCRIPT, **fields: Any) -> Message:
    cwd = fields.pop("cwd", work)
    line = agent.fork()
    line.say("launch", **order(1, [b"sh", b"-c", script], cwd, **fields))
    return line.hear_until("ended")


def texts(work: Path) -> dict[str, str]:
    return {str(path.relative_to(work)): path.read_text() for path in work.rglob("*.*")}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {"ostler-7.out": "out\nerr\n"}),
        ({"is_array": True, "element": 3}, {"ostler-7_3.out": "out\nerr\n"}),
        ({"output": b"a.o", "error": b"a.e"}, {"a.o": "out\n", "a.e": "err\n"}),
        ({"output": b"/dev/null", "error": b"a.e"}, {"a.e": "err\n"}),
        (
            {"output": b"%x-%j_%a-%t-%n-%u-100%%.o", "name": "fit", "element": 3, "user": "eve"},
            {"fit-7_3-0-n1-eve-100%.o": "out\nerr\n"},
        ),
        ({"output": b"./a.o", "error": b"./a.o"}, {"a.o": "out\nerr\n"}),
    ],
)
def test_output_goes_where_its_pattern_says(
    agent: Agent, work: Path, fields: dict[str, Any], expected: dict[str, str]
) -> None:
    assert run(agent, work, **fields)["tasks"] == [[0, 0, 0]]
    assert texts(work) == expected


def test_tasks_share_a_file_unless_the_pattern_names_the_rank(agent: Agent, work: Path) -> None:
    script = b"echo $OSTLER_RANK; echo $OSTLER_RANK >&2"
    run(agent, work, script, tasks=2, cpus=[0, 1], output=b"%t.o", error=b"both.e")
    found = texts(work)
    assert (found["0.o"], found["1.o"]) == ("0\n", "1\n")
    assert sorted(found["both.e"].split()) == ["0", "1"]


@pytest.mark.parametrize(("attempt", "expected"), [(1, "out\n"), (2, "before\nout\n")])
def test_the_first_attempt_empties_the_file_and_a_later_one_appends(
    agent: Agent, work: Path, attempt: int, expected: str
) -> None:
    (work / "a.o").write_text("before\n")
    run(agent, work, b"echo out", output=b"a.o", attempt=attempt)
    assert texts(work) == {"a.o": expected}


def test_input_comes_from_a_file_or_is_empty(agent: Agent, work: Path) -> None:
    (work / "in-7.txt").write_text("hello\n")
    run(agent, work, b"cat", input=b"in-%j.txt", output=b"a.o")
    run(agent, work, b"cat", output=b"b.o")
    assert texts(work) == {"in-7.txt": "hello\n", "a.o": "hello\n", "b.o": ""}


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (
            {"cwd": Path("/no/such/folder")},
            "its working directory '/no/such/folder' cannot be entered",
        ),
        ({"output": b"sub/a.o"}, "there is no folder"),
        ({"output": b"/proc/version/x"}, "not a directory"),
        ({"output": b"/"}, "is a directory"),
        ({"output": b"fifo"}, "nobody reads this FIFO"),
        ({"error": b"/dev/null/x"}, "choose another --output"),
        ({"input": b"nothing.txt"}, "its input 'nothing.txt' cannot be read: no such file"),
        ({"stdio": "token"}, "descriptors did not come"),
    ],
)
def test_what_cannot_be_opened_rejects_the_job_before_it_ran(
    agent: Agent, work: Path, fields: dict[str, Any], told: str
) -> None:
    os.mkfifo(work / "fifo")
    ended = run(agent, work, b"touch ran", **fields)
    assert (ended["cause"], ended["started_at"], ended["tasks"]) == ("rejected", None, [])
    assert told in ended["why"]
    assert not (work / "ran").exists()


def test_a_rejected_share_is_forgotten_like_any_other(agent: Agent, work: Path) -> None:
    line = agent.fork()
    line.say("launch", **order(1, [b"true"], work / "missing"))
    assert line.hear()["cause"] == "rejected"
    line.say("forget", alloc=1)
    assert line.hear()["phase"] == "idle"
    line.say("launch", **order(2, [b"true"], work))
    assert line.hear_until("ended")["tasks"] == [[0, 0, 0]]


def test_a_clients_descriptors_are_the_tasks_own(agent: Agent, work: Path) -> None:
    ours, theirs = socket.socketpair()
    reader, writer = os.pipe()
    line = agent.fork()
    script = b"read word; echo out $word; echo err >&2"
    fields = order(1, [b"sh", b"-c", script], work, stdio="token")
    line.say("launch", fds=(theirs.fileno(), theirs.fileno(), writer), **fields)
    theirs.close()
    os.close(writer)
    with ours, open(reader, "rb") as errors:
        ours.sendall(b"word\n")
        assert ours.makefile("rb").read() == b"out word\n"  # to its end: no copy is kept anywhere
        assert errors.read() == b"err\n"
    assert line.hear_until("ended")["tasks"] == [[0, 0, 0]]
    assert os.listdir(work) == []


def test_descriptors_of_a_command_beside_are_not_those_of_the_tasks(
    agent: Agent, work: Path
) -> None:
    ours, theirs = socket.socketpair()
    line = agent.fork()
    launch = order(1, [b"echo", b"into the file"], work, output=b"out")
    command = {
        "type": "exec",
        "alloc": 1,
        "guest": 1,
        "argv": [b"true"],
        "element": -1,
        "term": b"",
    }
    payload = frame(pack({"type": "launch", **launch})) + frame(pack(command))
    os.kill(agent.pid, signal.SIGSTOP)  # so that both are there when it reads
    socket.send_fds(line.sock, [payload], [theirs.fileno()] * 3)
    os.kill(agent.pid, signal.SIGCONT)
    assert line.hear_until("ended")["tasks"] == [[0, 0, 0]]
    theirs.close()
    with ours:
        assert ours.recv(1) == b""
    assert (work / "out").read_bytes() == b"into the file\n"


def test_streams_that_no_relay_holds_are_not_the_nodes_fault(agent: Agent, work: Path) -> None:
    ended = run(agent, work, b"touch ran", streams={})
    assert (ended["cause"], ended["started_at"]) == ("", None)
    assert "relay" in ended["why"]
    assert not (work / "ran").exists()


def test_an_unknown_program_says_so_to_the_waiting_client(agent: Agent, work: Path) -> None:
    reader, writer = os.pipe()
    line = agent.fork()
    fields = order(1, [b"nosuch"], work, stdio="token")
    line.say("launch", fds=(writer, writer, writer), **fields)
    os.close(writer)
    with open(reader, "rb") as file:
        assert b"ostler: cannot run 'nosuch'" in file.read()
    assert line.hear_until("ended")["tasks"] == [[0, 127, 0]]
