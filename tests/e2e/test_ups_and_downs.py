"""Up, down, and what happened while some or all of us were not there."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from ostler.store.sqlite.store import SqliteStore
from ostler.wire.supervise import process_start
from tests.e2e.gated import Gated
from tests.e2e.kills import our_processes
from tests.e2e.machine_kit import OSTLER, Host, eventually, machine

pytestmark = pytest.mark.e2e


@contextmanager
def nobody_restarts(host: Host) -> Iterator[dict[str, int]]:
    """Keep the supervisor from starting anything; give the pids of the daemons."""
    pids = host.pids()
    os.kill(pids["supervisor"], signal.SIGSTOP)
    try:
        yield pids
    finally:
        os.kill(pids["supervisor"], signal.SIGCONT)


def kill(*pids: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):  # a zygote ends with its agent
            os.kill(pid, signal.SIGKILL)
    eventually("they are gone", lambda: not any(map(process_start, pids)))


# -- up ----------------------------------------------------------------------------------------


def test_the_second_up_says_that_it_is_up_and_changes_nothing(own_host: Host) -> None:
    before = own_host.pids()
    done = own_host.ostler("up", *own_host.up_options)
    assert "already up" in done.stderr
    assert own_host.ostler("up", "--cpus", "3", check=False).returncode == 3
    assert own_host.pids() == before


def test_machines_stand_side_by_side(own_host: Host, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with machine(other, "--cpus", "1") as second:
        assert not set(own_host.pids().values()) & set(second.pids().values())
        ids = [own_host.submit("--hold", "--", "true"), second.submit("--", "false")]
        assert ids == ["1", "1"]
        assert second.wait_for("1", "done")["result"] == "failed"
        assert own_host.job("1")["state"] == "held"
        second.down()
        assert own_host.ostler("run", "echo", "on").stdout == "on\n"


def test_a_state_folder_may_have_a_path_longer_than_a_socket_name(tmp_path: Path) -> None:
    folder = tmp_path / ("deep" * 30) / ("deeper" * 20)
    folder.mkdir(parents=True)
    with machine(folder, "--cpus", "2") as host:
        job = Gated(host, "job", 7).running()
        kill(host.pids()["agent"], host.pids()["manager"])
        job.open()
        assert job.ended() == ("failed", 7)
        assert host.ostler("run", "cat", stdin="far down\n").stdout == "far down\n"


# -- down --------------------------------------------------------------------------------------


def test_down_with_a_job_running_is_refused_and_nothing_stops(own_host: Host) -> None:
    job = Gated(own_host, "job", 7).running()
    done = own_host.ostler("down", check=False)
    assert done.returncode == 3
    assert f"1 job is running ({job.id})" in done.stderr
    assert "--leave" in done.stderr
    job.open()
    assert job.ended() == ("failed", 7)


def test_down_can_wait_for_what_runs(own_host: Host) -> None:
    job = Gated(own_host, "job", 7).running()
    waits = own_host.submit("-c", "4", "-o", "/dev/null", "--", "true")
    command = [OSTLER, "--state", str(own_host.state), "down", "--wait"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as down:
        eventually("it stops", lambda: own_host.json("status")["machine"]["stopping"] == "wait")
        job.open()
        assert down.wait(60) == 0
    eventually("all of us are gone", lambda: not our_processes(own_host.state))
    own_host.up()
    assert job.ended() == ("failed", 7)
    assert own_host.wait_for(waits, "done")["result"] == "success"


def test_down_can_end_what_runs_and_nothing_of_it_is_left(own_host: Host) -> None:
    more = f"setsid sleep 1000 & echo $! >{own_host.work}/child;"
    job = Gated(own_host, "job", more=more).running()
    own_host.ostler("down", "--kill")
    child = int((own_host.work / "child").read_text())
    assert not any(map(process_start, [*job.pids, child]))
    eventually("all of us are gone", lambda: not our_processes(own_host.state))
    own_host.up()
    assert job.ended()[0] == "cancelled"


@pytest.mark.parametrize("ends", ["while it is down", "later"])
def test_down_can_leave_what_runs_and_the_next_up_tells_its_end(own_host: Host, ends: str) -> None:
    job = Gated(own_host, "job", 7).running()
    own_host.ostler("down", "--leave")
    assert all(map(process_start, job.pids))
    if ends == "later":
        own_host.up()
        assert own_host.job(job.id)["state"] == "running"
        job.open()
    else:
        job.open()
        own_host.up()
    assert job.ended() == ("failed", 7)
    assert len(job.pids) == 1


# -- while somebody was away -------------------------------------------------------------------


@pytest.mark.parametrize("away", [("manager",), ("agent",), ("manager", "agent")], ids="-".join)
def test_statuses_that_happened_while_daemons_were_away_arrive(
    own_host: Host, away: tuple[str, ...]
) -> None:
    jobs = {code: Gated(own_host, f"job{code}", code).running() for code in (0, 7)}
    with nobody_restarts(own_host) as pids:
        kill(*(pids[name] for name in away))
        for job in jobs.values():
            job.open()
    assert [job.ended() for job in jobs.values()] == [("success", 0), ("failed", 7)]
    assert [len(job.pids) for job in jobs.values()] == [1, 1]


def test_when_all_are_dead_a_living_starter_tells_and_else_it_is_lost(own_host: Host) -> None:
    kept, orphan = Gated(own_host, "kept", 7).running(), Gated(own_host, "orphan", 8).running()
    goes_on = Gated(own_host, "goes-on", 9).running()
    daemons = own_host.pids()
    kill(*daemons.values(), orphan.spool().pid)
    kept.open()
    orphan.open()
    own_host.up()
    assert kept.ended() == ("failed", 7)
    assert orphan.ended() == ("lost", 125)
    assert "starter" in own_host.job(orphan.id)["reason"]
    goes_on.open()
    assert goes_on.ended() == ("failed", 9)
    assert [len(job.pids) for job in (kept, orphan, goes_on)] == [1, 1, 1]


def test_a_manager_whose_role_was_taken_writes_nothing_more(own_host: Host) -> None:
    manager = own_host.pids()["manager"]
    os.kill(manager, signal.SIGSTOP)
    store = SqliteStore.open(str(own_host.state / "ostler.db"))
    try:
        store.take_role(
            ("machine", "partition:main"),
            holder="another",
            pid=os.getpid(),
            start_time=process_start(os.getpid()),
            boot_id=Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
            now_boottime=time.clock_gettime(time.CLOCK_BOOTTIME),
            lease_seconds=1.0,
            is_alive=lambda _pid, _start: False,  # as one sees it that waited for the lease
        )
    finally:
        store.close()
    os.kill(manager, signal.SIGCONT)
    done = own_host.ostler("submit", "-o", "/dev/null", "--", "true", check=False)
    assert done.returncode in (0, 5), done.stderr
    eventually("it makes room", lambda: not process_start(manager))
    eventually("another serves", lambda: not own_host.ostler("status", check=False).returncode)
    jobs = own_host.json("jobs", "--all")["jobs"]
    assert [row["id"] for row in jobs] == ([done.stdout.strip()] if done.stdout else [])
    assert own_host.ostler("run", "echo", "well").stdout == "well\n"


def test_a_second_manager_waits_and_takes_over_when_the_first_is_dead(own_host: Host) -> None:
    job = Gated(own_host, "job", 7).running()
    first = own_host.pids()["manager"]
    log = own_host.work / "second.log"
    command = [sys.executable, "-I", "-m", "ostler.manager", "--state", str(own_host.state)]
    with log.open("w") as out, subprocess.Popen(command, stderr=out) as second:
        try:
            eventually("it says who has the role", lambda: f"(pid {first})" in log.read_text())
            assert own_host.pids()["manager"] == first
            with nobody_restarts(own_host):
                kill(first)
                eventually("it serves", lambda: own_host.pids()["manager"] == second.pid)
                job.open()
                assert job.ended() == ("failed", 7)
        finally:
            second.terminate()
        assert second.wait(60) == 0
    eventually("a third serves", lambda: own_host.pids()["manager"] not in (first, second.pid))
    assert own_host.ostler("run", "echo", "well").stdout == "well\n"
