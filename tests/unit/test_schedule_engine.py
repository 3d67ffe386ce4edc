"""An engine is told what changed; it plans what a fresh one would, and tells what is new."""

from ostler.model.states import Rule
from ostler.schedule.engine import Engine
from ostler.schedule.snapshot import Delta, Plan, Snapshot, Start, whole
from tests.schedule_kit import job, machine, node, running


def engine(snapshot: Snapshot) -> Engine:
    """Return an engine that has seen this machine."""
    made = Engine()
    made.apply(whole(snapshot))
    return made


def started(plan: Plan) -> list[int]:
    """Return the jobs that a plan starts."""
    return [line.job for line in plan.lines if isinstance(line, Start)]


def test_a_plan_carries_the_number_of_the_delta_it_was_made_from() -> None:
    made = engine(machine([node()]))
    made.apply(Delta(7))
    assert made.plan(0.0).number == 7


def test_what_waits_is_told_its_rule_once_and_anew_when_it_changes() -> None:
    made = engine(machine([node()], [job(1, cpus=4)], runs=[running(7, [0], 100.0)]))
    assert {n: wait.rule for n, wait in made.plan(0.0).waits.items()} == {1: Rule.RESOURCES}
    assert made.plan(1.0).waits == {}
    made.apply(Delta(1, waiting=[job(1, cpus=4)]))
    assert made.plan(2.0).waits.keys() == {1}


def test_what_ended_makes_room() -> None:
    made = engine(machine([node()], [job(1, cpus=4)], runs=[running(7, [0], 100.0)]))
    assert not started(made.plan(0.0))
    made.apply(Delta(1, nodes=[node()], over=[7]))
    assert started(made.plan(1.0)) == [1]


def test_a_copy_goes_its_own_way() -> None:
    made = engine(machine([node()], [job(1, cpus=4)], runs=[running(7, [0], 100.0)]))
    other = made.copy()
    other.apply(Delta(1, nodes=[node()], over=[7]))
    assert not started(made.plan(0.0))
    assert started(other.plan(0.0)) == [1]


def test_a_reset_forgets_everything_before() -> None:
    made = engine(machine([node()], [job(1, cpus=4)]))
    made.apply(whole(machine([node("n2")], [job(2)]), 3))
    assert started(made.plan(0.0)) == [2]
