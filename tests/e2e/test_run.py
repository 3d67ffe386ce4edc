"""`ostler run` on a real machine: statuses, causes, descriptors, and what nobody may see."""

import os
import signal
import subprocess
import sys

import pytest

from tests.e2e.machine_kit import OSTLER, Host, eventually


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["true"], 0),
        (["false"], 1),
        (["-n", "2", "sh", "-c", "exit $((16 << OSTLER_RANK))"], 48),
        (["sh", "-c", "kill -9 $$"], 137),
        (["sh", "-c", "exit 7"], 7),
    ],
)
def test_the_status_is_the_jobs_own(host: Host, words: list[str], status: int) -> None:
    assert host.ostler("run", *words, check=False).returncode == status


@pytest.mark.parametrize(
    ("words", "status", "result", "sentence"),
    [
        (["nosuch"], 127, "failed", "nosuch"),
        (["/etc/passwd"], 126, "failed", "/etc/passwd"),
        (["-t", "1s", "sleep", "100"], 125, "timeout", "time limit"),
        (["-D", "/no/such/folder", "true"], 125, "rejected", "/no/such/folder"),
    ],
)
def test_what_could_not_run_or_was_ended_says_so_in_a_sentence(
    host: Host, words: list[str], status: int, result: str, sentence: str
) -> None:
    done = host.ostler("run", *words, check=False)
    assert done.returncode == status, done.stderr
    assert sentence in done.stderr
    newest = host.json("jobs", "--all")["jobs"][-1]
    assert newest["result"] == result


def test_a_program_that_takes_more_memory_than_it_asked_for_is_ended(host: Host) -> None:
    program = "x = bytearray(10**9)\nfor i in range(0, len(x), 4096): x[i] = 1\nimport time\ntime.sleep(60)"
    done = host.ostler("run", "-m", "100M", sys.executable, "-c", program, check=False)
    assert done.returncode == 125, done.stderr
    assert host.json("jobs", "--all")["jobs"][-1]["result"] == "memory"


def test_what_can_never_fit_is_refused_with_the_most_that_would(host: Host) -> None:
    done = host.ostler("submit", "-c", "100000", "--", "true", check=False)
    assert done.returncode == 3
    assert "most: 4" in done.stderr


def test_input_and_output_are_the_callers_own(host: Host) -> None:
    done = host.ostler("run", "sh", "-c", "tr a-z A-Z; echo err >&2", stdin="words\n")
    assert done.stdout == "WORDS\n"
    assert "err" in done.stderr


def test_the_first_interrupt_reaches_the_task_and_the_second_cancels(host: Host) -> None:
    script = "trap 'echo caught' INT; echo ready; while :; do sleep 0.05; done"
    with subprocess.Popen(
        [OSTLER, "--state", str(host.state), "run", "sh", "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        cwd=host.work,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "caught\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 128 + signal.SIGTERM


def test_tasks_learn_their_place_from_the_environment(host: Host) -> None:
    shown = "echo $OSTLER_RANK/$OSTLER_TASKS $OSTLER_CPU_LIST $OSTLER_NODE ${OSTLER_ELEMENT-none}"
    lines = sorted(host.ostler("run", "-n", "2", "sh", "-c", shown).stdout.splitlines())
    node = host.json("nodes")["nodes"][0]["name"]
    assert [line.split()[0] for line in lines] == ["0/2", "1/2"]
    assert {line.split()[2] for line in lines} == {node}
    assert {line.split()[3] for line in lines} == {"none"}
    assert len({line.split()[1] for line in lines}) == 2


def test_nothing_of_a_job_outlives_it_not_even_a_double_forked_daemon(host: Host) -> None:
    pid_file = host.work / "daemon.pid"
    script = f"(setsid sh -c 'echo $$ > {pid_file}; exec sleep 1000' >/dev/null 2>&1 &) ; while [ ! -s {pid_file} ]; do sleep 0.05; done"
    host.ostler("run", "sh", "-c", script)
    pid = int(pid_file.read_text())
    eventually("the daemon is gone", lambda: not os.path.exists(f"/proc/{pid}"))


def test_tasks_hold_only_three_descriptors(host: Host) -> None:
    done = host.ostler("run", "ls", "/proc/self/fd", stdin="")
    assert done.stdout.split() == ["0", "1", "2", "3"]  # 3 is the folder that ls itself opened


def test_the_limits_of_the_submitting_shell_go_with_the_job(host: Host) -> None:
    command = f"ulimit -S -n 200 -c 0; exec {OSTLER} --state {host.state} run sh -c 'ulimit -n'"
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, cwd=host.work, check=True
    )
    assert done.stdout == "200\n"
    assert host.ostler("run", "sh", "-c", "ulimit -n").stdout != "200\n"
