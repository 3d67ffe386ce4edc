"""A full disk, and one that is read-only for a while: a clear state, others go on, recovery."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from ostler.wire.supervise import process_start
from tests.e2e.disk_kit import SmallDisk, log_bytes, small_disk, small_node_disk
from tests.e2e.gated import Gated, starters
from tests.e2e.machine_kit import Host, eventually

pytestmark = pytest.mark.e2e


@pytest.fixture
def place(tmp_path: Path) -> Iterator[tuple[Host, SmallDisk]]:
    (tmp_path / "log").mkdir()
    with small_disk(tmp_path) as found:
        found[0].up()
        yield found


def make_room(host: Host, disk: SmallDisk) -> None:
    """Free the disk, and wait until that is noticed."""
    disk.free()
    eventually("it serves again", lambda: not host.ostler("status", check=False).returncode)


def refused(host: Host, *words: str) -> str:
    """Return what a command says that cannot be served now, by its status."""
    done = host.ostler(*words, check=False)
    assert done.returncode == 5, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return done.stderr


def large(host: Host) -> tuple[str, ...]:
    """Return a submission too large for what room is left within the database's own files."""
    script = host.work / "large.sh"
    script.write_text("#!/bin/sh\necho x >>large.ran\n" + "# room\n" * 300_000)
    return ("submit", str(script))


def test_a_full_disk_is_told_and_nothing_acknowledged_is_lost(
    place: tuple[Host, SmallDisk],
) -> None:
    host, disk = place
    manager = host.pids()["manager"]
    first, second = Gated(host, "first", 7).running(), Gated(host, "second", 8).running()
    waiting = [Gated(host, f"waits{n}", n) for n in (1, 2)]
    disk.fill()
    said = refused(host, *large(host))
    assert "is full" in said
    assert "free some space" in said
    first.open()  # it ends while nothing can be written down
    acknowledged = []
    for _ in range(5):
        done = host.ostler("submit", "-o", "/dev/null", "--", "true", check=False)
        assert done.returncode in (0, 5), done.stderr
        acknowledged += [done.stdout.strip()] if not done.returncode else []
        seen = host.ostler("jobs", check=False)
        assert seen.returncode == 0 or "is full" in seen.stderr
    make_room(host, disk)
    assert first.ended() == ("failed", 7)
    for job, code in ((second, 8), (waiting[0], 1), (waiting[1], 2)):
        job.running().open()
        assert job.ended() == ("failed", code)
        assert len(job.pids) == 1
    for ident in acknowledged:
        assert host.wait_for(ident, "done")["result"] == "success"
    assert len(first.pids) == 1
    assert host.pids()["manager"] == manager
    assert log_bytes(host) < 100_000


@pytest.mark.parametrize(
    "victims",
    [
        ["manager"],
        ["agent"],
        ["starter"],
        ["supervisor"],
        ["manager", "agent", "starter", "supervisor"],
    ],
    ids="-".join,
)
def test_whatever_dies_while_the_disk_is_full_is_back_when_it_is_not(
    place: tuple[Host, SmallDisk], victims: list[str]
) -> None:
    host, disk = place
    first, second = Gated(host, "first", 7).running(), Gated(host, "second", 8).running()
    pids = host.pids() | {"starter": first.spool().pid}
    disk.fill()
    refused(host, *large(host))
    for victim in victims:
        os.kill(pids[victim], signal.SIGKILL)
    first.open()
    if len(victims) == 1:
        assert "is full" in refused(host, *large(host))
        make_room(host, disk)
        assert first.ended() == ("failed", 7)
    else:  # no process of ours was left above it when it ended
        disk.free()
        host.up()
        assert first.ended() == ("lost", 125)
    second.open()
    assert second.ended() == ("failed", 8)
    assert (len(first.pids), len(second.pids)) == (1, 1)
    assert host.ostler("run", "echo", "well").stdout == "well\n"


def test_statuses_for_which_spool_and_log_have_no_room_arrive(tmp_path: Path) -> None:
    tasks = 60  # their records take more room than the spool has begun to use
    with small_disk(tmp_path, cpus=tasks) as (host, disk):
        host.up()
        job = Gated(host, "many", 4, "-n", str(tasks))
        eventually("all run", lambda: len(job.pids) == tasks)
        starter = job.spool().pid
        disk.fill(host.state / "log" / "agent.log")
        job.open()
        assert process_start(starter)
        make_room(host, disk)
        assert job.ended() == ("failed", 4)


def test_a_node_without_room_says_so_and_takes_the_job_when_it_has_some(tmp_path: Path) -> None:
    with small_node_disk(tmp_path) as (host, disk):
        host.up()
        before = Gated(host, "before", 7).running()
        disk.fill()
        ident = host.ostler(*large(host)).stdout.strip()
        told = eventually(
            "it says why", lambda: (t := host.json("explain", ident))["rule"] == "nodes" and t
        )
        assert "No space left" in told["reason"] + " ".join(told["blockers"])
        before.open()
        assert before.ended() == ("failed", 7)
        disk.free()
        assert host.wait_for(ident, "done")["result"] == "success"
        assert (host.work / "large.ran").read_text() == "x\n"


@pytest.mark.parametrize("victims", [[], ["manager"], ["agent"], ["idle"]], ids="-".join)
def test_a_folder_that_is_read_only_for_a_while_is_told_and_used_again(
    place: tuple[Host, SmallDisk], victims: list[str]
) -> None:
    host, disk = place
    first = Gated(host, "first", 7).running()
    pids = host.pids()
    idle = [pid for pid in starters(host) if pid != first.spool().pid]
    disk.make_read_only()
    for victim in victims:
        for pid in idle if victim == "idle" else [pids[victim]]:
            os.kill(pid, signal.SIGKILL)
    waiting = []
    for _ in range(5):
        done = host.ostler("submit", "-o", "/dev/null", "--", "true", check=False)
        said = done.stderr.lower()
        assert done.returncode == 0 or (done.returncode == 5 and "read-only" in said), said
        waiting += [done.stdout.strip()] if not done.returncode else []
    first.open()
    disk.make_writable()
    eventually("it serves again", lambda: not host.ostler("status", check=False).returncode)
    assert first.ended() == ("failed", 7)
    for ident in waiting:
        assert host.wait_for(ident, "done")["result"] == "success"
    assert host.ostler("run", "echo", "well").stdout == "well\n"
    assert log_bytes(host) < 100_000
