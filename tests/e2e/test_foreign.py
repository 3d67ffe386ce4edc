"""Other resource managers beside a live machine: what goes wrong in one is that one's alone."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.machine_kit import Host, eventually, machine, names

FILE = Path(__file__).parents[1] / "unit" / "faulty_driver.py"
PROC = Path("/proc")


def add(host: Host, **fails: str) -> None:
    """Add resource managers, each failing in its own way."""
    text = host.ostler("config", "show").stdout
    for name, how in fails.items():
        text += f'[rms.{name}]\ndriver = "{FILE}:Driver"\nsettings = {{ how = "{how}" }}\n'
        text += 'interval = "1h"\ndeadline = "1s"\n'
    (host.work / "site.toml").write_text(text)
    host.ostler("config", "apply", "site.toml")


def kinds(host: Host, name: str) -> set[str]:
    """Return the kinds of events about a resource manager."""
    rows = host.json("events")["events"]
    return {row["kind"] for row in rows if row["object"] == name}


def times(host: Host, kind: str, name: str) -> int:
    rows = host.json("events")["events"]
    return sum((row["kind"], row["object"]) == (kind, name) for row in rows)


@pytest.mark.e2e
def test_a_resource_manager_that_hangs_or_crashes_is_nobody_elses_matter(tmp_path: Path) -> None:
    """R-MAU-23, R-MAU-24 and R-MAU-26."""
    with machine(tmp_path) as host:
        manager = host.pids()["manager"]
        add(host, hangs="hang", dies="segfault", lives="")
        eventually("one is up", lambda: "rm/up" in kinds(host, "lives"))
        assert host.ostler("run", "echo", "native").stdout == "native\n"
        eventually("another hung", lambda: "driver/hung" in kinds(host, "hangs"))
        eventually("another died", lambda: "driver/crashed" in kinds(host, "dies"))
        eventually("it is begun anew", lambda: times(host, "driver/up", "dies") > 1)
        told = {kind for kind in kinds(host, "lives") if kind.startswith(("driver", "rm"))}
        assert told == {"rm/created", "driver/up", "rm/up"}
        nodes = {row["name"] for row in host.json("nodes")["nodes"]}
        assert {name for name in nodes if "/" in name} == {"lives/n1"}
        assert host.ostler("run", "echo", "native").stdout == "native\n"
        [shown] = host.json("rm", "show", "hangs")["resource_managers"]
        assert shown["process"]["losses"] >= 1
        assert shown["about"]["options"] == []
        assert host.pids()["manager"] == manager
        host.ostler("rm", "remove", "lives")
        [left] = host.json("nodes")["nodes"]
        status = host.json("status")
        assert ([row["name"] for row in status["nodes"]], status["machine"]["cpus"]) == (
            [left["name"]],
            left["cpus"],
        )


@pytest.mark.e2e
def test_nodes_of_a_pool_come_for_what_waits_and_go_again(tmp_path: Path) -> None:
    with machine(tmp_path, "--cpus", "1") as host:
        _add_pool(host, nodes=2, idle="1s")
        meet = "touch $OSTLER_ELEMENT; until [ -e 0 ] && [ -e 1 ]; do sleep 0.02; done"
        job = host.submit("-t", "1m", "--array", "0-1", "-o", "/dev/null", "--", "sh", "-c", meet)
        host.ostler("wait", job)
        assert "hall-pool-1" in host.ostler("job", f"{job}_[0-1]").stdout
        eventually("it has gone", lambda: _pool(host)["nodes"] + _pool(host)["asked"] == 0)
        gone = [("hall-pool-1", "cancelled")]
        eventually("its job has ended, and was the only one", lambda: _pilots(host) == gone)


def _pilots(host: Host) -> list[tuple[str, str]]:
    rows = host.json("jobs", "--all")["jobs"]
    return [(row["name"], row["result"]) for row in rows if row["rm"] == "hall"]


def test_a_node_of_a_pool_ends_with_its_supervisor_and_starts_no_other(tmp_path: Path) -> None:
    with machine(tmp_path, "--cpus", "1") as host:
        _add_pool(host, nodes=1, idle="1h")
        host.ostler("grow", "1", "--from", "hall")
        eventually("it has come", lambda: _pool(host)["nodes"] == 1)
        [folder] = (host.state / "pilots").iterdir()
        record = json.loads((folder / "supervisor.json").read_text())
        host.ostler("pool", "remove", "hall")
        os.kill(record["pid"], signal.SIGKILL)
        eventually("it ends", lambda: not [p for p in PROC.glob("[0-9]*") if names(p, folder)])


def test_a_node_that_is_told_to_end_ends_by_the_signal_and_not_as_a_success(tmp_path: Path) -> None:
    """Its resource manager tells then that somebody has ended it there."""
    words = [sys.executable, "-m", "ostler.agent.pilot", "--machine", str(tmp_path)]
    words += ["--node", "hall-pool-1", "--cpus", "1", "--seconds", "60"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as pilot:
        assert pilot.stderr is not None
        pilot.stderr.readline()  # it has started the agent
        pilot.terminate()
        assert "stopped the agent" in pilot.stderr.read()
    assert pilot.returncode == -signal.SIGTERM


def _add_pool(host: Host, *, nodes: int, idle: str) -> None:
    """Add a resource manager of two CPUs, and a pool of so many nodes there."""
    spool = host.work / "spool"
    spool.mkdir()
    host.ostler("rm", "add", "hall", "local", f"folder={spool}", "cpus=2", "interval=1s")
    host.ostler("pool", "add", "hall", "--max-nodes", str(nodes), "--idle", idle, "time=10m")


def _pool(host: Host) -> dict[str, int]:
    [row] = host.json("pool")["pools"]
    found: dict[str, int] = row
    return found
