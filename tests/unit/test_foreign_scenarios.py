"""Requirements R-MAU that take whole scenarios, in virtual time. Each test names its own."""

import os
import stat
from pathlib import Path
from random import Random

import pytest
from msgspec.structs import replace

from ostler.core.events import Submitted
from ostler.core.explain import explain
from ostler.core.foreign.view import drivers, rm_rows
from ostler.core.view import job_row
from ostler.drivers.slurm import Slurm
from ostler.model.errors import OstlerError
from ostler.model.foreign import Did, ForeignJob, ForeignState
from ostler.model.ids import Ref
from ostler.model.job import TaskExit
from ostler.model.orders import Ended, Started
from ostler.model.resources import Request
from ostler.model.site_changes import Change
from ostler.testing.rm import ScriptedRm
from ostler.wire import messages
from tests.unit.core_kit import ANN, BOB, Box
from tests.unit.foreign_kit import WIKI, Foreign
from tests.unit.scripted import manager, ostler


def test_status_counts_the_drivers_that_answer() -> None:
    """R-MAU-1: 0 are up, the machine is, and 2 iterations after one is back there are starts."""
    box = Foreign(ScriptedRm("stub", ["n1"]), native=("n1",))
    assert drivers(box.machine.state) == {"up": 2, "down": 0}
    box.fail("stub")
    box.machine.state.nodes["n1"].connected = False
    assert drivers(box.machine.state) == {"up": 0, "down": 2}
    box.greet("n1")
    assert drivers(box.machine.state) == {"up": 1, "down": 1}
    job = box.submit()
    assert box.state(job) == "starting"
    assert drivers(Box().machine.state) is None


def test_all_of_several_kinds_are_up() -> None:
    """R-MAU-4: two resource managers and our own nodes, and a job on each of them at once."""
    box = Foreign(
        ScriptedRm("wiki", ["w1"], options=WIKI), ScriptedRm("big", ["b1"]), native=("n1",)
    )
    box.rms["wiki"].submit("7")
    jobs = [box.submit(), box.submit(partition="big")]
    box.load()
    jobs.append(box.job("wiki", "7"))
    assert [row["state"] for row in rm_rows(box.machine.state)] == ["up", "up"]
    assert drivers(box.machine.state) == {"up": 3, "down": 0}
    assert all(box.machine.state.jobs[job].slots for job in jobs)


def test_a_job_of_full_nodes_does_not_go_to_where_all_is_free() -> None:
    """R-MAU-5: 20 iterations, with the reason; and to send it elsewhere is refused with status 3."""
    rm = ScriptedRm("wiki", [f"w{i}" for i in range(100)])
    box = Foreign(rm, native=("n1",))
    nodes = {"nodes": {"both": "n1,wiki/*"}}
    box.change(
        Change("create", "partition", ("both",)), Change("set", "configuration", ("",), nodes)
    )
    box.submit(partition="both", rm="native", request=Request(cpus=4))
    waits = box.submit(partition="both", rm="native")
    for _ in range(20):
        box.load()
    assert box.state(waits) == "pending"
    assert not box.calls("wiki")
    told = explain(box.machine.state, box.now, Ref(waits))
    assert told["rule"] == "resources"
    assert "0 of 1 node" in told["reason"] or "free" in told["reason"], told["reason"]
    with pytest.raises(OstlerError, match="jobs never move between") as found:
        box.ask_modify(waits, rm="wiki")
    assert found.value.exit_status == 3


SITE = {
    "max-cpus-per-user": "3",
    "weight-share": "50",
    "weight-size": "10",
    "share-half-life": "600",
}
STUB = """#!/bin/sh
case "$0 $*" in
  *squeue*|*sacct*) ;;
  *scontrol*config*) echo "MinJobAge = 300 sec" ;;
  *--test-only*) echo "sbatch: Job 7 to start at 2026-01-01T00:00:00 using 4 processors" >&2 ;;
  *sbatch*) printf '%s\\n' "$@" >"{told}"; echo 7 ;;
esac
"""


def test_what_is_asked_for_reaches_slurm_in_its_words(tmp_path: Path) -> None:
    """R-MAU-7: from the command line to sbatch, 4 CPUs, 2048 MB and 10 minutes."""
    with manager(tmp_path, lambda _: {"job": 1}) as made:
        done = ostler(tmp_path, "submit", "--rm", "big", "-c4", "-m2G", "-t10m", "--", "true")
        assert done.status == 0, done.err
    [asked] = [each for each in made.requests if isinstance(each, messages.Submit)]
    box = Foreign(ScriptedRm("big", ["n1"]))
    box.ask(Submitted, ANN, "r", asked.spec, {asked.spec.env: asked.blobs[0]})
    [call] = box.calls("big")
    assert call.start is not None
    told = tmp_path / "told"
    for name in ("sbatch", "squeue", "scontrol", "sacct", "srun"):
        (tmp_path / name).write_text(STUB.format(told=told))
        (tmp_path / name).chmod(stat.S_IRWXU)
    driver = Slurm({"path": f"{tmp_path}:/usr/bin:/bin"})
    order = replace(call.start, uid=os.geteuid(), gid=os.getegid(), script=b"#!/bin/sh\n")
    outcome = driver.start(order)
    assert (outcome.did, outcome.id) == (Did.ACCEPTED, "7"), outcome
    words = told.read_text().splitlines()
    assert {"--nodelist=n1", "--ntasks=1", "--cpus-per-task=4", "--time=10"} <= set(words)
    assert f"--mem-per-cpu={2048 // 4 * 1024}K" in words


def test_a_state_that_a_driver_does_not_know_changes_nothing_and_is_marked() -> None:
    """R-MAU-7: the last state is kept, unknown since then, and there is one event."""
    rm = ScriptedRm("stub", ["n1"])
    box = Foreign(rm)
    job = box.submit(partition="stub")
    box.load()
    runs = rm.jobs["1"]
    rm.put(replace(runs, state=ForeignState.UNKNOWN, native_state="DREAMING"))
    since = box.now + 1.0
    for _ in range(5):
        box.load()
    assert box.state(job) == "running"
    assert box.told("job/unknown") == ["stub says 'DREAMING' of it, which its driver does not know"]
    entry = box.machine.state.jobs[job]
    assert job_row(box.machine.state, entry)["unknown_since"] == since
    rm.put(runs)
    box.load()
    assert job_row(box.machine.state, entry)["unknown_since"] is None


DONE = (TaskExit(0, 0),)
STEP = 10.0  # seconds


class Work:
    """Jobs of a random day, on one node of four CPUs: the same of whoever starts them."""

    def __init__(self, box: Foreign, partition: str, node: str) -> None:
        """Submit them all, under a limit, with a fair share and before a reservation."""
        self.box = box
        self.order: list[int] = []  # as they were started
        self.ends: dict[int, float] = {}  # by allocation
        self.seconds: dict[int, float] = {}
        self.priority: dict[int, int] = {}
        for key, value in SITE.items():
            box.configure(key, value)
        values = {"nodes": node, "start": box.now + 300, "duration": "100s"}
        box.change(Change("create", "reservation", ("disks",), values))
        chance = Random(9)
        for _ in range(50):
            seconds, priority = chance.choice((10, 30, 60, 120)), chance.randint(10, 50)
            job = box.submit(
                by=chance.choice((ANN, BOB)),
                partition=partition,
                priority=priority,
                time_limit=seconds + 5,
                request=Request(cpus=chance.randint(1, 3)),
            )
            self.seconds[job], self.priority[job] = float(seconds), priority
        self.look()

    def look(self) -> None:
        """Note what has been started since."""
        for number, alloc in self.box.machine.state.allocations.items():
            if number not in self.ends:
                self.order.append(alloc.job)
                self.ends[number] = self.box.now + self.seconds[alloc.job]

    def due(self) -> list[int]:
        """Return the allocations that are to end now."""
        return [n for n in self.box.machine.state.allocations if self.ends[n] <= self.box.now]


def test_four_verbs_schedule_fifty_jobs_as_our_own_nodes_do() -> None:
    """R-MAU-9: with priority, backfill, fair share, reservation and limits, in the same order."""
    rm = ScriptedRm("stub", ["n1"])
    there, here = Foreign(rm), Foreign(native=("n1",))
    here.now = there.now
    here.scheduler._every = there.scheduler._every = 20
    foreign, own = Work(there, "stub", "stub/n1"), Work(here, "main", "n1")
    here.report("n1", *(Started(n, here.now) for n in here.machine.state.allocations))
    while here.machine.state.jobs:
        assert here.now < 3_000
        for box in (here, there):
            box.now += STEP
            box.machine.state.changed = True  # time has come for what waited for it
        begun = {n: alloc.started_at for n, alloc in here.machine.state.allocations.items()}
        here.report("n1", *(Ended(n, here.now, begun[n], "", "", DONE) for n in own.due()))
        own.look()
        here.report("n1", *(Started(n, here.now) for n in here.machine.state.allocations))
        for number in foreign.due():
            rm.end(next(i for i, j in rm.jobs.items() if _number(j) == number), there.now)
        there.load(after=0.0)
        foreign.look()
        there.load(after=0.0)
        assert foreign.order == own.order, here.now
    assert sorted(own.order) == sorted(own.seconds)
    by_priority = sorted(own.order, key=lambda job: -own.priority[job])
    assert own.order not in (sorted(own.order), by_priority)


def _number(job: ForeignJob) -> int:
    return int(job.token.rpartition("-")[2])
