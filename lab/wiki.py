"""Two WIKI resource managers beside native work, while one does all that a bad one can do."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from lab.kit import Check, Ground, equal, expect
from ostler.testing.wiki_rm import SimJob
from ostler.testing.wiki_sim import Fault, WikiSim
from tests.e2e.machine_kit import eventually

JOBS = 150  # of each
FAULTY = 3.0  # seconds for which a fault lasts,
SOUND = 1.5  # and seconds after it in which all is well
PATIENCE = 300.0  # seconds
PURGE = 5  # seconds after which a job that cannot be seen is given up
FAULTS = (
    ("GETJOBS", Fault.HANG),
    ("*", Fault.GARBAGE),
    ("*", Fault.LATE),
    ("STARTJOB", Fault.LATE),
    ("STARTJOB", Fault.LOST),
    ("STARTJOB", Fault.DEAF),
    ("STARTJOB", Fault.REFUSE),
    ("GETJOBS", Fault.COUNT),
    ("GETJOBS", Fault.EMPTY),
    ("GETNODES", Fault.TORN),
    ("*", Fault.CHECKSUM),
    ("*", Fault.DRIP),
)


@contextmanager
def driven(at: Ground, *names: str) -> Iterator[dict[str, WikiSim]]:
    """Have these simulated, and driven by the lab."""
    folder = at.folder()
    key = folder / "key"
    key.write_text("42\n")
    key.chmod(0o600)
    sims = {name: WikiSim({f"{name}{i}": 2 for i in range(1, 9)}) for name in names}
    rows = [
        f'[rms.{name}]\ndriver = "wiki"\ninterval = "1s"\ndeadline = "6s"\n'
        f'job_purge = "{PURGE}s"\n'
        f'settings = {{port = "{sim.port}", key-file = "{key}", timeout = "4"}}\n'
        for name, sim in sims.items()
    ]
    (folder / "rms.toml").write_text("".join(rows))
    (folder / "none.toml").write_text("".join(f"{row}enabled = false\n" for row in rows))
    at.lab.ostler("config", "apply", str(folder / "rms.toml"))
    try:
        yield sims
        at.lab.ostler("config", "apply", str(folder / "none.toml"))
    finally:
        for sim in sims.values():
            sim.close()


def in_state(sim: WikiSim, *states: str) -> list[str]:
    """Return the jobs there that are in one of these states."""
    with sim.lock:
        return [job.id for job in sim.rm.jobs.values() if job.state in states]


def all_over(sim: WikiSim) -> bool:
    """Say whether nothing runs or waits there."""
    return not in_state(sim, "Idle", "Running")


def storm(at: Ground) -> str:
    """Let one resource manager fail in every way; each job still runs once, and all agree."""
    with driven(at, "good", "bad") as sims:
        for name, sim in sims.items():
            for number in range(JOBS):
                tasks, seconds = at.rng.randint(1, 4), at.rng.uniform(0.5, 6)
                sim.add(SimJob(f"{name[0]}{number}", seconds, tasks=tasks))
        array = at.quick("--array", f"0-{JOBS - 1}")
        began = time.monotonic()
        lost = trouble(at, sims["bad"])
        for name, sim in sims.items():
            eventually(f"all of {name} ends", partial(all_over, sim), PATIENCE)
        took = time.monotonic() - began
        told = eventually("the machine knows of all ends", lambda: results(at, array), PATIENCE)
        equal("what ended how", told, {
            ("good", "success"): JOBS, ("bad", "success"): JOBS, ("bad", "lost"): len(lost),
        })  # fmt: skip
        for sim in sims.values():
            starts = Counter(job.starts for job in sim.rm.jobs.values())
            expect("each job was started once", set(starts) == {1}, dict(starts))
        return f"{2 * JOBS} jobs there and {JOBS} here, {len(FAULTS)} faults, {took:.0f} s"


def trouble(at: Ground, sim: WikiSim) -> set[str]:
    """Bring all faults about, one after the other; return the jobs that were lost."""
    lost = set()
    for number, (verb, fault) in enumerate(FAULTS):
        sim.fail(verb, fault)
        at.rest(FAULTY)
        sim.mend()
        at.rest(SOUND)
        if number == 2:
            running = eventually("something runs", partial(in_state, sim, "Running"))
            sim.lose(running[-1])
            lost.add(running[-1])
        elif number == 5:
            sim.invent(SimJob("ghost", 3.0, user="eve"), "bad3")
        elif number == 7:
            sim.rename("bad2", "bad99")
    return lost


def results(at: Ground, array: str) -> dict[tuple[str, str], int] | None:
    """Return how many jobs of each resource manager ended how; None while some have not."""
    rows = at.lab.json("jobs", "--all")["jobs"]
    if any(row["state"] != "done" for row in rows):
        return None
    here = next(row for row in rows if row["id"] == array)
    equal("the array here", here["result"], "success")
    foreign = [row for row in rows if row["kind"] == "foreign"]
    return Counter((row["partition"], row["result"]) for row in foreign)


CHECKS = [Check("two WIKI resource managers, one of them bad", "issue 8", storm)]
