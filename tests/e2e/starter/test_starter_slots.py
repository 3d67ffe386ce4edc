"""A starter runs the elements of a slot one after the other, and tells of them in windows."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.starter.kit import Agent, Line, Message, order

pytestmark = pytest.mark.e2e

LONG_WINDOW = "import ostler.agent.telling as t; t.WINDOW = 1000.0"


def chunk(low: int, high: int, *, last: bool = True, **fields: Any) -> Message:
    return {"elements": [[low, high]], "last": last, **fields}


def launch(
    agent: Agent, work: Path, script: str, elements: Message, *, folder: str = "", **fields: Any
) -> Line:
    """Order a slot of a new starter to run these elements, in a folder below the working one."""
    line = agent.fork()
    first = elements["elements"][0][0]
    fields = {"is_array": True, "element": first, "output": b"%a.out", **fields}
    argv = [b"sh", b"-c", script.encode()]
    line.say("launch", **order(1, argv, work / folder, chunk=elements, **fields))
    return line


def told(line: Line, until: str = "ended") -> tuple[dict[int, list[Any]], list[Message]]:
    """All rows by element, and all messages, up to one of this kind."""
    messages = [line.hear()]
    while messages[-1]["type"] != until:
        messages.append(line.hear())
    rows = [row for message in messages for row in message.get("ended", [])]
    by_element = {row[0]: row for row in rows}
    assert len(rows) == len(by_element), "an element was told of twice"
    return by_element, messages


def rows_until(line: Line, count: int) -> dict[int, list[Any]]:
    """Rows by element, until so many have been told."""
    rows: dict[int, list[Any]] = {}
    while len(rows) < count:
        rows |= {row[0]: row for row in line.hear_until("progress")["ended"]}
    return rows


# ── the life of an element ───────────────────────────────────────────────────────────────────
def test_each_element_runs_once_in_its_turn_and_has_its_own_row(agent: Agent, work: Path) -> None:
    script = "echo $OSTLER_ELEMENT >> all; echo $OSTLER_ATTEMPT; exit $OSTLER_ELEMENT"
    line = launch(agent, work, script, chunk(3, 6, attempts=[[5, 2]]))
    rows, messages = told(line)
    assert messages[0]["type"] == "started"
    assert (work / "all").read_text().split() == ["3", "4", "5", "6"]
    for index, row in rows.items():
        number, attempt, started_at, at, cause, why, tasks, usage = row
        assert (number, attempt, cause, why) == (index, 2 if index == 5 else 1, "", "")
        assert tasks == [[0, index, 0]]
        assert started_at <= at
        assert len(usage) == 6
        assert usage[2] > 0
        assert (work / f"{index}.out").read_text() == f"{attempt}\n"
    ended = messages[-1]
    assert (ended["cause"], ended["tasks"], ended["usage"]) == ("", [], [0.0, 0.0, 0, 0, 0, 0.0])
    assert ended["started_at"] == messages[0]["at"] == rows[3][2]


def test_each_element_has_its_item(agent: Agent, work: Path) -> None:
    line = launch(agent, work, "echo $OSTLER_ITEM", chunk(0, 1, items=[b"one", b"\xe9"]))
    told(line)
    assert [(work / f"{n}.out").read_bytes() for n in (0, 1)] == [b"one\n", b"\xe9\n"]


def test_elements_of_several_tasks_run_too(agent: Agent, work: Path) -> None:
    script = "echo $OSTLER_ELEMENT $OSTLER_RANK >> all; exit $((OSTLER_ELEMENT * 2 + OSTLER_RANK))"
    rows, _ = told(launch(agent, work, script, chunk(0, 2), tasks=2, cpus=[0, 1]))
    assert [row[6] for row in rows.values()] == [
        [[0, 0, 0], [1, 1, 0]], [[0, 2, 0], [1, 3, 0]], [[0, 4, 0], [1, 5, 0]]
    ]  # fmt: skip
    lines = (work / "all").read_text().splitlines()
    assert [sorted(lines[at : at + 2]) for at in (0, 2, 4)] == [
        ["0 0", "0 1"], ["1 0", "1 1"], ["2 0", "2 1"]
    ]  # fmt: skip


def test_elements_are_process_groups_in_the_session_of_their_starter(
    agent: Agent, work: Path
) -> None:
    script = "read pid name state parent group session rest < /proc/$$/stat; echo $((pid - group))"
    line = launch(agent, work, script + " $session $parent", chunk(0, 2))
    told(line)
    seen = [(work / f"{n}.out").read_text().split() for n in range(3)]
    assert seen == [["0", str(agent.pid), str(agent.pid)]] * 3


def test_nothing_of_an_element_is_left_when_the_next_one_begins(agent: Agent, work: Path) -> None:
    script = "cat leader >> seen 2>&1; setsid sleep 1000 & echo $! > leader"
    script += "; grep -q State /proc/$(cat old)/status && echo alive; cp leader old"
    rows, _ = told(launch(agent, work, script, chunk(0, 3)))
    assert len(rows) == 4
    assert [n for n in range(4) if "alive" in (work / f"{n}.out").read_text()] == []


def test_a_program_that_is_not_found_is_said_for_each_element(agent: Agent, work: Path) -> None:
    line = agent.fork()
    line.say("launch", **order(1, [b"nowhere"], work, chunk=chunk(0, 299), is_array=True))
    rows, messages = told(line)
    assert len(rows) == 300
    assert {row[6][0][1] for row in rows.values()} == {127}
    assert all("'nowhere': not found" in row[5] for row in rows.values())
    assert messages[-1]["cause"] == ""


def test_a_program_that_is_replaced_between_two_elements_is_found_again(
    agent: Agent, work: Path
) -> None:
    for folder, code in (("first", 1), ("second", 2)):
        (work / folder).mkdir()
        (work / folder / "prog").write_text(f"#!/bin/sh\nexit {code}\n")
        (work / folder / "prog").chmod(0o755)
    env = b"PATH=%s/first:%s/second:/bin\0" % (os.fsencode(work), os.fsencode(work))
    line = agent.fork()
    slot = order(1, [b"prog"], work, env=env, chunk=chunk(0, 0, last=False), is_array=True)
    line.say("launch", **slot)
    assert rows_until(line, 1)[0][6] == [[0, 1, 0]]
    (work / "first" / "prog").unlink()
    line.say("feed", alloc=1, chunk=chunk(1, 1), heard=0)
    rows, _ = told(line)
    assert rows[1][6] == [[0, 2, 0]]


# ── limits and ends ──────────────────────────────────────────────────────────────────────────
def test_a_time_limit_ends_one_element_and_the_next_has_all_of_its_own(
    agent: Agent, work: Path
) -> None:
    script = "[ $OSTLER_ELEMENT = 1 ] && exit 0; exec sleep 1000"
    rows, messages = told(launch(agent, work, script, chunk(0, 2), time_limit=1, grace=0))
    assert [row[4] for row in rows.values()] == ["timeout", "", "timeout"]
    assert "time limit of 1s" in rows[0][5]
    assert rows[0][6] == [[0, 0, 9]] or rows[0][6] == [[0, 0, 15]]
    assert messages[-1]["cause"] == ""


def test_a_memory_limit_ends_one_element_only(agent: Agent, work: Path) -> None:
    script = "[ $OSTLER_ELEMENT = 0 ] || exit 0; x=$(yes | head -c 200000000); echo $x | wc -c"
    rows, _ = told(launch(agent, work, script, chunk(0, 1), memory=64 << 20, grace=0))
    assert [row[4] for row in rows.values()] == ["memory", ""]


def test_the_end_of_a_slot_ends_what_runs_and_says_nothing_of_the_queue(
    agent: Agent, work: Path
) -> None:
    os.mkfifo(work / "fifo")
    script = "echo $OSTLER_ELEMENT >> all; echo > fifo; exec sleep 1000"
    line = launch(agent, work, script, chunk(0, 9))
    (work / "fifo").read_text()
    line.say("end", alloc=1, cause="cancelled", why="by eve", grace=5)
    rows, messages = told(line)
    assert {index: (row[4], row[5], row[6]) for index, row in rows.items()} == {
        0: ("cancelled", "by eve", [[0, 0, 15]])
    }
    assert (messages[-1]["cause"], messages[-1]["why"]) == ("cancelled", "by eve")
    assert messages[-2]["returned"] == []
    assert (work / "all").read_text().split() == ["0"]


def test_what_the_context_rejects_rejects_every_element(agent: Agent, work: Path) -> None:
    line = launch(agent, work, "exit 0", chunk(2, 4, attempts=[[3, 4]]), folder="missing")
    rows, messages = told(line)
    assert [row[:3] for row in rows.values()] == [[2, 1, None], [3, 4, None], [4, 1, None]]
    assert {row[4] for row in rows.values()} == {"rejected"}
    ended = messages[-1]
    assert (ended["cause"], ended["started_at"]) == ("rejected", None)
    assert "working directory" in ended["why"]
    assert agent.spool().ends == list(rows.values())


def test_what_one_elements_files_reject_rejects_that_element(agent: Agent, work: Path) -> None:
    (work / "out-1").mkdir()
    (work / "out-2").mkdir()
    rows, messages = told(launch(agent, work, "echo x", chunk(0, 3), output=b"out-%a/x"))
    assert [row[4] for row in rows.values()] == ["rejected", "", "", "rejected"]
    assert [row[2] is None for row in rows.values()] == [True, False, False, True]
    assert messages[-1]["started_at"] == rows[1][2]
    assert messages[-1]["cause"] == ""


# ── feeding and taking back ──────────────────────────────────────────────────────────────────
def test_a_slot_waits_for_more_until_it_is_told_that_none_comes(agent: Agent, work: Path) -> None:
    line = launch(agent, work, "exit 0", chunk(0, 1, last=False))
    assert sorted(rows_until(line, 2)) == [0, 1]
    line.say("feed", alloc=1, chunk=chunk(2, 3, last=False), heard=0)
    assert sorted(rows_until(line, 2)) == [2, 3]
    line.say("feed", alloc=1, chunk={"last": True}, heard=0)
    assert told(line)[0] == {}


def test_what_is_fed_twice_runs_once_and_again_only_when_its_end_was_heard(
    agent: Agent, work: Path
) -> None:
    line = launch(agent, work, "echo $OSTLER_ATTEMPT >> $OSTLER_ELEMENT", chunk(0, 1, last=False))
    rows_until(line, 2)
    line.say("feed", alloc=1, chunk=chunk(0, 2, last=False), heard=0)
    message = line.hear_until("progress")
    while not message["ended"]:
        message = line.hear_until("progress")
    assert [row[0] for row in message["ended"]] == [2]
    again = chunk(0, 0, attempts=[[0, 2]])
    line.say("feed", alloc=1, chunk=again, heard=message["serial"])
    assert list(told(line)[0]) == [0]
    assert [(work / n).read_text().split() for n in "012"] == [["1", "2"], ["1"], ["1"]]


def test_what_has_not_begun_is_given_back_and_what_runs_goes_on(agent: Agent, work: Path) -> None:
    os.mkfifo(work / "fifo")
    script = "[ $OSTLER_ELEMENT = 0 ] && read word < fifo; echo $OSTLER_ELEMENT >> all"
    line = launch(agent, work, script, chunk(0, 9))
    line.hear_until("started")
    line.say("withdraw", alloc=1, elements=[[0, 3], [7, 8]], cause="", why="", grace=5)
    while not (message := line.hear_until("progress"))["returned"]:
        pass
    assert message["returned"] == [[1, 3], [7, 8]]
    assert (message["running"], message["left"]) == (0, 4)
    (work / "fifo").write_text("word\n")
    assert list(told(line)[0]) == [0, 4, 5, 6, 9]
    assert (work / "all").read_text().split() == ["0", "4", "5", "6", "9"]


def test_a_withdrawal_with_a_cause_ends_the_one_that_runs(agent: Agent, work: Path) -> None:
    script = "[ $OSTLER_ELEMENT = 0 ] && exec sleep 1000; exit 0"
    line = launch(agent, work, script, chunk(0, 3))
    line.hear_until("started")
    line.say("withdraw", alloc=1, elements=[[0, 1]], cause="cancelled", why="by eve", grace=5)
    rows, messages = told(line)
    assert {index: row[4:7] for index, row in rows.items()} == {
        0: ["cancelled", "by eve", [[0, 0, 15]]], 2: ["", "", [[0, 0, 0]]], 3: ["", "", [[0, 0, 0]]]
    }  # fmt: skip
    assert [m["returned"] for m in messages if m.get("returned")] == [[[1, 1]]]
    assert messages[-1]["cause"] == ""


def test_what_is_fed_to_a_slot_that_has_ended_does_not_run(agent: Agent, work: Path) -> None:
    line = launch(agent, work, "echo $OSTLER_ELEMENT >> all", chunk(0, 0))
    _, messages = told(line)
    line.say("feed", alloc=1, chunk=chunk(1, 1), heard=0)
    line.say("launch", **order(1, [b"true"], work))  # is answered by what it has to say
    assert told(line)[1] == messages
    assert (work / "all").read_text().split() == ["0"]


# ── windows ──────────────────────────────────────────────────────────────────────────────────
def test_many_short_elements_travel_in_few_messages(agent: Agent, work: Path) -> None:
    agent.start_zygote(LONG_WINDOW)
    line = agent.fork()
    line.say("launch", **order(1, [b"true"], work, chunk=chunk(0, 99), output=b"/dev/null"))
    rows, messages = told(line)
    assert len(rows) == 100
    assert [m["type"] for m in messages] == ["started", "progress", "ended"]


def test_more_is_wanted_before_the_last_one_has_ended(agent: Agent, work: Path) -> None:
    agent.start_zygote(LONG_WINDOW)
    os.mkfifo(work / "fifo")
    script = "[ $OSTLER_ELEMENT = 2 ] && read word < fifo; exit 0"
    line = launch(agent, work, script, chunk(0, 2, last=False))
    line.hear_until("started")
    message = line.hear_until("progress")
    assert (sorted(row[0] for row in message["ended"]), message["running"]) == ([0, 1], 2)
    (work / "fifo").write_text("word\n")
    assert list(rows_until(line, 1)) == [2]


def test_a_long_element_is_told_of_while_it_runs(agent: Agent, work: Path) -> None:
    os.mkfifo(work / "fifo")
    line = launch(agent, work, "read word < fifo", chunk(4, 8, attempts=[[4, 3]]))
    started = line.hear_until("started")
    message = line.hear_until("progress")
    assert (message["ended"], message["running"], message["attempt"]) == ([], 4, 3)
    assert (message["since"], message["left"]) == (started["at"], 4)


# ── signals and standing still ───────────────────────────────────────────────────────────────
def test_a_signal_for_an_element_does_not_meet_another(agent: Agent, work: Path) -> None:
    line = launch(agent, work, "exec sleep 1000", chunk(5, 5))
    line.hear_until("started")
    line.say("signal", alloc=1, signal=signal.SIGUSR1, element=4)
    line.say("signal", alloc=1, signal=signal.SIGUSR2, element=5)
    assert told(line)[0][5][6] == [[0, 0, signal.SIGUSR2]]


def test_nothing_starts_while_a_slot_stands_still(agent: Agent, work: Path) -> None:
    line = launch(agent, work, "echo $OSTLER_ELEMENT >> all", chunk(0, 0, last=False))
    rows_until(line, 1)
    line.say("suspend", alloc=1)
    line.say("feed", alloc=1, chunk=chunk(1, 1), heard=0)
    line.say("withdraw", alloc=1, elements=[[9, 9]], cause="", why="", grace=5)  # is answered
    while not line.hear_until("progress")["returned"]:
        pass
    assert (work / "all").read_text().split() == ["0"]
    assert agent.spool().suspended_at is not None
    line.say("resume", alloc=1)
    assert list(told(line)[0]) == [1]


def test_one_that_is_killed_while_it_stands_still_is_followed_after_resume(
    agent: Agent, work: Path
) -> None:
    script = "[ $OSTLER_ELEMENT = 0 ] && exec sleep 1000; exit 0"
    line = launch(agent, work, script, chunk(0, 1))
    line.hear_until("started")
    line.say("suspend", alloc=1)
    line.say("withdraw", alloc=1, elements=[[0, 0]], cause="cancelled", why="by eve", grace=0)
    rows = rows_until(line, 1)
    assert rows[0][4] == "cancelled"
    assert agent.spool().suspended_at is not None
    line.say("resume", alloc=1)
    assert list(told(line)[0]) == [1]


# ── deaths ───────────────────────────────────────────────────────────────────────────────────
def test_the_next_agent_is_told_all_that_was_not_acknowledged(agent: Agent, work: Path) -> None:
    line = launch(agent, work, "exit 0", chunk(0, 2, last=False))
    first = line.hear_until("started")
    heard = line.hear_until("progress")
    while not heard["ended"]:
        heard = line.hear_until("progress")
    line.say("acked", alloc=1, serial=heard["serial"])
    line.say("feed", alloc=1, chunk=chunk(3, 4), heard=0)
    _, messages = told(line)
    agent.die()
    agent.listen()
    line = agent.accept()
    assert line.hear()["phase"] == "ended"
    again = [line.hear()]
    while again[-1]["type"] != "ended":
        again.append(line.hear())
    assert again == [first, *messages]
    line.say("forget", alloc=1)
    assert line.hear()["phase"] == "idle"


def test_a_spool_that_grew_long_is_begun_anew_and_still_tells_all(agent: Agent, work: Path) -> None:
    agent.start_zygote("import ostler.agent.spool as s; s.LONG = 3000")
    os.mkfifo(work / "fifo")
    script = "[ $OSTLER_ELEMENT = 60 ] && read word < fifo; exit 0"
    line = launch(agent, work, script, chunk(0, 60, last=False))
    rows: dict[int, list[Any]] = {}
    while True:
        message = line.hear_until("progress")
        rows |= {row[0]: row for row in message["ended"]}
        if message.get("running") == 60:
            break
        line.say("acked", alloc=1, serial=message["serial"])
    os.kill(agent.pid, signal.SIGKILL)
    agent.wait_for_end_of_starter()
    state = agent.spool()
    assert (state.element, state.attempt, state.tasks[0].phase) == (60, 1, "running")
    assert state.first_start == rows[0][2]
    kept = [row[0] for row in state.ends]
    assert state.ends == [rows[index] for index in range(60) if index in kept]
    assert state.ends[-1][0] == 59
    assert (state.damage, state.cut) == ([], False)
    size = sum(os.path.getsize(path) for path in agent.state.glob("node/spool*/s1"))
    assert size < 15_000  # 61 elements would take more
    assert time.time() > state.tasks[0].intended_at
