"""The compiled form of replays beside the one in Python, and when it is left alone."""

import shutil
from pathlib import Path
from random import Random

import pytest

from ostler.schedule.counted import Rule, Work
from ostler.schedule.counted import replay as in_python
from ostler.schedule.policy import parse_policy
from ostler.sim import compiled
from tests.property.test_schedule_counted import random_load, work_of

POLICIES = ["conservative", "reserved-2", "reserved-3", "reserved-99"]
BOTH = pytest.mark.parametrize("rule", list(Rule))
EACH = pytest.mark.parametrize("policy", POLICIES)
ONE = Work([0], [1], [1], [1])


@pytest.fixture(autouse=True)
def _there() -> None:
    """See that the library is there, where it can be: else nothing of it would be tested."""
    if compiled.library() is None:
        if shutil.which("cc") is None:
            pytest.skip("NOT TESTED: there is no C compiler, so no compiled form of replays")
        pytest.fail("the compiled form of replays is missing or old: touch pyproject.toml; make")


def by_helper(work: Work, procs: int, policy: str, rule: Rule) -> list[int] | None:
    starts = compiled.replay(work, procs, parse_policy(policy), rule, lambda _jobs: None)
    return None if starts is None else list(starts)


def large_load(random: Random) -> tuple[Work, int]:
    """Return jobs on more processors than there are levels, many of them in the same seconds."""
    procs = random.choice([63, 64, 65, 1_000, 80_640])
    jobs, span = random.randint(1, 150), random.choice([1, 50, 2_000])
    estimates = [random.choice([10, 60, 3_600, random.randint(1, 500)]) for _ in range(jobs)]
    sizes = [
        random.choice([1, random.randint(1, procs), random.randint(1, 1 + procs // 20)])
        for _ in range(jobs)
    ]
    return Work(
        sorted(random.randint(0, span) for _ in range(jobs)),
        [random.choice([estimate, random.randint(1, estimate)]) for estimate in estimates],
        sizes,
        estimates,
    ), procs


@EACH
@BOTH
def test_both_forms_give_the_same_starts_on_small_machines(policy: str, rule: Rule) -> None:
    for seed in range(400):
        procs, jobs = random_load(Random(f"compiled {policy} {rule} {seed}"))
        work = work_of(jobs)
        starts = in_python(work, procs, parse_policy(policy), rule)
        assert by_helper(work, procs, policy, rule) == starts, f"seed {seed}"


@EACH
@BOTH
def test_both_forms_give_the_same_starts_on_large_machines(policy: str, rule: Rule) -> None:
    for seed in range(40):
        work, procs = large_load(Random(f"large {policy} {rule} {seed}"))
        starts = in_python(work, procs, parse_policy(policy), rule)
        assert by_helper(work, procs, policy, rule) == starts, f"seed {seed}"


@EACH
@BOTH
def test_no_work_is_no_starts(policy: str, rule: Rule) -> None:
    assert by_helper(Work([], [], [], []), 4, policy, rule) == []


def test_progress_is_told_in_order_and_ends_with_all_jobs() -> None:
    jobs = 20_000
    work = Work(range(0, 2 * jobs, 2), [1] * jobs, [1] * jobs, [1] * jobs)
    told: list[int] = []
    compiled.replay(work, 1, parse_policy("conservative"), Rule.EVENT, told.append)
    assert len(told) > 2
    assert told == sorted(told)
    assert told[-1] == jobs


@pytest.mark.parametrize(
    ("work", "procs"),
    [
        pytest.param(Work([1 << 61], [1], [1], [1]), 1, id="too late in the end"),
        pytest.param(Work([0, 0], [1, 1], [1, 1], [1 << 60, (1 << 60) + 1]), 1, id="one by one"),
        pytest.param(Work([1 << 70], [1], [1], [1]), 1, id="too late for a word"),
        pytest.param(Work([0], [1], [1], [1]), 1 << 60, id="too many processors"),
        pytest.param(Work([0], [1], [2], [1]), 1, id="wider than the machine"),
        pytest.param(Work([0], [2], [1], [1]), 1, id="longer than its estimate"),
        pytest.param(Work([0], [0], [1], [1]), 1, id="no time"),
        pytest.param(Work([0], [1], [0], [1]), 1, id="no size"),
        pytest.param(Work([1, 0], [1, 1], [1, 1], [1, 1]), 1, id="not in order"),
        pytest.param(Work([-1], [1], [1], [1]), 1, id="before the first second"),
    ],
)
def test_what_it_cannot_hold_is_left_to_the_other_form(work: Work, procs: int) -> None:
    assert by_helper(ONE, 1, "conservative", Rule.EVENT) == [0]
    assert by_helper(work, procs, "conservative", Rule.EVENT) is None


@pytest.mark.parametrize("policy", ["fcfs", "easy", "easy-sjbf"])
def test_policies_that_need_no_help_get_none(policy: str) -> None:
    assert by_helper(ONE, 1, policy, Rule.EVENT) is None


@pytest.mark.parametrize("found", ["nothing", "no library", "of another source"])
def test_only_a_library_of_the_source_beside_it_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: str
) -> None:
    there = Path(compiled.__file__).parent
    for name in ("counted.c", "counted.h"):
        shutil.copy(there / name, tmp_path)
    if found == "no library":
        (tmp_path / "_counted.so").write_text("int main(void)")
    if found == "of another source":
        shutil.copy(there / "_counted.so", tmp_path)
        with (tmp_path / "counted.h").open("a") as file:
            file.write("\n")
    monkeypatch.setattr(compiled, "_FOLDER", str(tmp_path))
    assert compiled.library.__wrapped__() is None
