"""A starter runs tasks as ordered and tells how they ended."""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.starter.kit import Agent, Message, order

pytestmark = pytest.mark.e2e


def sh(agent: Agent, work: Path, script: str, **fields: Any) -> Message:
    """Run a shell script as one share in a new starter and return its last report."""
    line = agent.fork()
    line.say("launch", **order(1, [b"sh", b"-c", script.encode()], work, **fields))
    return line.hear_until("ended")


def said(work: Path) -> str:
    """What the tasks wrote to the default output file."""
    return (work / "ostler-7.out").read_text()


@pytest.mark.parametrize(
    ("script", "tasks"),
    [
        ("exit 0", [[0, 0, 0]]),
        ("exit 7", [[0, 7, 0]]),
        ("kill -9 $$", [[0, 0, 9]]),
    ],
)
def test_the_exit_status_or_signal_is_told(
    agent: Agent, work: Path, script: str, tasks: list[list[int]]
) -> None:
    line = agent.fork()
    line.say("launch", **order(1, [b"sh", b"-c", script.encode()], work))
    assert line.hear()["type"] == "started"
    ended = line.hear()
    assert (ended["tasks"], ended["cause"], ended["why"]) == (tasks, "", "")
    assert ended["started_at"] <= ended["at"]


def test_every_task_of_a_share_has_its_rank_and_status(agent: Agent, work: Path) -> None:
    script = "echo $OSTLER_RANK of $OSTLER_TASKS; exit $((16 << (OSTLER_RANK - 4)))"
    ended = sh(agent, work, script, tasks=2, cpus=[0, 1], first_rank=4, total_tasks=6)
    assert ended["tasks"] == [[4, 16, 0], [5, 32, 0]]
    assert sorted(said(work).splitlines()) == ["4 of 6", "5 of 6"]


def test_all_tasks_of_a_share_run_at_once(agent: Agent, work: Path) -> None:
    os.mkfifo(work / "meet")
    script = "case $OSTLER_RANK in 0) read word < meet;; 1) echo word > meet;; esac"
    assert sh(agent, work, script, tasks=2, cpus=[0, 1])["tasks"] == [[0, 0, 0], [1, 0, 0]]


def test_a_task_has_three_descriptors_and_a_session(agent: Agent, work: Path) -> None:
    script = """
    for n in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        [ -e /proc/$$/fd/$n ] && printf '%s ' $n
    done
    read pid name state parent group session rest < /proc/$$/stat
    [ $pid = $session ] && [ $pid = $group ] && echo leader
    """
    sh(agent, work, script)
    assert said(work).split() == ["0", "1", "2", "leader"]


def test_no_signal_is_blocked_or_ignored_in_a_task(agent: Agent, work: Path) -> None:
    line = agent.fork()
    line.say("launch", **order(1, [b"grep", b"-E", b"Sig(Blk|Ign)", b"/proc/self/status"], work))
    line.hear_until("ended")
    _, blocked, _, ignored = said(work).split()
    assert int(blocked, 16) == 0
    assert int(ignored, 16) & 0x7FFFFFFF == 0  # 32 and 33 are the C library's own


def test_the_environment_is_carried_byte_for_byte(agent: Agent, work: Path) -> None:
    env = b"PATH=/usr/bin:/bin\0STRANGE=\xe9\xff=\n\0EMPTY=\0BROKEN\0"
    sh(agent, work, "env -0 > all", env=env)
    lines = (work / "all").read_bytes().split(b"\0")
    assert b"STRANGE=\xe9\xff=\n" in lines
    assert b"EMPTY=" in lines
    assert not [line for line in lines if line.startswith((b"LC_CTYPE", b"PYTHON", b"BROKEN"))]


def test_a_task_is_told_who_and_where_it_is(agent: Agent, work: Path) -> None:
    sh(
        agent, work, "env > all", is_array=True, element=3, item=b"some file", gpus=[1, 3],
        task_gpus=2, cpus=[0, 1], task_cpus=2, members=["n1", "n2"], attempt=2,
    )  # fmt: skip
    lines = (work / "all").read_text().splitlines()
    assert {line for line in lines if line.startswith(("OSTLER", "CUDA"))} == {
        "OSTLER_JOB=7", "OSTLER_ELEMENT=3", "OSTLER_ITEM=some file", "OSTLER_RANK=0",
        "OSTLER_TASKS=1", "OSTLER_CPUS=2", "OSTLER_CPU_LIST=0,1", "OSTLER_NODE=n1",
        "OSTLER_NODES=n1,n2", "OSTLER_ATTEMPT=2", "OSTLER_ALLOCATION=1",
        f"OSTLER_STATE={agent.state}", "CUDA_VISIBLE_DEVICES=1,3",
    }  # fmt: skip


def test_gpus_are_not_hidden_from_a_job_that_asked_for_none(agent: Agent, work: Path) -> None:
    sh(agent, work, "echo ${CUDA_VISIBLE_DEVICES-unset}", env=b"PATH=/bin\0")
    assert said(work) == "unset\n"


def test_umask_and_working_directory_are_the_jobs(agent: Agent, work: Path) -> None:
    sh(agent, work, "umask; pwd; touch made", umask=0o027)
    assert said(work) == f"0027\n{work}\n"
    assert (work / "made").stat().st_mode & 0o777 == 0o640
    assert (work / "ostler-7.out").stat().st_mode & 0o777 == 0o640


def affinity_of_each_task(work: Path) -> list[str]:
    return sorted(line.split()[-1] for line in said(work).splitlines())


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one CPU cannot tell")
def test_each_task_is_pinned_to_its_cpus(agent: Agent, work: Path) -> None:
    first, second, *_ = sorted(os.sched_getaffinity(0))
    script = "grep Cpus_allowed_list /proc/self/status"
    sh(agent, work, script, tasks=2, cpus=[first, second])
    assert affinity_of_each_task(work) == [str(first), str(second)]


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one CPU cannot tell")
@pytest.mark.parametrize(
    ("cpus", "each"), [([1001], 1), ([1000, 1001], 2)], ids=["one CPU", "two CPUs"]
)
def test_where_cpus_are_names_only_tasks_of_one_cpu_are_pinned(
    agent: Agent, work: Path, cpus: list[int], each: int
) -> None:
    real = sorted(os.sched_getaffinity(0))
    sh(agent, work, "nproc", cpus=cpus, task_cpus=each)
    assert said(work) == ("1\n" if each == 1 else f"{len(real)}\n")


def test_a_script_is_run_by_the_interpreter_it_names(agent: Agent, work: Path) -> None:
    line = agent.fork()
    script = b"#!/bin/cat\nsecond line\n"
    line.say("launch", **order(1, [], work, script=script))
    assert line.hear_until("ended")["tasks"] == [[0, 0, 0]]
    assert said(work) == script.decode()
    assert list((agent.state / "node" / "scripts").iterdir()) == []


def test_a_script_that_names_no_interpreter_is_a_shells_and_has_arguments(
    agent: Agent, work: Path
) -> None:
    line = agent.fork()
    line.say("launch", **order(1, [b"a b", b"c"], work, script=b'printf "<%s>" "$@"; exit 3'))
    assert line.hear_until("ended")["tasks"] == [[0, 3, 0]]
    assert said(work) == "<a b><c>"


def test_a_file_without_an_interpreter_is_run_as_a_shell_would(agent: Agent, work: Path) -> None:
    (work / "plain").write_text('echo "plain $1"')
    (work / "plain").chmod(0o755)
    line = agent.fork()
    line.say("launch", **order(1, [b"./plain", b"x"], work))
    assert line.hear_until("ended")["tasks"] == [[0, 0, 0]]
    assert said(work) == "plain x\n"


@pytest.mark.parametrize(
    ("argv", "code", "told"),
    [
        (b"nosuch", 127, "not found in the job's PATH; "),
        (b"sleep 1; true", 127, "a whole line is for a shell to run: sh -c 'LINE'"),
        (b"./nosuch", 127, "there is no such file"),
        (b"./text", 126, "permission denied"),
        (b"/etc", 126, "folder"),
        (b"./lost", 127, "the interpreter in its first line was not found"),
        (b"", 127, "the command is empty"),
    ],
)
def test_a_program_that_cannot_run_says_so_to_its_owner(
    agent: Agent, work: Path, argv: bytes, code: int, told: str
) -> None:
    (work / "text").write_text("no program")
    (work / "lost").write_text("#!/no/such/interpreter\n")
    (work / "lost").chmod(0o755)
    line = agent.fork()
    line.say("launch", **order(1, [argv], work))
    ended = line.hear_until("ended")
    assert (ended["tasks"], ended["cause"]) == ([[0, code, 0]], "")
    assert told in ended["why"]
    assert said(work).startswith(f"ostler: {ended['why']}")
    assert ended["started_at"] is not None


def test_a_program_in_path_that_is_not_executable_is_126(agent: Agent, work: Path) -> None:
    (work / "tool").write_text("#!/bin/sh\n")
    line = agent.fork()
    line.say("launch", **order(1, [b"tool"], work, env=b"PATH=/bin:" + os.fsencode(work)))
    ended = line.hear_until("ended")
    assert ended["tasks"] == [[0, 126, 0]]
    assert "chmod +x" in ended["why"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_starter_of_root_becomes_the_jobs_user(agent: Agent, work: Path) -> None:
    for folder in (agent.state, work, *work.parents):
        if folder.stat().st_mode & 0o055 != 0o055:
            folder.chmod(0o755)  # pytest's own folders are closed to others
    os.chown(work, 65534, 65534)
    line = agent.fork()
    script = b'#!/bin/sh\nid -u; id -g; id -G; grep CapEff /proc/self/status; ls -ln "$0"'
    line.say(
        "launch", **order(1, [], work, script=script, user="nobody", uid=65534, gid=65534)
    )  # fmt: skip
    ended = line.hear_until("ended")
    assert ended["tasks"] == [[0, 0, 0]], ended
    lines = said(work).splitlines()
    assert lines[:4] == ["65534", "65534", "65534", f"CapEff:\t{0:016x}"]
    assert lines[4].startswith("-rwx------")
    assert (work / "ostler-7.out").stat().st_uid == 65534
    line.say("forget", alloc=1)
    assert line.ended()  # it cannot become root again


def test_a_starter_without_root_refuses_the_job_of_somebody_else(agent: Agent, work: Path) -> None:
    if os.geteuid() == 0:
        agent.start_zygote("import os\nos.geteuid = lambda: 4711")
    line = agent.fork()
    line.say("launch", **order(1, [b"touch", b"ran"], work, user="bin", uid=2, gid=2))
    ended = line.hear()
    assert (ended["type"], ended["cause"], ended["started_at"]) == ("ended", "rejected", None)
    assert "cannot start tasks of 'bin'" in ended["why"]
    assert not (work / "ran").exists()


def test_an_idle_starter_leaves_with_its_agent_and_leaves_nothing(agent: Agent) -> None:
    line = agent.fork()
    groups = agent.spool().groups
    line.sock.close()
    agent.wait_for_end_of_starter()
    assert list((agent.state / "node" / "spool").iterdir()) == []
    assert not [path for path in groups if os.path.exists(path)]


def test_a_starter_takes_another_share_when_the_first_is_forgotten(
    agent: Agent, work: Path
) -> None:
    line = agent.fork()
    for alloc, umask in ((1, 0o077), (2, 0o022)):
        line.say("launch", **order(alloc, [b"sh", b"-c", b"umask"], work, umask=umask))
        assert line.hear_until("ended")["alloc"] == alloc
        assert said(work) == f"{umask:04o}\n"
        line.say("forget", alloc=alloc)
        hello = line.hear()
        assert (hello["type"], hello["phase"], hello["alloc"]) == ("starter", "idle", None)
        assert agent.spool().accepted is None


def test_a_repeated_order_is_answered_and_not_obeyed_again(agent: Agent, work: Path) -> None:
    line = agent.fork()
    launch = order(1, [b"sh", b"-c", b"echo once"], work)
    line.say("launch", **launch)
    first = line.hear_until("ended")
    line.say("launch", **launch)
    assert line.hear() == first
    assert said(work) == "once\n"


def test_a_context_waits_for_the_order_to_start(agent: Agent, work: Path) -> None:
    line = agent.fork()
    line.say("launch", **order(1, [b"touch", b"ran"], work, start=False))
    assert line.hear() == {"type": "made", "alloc": 1}
    assert os.listdir(work) == []
    line.say("start_tasks", alloc=1)
    assert line.hear_until("ended")["tasks"] == [[0, 0, 0]]
    assert (work / "ran").exists()


def test_a_context_that_is_ended_never_ran(agent: Agent, work: Path) -> None:
    line = agent.fork()
    line.say("launch", **order(1, [b"touch", b"ran"], work, start=False))
    line.hear_until("made")
    line.say("end", alloc=1, cause="cancelled", why="by root", grace=5)
    ended = line.hear()
    assert (ended["cause"], ended["why"], ended["started_at"]) == ("cancelled", "by root", None)
    line.say("start_tasks", alloc=1)
    line.say("launch", **order(1, [b"touch", b"ran"], work))
    assert line.hear() == ended
    assert not (work / "ran").exists()


def test_usage_is_what_the_kernel_counted(agent: Agent, work: Path) -> None:
    burn = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"
    user, system, peak, _, _, suspended = sh(agent, work, burn)["usage"]
    assert user + system > 0.01
    assert peak > 1 << 20
    assert suspended == 0
