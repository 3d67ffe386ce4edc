"""`ostler alloc` on a real machine: what it holds, the steps in it, and how it ends."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.machine_kit import OSTLER, Host, eventually
from tests.e2e.test_terminal import screen
from tests.e2e.test_ups_and_downs import kill

pytestmark = pytest.mark.e2e

MEET = """
mkfifo a b
{0} run sh -c 'echo from 0 > a; read word < b; echo "0 got $word"' &
{0} run sh -c 'read word < a; echo from 1 > b; echo "1 got $word"' &
wait
"""
LATER = "{0} run sh -c 'echo $OSTLER_JOB.$OSTLER_STEP'; {0} run -c 2 sh -c 'exit 4'; exit 7"


@contextmanager
def alloc(host: Host, *words: str) -> Iterator["subprocess.Popen[str]"]:
    """Start an `alloc` whose shell is spoken to over a pipe; it is killed at the end."""
    with subprocess.Popen(
        [OSTLER, "--state", str(host.state), "alloc", *words, "sh"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        bufsize=1,
        cwd=host.work,
    ) as client:
        try:
            yield client
        finally:
            client.kill()


def say(client: "subprocess.Popen[str]", line: str) -> None:
    """Let the shell of an `alloc` do something."""
    assert client.stdin is not None
    client.stdin.write(line + "\n")


def hear(client: "subprocess.Popen[str]") -> str:
    """Return the next line that it prints."""
    assert client.stdout is not None
    return client.stdout.readline()


def newest(host: Host) -> str:
    """Return the id of the newest job."""
    return str(host.json("jobs", "--all")["jobs"][-1]["id"])


def test_two_steps_run_at_once_and_others_after_them_each_with_its_row(host: Host) -> None:
    done = host.ostler("alloc", "-c", "2", "sh", "-c", (MEET + LATER).format(OSTLER), check=False)
    assert done.returncode == 7, done.stderr
    job = newest(host)
    lines = sorted(done.stdout.splitlines())
    assert lines == sorted(["0 got from 1", "1 got from 0", f"{job}.2"])
    row = host.job(job)
    assert (row["kind"], row["result"], row["exit_status"]) == ("alloc", "failed", 7)
    steps = [(step["id"], step["exit_status"]) for step in row["step_rows"]]
    assert steps == [(f"{job}.{n}", status) for n, status in enumerate((0, 0, 0, 4))]
    accounted = host.json("acct", "--job", job)["accounting"]
    assert sorted(r["job"] for r in accounted) == [job, *(f"{job}.{n}" for n in range(4))]
    whole, *parts = sorted(accounted, key=lambda r: r["job"])  # all that its steps used
    for key in ("cpu_user_seconds", "cpu_system_seconds", "read_bytes", "written_bytes"):
        assert whole[key] == pytest.approx(sum(part[key] for part in parts))
    assert whole["max_rss"] == max(part["max_rss"] for part in parts)
    sql = f"select step, exit_status, max_rss > 0 from steps where job = {job} and step > 1"
    assert host.json("query", sql)["rows"] == [
        [2, 0, 1],
        [3, 4, 1],
    ]


def test_a_step_is_shown_explained_cancelled_and_waited_for_by_its_name(host: Host) -> None:
    with alloc(host, "-c", "1") as client:
        say(client, f"{OSTLER} run sleep 1000 & {OSTLER} run sleep 1000 & wait")
        eventually("a step runs", lambda: "running" in states(host))
        job = newest(host)
        eventually("another waits", lambda: len(host.json("jobs", "--steps")["jobs"]) == 3)
        assert [row["id"] for row in host.json("jobs")["jobs"]] == [job]
        ids = [row["id"] for row in host.json("jobs", "--steps")["jobs"]]
        assert ids == [job, f"{job}.0", f"{job}.1"]
        (running,) = [i for i in ids[1:] if host.job(i)["state"] == "running"]
        (waiting,) = [i for i in ids[1:] if host.job(i)["state"] == "pending"]
        told = host.json("explain", waiting)
        assert "0 of the 1 CPU of allocation" in told["reason"]
        host.ostler("cancel", running)
        host.ostler("wait", running, check=False)
        assert host.job(running)["result"] == "cancelled"
        host.ostler("cancel", waiting)
        say(client, "exit 3")
        assert client.wait(60) == 3
    assert host.json("jobs")["jobs"] == []


def states(host: Host) -> list[str]:
    """Return the states of all steps that have not ended."""
    return [row["state"] for row in host.json("jobs", "--steps")["jobs"] if "." in row["id"]]


def test_a_step_larger_than_its_allocation_is_refused(host: Host) -> None:
    done = host.ostler("alloc", "-c", "2", OSTLER, "run", "-c", "3", "true", check=False)
    assert done.returncode == 3
    assert "would never fit into allocation" in done.stderr


def test_in_a_job_that_is_no_allocation_a_run_is_a_job(host: Host) -> None:
    done = host.ostler("run", OSTLER, "run", "sh", "-c", "echo $OSTLER_JOB${OSTLER_STEP-}")
    assert done.stdout.strip() == newest(host)


def test_an_allocation_that_ended_before_a_restart_takes_no_steps(own_host: Host) -> None:
    own_host.ostler("alloc", "true")
    inside = {"OSTLER_JOB": newest(own_host), "OSTLER_STATE": str(own_host.state)}
    kill(own_host.pids()["manager"])
    done = own_host.ostler("run", "true", check=False, **inside)
    assert done.returncode == 3
    assert "takes no steps" in done.stderr


def test_what_still_runs_when_the_command_ends_is_ended(host: Host) -> None:
    script = f"{OSTLER} run sleep 1000 & until {OSTLER} jobs --steps | grep -q '[.]0 .*running'; do :; done"
    done = host.ostler("alloc", "sh", "-c", script)
    assert done.returncode == 0
    job = newest(host)
    host.ostler("wait", job)
    assert host.job(f"{job}.0")["result"] == "cancelled"
    assert host.json("nodes")["nodes"][0]["free_cpus"] == 4


def test_a_shell_entered_on_a_terminal_is_a_step_with_job_control(host: Host) -> None:
    with alloc(host, "-c", "1") as client:
        say(client, "echo $OSTLER_JOB")
        job = hear(client).strip()
        with screen(host, "exec", job, "--", "bash", "--norc", "--noprofile") as entered:
            entered.type("echo i''n $OSTLER_JOB.$OSTLER_STEP; set -o | grep monitor\n")
            entered.shows(f"in {job}.0")
            entered.shows("monitor        \ton")
            entered.type("exit 6\n")
            assert entered.status() == 6
        say(client, "exit 0")
        assert client.wait(60) == 0
    late = host.ostler("exec", job, "--", "true", check=False)
    assert (late.returncode, late.stdout) == (5, "")
    assert f"{job} is done" in late.stderr


def test_immediate_exits_with_5_when_it_cannot_be_granted_now(host: Host) -> None:
    with alloc(host, "-c", "3") as client:
        say(client, "echo ready")
        assert hear(client) == "ready\n"
        late = host.ostler("alloc", "-c", "2", "--immediate", "true", check=False)
        assert late.returncode == 5
        assert "cannot be granted at once" in late.stderr
        assert host.ostler("alloc", "-c", "1", "--immediate", "true").returncode == 0
        say(client, "exit 0")
        assert client.wait(60) == 0


def test_one_that_waits_says_why_and_an_interrupt_leaves_the_queue_empty(host: Host) -> None:
    with alloc(host, "-c", "4") as client:
        say(client, "echo ready")
        assert hear(client) == "ready\n"
        with alloc(host, "-c", "1") as late:
            assert late.stderr is not None
            assert "waits (resources)" in late.stderr.readline()
            late.send_signal(signal.SIGINT)
            assert late.wait(60) == 128 + signal.SIGINT
        assert len(host.json("jobs")["jobs"]) == 1
        say(client, "exit 0")
        assert client.wait(60) == 0


def test_a_command_that_is_not_there_gives_everything_back(host: Host) -> None:
    assert host.ostler("alloc", "nosuch", check=False).returncode == 127
    assert host.ostler("alloc", "/etc/passwd", check=False).returncode == 126
    assert host.json("nodes")["nodes"][0]["free_cpus"] == 4


def test_a_command_whose_allocation_is_cancelled_is_ended_with_125(host: Host) -> None:
    with alloc(host, "-c", "1") as client:
        say(client, "echo $OSTLER_JOB; exec sleep 1000")
        host.ostler("cancel", hear(client).strip())
        assert client.wait(60) == 125
        assert client.stderr is not None
        assert "cancelled by" in client.stderr.read()


def test_a_client_that_dies_ends_its_allocation_and_the_steps(own_host: Host) -> None:
    own_host.ostler("config", "set", "client-grace", "1")
    marks = own_host.work / "marks"
    with alloc(own_host, "-c", "1") as client:
        say(client, f"{OSTLER} run sh -c 'echo $$ > {marks}; exec sleep 1000' &")
        task = int(eventually("the step runs", lambda: marks.exists() and marks.read_text()))
        client.kill()
        row = own_host.wait_for("1", "done")
        assert row["result"] == "cancelled"
        assert "`ostler alloc` was gone" in row["reason"]
        assert not Path(f"/proc/{task}").exists()
        assert own_host.json("nodes")["nodes"][0]["free_cpus"] == 4


@pytest.mark.parametrize(
    "victims", [("manager",), ("agent",), ("manager", "agent", "supervisor")], ids="-".join
)
def test_a_step_and_its_allocation_go_on_whoever_dies(
    own_host: Host, victims: tuple[str, ...]
) -> None:
    gate = own_host.work / "gate"
    os.mkfifo(gate)
    with alloc(own_host, "-c", "2") as client:
        say(client, f"{OSTLER} run sh -c 'echo in; read word < {gate}; exit 6'; echo $?")
        assert hear(client) == "in\n"
        pids = own_host.pids()
        kill(*(pids[name] for name in victims))
        if "supervisor" in victims:
            own_host.up()
        gate.write_text("go\n")
        assert hear(client) == "6\n"
        say(client, f"{OSTLER} run -c 2 sh -c 'echo $OSTLER_STEP'; exit 5")
        assert hear(client) == "1\n"
        assert client.wait(60) == 5
    assert own_host.job("1.0")["exit_status"] == 6
    assert len(own_host.json("acct", "--job", "1")["accounting"]) == 3
