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


# ── How much is looked at ────────────────────────────────────────────────────────────────────


def busy() -> Engine:
    """Return an engine after its passes: four CPUs are taken, ten jobs of three kinds wait."""
    runs = [running(100 + cpu, [cpu], 100.0 + cpu) for cpu in range(4)]
    waiting = [job(number, cpus=2 + number % 3, limit=50.0) for number in range(1, 11)]
    made = engine(machine([node()], waiting, runs=runs))
    made.plan(0.0)
    made.looks = 0
    return made


def test_an_unchanged_machine_costs_no_look() -> None:
    made = busy()
    assert made.plan(1.0) == Plan([], {})
    assert made.looks == 0


def test_a_job_behind_its_like_is_not_looked_at() -> None:
    made = busy()
    made.apply(Delta(waiting=[job(11, cpus=2, limit=50.0)]))
    assert {n: wait.rule for n, wait in made.plan(1.0).waits.items()} == {11: Rule.QUEUE}
    assert made.looks == 0


def test_a_job_of_a_new_kind_is_looked_at_alone() -> None:
    made = busy()
    made.apply(Delta(waiting=[job(11, cpus=1, limit=50.0)]))
    assert {n: wait.rule for n, wait in made.plan(1.0).waits.items()} == {11: Rule.RESOURCES}
    assert made.looks == 1


def test_a_job_that_goes_is_not_looked_for() -> None:
    made = busy()
    made.apply(Delta(gone=[4, 10]))  # alike with 1 and 7, which stay
    assert made.plan(1.0).waits == {}
    assert made.looks == 0


def test_the_next_of_a_kind_takes_the_place_of_the_first_without_a_look() -> None:
    made = busy()
    made.apply(Delta(gone=[2]))
    assert {n: wait.rule for n, wait in made.plan(1.0).waits.items()} == {5: Rule.RESOURCES}
    assert made.looks == 0


def test_an_end_costs_a_look_at_the_first_of_each_kind() -> None:
    made = busy()
    view = node()
    view.free_cpus, view.free_memory = (0,), view.free_memory
    made.apply(Delta(nodes=[view], over=[100]))
    assert made.plan(1.0).waits == {}
    assert made.looks == 3


def test_another_element_on_a_slot_is_no_reason_to_look() -> None:
    made = busy()
    made.apply(Delta(running=[running(103, [3], 104.5)]))  # later than the head is to start
    assert made.plan(1.0).waits == {}
    assert made.looks == 0


def test_what_comes_before_the_head_has_all_behind_it_looked_at() -> None:
    made = busy()
    made.apply(Delta(waiting=[job(11, cpus=4, limit=50.0, priority=60)]))
    rules = {n: wait.rule for n, wait in made.plan(1.0).waits.items()}
    assert rules == {11: Rule.RESOURCES, 2: Rule.QUEUE}
    assert made.looks == 3
