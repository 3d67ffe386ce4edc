"""What can be seen of a simulated machine: by its people, in its database, and on its nodes."""

from collections.abc import Callable, Iterable
from typing import Any

from ostler.core.explain import explain
from ostler.core.state import State
from ostler.core.view import element_row
from ostler.model.ids import Ref, parse_ref
from ostler.schedule.promised import promised_by
from ostler.testing.disk import SimStore
from ostler.testing.ledger import Ledger
from ostler.testing.managers import SimManager


class Seen:
    """Looks that change nothing."""

    store: SimStore
    ledger: Ledger

    @property
    def now(self) -> float:
        """Return the virtual time, in Unix seconds."""
        raise NotImplementedError

    @property
    def manager(self) -> SimManager:
        """Return the manager that serves, or will."""
        raise NotImplementedError

    @property
    def core(self) -> State:
        """Return the state of the serving manager's machine."""
        raise NotImplementedError

    def quiet(self) -> bool:
        """Say whether the manager serves and has nothing left to write or plan."""
        raise NotImplementedError

    def run_until(self, condition: Callable[[], bool]) -> None:
        """Let things happen until the condition holds."""
        raise NotImplementedError

    def state(self, job: int) -> str:
        """Return the job's state, or its result when it has ended; `unknown` if there is none."""
        if not self.manager.serving:
            return "unknown"
        entry = self.core.jobs.get(job) or self.core.recent.get(job)
        if entry is None:
            return self.core.ended.get(job, "unknown")
        return str(entry.job.result or entry.job.state)

    def element(self, job: int, index: int) -> dict[str, Any]:
        """Return the row of one element, as `ostler job --json` has it."""
        return element_row(self.core, self.core.entry(Ref(job)), index)

    def states(self, jobs: Iterable[int]) -> list[str]:
        """Return the state of each job."""
        return [self.state(job) for job in jobs]

    def started(self, job: int) -> bool:
        """Say whether the machine has heard that tasks of the job run."""
        return any(a.job == job and a.started for a in self.core.allocations.values())

    def nodes_of(self, job: int) -> list[str]:
        """Return where something of the job is, by the machine's books."""
        live = self.core.jobs[job].live.values() if job in self.core.jobs else ()
        return sorted({node for number in live for node in self.core.allocations[number].nodes})

    def runs(self, job: int) -> list[str]:
        """Return the nodes on which tasks of the job truly run at this moment."""
        active = [r for runs in self.ledger.active.values() for r in runs]
        return sorted(r.node for r in active if r.launch.job == job)

    def explain(self, name: object) -> dict[str, Any]:
        """Return the document of `ostler explain`, when the machine is quiet."""
        self.run_until(self.quiet)
        promised = promised_by(self.manager.turns.scheduler.engine)
        return explain(self.core, self.now, parse_ref(str(name)), promised)

    def rule(self, name: object) -> str:
        """Return the rule by which a job or element waits."""
        return str(self.explain(name)["rule"])

    def events(self, kind: str) -> list[str]:
        """Return the sentences of all durable events of a kind, oldest first."""
        return [row["text"] for row in self.store.real.events() if row["kind"] == kind]
