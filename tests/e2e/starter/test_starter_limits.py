"""Limits of time and memory, ends, and that nothing of a share survives its end."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from ostler.agent import proc
from tests.e2e.starter.kit import Agent, Line, Message, order, wait_gone

pytestmark = pytest.mark.e2e

FOR_EVER = "exec sleep 1000"
STUBBORN = "trap '' TERM; echo ready > fifo; while :; do sleep 1000; done"
# The task ends; what it left has a session of its own and no parent but the starter.
DAEMON = """
import os, time
ready, tell = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        with open("pid", "w") as file:
            file.write(str(os.getpid()))
        os.write(tell, b"!")
        time.sleep(1000)
    os._exit(0)
os.wait()
os.read(ready, 1)
"""
GREEDY = "held = b'x' * (300 << 20); import time; time.sleep(1000)"
WITHOUT_GROUPS = "import ostler.agent.zygote as z; z.find_bases = list"
ONLY_KILLING = """
import ostler.agent.zygote as z, ostler.wire.cgroup as c
z.find_bases = lambda: [b for b in c.find_bases() if b.version == 2 and not b.memory]
"""
BOTH_WAYS = pytest.mark.parametrize(
    "code", ["", WITHOUT_GROUPS, ONLY_KILLING], ids=["groups", "no groups", "no memory groups"]
)


def start(agent: Agent, work: Path, argv: list[str], **fields: Any) -> Line:
    line = agent.fork()
    line.say("launch", **order(1, [os.fsencode(word) for word in argv], work, **fields))
    line.hear_until("started")
    return line


def started_shell(agent: Agent, work: Path, script: str, **fields: Any) -> Line:
    return start(agent, work, ["sh", "-c", script], **fields)


def read_fifo(path: Path) -> str:
    """Wait until a task has written to the FIFO."""
    with open(path) as file:
        return file.read()


def cause(ended: Message) -> tuple[str, str]:
    return ended["cause"], ended["why"]


def test_a_share_ends_at_its_time_limit(agent: Agent, work: Path) -> None:
    ended = started_shell(agent, work, FOR_EVER, time_limit=1).hear()
    assert cause(ended) == ("timeout", "ran into its time limit of 1s")
    assert ended["tasks"] == [[0, 0, 15]]
    assert ended["at"] - ended["started_at"] >= 1


def test_a_warning_comes_before_the_limit(agent: Agent, work: Path) -> None:
    script = "trap 'echo warned; exit 5' USR1; while :; do sleep 0.01; done"
    ended = started_shell(agent, work, script, time_limit=61, warn_signal=10, warn_before=60).hear()
    assert (ended["cause"], ended["tasks"]) == ("", [[0, 5, 0]])


def test_a_new_time_limit_counts_from_the_start(agent: Agent, work: Path) -> None:
    line = started_shell(agent, work, FOR_EVER, time_limit=1000)
    line.say("retime", alloc=1, time_limit=1)
    assert line.hear()["cause"] == "timeout"


def test_what_ignores_the_first_signal_is_killed_after_the_grace(agent: Agent, work: Path) -> None:
    os.mkfifo(work / "fifo")
    line = started_shell(agent, work, STUBBORN)
    read_fifo(work / "fifo")
    line.say("end", alloc=1, cause="cancelled", why="by eve", grace=1)
    ended = line.hear()
    assert cause(ended) == ("cancelled", "by eve")
    assert ended["tasks"] == [[0, 0, 9]]


def test_a_second_end_may_be_shorter_and_keeps_the_first_cause(agent: Agent, work: Path) -> None:
    os.mkfifo(work / "fifo")
    line = started_shell(agent, work, STUBBORN)
    read_fifo(work / "fifo")
    line.say("end", alloc=1, cause="cancelled", why="by eve", grace=1000)
    line.say("end", alloc=1, cause="lost", why="other", grace=0)
    assert cause(line.hear()) == ("cancelled", "by eve")


def test_a_task_may_clean_up_in_its_grace(agent: Agent, work: Path) -> None:
    os.mkfifo(work / "fifo")
    script = "trap 'echo clean > mark; exit 4' TERM; echo > fifo; while :; do sleep 0.01; done"
    line = started_shell(agent, work, script)
    read_fifo(work / "fifo")
    line.say("end", alloc=1, cause="cancelled", why="by eve", grace=1000)
    assert line.hear()["tasks"] == [[0, 4, 0]]
    assert (work / "mark").read_text() == "clean\n"


@BOTH_WAYS
def test_a_daemon_that_a_task_leaves_is_gone_at_the_end(
    agent: Agent, work: Path, code: str
) -> None:
    agent.start_zygote(code)
    line = start(agent, work, [sys.executable, "-S", "-c", DAEMON])
    ended = line.hear()
    assert (ended["tasks"], ended["cause"]) == ([[0, 0, 0]], "")
    assert not os.path.exists(f"/proc/{(work / 'pid').read_text()}")


@BOTH_WAYS
def test_a_tree_that_keeps_forking_is_killed(agent: Agent, work: Path, code: str) -> None:
    os.mkfifo(work / "fifo")
    agent.start_zygote(code)
    script = "f() { (setsid sh -c 'sleep 0.02'; f) & }; f; echo > fifo; sleep 1000"
    line = started_shell(agent, work, script)
    read_fifo(work / "fifo")
    line.say("end", alloc=1, cause="cancelled", why="by eve", grace=0)
    assert line.hear()["cause"] == "cancelled"
    assert proc.children(agent.pid) == []


@pytest.mark.parametrize("tasks", [1, 2])
@BOTH_WAYS
def test_too_much_memory_ends_the_share(agent: Agent, work: Path, code: str, tasks: int) -> None:
    agent.start_zygote(code)
    greedy = (
        f"import os\nif os.environ['OSTLER_RANK'] == '0': {GREEDY}\nimport time\ntime.sleep(99)"
    )
    line = start(
        agent, work, [sys.executable, "-S", "-c", greedy], memory=100 << 20,
        tasks=tasks, cpus=list(range(tasks)),
    )  # fmt: skip
    ended = line.hear()
    assert ended["cause"] == "memory"
    assert "100M" in ended["why"]
    assert "it asked for" in ended["why"]
    assert ended["usage"][2] > 50 << 20


@BOTH_WAYS
def test_the_memory_of_all_processes_counts(agent: Agent, work: Path, code: str) -> None:
    agent.start_zygote(code)
    half = "import os; os.fork(); held = b'x' * (80 << 20); import time; time.sleep(1000)"
    ended = start(agent, work, [sys.executable, "-S", "-c", half], memory=100 << 20).hear()
    assert ended["cause"] == "memory"


def test_memory_that_processes_share_counts_once(agent: Agent, work: Path) -> None:
    agent.start_zygote(WITHOUT_GROUPS)
    shared = (
        "import os, time; held = b'x' * (70 << 20); ready, tell = os.pipe()\n"
        "if os.fork() == 0: os.read(ready, 1); os._exit(0)\n"
        "time.sleep(0.5); os.write(tell, b'!'); os.wait()"
    )
    line = start(agent, work, [sys.executable, "-S", "-c", shared], memory=100 << 20)
    ended = line.hear()
    assert (ended["cause"], ended["tasks"]) == ("", [[0, 0, 0]])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@BOTH_WAYS
def test_limits_hold_after_the_starter_became_the_jobs_user(
    agent: Agent, work: Path, code: str
) -> None:
    for folder in (agent.state, work, *work.parents):
        if folder.stat().st_mode & 0o055 != 0o055:
            folder.chmod(0o755)
    agent.start_zygote(code)
    line = agent.fork()
    script = b"setsid sleep 1000 & sleep 1000"
    user = {"user": "nobody", "uid": 65534, "gid": 65534, "output": b"/dev/null"}
    line.say("launch", **order(1, [b"sh", b"-c", script], work, memory=100 << 20, **user))
    line.hear_until("started")
    line.say("suspend", alloc=1)
    line.say("resume", alloc=1)
    line.say("retime", alloc=1, time_limit=1)
    ended = line.hear()
    assert (ended["cause"], ended["tasks"]) == ("timeout", [[0, 0, 15]])
    assert proc.descendants(agent.pid) == []


@BOTH_WAYS
def test_memory_that_was_used_between_two_looks_counts(agent: Agent, work: Path, code: str) -> None:
    agent.start_zygote(code)
    line = agent.fork()
    argv = [os.fsencode(sys.executable), b"-S", b"-c", b"held = b'x' * (108 << 20)"]
    line.say("launch", **order(1, argv, work, memory=100 << 20))
    ended = line.hear_until("ended")
    assert ended["cause"] == "memory"


@BOTH_WAYS
def test_a_share_within_its_memory_is_left_alone(agent: Agent, work: Path, code: str) -> None:
    agent.start_zygote(code)
    line = agent.fork()
    argv = [os.fsencode(sys.executable), b"-S", b"-c", b"held = b'x' * (60 << 20)"]
    line.say("launch", **order(1, argv, work, memory=100 << 20))
    ended = line.hear_until("ended")
    assert (ended["cause"], ended["tasks"]) == ("", [[0, 0, 0]])
    line.say("forget", alloc=1)
    # The limit of one share is not the next one's.
    argv[-1] = b"held = b'x' * (200 << 20)"
    line.say("launch", **order(2, argv, work))
    ended = line.hear_until("ended")
    assert (ended["cause"], ended["tasks"]) == ("", [[0, 0, 0]])


@BOTH_WAYS
def test_suspended_time_does_not_count(agent: Agent, work: Path, code: str) -> None:
    os.mkfifo(work / "fifo")
    agent.start_zygote(code)
    script = "echo > fifo; while :; do date +%s.%N > now; sleep 0.01; done"
    line = started_shell(agent, work, script, time_limit=1)
    read_fifo(work / "fifo")
    line.say("suspend", alloc=1)
    line.say("suspend", alloc=1)
    # Another starter's share measures a longer time than this one may run.
    other = agent.fork()
    other.say("launch", **order(2, [b"sleep", b"1.5"], work))
    other.hear_until("ended")
    line.say("resume", alloc=1)
    ended = line.hear()
    assert ended["cause"] == "timeout"
    assert ended["usage"][5] > 1.4
    assert ended["at"] - ended["started_at"] >= ended["usage"][5] + 0.9


@BOTH_WAYS
def test_a_suspended_share_can_be_ended(agent: Agent, work: Path, code: str) -> None:
    agent.start_zygote(code)
    line = started_shell(agent, work, "sleep 1000 & wait")
    line.say("suspend", alloc=1)
    line.say("end", alloc=1, cause="cancelled", why="by eve", grace=1000)
    assert line.hear()["tasks"] == [[0, 0, 15]]


def test_a_signal_reaches_the_groups_of_all_tasks(agent: Agent, work: Path) -> None:
    for rank in "01":
        os.mkfifo(work / rank)
    script = "trap 'exit 9' USR2; echo > $OSTLER_RANK; while :; do sleep 0.01; done"
    line = started_shell(agent, work, script, tasks=2, cpus=[0, 1])
    for rank in "01":
        read_fifo(work / rank)
    line.say("signal", alloc=1, signal=12)
    assert line.hear()["tasks"] == [[0, 9, 0], [1, 9, 0]]


def test_a_lease_without_word_from_a_manager_ends_the_share(agent: Agent, work: Path) -> None:
    ended = started_shell(agent, work, FOR_EVER, lease=1).hear()
    assert cause(ended) == ("lost", "no manager was heard of for 1s")


def test_the_client_that_left_has_no_part_in_the_end(agent: Agent, work: Path) -> None:
    reader, writer = os.pipe()
    line = agent.fork()
    fields = order(1, [b"sh", b"-c", b"echo a; echo b"], work, stdio="token")
    os.close(reader)
    line.say("launch", fds=(writer, writer, writer), **fields)
    os.close(writer)
    assert line.hear_until("ended")["tasks"] == [[0, 0, 13]]  # SIGPIPE, as in a shell


def test_the_end_is_told_only_when_the_last_process_is_gone(agent: Agent, work: Path) -> None:
    line = started_shell(agent, work, "sleep 1000 & echo $! > pid")
    ended = line.hear()
    assert (ended["tasks"], ended["cause"]) == ([[0, 0, 0]], "")
    wait_gone(int((work / "pid").read_text()))
    assert proc.descendants(agent.pid) == []
