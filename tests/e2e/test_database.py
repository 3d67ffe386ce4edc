"""A database that was cut, replaced or damaged: said clearly, and never made worse."""

import os
import random
import signal
from pathlib import Path

import pytest

from ostler.wire.supervise import read_supervisor
from tests.e2e.gated import Gated
from tests.e2e.kills import our_processes
from tests.e2e.machine_kit import Host, eventually

pytestmark = pytest.mark.e2e


def kill_all(host: Host) -> None:
    """Kill every process of ours at once."""
    pids = our_processes(host.state)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)  # so that none of them replaces another meanwhile
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    eventually("all are gone", lambda: not our_processes(host.state))


def held(host: Host, count: int) -> list[str]:
    """Submit jobs that wait until they are released; return their ids."""
    return [host.submit("--hold", "-o", "/dev/null", "--", "true") for _ in range(count)]


def known(host: Host) -> list[str]:
    return [row["id"] for row in host.json("jobs", "--all")["jobs"]]


def test_what_was_acknowledged_is_there_whatever_follows_the_last_commit(own_host: Host) -> None:
    jobs = held(own_host, 3)
    kill_all(own_host)
    with (own_host.state / "ostler.db-wal").open("ab") as wal:
        wal.write(random.Random(1).randbytes(5000))
    own_host.up()
    assert known(own_host) == jobs
    own_host.ostler("release", *jobs)
    own_host.ostler("wait", *jobs)


@pytest.mark.parametrize("seed", range(2))
def test_a_cut_log_gives_an_older_state_that_is_whole_and_goes_on(
    own_host: Host, seed: int
) -> None:
    rng = random.Random(seed)
    runs = Gated(own_host, "runs", 7).running()
    jobs = [runs.id, *held(own_host, 2)]
    for _ in range(2):
        kill_all(own_host)
        own_host.up()
    jobs += held(own_host, 2)
    kill_all(own_host)
    wal = own_host.state / "ostler.db-wal"
    os.truncate(wal, 0 if seed == 0 else rng.randrange(wal.stat().st_size))
    own_host.up()
    left = known(own_host)
    assert left == jobs[: len(left)]
    assert own_host.ostler("run", "echo", "well").stdout == "well\n"
    for ident in left:
        own_host.ostler("cancel", ident)
    own_host.ostler("wait", *left, check=False)
    assert len(runs.pids) == 1


def test_a_file_that_is_no_database_is_said_and_left_alone(own_host: Host) -> None:
    jobs = held(own_host, 2)
    own_host.ostler("down", "--leave")
    database = own_host.state / "ostler.db"
    kept, noise = database.read_bytes(), random.Random(2).randbytes(50_000)
    database.write_bytes(noise)
    done = own_host.ostler("up", check=False)
    assert done.returncode == 5, done.stderr
    assert f"{database} is no database" in done.stderr
    assert "put a copy" in done.stderr
    assert "Traceback" not in done.stderr
    assert database.read_bytes() == noise
    eventually("all of us are gone", lambda: not our_processes(own_host.state))
    assert not read_supervisor(str(own_host.state))
    database.write_bytes(kept)
    own_host.up()
    assert known(own_host) == jobs


def test_damage_that_a_manager_meets_while_it_is_up_is_told_by_every_command(
    own_host: Host, tmp_path: Path
) -> None:
    jobs = held(own_host, 2)
    database = own_host.state / "ostler.db"
    copy = tmp_path / "copy"
    own_host.ostler("down", "--leave")
    copy.write_bytes(database.read_bytes())
    own_host.up()
    kill_all(own_host)
    for name in ("ostler.db", "ostler.db-wal"):
        (own_host.state / name).write_bytes(random.Random(3).randbytes(40_960))
    done = own_host.ostler("up", check=False)
    assert done.returncode == 5, done.stderr
    assert "Traceback" not in done.stderr
    (own_host.state / "ostler.db-wal").unlink(missing_ok=True)
    database.write_bytes(copy.read_bytes())
    own_host.up()
    assert known(own_host) == jobs
