"""`run` and the limits of jobs, whoever of us is dead at the moment."""

import subprocess
import time

import pytest

from ostler.agent.proc import children
from ostler.wire.supervise import process_start
from tests.e2e.gated import Gated, starters
from tests.e2e.machine_kit import OSTLER, Host, eventually
from tests.e2e.test_ups_and_downs import kill, nobody_restarts

pytestmark = pytest.mark.e2e

SCRIPT = "echo one; read word; echo two $word; read word; echo three $word; exit 7"


def run(host: Host) -> "subprocess.Popen[str]":
    """Start a `run` that answers a line with a line, twice."""
    return subprocess.Popen(
        [OSTLER, "--state", str(host.state), "run", "sh", "-c", SCRIPT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        bufsize=1,
        cwd=host.work,
    )


def pids_of_all(host: Host) -> dict[str, int]:
    """Return the daemons, the zygote, and the starter of the one job that runs."""
    pids = host.pids()
    busy = [pid for pid in starters(host) if children(pid)]
    [zygote] = [pid for pid in children(pids["agent"]) if pid not in starters(host)]
    assert len(busy) == 1
    return pids | {"zygote": zygote, "starter": busy[0]}


@pytest.mark.parametrize(
    ("victims", "status"),
    [
        (("manager",), 7),
        (("agent",), 7),
        (("zygote",), 7),
        (("supervisor",), 7),
        (("starter",), 7),
        (("manager", "agent", "zygote", "supervisor"), 7),
        (("manager", "agent", "zygote", "supervisor", "starter"), 125),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else "",
)
def test_run_goes_on_whoever_dies(own_host: Host, victims: tuple[str, ...], status: int) -> None:
    with run(own_host) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        assert client.stdout.readline() == "one\n"
        pids = pids_of_all(own_host)
        kill(*(pids[name] for name in victims))
        client.stdin.write("a\n")
        assert client.stdout.readline() == "two a\n"
        if {"manager", "agent", "supervisor"} <= set(victims):
            own_host.up()
        client.stdin.write("b\n")
        assert client.stdout.read() == "three b\n"
        assert client.wait(60) == status, client.stderr and client.stderr.read()
        assert client.stderr is not None
        said = client.stderr.read()
    assert "Traceback" not in said
    assert ("lost" in said) == (status == 125)


def test_a_job_whose_client_is_gone_is_cancelled_after_the_grace(own_host: Host) -> None:
    own_host.ostler("config", "set", "client-grace", "1")
    with run(own_host) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == "one\n"
        client.kill()
        row = own_host.wait_for("1", "done")
    assert row["result"] == "cancelled"
    assert "client" in row["reason"]
    assert not [pid for starter in starters(own_host) for pid in children(starter)]


# -- limits ------------------------------------------------------------------------------------


def limited(host: Host, name: str, seconds: int, more: str = "") -> Gated:
    return Gated(host, name, 7, "-t", f"{seconds}s", more=more).running()


def has_run_for(job: Gated, seconds: float) -> None:
    """Let so many seconds go by since the job began: what is shown needs them."""
    began = job.host.job(job.id)["started_at"]
    eventually("time goes by", lambda: time.time() - began > seconds)


def test_suspended_time_does_not_count_and_a_new_limit_is_obeyed(own_host: Host) -> None:
    stands, longer = limited(own_host, "stands", 2), limited(own_host, "longer", 2)
    shorter = limited(own_host, "shorter", 3600)
    own_host.ostler("suspend", stands.id)
    own_host.ostler("modify", longer.id, "-t", "1h")
    own_host.ostler("modify", shorter.id, "-t", "1s")
    assert shorter.ended() == ("timeout", 125)
    has_run_for(longer, 3)
    own_host.ostler("resume", stands.id)
    for job in (stands, longer):
        own_host.wait_for(job.id, "running")
        job.open()
        assert job.ended() == ("failed", 7)


@pytest.mark.parametrize(
    "dead", [("manager", "agent"), ("starter",), ("agent", "starter")], ids="-".join
)
def test_the_time_limit_is_kept_whoever_is_dead(own_host: Host, dead: tuple[str, ...]) -> None:
    job = limited(own_host, "job", 1, more=f"sleep 1000 & echo $! >{own_host.work}/child;")
    with nobody_restarts(own_host) as pids:
        kill(*((pids | {"starter": job.spool().pid})[name] for name in dead))
        if "starter" not in dead:
            eventually("it was ended", lambda: not any(map(process_start, job.pids)))
        elif "agent" in dead:
            began = time.time()
            eventually("its time is over", lambda: time.time() - began > 1.2)
            assert all(map(process_start, job.pids))
    assert job.ended() == ("timeout", 125)
    assert not process_start(int((own_host.work / "child").read_text()))
    assert len(job.pids) == 1


def test_cancel_reaches_the_whole_tree_of_a_dead_starter(own_host: Host) -> None:
    more = f"setsid sh -c 'sleep 1000 & echo $! >{own_host.work}/child; wait' &"
    job = Gated(own_host, "job", more=more).running()
    child = own_host.work / "child"
    eventually("its child runs", lambda: child.exists() and child.read_text().strip())
    job.kill_starter()
    own_host.ostler("cancel", job.id)
    assert job.ended()[0] == "cancelled"
    assert not any(map(process_start, [*job.pids, int(child.read_text())]))
