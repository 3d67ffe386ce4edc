"""A live machine of 64 nodes: the process that plans is killed, stands still, talks nonsense."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.load import fill
from tests.e2e.machine_kit import OSTLER, PATIENCE, Host, eventually, machine

NODES = 64


@contextmanager
def crowd(host: Host) -> Iterator[None]:
    """Let so many nodes greet that are none; the node that is one takes no work."""
    words = [sys.executable, "-m", "ostler.testing.crowd", str(host.state), str(NODES), "3600"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "all nodes are in\n"
            names = [row["name"] for row in host.json("nodes")["nodes"]]
            host.ostler("nodes", "drain", *(name for name in names if name[0] != "f"))
            yield
        finally:
            host.down()  # what runs there can only be ended by those who greeted
            process.kill()


def planner(host: Host) -> int | None:
    """Return the process that plans, if there is one."""
    manager = host.pids()["manager"]
    for child in Path(f"/proc/{manager}/task/{manager}/children").read_text().split():
        if b"planner_worker" in Path(f"/proc/{child}/cmdline").read_bytes():
            return int(child)
    return None


def stand(host: Host) -> tuple[int, int]:
    """Return how many jobs run, and how many wait."""
    counts = host.json("status")["jobs"]
    return counts.get("running", 0), counts.get("pending", 0)


def cancel(host: Host, *jobs: int) -> None:
    host.ostler("cancel", *map(str, jobs))


def explaining(host: Host, job: int) -> "subprocess.Popen[str]":
    """Ask about a job, and do not wait for the answer."""
    words = [OSTLER, "--state", str(host.state), "explain", str(job)]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True)


@pytest.mark.timeout(2 * PATIENCE)
def test_the_manager_goes_on_whatever_becomes_of_the_process_that_plans(tmp_path: Path) -> None:
    with machine(tmp_path) as host, crowd(host):
        manager = host.pids()["manager"]
        fill(host.state, NODES + 6, cpus=16)
        eventually("all nodes are taken", lambda: stand(host) == (NODES, 6))
        first = planner(host)
        assert first is not None
        assert os.sched_getscheduler(first) == os.SCHED_BATCH  # it takes the CPU from nobody

        os.kill(first, signal.SIGKILL)
        cancel(host, 1, 2)
        eventually("another one plans", lambda: stand(host) == (NODES, 4))
        second = planner(host)
        assert second is not None
        assert second != first

        os.kill(second, signal.SIGSTOP)
        cancel(host, 3, 4)
        eventually("two nodes are free", lambda: stand(host) == (NODES - 2, 4))
        assert host.submit("-c", "16", "--hold", "--", "true") == str(NODES + 7)
        with explaining(host, NODES + 6) as asked:
            for _ in range(2):  # the first may have come before the question
                assert len(host.json("jobs")["jobs"]) == NODES + 3
            assert asked.poll() is None
            asked.kill()
        os.kill(second, signal.SIGCONT)
        eventually("it goes on", lambda: stand(host) == (NODES, 2))
        assert planner(host) == second

        with open(f"/proc/{second}/fd/1", "wb", buffering=0) as pipe:
            pipe.write(b"\0\0\0\1?")
        cancel(host, 5, 6)
        eventually("yet another one plans", lambda: stand(host) == (NODES, 0))
        assert planner(host) not in (None, second)
        assert host.pids()["manager"] == manager
        lost = [row for row in host.json("events")["events"] if row["kind"] == "planner/lost"]
        assert len(lost) == 2
        assert "makes no sense" in lost[-1]["text"]
