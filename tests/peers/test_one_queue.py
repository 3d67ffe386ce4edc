"""One queue over our own nodes, a real Slurm, a real Grid Engine and two WIKI servers that lie.

OSTLER_QUEUE_JOBS=2000 has so many jobs in place of those of `make test-peers`.
"""

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.peers.gridengine import LIB, GridEngine
from bench.peers.slurm import Slurm
from ostler.testing.wiki_rm import SimJob
from ostler.testing.wiki_sim import Fault
from tests.e2e.machine_kit import eventually
from tests.peers.conftest import peer
from tests.peers.queue_kit import PATIENCE, WIKI, OneQueue, one_queue

JOBS = int(os.environ.get("OSTLER_QUEUE_JOBS", "160"))
OWN = JOBS * 25 // 40  # submitted to the machine
EACH_WIKI = JOBS * 6 // 40  # to each WIKI server, which tells of them and starts none
EACH_DIRECT = JOBS * 3 // 80  # to Slurm and to Grid Engine by their own commands
WHERE = ("slurm", "grid", "native", "", "", "")  # of one's own jobs, in turns; empty: anywhere
GATED = 4  # jobs that run in Slurm while its controller is killed


@pytest.fixture(scope="module")
def queue(open_folder: Path) -> Iterator[OneQueue]:
    folder = open_folder / "queue"
    folder.mkdir()
    with (
        pytest.MonkeyPatch.context() as patch,
        peer(Slurm(folder, nodes=2, slots=12), "Slurm") as slurm,
        peer(GridEngine(folder, slots=8), "Grid Engine") as cell,
    ):
        patch.setenv("LD_LIBRARY_PATH", str(LIB))
        with one_queue(slurm, cell, folder) as found:
            yield found


@pytest.mark.timeout(1_200)
def test_each_job_runs_once_whatever_becomes_of_its_resource_manager(queue: OneQueue) -> None:
    began = time.monotonic()
    gated = {
        f"gated-{number}": ("slurm", queue.gated(f"gated-{number}")) for number in range(GATED)
    }
    queue.submit_all(gated)
    for turn, happens in enumerate(HAPPENINGS):
        fill(queue, turn)
        happens(queue)
    unfinished = "select count(*) from jobs where state <> 'done'"
    eventually("all have ended", lambda: not queue.number(unfinished), PATIENCE)
    everything_ran_once(queue)
    states_agree(queue)
    tell(queue, time.monotonic() - began)


def fill(queue: OneQueue, turn: int) -> None:
    """Submit this turn's jobs everywhere."""
    mine = [number for number in range(OWN) if number % len(HAPPENINGS) == turn]
    where = {number: WHERE[index % len(WHERE)] for index, number in enumerate(mine)}
    names = {f"own-{number}": rm for number, rm in where.items()}
    queue.submit_all({name: (rm, queue.command(name, 0.5)) for name, rm in names.items()})
    for number in range(turn, EACH_WIKI, len(HAPPENINGS)):
        for rm in WIKI:
            queue.to_wiki(rm, f"{rm}-{number}", 0.5)
    for number in range(turn, EACH_DIRECT, len(HAPPENINGS)):
        queue.to_slurm(f"direct-slurm-{number}")
        queue.to_grid(f"direct-grid-{number}")


def direct_jobs_are_as_ours(queue: OneQueue) -> None:
    """What a resource manager's own commands submit is listed, explained and cancelled by ours."""
    held = {
        "slurm": (queue.to_slurm("held-slurm", "--hold"), "JobHeldUser"),
        "grid": (queue.to_grid("held-grid", "-h"), ""),
    }
    for rm, (name, reason) in held.items():
        known(queue, name)
        shown = queue.host.json("jobs", "--rm", rm)["jobs"]
        assert name in {each for row in shown for each in row["rm_jobs"]}, shown
        said = queue.host.ostler("explain", name).stdout
        assert "held" in said, said
        assert reason in said, said
        queue.host.ostler("cancel", name)
        row = queue.host.wait_for(name, "done")
        assert row["result"] == "cancelled", row


@contextmanager
def outage(queue: OneQueue, rm: str) -> Iterator[None]:
    """Once it is known that a resource manager is away: nothing of it ends, all are listed."""
    queue.wait_until(rm, "down")
    ended, listed = queue.ended(rm), queue.host.json("jobs", "--rm", rm, "--all")["jobs"]
    queue.wait_for_more("native", 5)
    yield
    assert queue.state(rm)[0] == "down"
    assert queue.ended(rm) == ended, "ended while nobody could tell"
    assert len(queue.host.json("jobs", "--rm", rm, "--all")["jobs"]) >= len(listed) > 0


def a_wiki_server_fails(queue: OneQueue) -> None:
    """It hangs, answers garbage, then is slow: the other goes on."""
    sim = queue.sims["w2"]
    for fault in (Fault.HANG, Fault.GARBAGE):
        sim.fail("*", fault)
        with outage(queue, "w2"):
            queue.wait_for_more("w1", 3)
        sim.mend()
        queue.wait_until("w2", "up")
    sim.fail("*", Fault.LATE, 8)
    queue.wait_for_more("w2", 3)
    sim.mend()


def a_wiki_server_lies(queue: OneQueue) -> None:
    """It loses a job, has one that nobody asked for, and calls a node by another name."""
    sim = queue.sims["w2"]
    queue.to_wiki("w2", "lost", 3_600.0)
    sim.add(SimJob("moved", 8.0, user="root", hosts=("n3",)))
    for name in ("w2/lost", "w2/moved"):
        queue.host.wait_for(known(queue, name), "running")
    sim.invent(SimJob("invented", 3.0, user="root"), "n1")
    known(queue, "w2/invented")
    sim.lose("lost")
    sim.rename("n3", "n9")
    odd = "select count(*) from discrepancies where object = 'w2/moved' and kind = 'elsewhere'"
    eventually("it is seen elsewhere", lambda: queue.number(odd), PATIENCE)
    assert queue.host.wait_for("w2/lost", "done")["result"] == "lost"


def known(queue: OneQueue, name: str) -> str:
    """Wait until the machine knows a job by this name."""
    rm, _, ident = name.partition("/")
    sql = f"select count(*) from rm_jobs where rm = '{rm}' and id = '{ident}'"
    eventually(f"{name} is known", lambda: queue.number(sql), PATIENCE)
    return name


def slurm_is_stopped(queue: OneQueue) -> None:
    """Its controller stands still, as on a host that is out of memory."""
    queue.slurm.signal_controller(signal.SIGSTOP)
    try:
        with outage(queue, "slurm"):
            queue.wait_for_more("grid", 3)
    finally:
        queue.slurm.signal_controller(signal.SIGCONT)
    queue.wait_until("slurm", "up")


def slurm_is_killed(queue: OneQueue) -> None:
    """Its controller is killed while jobs run, and begun again.

    What it has not saved, up to five seconds, it forgets: nothing is to change meanwhile.
    """
    queue.ask_slurm("scontrol", "update", "node=ALL", "state=drain", "reason=test")
    running = [f"gated-{number}" for number in range(GATED)]
    alone = ("squeue", "-h", "-t", "R,CG", "-o", "%i")
    eventually(
        "only the gated run",
        lambda: len(queue.ask_slurm(*alone).split()) == GATED,
        PATIENCE,
    )
    queue.slurm.wait_for_saved(queue.ask_slurm(*alone).split()[0])
    queue.slurm.signal_controller(signal.SIGKILL)
    with outage(queue, "slurm"):
        queue.wait_for_more("grid", 3)
    queue.slurm.begin_controller()
    queue.wait_until("slurm", "up")
    assert set(running) <= set(queue.ran())
    queue.gate.touch()
    queue.resume_slurm()


HAPPENINGS = (
    direct_jobs_are_as_ours,
    a_wiki_server_fails,
    a_wiki_server_lies,
    slurm_is_stopped,
    slurm_is_killed,
)


def everything_ran_once(queue: OneQueue) -> None:
    """Each job ran once; the lost one is lost, all others succeeded."""
    ran = queue.ran()
    wanted = [
        *(f"own-{number}" for number in range(OWN)),
        *(f"gated-{number}" for number in range(GATED)),
        *(f"direct-{rm}-{n}" for rm in ("slurm", "grid") for n in range(EACH_DIRECT)),
    ]
    assert ran == Counter(wanted)
    for rm in WIKI:
        starts = {job.id: job.starts for job in queue.sims[rm].rm.jobs.values()}
        assert {name for name, count in starts.items() if count != 1} == set()
    sql = "select result, count(*) as jobs from jobs group by 1"
    results = {row["result"]: row["jobs"] for row in queue.rows(sql)}
    wiki = EACH_WIKI * len(WIKI) + 2  # with the one that was invented, and the one that moved
    assert results == {"success": len(wanted) + wiki, "cancelled": 2, "lost": 1}


def states_agree(queue: OneQueue) -> None:
    """Each resource manager has the jobs that the machine has there, with the same ends."""
    sql = (
        "select rm_jobs.rm, rm_jobs.id as its, jobs.result from rm_jobs "
        "join jobs on jobs.id = rm_jobs.job"
    )
    ours: dict[str, dict[str, str]] = {}
    for row in queue.rows(sql):
        ours.setdefault(row["rm"], {})[row["its"]] = row["result"]
    theirs = {
        "slurm": named(queue.told_by_slurm(), {"COMPLETED": "success", "CANCELLED": "cancelled"}),
        "grid": named(queue.told_by_grid(), {"0 0": "success"}),
        **{rm: named(queue.told_by_wiki(rm), {"Completed": "success"}) for rm in WIKI},
    }
    ours["w2"].pop("lost")
    cancelled = [its for its, result in ours["grid"].items() if result == "cancelled"]
    assert len(cancelled) == 1
    del ours["grid"][cancelled[0]]  # it never ran, and so has no account there
    assert ours == theirs
    accounted = queue.rows(
        "select jobs.rm, count(distinct jobs.id) as jobs from accounting "
        "join jobs on jobs.id = accounting.job where jobs.kind = 'foreign' group by 1"
    )
    direct = {"slurm": EACH_DIRECT, "grid": EACH_DIRECT, "w1": EACH_WIKI, "w2": EACH_WIKI + 3}
    assert {row["rm"]: row["jobs"] for row in accounted} == direct
    adopted = queue.rows("select 1 from rm_jobs where rm = 'w2' and id = 'invented' and theirs")
    assert adopted


def named(told: dict[str, str], words: dict[str, str]) -> dict[str, str]:
    """Return ends in our words; what has none there stays as it is."""
    return {name: words.get(word, word) for name, word in told.items()}


def tell(queue: OneQueue, seconds: float) -> None:
    """Say where jobs went, and what was found: `-s` shows it."""
    went = "select coalesce(rm, 'native') as rm, count(*) as n from jobs group by 1"
    odd = "select rm, kind, count(*) as n from discrepancies group by 1, 2"
    lines = [f"{JOBS} jobs in {seconds:.1f} s"]
    lines += [f"  {row['rm']}: {row['n']} jobs" for row in queue.rows(went)]
    lines += [f"  {row['rm']} {row['kind']}: {row['n']}" for row in queue.rows(odd)]
    sys.stdout.write("\n".join(["", *lines, ""]))
