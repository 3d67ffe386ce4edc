"""One random history of a simulated machine: work, faults, an end, and rules that held throughout.

Everything is drawn from the seed, so that a seed that fails replays exactly.
"""

import sys
from collections.abc import Callable, Iterator
from random import Random

from ostler.model.allocation import Allocation
from ostler.model.ids import Ref
from ostler.model.job import ALLOC
from ostler.model.states import Rule, Suspender
from ostler.testing.cluster import SimCluster
from ostler.testing.fate import FAULTS, Fate
from ostler.testing.judge import blame
from ostler.testing.ledger import Broken, Late
from ostler.testing.work import Work

SIZES = (1, 2, 2, 3, 3, 4, 5, 8, 16, 50)  # nodes
SHIFTS = 0.3  # part of the histories in which nodes change their partition
LENGTH = 240.0  # virtual seconds of work and faults, at most
LAST = 40_000.0  # virtual seconds in which everything ends when nothing goes wrong any more


def run_history(seed: int) -> SimCluster:
    """Run one history to its end; raise `Broken` with the command that replays it.

    Returns the cluster, whose store is closed. Cost: about 0.1 s.
    """
    history = History(seed)
    try:
        history.run()
    except Exception as error:
        where = f"at {history.sim.now - history.began:.3f} virtual seconds"
        raise Broken(f"{error}\n{where}; replay: make soak SEED={seed} HISTORIES=1") from error
    finally:
        history.sim.close()
    return history.sim


class History:
    """A cluster with a plan of what clients and fate do to it."""

    def __init__(self, seed: int) -> None:
        rng = self.rng = Random(seed)
        self.sim = SimCluster(
            rng.getrandbits(32),
            nodes=rng.choice(SIZES),
            cpus=rng.choice((1, 2, 4, 4, 8)),
            gpus=rng.choice((0, 0, 1, 2)),
        )
        if seed % 4 == 3:  # nodes prepare and clear: more time in which somebody can die
            for key in ("prolog", "epilog"):
                self.sim.configure(key, f"/site/{key}")
        self.began = self.sim.now
        self.names = sorted(self.sim.hosts)
        self.work = Work(self.sim, rng)
        self.shifts = rng.random() < SHIFTS
        if self.shifts:
            self.work.divide()
        self.clients = self.work.clients
        self.root = self.work.root
        self.length = rng.uniform(20.0, LENGTH)
        self.faults = True
        self.aimed = rng.choice((0.0, 0.0, 0.0, 0.02, 0.1))  # chance of a fault as something moves
        self.sim.judge.on_move = self._aim
        self.fate = Fate(self.sim, rng, self.names, self.clients)

    def run(self) -> None:
        """Let work and faults happen, then heal everything, and wait for the end of all."""
        sim, rng = self.sim, self.rng
        for _ in range(rng.randint(3, 25)):
            self._some_time(self.work.submit)
        for _ in range(rng.choice((0, 0, 1, 4))):
            self._some_time(self.work.hold)
        for _ in range(rng.choice((0, 5, 15, 40))):
            self._some_time(self.work.act)
        for _ in range(rng.choice((0, 1, 3, 6, 10, 15))):
            self._some_time(self._fault)
        if rng.random() < 0.2:
            self._some_time(self.work.limit)
        if rng.random() < 0.3:
            self.work.rule()
        if self.shifts:
            for _ in range(rng.randint(1, 8)):
                self._some_time(self.work.switch)
            for _ in range(rng.choice((0, 0, 1, 3))):
                self._some_time(rng.choice((self.work.stop, self.work.stop, self.work.reload)))
        looks = rng.randint(2, 8)
        for _ in range(looks):
            sim.run_for(self.length / looks)
            if sim.quiet():
                sim.judge.compare(sim.core, sim.now)
        self.faults = False
        self._heal()
        sim.run_for(30.0)
        sim.settle()
        self._free()
        self._wait_for_all()
        sim.run_for(30.0)  # the last acknowledgements travel
        sim.settle()
        sim.judge.finish(sim.core)
        blame(self._left(), "the end")

    def _some_time(self, action: Callable[[], None]) -> None:
        self.sim.clock.after(self.rng.uniform(0.0, self.length) ** 0.9, action)

    # -- fate ------------------------------------------------------------------------------

    def _aim(self, alloc: Allocation) -> None:
        """Let something go wrong just as an allocation moves, on one of its nodes."""
        if self.faults and self.aimed and self.rng.random() < self.aimed:
            node = self.rng.choice(sorted(alloc.nodes))
            soon = self.rng.uniform(0.0, 0.05)
            self.sim.clock.after(soon, lambda: self._fault(node))

    def _fault(self, aimed_at: str = "") -> None:
        if not self.faults:
            return
        node = aimed_at or self.rng.choice(self.names)
        if node in self.names:
            back = self.rng.choice((0.1, 2.0, 15.0, 60.0)) * self.rng.uniform(0.5, 1.5)
            self.fate.strike(self.rng.choice(FAULTS), node, back)

    # -- the end ---------------------------------------------------------------------------

    def _heal(self) -> None:
        """Let all faults be over."""
        sim = self.sim
        sim.net.heal_all()
        sim.store.full = False
        for manager in sim.managers:
            manager.fuse = None
            manager.loop.thaw()
        for name in self.names:
            host = sim.hosts[name]
            sim.boot(name)
            host.start_agent()
            sim.thaw(name)
            host.fail_contexts = host.fail_starts = 0

    def _free(self) -> None:
        """Let everything go on that somebody holds back."""
        sim = self.sim
        jobs = tuple(Ref(job) for job in sorted(sim.core.jobs))
        sim.answer(sim.say("undrain", *self.names))
        sim.answer(sim.set("max-cpus-per-user", None))
        for name in self.work.partitions:
            sim.answer(self.work.start(name))
        if self.shifts:
            sim.answer(self.work.let_go_on())
        if jobs:
            for verb in ("release", "resume"):
                sim.answer(self.root.act(verb, jobs))
        held = [e.job for e in sim.core.jobs.values() if e.job.spec.kind == ALLOC]
        if endless := tuple(Ref(job.id) for job in held if not job.spec.time_limit):
            sim.answer(self.root.act("cancel", endless))  # their clients hold them for ever

    def _wait_for_all(self) -> None:
        sim = self.sim
        if len(self.names) < len(sim.hosts):
            sim.say("separate", *sorted(set(sim.hosts) - set(self.names)))
        try:
            for name in ("default", "night", "default") if self.shifts else ("",):
                if name:
                    sim.answer(self.work.use(name))
                sim.run_until(lambda: sim.quiet() and self._nothing_goes_on(), LAST)
            self._cancel_all()
            sim.run_until(lambda: sim.quiet() and not sim.core.jobs, LAST)
        except Late:
            blame((f"job {j} never ends: {sim.explain(j)}" for j in sorted(sim.core.jobs)), "all")
            raise

    def _nothing_goes_on(self) -> bool:
        """Say whether what is left waits for a node that has left, or for a job that does.

        Or for another configuration, or for memory of what stands still until that.
        """
        core = self.sim.core
        by = [a for a in core.allocations.values() if a.suspended_by is Suspender.CONFIGURATION]
        if len(by) < len(core.allocations) or any(alloc.resuming for alloc in by):
            return False
        left = {Rule.NODE_LEFT, Rule.DEPENDENCY, Rule.QUEUE, Rule.CONFIGURATION, ""}
        if by:
            left |= {Rule.RESOURCES, Rule.LICENCES, Rule.BEHIND, Rule.ARRAY_CAP}
        return {entry.job.rule for entry in core.jobs.values()} <= left

    def _cancel_all(self) -> None:
        jobs = tuple(Ref(job) for job in sorted(self.sim.core.jobs))
        if jobs:
            self.sim.answer(self.root.act("cancel", jobs))

    def _left(self) -> Iterator[str]:
        """Yield what is left over somewhere, though all is over."""
        waiting = [a for c in (*self.clients, self.root) for a in c.unanswered]
        if waiting:
            yield f"{len(waiting)} requests were never answered"
        for name in self.names:
            host = self.sim.hosts[name]
            if held := sorted(host.journal.keys() | host.starters.keys()):
                yield f"{name} still keeps allocations {held}, which have ended"
            if host.dirty:
                yield f"{name} has not cleared away the allocations {sorted(host.dirty)}"
            if host.contexts:
                yield f"{name} still has the contexts {sorted(host.contexts)}"
        rows = self.sim.store.real.accounting(limit=1_000_000)
        closed = {(row["allocation"], row["element"], row["attempt"]) for row in rows}
        runs = [run for found in self.sim.ledger.runs.values() for run in found]
        for left in sorted({(r.launch.alloc, r.index, r.attempt) for r in runs} - closed)[:5]:
            yield f"(allocation, element, attempt) {left} ran and is not accounted for"


def main(first: int, count: int) -> int:
    """Run histories from a seed on; print those that fail."""
    failed = 0
    for seed in range(first, first + count):
        try:
            run_history(seed)
        except Broken as error:
            failed += 1
            print(f"seed {seed}: {error}", flush=True)  # noqa: T201 - this is a program
    return failed


if __name__ == "__main__":
    sys.exit(min(main(int(sys.argv[1]), int(sys.argv[2])), 100))
