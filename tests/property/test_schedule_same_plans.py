"""The engine plans what a slow planner finds that is easy to see right: on random small machines."""

from collections.abc import Callable, Iterable
from math import inf, nextafter
from random import Random

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ostler.model.states import Rule
from ostler.schedule.engine import Engine
from ostler.schedule.rules import PartitionRules, Reservation
from ostler.schedule.snapshot import Delta, Plan, Resume, Snapshot, Start, Wait, whole
from tests.random_life import Life
from tests.random_machines import NOW, random_machine, shrunk, shut_at_times
from tests.slow_planner import Told, in_rank, slow_plan
from tests.slow_promises import Window

POLICIES = ["easy", "easy-sjbf", "fcfs", "reserved-2", "reserved-5", "conservative"]
TABLES = [64, 1]  # nodes from which on arrays are used: lists for these machines, and arrays
MACHINES = 8  # for each example: a seed is cheaper to draw than a machine
PASSES = 20  # in a life
# A smaller seed is no simpler machine; what fails is made smaller here.
GENERATED = [Phase.explicit, Phase.generate]
SEEDS = settings(max_examples=max(25, settings().max_examples // 4), phases=GENERATED)
LIVES = settings(max_examples=max(16, settings().max_examples // 6), phases=GENERATED)


def under(policy: str, delta: Delta, shut: tuple[Reservation, ...] = ()) -> Delta:
    """Return the delta with all partitions under this policy, and with these windows."""
    if delta.rules is not None:
        delta.rules = replace(delta.rules, default=PartitionRules(policy), reservations=shut)
    return delta


def windows(shut: Iterable[Reservation]) -> list[Window]:
    """Return when which node is shut."""
    return [(one.nodes[0], one.start, one.start + one.duration) for one in shut]


def differs(snapshot: Snapshot, found: Plan, told: Told) -> str:
    """Return what is not the same; empty if all is."""
    starts = starts_in(found)
    if starts != told.starts:
        return f"starts: {starts} instead of {told.starts}"
    resumes = [line.alloc for line in found.lines if isinstance(line, Resume)]
    if resumes != told.resumes:
        return f"resumes: {resumes} instead of {told.resumes}"
    rules = {number: wait.rule for number, wait in found.waits.items()}
    if rules.keys() != told.rules.keys():
        return f"waits: {sorted(rules)} instead of {sorted(told.rules)}"
    alike = behind_equals(snapshot, told)
    for number, rule in rules.items():
        if not (rule is Rule.QUEUE and number in alike) and rule is not told.rules[number]:
            return f"rule of {number}: {rule} instead of {told.rules[number]}"
    return ""


def starts_in(found: Plan) -> list[tuple[int, list[tuple[str, int]]]]:
    """Return who starts, and how many tasks on which nodes."""
    return [
        (line.job, [(place.node, place.tasks) for place in line.placements])
        for line in found.lines
        if isinstance(line, Start)
    ]


def behind_equals(snapshot: Snapshot, told: Told) -> set[int]:
    """Return the jobs behind one that asks for the same and waits too."""
    found, seen = set(), set()
    for entry in in_rank(e for e in snapshot.waiting if e.blocked is None):
        if entry.job in told.rules:
            alike = (entry.shape, entry.duration)
            if alike in seen:
                found.add(entry.job)
            seen.add(alike)
    return found


def promised(engine: Engine) -> dict[str, dict[int, float]]:
    """Return when jobs should start, by partition."""
    return {
        part: {job: start for job in book.jobs if (start := book.start_of(job)) is not None}
        for part, book in engine.books.items()
    }


def promises_differ(engine: Engine, told: Told, now: float = NOW) -> str:
    """Return which promised starts are not the same; what is overdue may have been left as it is."""
    found = {part: starts for part, starts in promised(engine).items() if starts}
    wanted = {
        part: {job: kept[0][0] for job, kept in jobs.items() if kept}
        for part, jobs in told.promises.items()
    }
    wanted = {part: starts for part, starts in wanted.items() if starts}
    if found != wanted:
        return f"promises: {found} instead of {wanted}"
    mine = {(part, Rule.RESOURCES): head for part, head in engine.heads.items()} | engine.beside
    soon = nextafter(now, inf)
    heads = {key: (head.job, max(head.shadow, soon)) for key, head in mine.items()}
    wants = {key: (job, max(shadow, soon)) for key, (job, shadow) in told.heads.items()}
    if heads != wants:
        return f"heads: {heads} instead of {wants}"
    return ""


@pytest.mark.parametrize("many", TABLES)
@pytest.mark.parametrize("policy", POLICIES)
@SEEDS
@given(seed=st.integers(0, 1 << 48))
def test_the_engine_plans_what_the_definitions_say(policy: str, many: int, seed: int) -> None:
    def difference(snapshot: Snapshot) -> str:
        engine = Engine(many=many)
        engine.apply(under(policy, whole(snapshot)))
        told = slow_plan(snapshot, NOW, {"main": policy, "other": policy})
        return differs(snapshot, engine.plan(NOW), told) or promises_differ(engine, told)

    for at in range(MACHINES):
        snapshot = random_machine(Random(f"{seed} {at}"))
        if difference(snapshot):
            _fail(f"seed {seed} {at}", snapshot, difference)


@pytest.mark.parametrize("many", TABLES)
@pytest.mark.parametrize("policy", ["easy", "easy-sjbf", "reserved-2", "conservative"])
@LIVES
@given(seed=st.integers(0, 1 << 48))
def test_promises_are_for_times_at_which_nodes_are_open(policy: str, many: int, seed: int) -> None:
    random = Random(seed)
    snapshot = random_machine(random)
    shut = shut_at_times(random, [view.name for view in snapshot.nodes])
    engine = Engine(many=many)
    engine.apply(under(policy, whole(snapshot), shut))
    told = slow_plan(snapshot, NOW, {"main": policy, "other": policy}, windows=windows(shut))
    assert starts_in(engine.plan(NOW)) == told.starts
    assert not promises_differ(engine, told)


def _fail(name: str, snapshot: Snapshot, difference: Callable[[Snapshot], str]) -> None:
    small = shrunk(snapshot, lambda other: bool(difference(other)))
    lines = [f"{name}: {difference(small)}"]
    for field in small.__struct_fields__:
        value = getattr(small, field)
        lines += [
            f"{field}:",
            *(f"  {one}" for one in (value if value.__class__ is list else [value])),
        ]
    pytest.fail("\n".join(lines))


@pytest.mark.parametrize("many", TABLES)
@pytest.mark.parametrize("policy", POLICIES)
@LIVES
@given(seed=st.integers(0, 1 << 48))
def test_an_engine_that_is_told_what_changed_plans_the_same(
    policy: str, many: int, seed: int
) -> None:
    life, engine = Life(Random(seed)), Engine(many=many)
    easy = policy in ("easy", "easy-sjbf", "fcfs")
    shut = shut_at_times(Random(seed), life.nodes) if easy else ()
    waits: dict[int, Wait] = {}
    before: Told | None = None
    for step in range(PASSES):
        engine.apply(under(policy, life.delta(), shut))
        plan = engine.plan(life.now)
        policies = {"main": policy, "other": policy}
        told = slow_plan(life.snapshot, life.now, policies, before, life.freed, windows(shut))
        waits |= plan.waits
        waits = {job: wait for job, wait in waits.items() if job in told.rules}
        found = Plan(plan.lines, waits)
        wrong = differs(life.snapshot, found, told)
        wrong = wrong or promises_differ(engine, told, life.now)
        assert not wrong, f"pass {step} at {life.now}"
        before = told
        life.carry_out(plan.lines)
        assert not life.overbooked()
        life.go_on(inf if plan.wake is None else plan.wake)
