"""Where limits tell users apart few classes are looked at: the plans are those of a look at each."""

from math import inf
from random import Random

from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ostler.model.resources import Request
from ostler.model.states import Rule
from ostler.schedule.engine import Engine
from ostler.schedule.families import Families
from ostler.schedule.planner import Planner
from ostler.schedule.rules import Holder, Limit, PartitionRules, Rules
from ostler.schedule.snapshot import Delta, Snapshot
from tests.random_life import Life

GENERATED = settings(
    max_examples=settings().max_examples // 5, phases=[Phase.explicit, Phase.generate]
)
PASSES = 15
KINDS = [
    Request(1, 1),
    Request(1, 2),
    Request(1, 4),
    Request(3, 1),
    Request(1, 1, licences={"solver": 1}),
    Request(2, 2, exclusive=True),
]
USERS = ["ann", "bob", "eve", "joe"]
LIMITS = [
    Limit(Holder.USER, cpus=5),
    Limit(Holder.USER, "ann", running=1),
    Limit(Holder.USER, partition="main", running=3),
    Limit(Holder.PROJECT, cpus=7),
    Limit(Holder.PROJECT, "blue", running=2),
    Limit(Holder.PARTITION, partition="main", cpus=9),
    Limit(Holder.PARTITION, cpus=14),
    Limit(Holder.GROUP, "staff", cpus=6, ranked=True),
    Limit(Holder.USER, "eve", cpus=3, ranked=True),
]


class OneByOne(Families):
    """No families: every class is looked at."""

    def serve(
        self,
        planner: Planner,
        engine: object,
        most: float,
    ) -> set[str] | None:
        """Return that it cannot be done so."""
        return None


class Limited(Life):
    """A life in which few kinds of jobs of several users wait under limits."""

    def __init__(self, random: Random) -> None:
        self.rules = Rules(
            PartitionRules(random.choice(["easy", "easy", "fcfs"])),
            limits=tuple(random.sample(LIMITS, random.randint(1, 4))),
            members={"ann": ("staff",), "bob": ("staff",)},
        )
        super().__init__(random, nodes=4, waiting=20)

    def delta(self) -> Delta:
        """Return what changed, the limits too."""
        found = super().delta()
        if found.rules is not None:
            found.rules = self._ruled(found.rules)
        return found

    def _ruled(self, rules: Rules) -> Rules:
        most, licences = rules.max_cpus_per_user, rules.licences
        return replace(self.rules, max_cpus_per_user=most, licences=licences)

    def _come(self) -> None:
        before = self.next
        super()._come()
        for job in range(before + 1, self.next + 1):
            self.waiting[job] = replace(self.waiting[job], project="")

    def _state(self) -> Snapshot:
        for job, view in self.waiting.items():
            if not view.project:
                self.waiting[job] = replace(
                    view,
                    request=self.random.choice(KINDS),
                    user=self.random.choice(USERS),
                    project=self.random.choice(["blue", "red"]),
                    duration=self.random.choice([2.0, 2.0, 8.0]),
                )
        return super()._state()


def promised(engine: Engine) -> list[dict[object, int]]:
    """Return to whom a start is promised, by partition."""
    return [
        {partition: head.job for partition, head in engine.heads.items()},
        {beside: head.job for beside, head in engine.beside.items()},
    ]


@GENERATED
@given(seed=st.integers(0, 1 << 48), starts=st.sampled_from([2, inf]))
def test_plans_are_those_of_a_look_at_every_class(seed: int, starts: float) -> None:
    life = Limited(Random(seed))
    engines = [Engine(many=many, starts=starts) for many in (64, 1)]
    right = Engine(starts=starts)  # it keeps what was promised, as the others do
    told: list[dict[int, Rule]] = [{}, {}]
    expected: dict[int, Rule] = {}
    for _ in range(PASSES):
        delta = life.delta()
        right.apply(delta)
        right.families = OneByOne()
        right.picture.all_dirty = True
        wanted = right.plan(life.now)
        expected |= {job: wait.rule for job, wait in wanted.waits.items()}
        there = {*right.queue.entries, *right.blocked}
        expected = {job: rule for job, rule in expected.items() if job in there}
        for engine, rules in zip(engines, told, strict=True):
            engine.apply(delta)
            plan = engine.plan(life.now)
            assert plan.lines == wanted.lines
            rules |= {job: wait.rule for job, wait in plan.waits.items()}
            if all(one.wake is None or one.wake > life.now for one in (plan, wanted)):
                assert {job: rules[job] for job in expected} == expected
            assert promised(engine) == promised(right)
        life.carry_out(wanted.lines)
        life.go_on()
