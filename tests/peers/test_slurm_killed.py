"""A real Slurm whose controller is killed while many jobs start and end: each runs once all the same.

slurmctld saves its jobs every five seconds. What it took since the last time it forgets; what it
started since it starts again; what ended since it goes on to call running.
"""

import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from subprocess import CalledProcessError

import pytest

from bench.peers.slurm import Slurm
from tests.e2e.machine_kit import Host, eventually, machine
from tests.peers.conftest import peer
from tests.peers.driver_kit import ask_slurm

JOBS = 90
FLOWS = 35  # jobs that have begun when the controller is killed
PATIENCE = 600.0  # seconds: bounds hanging, never a measure
JOB = "echo began-{name} >>{file}; sleep 0.5; echo ended-{name} >>{file}; exit {status}"


@pytest.fixture(scope="module")
def slurms(open_folder: Path) -> Iterator[Slurm]:
    with peer(Slurm(open_folder / "killed", nodes=2, slots=6), "Slurm") as found:
        yield found


@pytest.fixture
def host(slurms: Slurm, tmp_path: Path) -> Iterator[Host]:
    with machine(tmp_path, "--cpus", "1") as host:
        settings = [f"config={slurms.env['SLURM_CONF']}", f"records={host.work}/records"]
        # It takes what it has forgotten for running a while, and refuses what finds no room then.
        settings += ["interval=1s", "retry=1s", "retries=100", "shares-hosts=yes"]
        host.ostler("rm", "add", "slurm", "slurm", *settings)

        def answers() -> bool:
            [row] = host.json("rm")["resource_managers"]
            return bool(row["state"] == "up")

        eventually("slurm is up", answers, PATIENCE)
        yield host


@pytest.mark.timeout(1_300)
def test_jobs_run_once_though_the_controller_is_killed_in_full_flow(
    slurms: Slurm, host: Host
) -> None:
    file = host.work / "ran"
    file.touch()
    tables = []
    for number in range(JOBS):
        command = JOB.format(name=number, file=file, status=number % 3)
        words = f'command = ["/bin/sh", "-c", "{command}"]\nrm = "slurm"'
        tables.append(f'[job-{number}]\n{words}\ntime = "10m"\noutput = "/dev/null"\n')
    host.ostler("submit", "--file", "-", stdin="\n".join(tables))

    def seen(word: str) -> int:
        return file.read_text().count(word)

    eventually("many have begun", lambda: seen("began") >= FLOWS, PATIENCE)
    slurms.signal_controller(signal.SIGKILL)
    eventually("what runs has ended", lambda: seen("began") == seen("ended"), PATIENCE)
    slurms.begin_controller()
    slurms.wait_for_nodes()
    ended = "select count(*) from jobs where state = 'done'"

    def all_ended() -> bool:
        with suppress(CalledProcessError):  # nodes that were drained, as each id may be given twice
            ask_slurm(slurms, "scontrol", "update", "node=ALL", "state=resume")
        return bool(host.json("query", ended)["rows"] == [[JOBS]])

    eventually("all have ended", all_ended, PATIENCE)
    wanted = [f"{word}-{number}" for word in ("began", "ended") for number in range(JOBS)]
    assert Counter(file.read_text().split()) == Counter(wanted)
    told = host.json("query", "select result, exit_status, count(*) from elements group by 1, 2")
    assert sorted(told["rows"]) == [
        ["failed", 1, JOBS // 3],
        ["failed", 2, JOBS // 3],
        ["success", 0, JOBS // 3],
    ]
