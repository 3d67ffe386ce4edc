"""Plans that let work give way: legal line by line, never in vain, and at rest when carried out."""

from math import inf
from random import Random

from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ostler.schedule.engine import Engine
from ostler.schedule.horizon import foresee
from ostler.schedule.rules import PartitionRules, Preemption, Rules
from ostler.schedule.snapshot import (
    Delta,
    Line,
    Preempt,
    Resume,
    ResumeView,
    RunningView,
    Snapshot,
    Start,
    Suspend,
    whole,
)
from tests.random_machines import NOW, idle_again, random_machine
from tests.schedule_kit import machine

SEEDS = settings(phases=[Phase.explicit, Phase.generate])
PASSES = 40  # within which a machine to which nothing happens must come to rest


class Life:
    """A machine on which nothing happens but what plans say."""

    def __init__(self, random: Random, rules: PartitionRules) -> None:
        self.random, self.rules = random, rules
        shot = random_machine(random)
        self.now = NOW
        self.nodes = idle_again(shot.nodes)
        self.turned: dict[str, float] = {}
        self.runs = {
            view.alloc: replace(
                view,
                halts=random.random() < 0.9,
                priority=random.choice([10, 30, 50]),
                started_at=NOW - random.choice([0.0, 5.0, 50.0]),
                again=random.random() < 0.5,
                ends_at=random.choice([inf, NOW + 4.0, NOW + 9.0]),
            )
            for view in shot.running
            if not view.suspended
        }
        self.ends = {view.job: view.duration for view in shot.waiting}
        self.waiting = {
            view.job: replace(view, priority=random.choice([10, 30, 50, 70]))
            for view in shot.waiting
        }
        self.next = 1_000
        self.engine = Engine() if random.random() < 0.5 else None  # that is told what changed
        self.slow = random.random() < 0.5  # who is told to end needs some time
        self.told: Snapshot | None = None

    def shot(self) -> Snapshot:
        halted = [run for run in self.runs.values() if run.suspended]
        wishes = [ResumeView(r.alloc, r.job, r.placements, inf, yields=True) for r in halted]
        found = machine(
            self.nodes, list(self.waiting.values()), runs=list(self.runs.values()), resuming=wishes
        )
        licences = {"solver": 1_000}
        return replace(found, rules=Rules(self.rules), licences=licences, turned=dict(self.turned))

    def plan(self) -> list[Line]:
        shot = self.shot()
        engine = self.engine or Engine()
        engine.apply(whole(shot) if self.told is None else self._changed(shot))
        self.told = shot if self.engine else None
        plan = engine.plan(self.now)
        self.ended()
        self.turned |= dict.fromkeys(plan.turned, self.now)
        ahead = foresee(engine.copy(), self.now, set(self.waiting), ends=2, looks=100)
        assert all(start.at >= self.now for start in ahead.found.values())  # whatever was halted
        for line in plan.lines:
            self._do(line)
        return plan.lines

    def _changed(self, shot: Snapshot) -> Delta:
        """Return how it is since the last plan was carried out."""
        old = self.told or shot
        return Delta(
            0,
            shot.nodes,
            shot.running,
            [view.alloc for view in old.running if view.alloc not in self.runs],
            shot.waiting,
            [view.job for view in old.waiting if view.job not in self.waiting],
            shot.resuming,
            turned=shot.turned,
        )

    def ended(self) -> None:
        """Let some of those end that were told to."""
        for run in [run for run in self.runs.values() if run.leaving]:
            if self.random.random() < 0.7:
                del self.runs[run.alloc]

    def _do(self, line: Line) -> None:
        if isinstance(line, Start):
            entry = self.waiting.pop(line.job)
            if entry.elements > 1:
                self.waiting[line.job] = replace(entry, elements=entry.elements - 1)
            self.next += 1
            self.runs[self.next] = RunningView(
                self.next, line.job, None, entry.user, line.placements, inf, started_at=self.now,
                priority=entry.priority, again=True, halts=True, partition=entry.partition,
            )  # fmt: skip
        elif isinstance(line, Resume):
            run = self.runs[line.alloc]
            assert run.suspended
            self.runs[line.alloc] = replace(run, suspended=False, halted_at=None)
        else:
            run = self.runs[line.alloc]
            assert not run.suspended
            if isinstance(line, Suspend) or line.how is Preemption.SUSPEND:
                assert run.halts
                self.runs[line.alloc] = replace(run, suspended=True, halted_at=self.now)
            elif self.slow:
                self.runs[line.alloc] = replace(run, leaving=True)
            else:
                del self.runs[line.alloc]
        self._holds()

    def _holds(self) -> None:
        """No CPU has two that run, and memory is enough for all."""
        for view in self.nodes:
            mine = [p for r in self.runs.values() for p in r.placements if p.node == view.name]
            cpus = [
                cpu
                for run in self.runs.values()
                for place in run.placements
                for cpu in place.cpus
                if place.node == view.name and not run.suspended
            ]
            assert len(cpus) == len({*cpus} & {*view.facts.cpus})
            assert sum(place.memory for place in mine) <= view.facts.memory


def rules_of(random: Random, time_slice: float) -> PartitionRules:
    return PartitionRules(
        random.choice(["easy", "conservative", "reserved-2"]),
        preemption=random.choice([Preemption.SUSPEND, Preemption.SUSPEND, *Preemption]),
        priority_gap=random.choice([1, 20]),
        least_run=random.choice([0.0, 0.0, 10.0]),
        time_slice=time_slice,
    )


@SEEDS
@given(st.integers(0, 1 << 32))
def test_whatever_gives_way_the_machine_comes_to_rest_and_nobody_gave_way_in_vain(
    seed: int,
) -> None:
    random = Random(seed)
    life = Life(random, rules_of(random, 0.0))
    for _ in range(PASSES):
        lines = life.plan()
        if not lines and not any(run.leaving for run in life.runs.values()):
            break
        for line in lines:
            if isinstance(line, Preempt) and line.how is Preemption.SUSPEND:
                entry = [n for n in lines if isinstance(n, Start) and n.job == line.job]
                ended = [n for n in lines if isinstance(n, Preempt) and n.job == line.job]
                assert entry or any(n.how is not Preemption.SUSPEND for n in ended)
    else:
        raise AssertionError("plans go on and on")


@SEEDS
@given(st.integers(0, 1 << 32))
def test_slices_use_no_cpu_twice_and_plans_come_to_rest_within_each(seed: int) -> None:
    random = Random(seed)
    policy = random.choice(["easy", "conservative", "reserved-2"])
    life = Life(random, PartitionRules(policy, time_slice=5.0))
    for _ in range(6):
        life.now += 5.0
        for _ in range(PASSES):
            if not life.plan():
                break
        else:
            raise AssertionError("plans go on and on")


@SEEDS
@given(st.integers(0, 1 << 32))
def test_the_start_promised_to_the_head_stays_when_work_gives_way_to_later_ones(seed: int) -> None:
    random = Random(seed)
    policy = random.choice(["easy", "easy-sjbf"])
    how = random.choice([Preemption.REQUEUE, Preemption.CANCEL])
    life = Life(random, PartitionRules(policy, preemption=how, priority_gap=20))
    life.slow, life.engine = False, Engine()
    for job, view in life.waiting.items():  # the order of the queue is not that of priority
        life.waiting[job] = replace(view, boost=random.choice([0, 50, 100]))
    lines = life.plan()
    promised = {n: (h.job, h.shadow) for n, h in life.engine.heads.items()}
    for run in [run for run in life.runs.values() if run.leaving]:
        del life.runs[run.alloc]
    for line in lines:
        if isinstance(line, Start) and line.job in life.ends:
            for run in life.runs.values():
                if run.job == line.job and run.ends_at == inf:
                    life.runs[run.alloc] = replace(run, ends_at=life.now + life.ends[line.job])
    life.rules = replace(life.rules, preemption=Preemption.OFF)
    pledged = {pledge.job for pledge in life.engine.pledges.values()}
    kept = Engine()
    kept.apply(whole(life.shot()))
    kept.pledges = life.engine.pledges
    started = {line.job for line in kept.plan(life.now).lines if isinstance(line, Start)}
    assert pledged <= started
    for partition, (job, shadow) in promised.items():
        head = kept.heads.get(partition)
        if head is None or head.view.request.exclusive:
            continue  # whole nodes are kept from nobody who asks for nothing
        if job not in started and head.job == job:
            assert head.shadow <= shadow
