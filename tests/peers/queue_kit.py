"""One queue over four resource managers: a machine, Slurm, Grid Engine and two WIKI servers.

A job of Slurm, Grid Engine or the machine appends its name to one file. Those of the WIKI servers
are simulated: a server counts how often it was told to start each.
"""

import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from bench.peers.gridengine import GridEngine
from bench.peers.slurm import Slurm
from ostler.testing.wiki_rm import SimJob
from ostler.testing.wiki_sim import WikiSim
from tests.e2e.machine_kit import Host, eventually, machine
from tests.peers.driver_kit import ask_slurm

KEY = 42
KEPT = 1e9  # seconds for which a WIKI server lists ended jobs: to be compared in the end
PATIENCE = 600.0  # seconds: bounds hanging, never a measure
WIKI = ("w1", "w2")


class OneQueue:
    """All of them, and what each says."""

    def __init__(
        self, host: Host, slurm: Slurm, cell: GridEngine, sims: dict[str, WikiSim], folder: Path
    ) -> None:
        self.host, self.slurm, self.cell, self.sims, self.folder = host, slurm, cell, sims, folder
        self.file = folder / "ran"
        self.file.touch()
        self.gate = folder / "gate"

    def command(self, name: str, seconds: float) -> str:
        """Return what a job runs."""
        return f"echo {name} >>{self.file}; sleep {seconds}"

    def gated(self, name: str) -> str:
        """Return what a job runs that lasts until the gate is opened."""
        return f"echo {name} >>{self.file}; until [ -e {self.gate} ]; do sleep 0.2; done"

    def submit_all(self, jobs: dict[str, tuple[str, str]]) -> None:
        """Submit jobs to the machine: by name, where to (empty: anywhere) and what they run."""
        tables = []
        for name, (rm, command) in jobs.items():
            where = f'rm = "{rm}"\n' if rm else ""
            words = f'command = ["/bin/sh", "-c", "{command}"]'
            tables.append(f'[{name}]\n{words}\n{where}time = "30m"\noutput = "/dev/null"\n')
        self.host.ostler("submit", "--file", "-", stdin="\n".join(tables))

    def to_slurm(self, name: str, *words: str, command: str = "") -> str:
        """Submit a job to Slurm itself; return its name here."""
        text = command or self.command(name, 0.2)
        given = ["--parsable", "-n1", "-t30", "-o/dev/null", "-J", name, *words, "--wrap", text]
        return f"slurm/{self.ask_slurm('sbatch', *given)}"

    def ask_slurm(self, name: str, *words: str) -> str:
        """Run one of Slurm's commands."""
        return ask_slurm(self.slurm, name, *words)

    def resume_slurm(self) -> None:
        """Let its nodes take jobs again. A controller that was killed may not know that they did not."""
        with suppress(subprocess.CalledProcessError):
            self.ask_slurm("scontrol", "update", "node=ALL", "state=resume")
        self.slurm.wait_for_nodes()

    def to_grid(self, name: str, *words: str) -> str:
        """Submit a job to Grid Engine itself; return its name here."""
        given = ["-terse", "-j", "y", "-o", "/dev/null", "-N", name, *words, "-b", "y", "-shell"]
        text = self.command(name, 0.2)
        return f"grid/{self.cell.ask('qsub', *given, 'n', '/bin/sh', '-c', text).strip()}"

    def to_wiki(self, rm: str, name: str, seconds: float) -> str:
        """Submit a job to a WIKI server; return its name here."""
        self.sims[rm].add(SimJob(name, seconds, user="root"))
        return f"{rm}/{name}"

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """Return what a query of the machine's database finds."""
        found = self.host.json("query", sql)
        return [dict(zip(found["columns"], row, strict=True)) for row in found["rows"]]

    def number(self, sql: str) -> int:
        """Return the one number that a query finds."""
        return int(next(iter(self.rows(sql)[0].values())))

    def ended(self, rm: str = "") -> set[int]:
        """Return the jobs that are shown as ended, of one resource manager or of all."""
        where = f"and coalesce(rm, 'native') = '{rm}'" if rm else ""
        return {row["id"] for row in self.rows(f"select id from jobs where state = 'done' {where}")}

    def state(self, rm: str) -> tuple[str, str]:
        """Return whether the machine thinks that a resource manager answers, and why not."""
        known = self.host.json("rm")["resource_managers"]
        return next((row["state"], row["why"]) for row in known if row["name"] == rm)

    def wait_until(self, rm: str, state: str) -> str:
        """Wait until the machine sees a resource manager as `up` or `down`; return why."""
        why: list[str] = eventually(
            f"{rm} is {state}",
            lambda: [told[1]] if (told := self.state(rm))[0] == state else None,
            PATIENCE,
        )
        return why[0]

    def wait_for_more(self, rm: str, jobs: int) -> None:
        """Wait until so many more jobs of a resource manager have ended, or nothing runs there."""
        before = len(self.ended(rm))
        eventually(
            f"{rm} goes on",
            lambda: len(self.ended(rm)) >= before + jobs or not self._runs(rm),
            PATIENCE,
        )

    def _runs(self, rm: str) -> bool:
        """Say whether anything is on nodes of a resource manager, or of the machine's own."""
        nodes = [node for row in self.host.json("jobs")["jobs"] for node in row["allocation_nodes"]]
        return any((node.rpartition("/")[0] or "native") == rm for node in nodes)

    def ran(self) -> Counter[str]:
        """Return how often each job has run, of those that write it down."""
        return Counter(self.file.read_text().split())

    def told_by_slurm(self) -> dict[str, str]:
        """Return what Slurm says became of its jobs."""
        lines = (self.slurm.folder / "completions").read_text().splitlines()
        told = [dict(word.split("=", 1) for word in line.split() if "=" in word) for line in lines]
        return {job["JobId"]: job["JobState"] for job in told}

    def told_by_grid(self) -> dict[str, str]:
        """Return what Grid Engine says became of its jobs: `failed exit_status`."""
        lines = (self.cell.folder / "default/common/accounting").read_text().splitlines()
        fields = [line.split(":") for line in lines if not line.startswith("#")]
        return {job[5]: f"{job[11]} {job[12]}" for job in fields}

    def told_by_wiki(self, rm: str) -> dict[str, str]:
        """Return what a WIKI server says became of its jobs."""
        with self.sims[rm].lock:
            return {job.id: job.state for job in self.sims[rm].rm.jobs.values()}


@contextmanager
def one_queue(slurm: Slurm, cell: GridEngine, folder: Path) -> Iterator[OneQueue]:
    """Run a machine of four CPUs that has all of them in one partition."""
    with ExitStack() as stack:
        nodes = {f"n{number}": 4 for number in (1, 2, 3)}
        sims = {rm: stack.enter_context(WikiSim(nodes, key=KEY)) for rm in WIKI}
        host = stack.enter_context(machine(folder, "--cpus", "4"))
        key = folder / "key"
        key.write_text(str(KEY))
        key.chmod(0o600)
        given = {
            "slurm": [
                "slurm",
                f"config={slurm.env['SLURM_CONF']}",
                "timeout=3",
                f"records={folder}/records",
            ],
            "grid": ["gridengine", f"root={cell.folder}", f"ports={cell.ports}", "flush=1"],
        }
        for rm, sim in sims.items():
            sim.rm.kept = KEPT
            given[rm] = ["wiki", f"port={sim.port}", f"key-file={key}", "job-purge=3s"]
        for rm, words in given.items():
            common = ("interval=1s", "deadline=6s", "retry=2s", "shares-hosts=true")
            host.ostler("rm", "add", rm, *words, *common)
        names = ",".join([socket.gethostname(), *(f"{rm}/*" for rm in given)])
        host.ostler("partitions", "create", "all", names, "is_default=true")
        queue = OneQueue(host, slurm, cell, sims, folder)
        for rm in given:
            queue.wait_until(rm, "up")
        yield queue
