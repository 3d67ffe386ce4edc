"""The scheduler of the live machine, fed event by event with a log, starts what a replay starts.

There is one set of rules: what `ostler sim` shows of a policy is what the policy does.
"""

from heapq import heappop, heappush
from pathlib import Path

import pytest

from ostler.model.resources import NodeFacts, Request
from ostler.schedule.counted import Rule, Work, replay
from ostler.schedule.engine import Engine
from ostler.schedule.policy import parse_policy
from ostler.schedule.rules import PartitionRules, Rules
from ostler.schedule.snapshot import Delta, NodeView, RunningView, Start, WaitingView
from ostler.sim import swf

KTH = Path(__file__).parents[1] / "data" / "KTH-SP2-1996-2.swf.gz"
JOBS = 3_000


class Live:
    """One node whose CPUs stand for the processors of the trace."""

    def __init__(self, work: Work, procs: int, policy: str) -> None:
        self.work = work
        self.facts = NodeFacts(tuple(range(procs)))
        self.free = set(self.facts.cpus)
        self.engine = Engine()
        self.running: dict[int, RunningView] = {}  # by job
        self.ends: list[tuple[int, int, int]] = []  # second, how many started before, job
        self.starts: list[int] = [-1] * len(work.submit)
        self.count = 0
        rules = Rules(default=PartitionRules(policy))
        self.engine.apply(Delta(nodes=[self.node()], rules=rules, reset=True))

    def node(self) -> NodeView:
        """Return the node as it is."""
        free = tuple(sorted(self.free))
        return NodeView("n1", self.facts, "main", True, False, "", free, 0, (), {})

    def run(self) -> list[int]:
        """Return the second in which each job starts."""
        arrived = 0
        submits = self.work.submit
        while arrived < len(submits) or self.ends:
            now = self.ends[0][0] if self.ends else submits[arrived]
            if arrived < len(submits):
                now = min(now, submits[arrived])
            self._planned_ends(now)
            while arrived < len(submits) and submits[arrived] == now:
                self._submit(arrived)
                self._pass(now)
                arrived += 1
            while self.ends and self.ends[0][0] == now:
                _, _, job = heappop(self.ends)
                self._give_back(job)
                self._pass(now)
        return self.starts

    def _planned_ends(self, now: int) -> None:
        """Give back what was planned to end by now: it is free before the end is heard of."""
        for job, view in list(self.running.items()):
            if view.ends_at <= now:
                self._give_back(job)

    def _give_back(self, job: int) -> None:
        view = self.running.pop(job, None)
        if view is not None:
            self.free.update(view.placements[0].cpus)
            self.engine.apply(Delta(nodes=[self.node()], over=[view.alloc]))

    def _submit(self, job: int) -> None:
        work = self.work
        request = Request(work.size[job], 1)
        submitted, limit = float(work.submit[job]), float(work.estimate[job])
        view = WaitingView(job + 1, 1, request, "main", "user", 50, submitted, limit)
        self.engine.apply(Delta(waiting=[view]))

    def _pass(self, now: int) -> None:
        lines = [line for line in self.engine.plan(float(now)).lines if isinstance(line, Start)]
        delta = Delta()
        for line in lines:
            job = line.job - 1
            self.starts[job] = now
            self.count += 1
            self.free.difference_update(line.placements[0].cpus)
            ends = float(now + self.work.estimate[job])
            view = RunningView(line.job, line.job, None, "user", line.placements, ends)
            self.running[job] = view
            heappush(self.ends, (now + self.work.run[job], self.count, job))
            delta.running.append(view)
            delta.gone.append(line.job)
        if lines:
            delta.nodes.append(self.node())
            self.engine.apply(delta)


@pytest.mark.parametrize("policy", ["fcfs", "easy", "easy-sjbf"])
def test_the_live_scheduler_starts_each_job_of_a_log_when_a_replay_does(policy: str) -> None:
    trace = swf.read(str(KTH))
    work = Work(
        *(list(c[:JOBS]) for c in (trace.submits, trace.runs, trace.sizes, trace.estimates))
    )
    expected = list(replay(work, trace.procs, parse_policy(policy), Rule.EVENT))
    assert Live(work, trace.procs, policy).run() == expected
