"""Nodes that are jobs in a real Slurm: they come for the queue, and go when it is empty."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.peers.slurm import Slurm
from tests.e2e.machine_kit import Host, machine, names
from tests.peers.conftest import peer
from tests.peers.test_slurm_driver import SlurmBench

ELEMENTS = 500
PATIENCE = 90.0  # seconds


@pytest.fixture(scope="module")
def slurms(open_folder: Path) -> Iterator[Slurm]:
    with peer(Slurm(open_folder / "pool", nodes=2, slots=4), "Slurm") as found:
        yield found


@pytest.fixture
def host(slurms: Slurm, tmp_path: Path) -> Iterator[Host]:
    with machine(tmp_path, "--cpus", "1") as host:
        config = f"config={slurms.env['SLURM_CONF']}"
        records = f"records={host.work}/records"
        host.ostler(
            "rm", "add", "slurm", "slurm", config, "interval=1s", "shares-hosts=yes", records
        )
        yield host


def pools(host: Host) -> dict[str, Any]:
    [row] = host.json("pool")["pools"]
    found: dict[str, Any] = row
    return found


def until(host: Host, look: Callable[[], object], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not look():
        assert time.monotonic() < end, f"not within {PATIENCE} s: {what}: {host.logs()[-2000:]}"
        time.sleep(0.2)  # another system's doing: nothing tells of it


def test_many_elements_run_once_each_on_nodes_of_which_one_is_lost(
    slurms: Slurm, host: Host
) -> None:
    bench = SlurmBench(slurms)
    host.ostler(
        *("pool", "add", "slurm", "--max-nodes", "4", "--idle", "3s", "cpus=2", "time=10m"),
        *("--", "--comment=ours"),
    )
    done = host.work / "done"
    done.mkdir()
    command = f"echo >>{done}/$OSTLER_ELEMENT; sleep 0.5"
    job = host.submit(
        *("-t", "1m", "--requeue", "--array", f"0-{ELEMENTS - 1}", "--output", "/dev/null"),
        *("--", "/bin/sh", "-c", command),
    )
    until(host, lambda: pools(host)["nodes"] == 4, "four nodes have come")
    # All at one moment, as a host that fails: what is stopped tells nobody of the others' end.
    (lost,) = (host.state / "pilots").glob("slurm-pool-2.*")
    supervisor = json.loads((lost / "supervisor.json").read_text())["pid"]
    for number in (signal.SIGSTOP, signal.SIGKILL):
        os.kill(supervisor, number)
        for each in Path("/proc").glob("[0-9]*"):
            if int(each.name) != supervisor and names(each, lost):
                os.kill(int(each.name), number)
    host.ostler("wait", job, check=False)
    how = host.ostler("job", job).stdout + host.ostler("events", "--limit", "60").stdout
    assert host.job(job)["result"] == "success", how
    assert len(list(done.iterdir())) == ELEMENTS
    until(host, lambda: not pools(host)["nodes"] + pools(host)["asked"], "all have gone")
    until(host, lambda: not bench.command_of_slurm("squeue", "-h", "-o", "%i"), "there, too")


def test_nodes_come_by_hand_and_go_again(slurms: Slurm, host: Host) -> None:
    bench = SlurmBench(slurms)
    host.ostler("pool", "add", "slurm", "--idle", "1s", "time=10m")
    host.ostler("grow", "1", "--from", "slurm")
    until(host, lambda: pools(host)["nodes"] == 1, "one has come")
    assert bench.command_of_slurm("squeue", "-h", "-t", "R", "-o", "%j") == "slurm-pool-1"
    node = next(row for row in host.json("nodes")["nodes"] if row["name"] == "slurm-pool-1")
    assert node["until"] > node["since"]
    host.ostler("shrink", "1", "--from", "slurm")
    until(host, lambda: not bench.command_of_slurm("squeue", "-h", "-o", "%i"), "it has gone")
