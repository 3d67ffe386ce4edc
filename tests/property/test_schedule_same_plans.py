"""The engine plans what a slow planner finds that is easy to see right: on random small machines."""

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ostler.model.states import Rule
from ostler.schedule.engine import Engine
from ostler.schedule.rules import PartitionRules
from ostler.schedule.snapshot import Plan, Resume, Snapshot, Start, whole
from tests.random_machines import NOW, random_machine, shrunk
from tests.slow_planner import Told, in_rank, slow_plan

MACHINES = 30  # for each example; a seed is cheaper to draw than a machine
# A smaller seed is no simpler machine; what fails is made smaller here.
SEEDS = settings(phases=[Phase.explicit, Phase.generate])
_UNFIT = (Rule.RESOURCES, Rule.BEHIND, Rule.NODES, Rule.NODE_LEFT)
POLICIES = ["easy"]


def engine_plan(snapshot: Snapshot, policy: str = "easy") -> Plan:
    """Return what a fresh engine plans."""
    engine, delta = Engine(), whole(snapshot)
    assert delta.rules is not None
    delta.rules = replace(delta.rules, default=PartitionRules(policy))
    engine.apply(delta)
    return engine.plan(NOW)


def differs(snapshot: Snapshot, found: Plan, told: Told) -> str:
    """Return what is not the same; empty if all is."""
    starts = [
        (line.job, [(place.node, place.tasks) for place in line.placements])
        for line in found.lines
        if isinstance(line, Start)
    ]
    if starts != told.starts:
        return f"starts: {starts} instead of {told.starts}"
    resumes = [line.alloc for line in found.lines if isinstance(line, Resume)]
    if resumes != told.resumes:
        return f"resumes: {resumes} instead of {told.resumes}"
    rules = {number: wait.rule for number, wait in found.waits.items()}
    if rules.keys() != told.rules.keys():
        return f"waits: {sorted(rules)} instead of {sorted(told.rules)}"
    alike = fronts(snapshot, told)
    for number, rule in rules.items():
        as_ahead = number in alike and rule in (Rule.QUEUE, alike[number])
        # What did not fit before the last licences were taken need not be looked at again.
        as_ahead |= told.rules[number] is Rule.LICENCES and rule in _UNFIT
        if not as_ahead and rule is not told.rules[number]:
            return f"rule of {number}: {rule} instead of {told.rules[number]}"
    return ""


def fronts(snapshot: Snapshot, told: Told) -> dict[int, Rule]:
    """Return the jobs behind one that asks for the same and waits too, with the rule of that."""
    found: dict[int, Rule] = {}
    first: dict[tuple[object, ...], Rule] = {}
    for entry in in_rank(e for e in snapshot.waiting if e.blocked is None):
        if entry.job in told.rules:
            alike = (entry.shape, entry.duration)
            if alike in first:
                found[entry.job] = first[alike]
            first.setdefault(alike, told.rules[entry.job])
    return found


def check_seeds(seed: int, difference: Callable[[Snapshot], str]) -> None:
    """Fail with the smallest machine that is found on which there is a difference."""
    for at in range(MACHINES):
        snapshot = random_machine(Random(f"{seed} {at}"))
        if difference(snapshot):
            small = shrunk(snapshot, lambda other: bool(difference(other)))
            pytest.fail(f"seed {seed} {at}: {difference(small)}\n{_shown(small)}")


def _shown(snapshot: Snapshot) -> str:
    return "\n".join(
        f"{name}:\n  " + "\n  ".join(map(str, value if isinstance(value, list) else [value]))
        for name, value in zip(snapshot.__struct_fields__, _values(snapshot), strict=True)
    )


def _values(snapshot: Snapshot) -> list[object]:
    return [getattr(snapshot, name) for name in snapshot.__struct_fields__]


@pytest.mark.parametrize("policy", POLICIES)
@SEEDS
@given(seed=st.integers(0, 1 << 48))
def test_the_engine_plans_what_the_definitions_say(policy: str, seed: int) -> None:
    def difference(snapshot: Snapshot) -> str:
        told = slow_plan(snapshot, NOW, {"main": policy, "other": policy})
        return differs(snapshot, engine_plan(snapshot, policy), told)

    check_seeds(seed, difference)
