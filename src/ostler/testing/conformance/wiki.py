"""The bench of the WIKI driver: a simulated server, unless it is told where a real one listens."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from msgspec.structs import replace

from ostler.drivers.contract import Driver
from ostler.model.foreign import Share, Start
from ostler.testing.conformance.bench import Bench
from ostler.testing.conformance.finding import Skipped
from ostler.testing.wiki_rm import SimJob
from ostler.testing.wiki_sim import Fault, WikiSim

_FOREVER = 1e9  # seconds


class WikiBench(Bench):
    """Jobs are simulated too: they end when they are told."""

    polling = 0.01

    def __init__(
        self, make: Callable[[Mapping[str, str]], Driver], settings: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(make, settings)
        self._simulated = "port" not in self.settings
        self._sims: dict[int, WikiSim] = {}  # by the process whose it is
        self._ids: dict[str, str] = {}  # token -> job
        if self._simulated:
            key = self.folder / "key"
            key.write_text("42\n")
            key.chmod(0o600)
            self.settings |= {"key-file": str(key), "timeout": "2"}

    @property
    def sim(self) -> WikiSim:
        """Return the simulated server of this process; raise `Skipped` before a real one."""
        if not self._simulated:
            raise Skipped("nobody can submit jobs over WIKI")
        if os.getpid() not in self._sims:  # a case has a process of its own, without our threads
            sim = self._sims[os.getpid()] = WikiSim({"n1": 4, "n2": 4})
            sim.add(SimJob("bystander", _FOREVER))  # a list without any job is a failed query
        return self._sims[os.getpid()]

    def driver(self) -> Driver:
        """Return a client of the server."""
        if self._simulated:
            self.settings["port"] = str(self.sim.port)
        return super().driver()

    def close(self) -> None:
        """Stop the server."""
        if (sim := self._sims.pop(os.getpid(), None)) is not None:
            sim.close()
        super().close()

    def order(self, key: str, shares: Sequence[Share], job: str = "") -> Start:
        """Return the order; the job asks for what its shares have."""
        order = super().order(key, shares, job)
        self._ids[key] = job
        with self.sim.lock:
            if (mine := self.sim.rm.jobs.get(job)) is not None:
                mine.tasks = sum(share.tasks for share in shares)
                mine.cpus = order.cpus_per_task
                mine.user = order.user
        return replace(order, argv=())

    def begun(self, key: str) -> int:
        """Return how often the job was started."""
        with self.sim.lock:
            job = self.sim.rm.jobs.get(self._ids.get(key, ""))
            return 0 if job is None else job.starts

    def finish(self, key: str, status: int) -> None:
        """Let the job have run long enough."""
        if status:
            raise Skipped("WIKI tells no exit status")
        with self.sim.lock:
            self.sim.rm.jobs[self._ids[key]].seconds = 0.0

    def submit(self, key: str) -> str:
        """Submit a job as one of the server's users."""
        return self.sim.add(SimJob(f"job.{key[-8:]}", _FOREVER)).id

    def occupy(self, node: str, key: str) -> str:
        """Have a job run that the driver was not asked for."""
        return self.sim.invent(SimJob(f"job.{key[-8:]}", _FOREVER), node).id

    def down(self, node: str) -> None:
        """Have a node down."""
        self.odd_node(node, "Down")

    def up(self, node: str) -> None:
        """Have it as its jobs make it."""
        self.odd_node(node, "")

    @contextmanager
    def away(self) -> Iterator[None]:
        """Have the server hang up at once."""
        self.sim.fail("*", Fault.DEAF)
        yield
        self.sim.mend()

    def forget(self, job: str) -> None:
        """Have the server lose a job."""
        self.sim.lose(job)

    def reuse(self, job: str, key: str) -> None:
        """Have another job with the same id, submitted later."""
        with self.sim.lock:
            at = self.sim.rm.jobs[job].submitted_at
            self.sim.rm.jobs[job] = SimJob(job, _FOREVER, submitted_at=at - 10)
        self._ids[key] = job

    def odd_job(self, job: str, word: str) -> None:
        """Have a job in a state that there is not."""
        with self.sim.lock:
            self.sim.rm.jobs[job].state = word

    def odd_node(self, node: str, word: str) -> None:
        """Have a node in this state."""
        with self.sim.lock:
            self.sim.rm.nodes[node].state = word

    @contextmanager
    def partial(self) -> Iterator[None]:
        """Have it announce more than it tells."""
        self.sim.fail("GETJOBS", Fault.COUNT)
        yield
        self.sim.mend()
