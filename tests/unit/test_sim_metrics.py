"""What a replay comes to, against examples by hand and a slow definition."""

import random
from array import array
from collections.abc import Sequence
from fractions import Fraction
from statistics import median

import pytest

from ostler.sim.metrics import LENGTHS, Group, bounded_slowdown, measure, size_borders, usage
from ostler.sim.swf import Trace

DAY = 86_400


def trace(*jobs: tuple[int, int, int], procs: int = 10) -> Trace:
    """Return a trace of jobs: submit time, run time, size."""
    submits, runs, sizes = (array("q", column) for column in zip(*jobs, strict=True))
    numbers = array("q", range(1, len(jobs) + 1))
    return Trace("t", procs, {}, numbers, submits, runs, runs, sizes)


def test_means_medians_use_and_makespan_are_as_by_hand() -> None:
    found = measure(
        trace((100, 50, 4), (100, 5, 10), (110, 20, 2), (120, 10, 1)), [100, 150, 155, 120]
    )
    assert found.mean_wait == (0 + 50 + 45 + 0) / 4
    assert found.median_wait == 22.5
    # (50 + 5) / 10: what runs for less than 10 s counts as 10; (45 + 20) / 20; never under 1
    assert found.mean_bounded_slowdown == pytest.approx((1 + 5.5 + 3.25 + 1) / 4, rel=1e-15)
    assert found.makespan == 175 - 100
    assert found.utilisation == (50 * 4 + 5 * 10 + 20 * 2 + 10) / (10 * 75)


def test_a_slowdown_is_bounded_on_both_sides() -> None:
    assert bounded_slowdown(0, 1) == 1
    assert bounded_slowdown(9, 1) == 1
    assert bounded_slowdown(19, 1) == 2
    assert bounded_slowdown(30, 10) == 4


def test_classes_of_processors_reach_from_one_to_the_machine() -> None:
    assert size_borders(1) == [1]
    assert size_borders(8) == [1, 8]
    assert size_borders(9) == [1, 8, 9]
    assert size_borders(80_640) == [1, 8, 64, 512, 4096, 32_768, 80_640]


def test_each_job_is_in_the_class_of_its_size() -> None:
    found = measure(trace((0, 10, 1), (0, 10, 2), (0, 10, 8), (0, 10, 9)), [0, 10, 40, 0])
    assert found.sizes == (
        Group(1, 1, 1, 0.0, 0.0, 1.0),
        Group(2, 8, 2, 25.0, 25.0, 3.5),
        Group(9, 10, 1, 0.0, 0.0, 1.0),
    )


def test_each_job_is_in_the_class_of_its_run_time() -> None:
    found = measure(trace(*((0, run, 1) for run in (1, 60, 61, DAY, DAY + 1))), [0] * 5)
    assert [(g.least, g.most, g.jobs) for g in found.lengths] == [
        (1, 60, 2),
        (61, 600, 1),
        (601, 3600, 0),
        (3601, 6 * 3600, 0),
        (6 * 3600 + 1, DAY, 1),
        (DAY + 1, None, 1),
    ]
    assert found.lengths[2].mean_wait is None
    assert found.lengths[2].median_wait is None


def drawn(seed: int) -> tuple[Trace, list[int]]:
    """Return a random workload and starts; they may overfill the machine, which is no concern here."""
    chance = random.Random(seed)
    jobs = [
        (chance.randrange(1000), chance.choice((1, 5, 70, 4000)), chance.randint(1, 64))
        for _ in range(chance.randint(1, 40))
    ]
    made = trace(*sorted(jobs), procs=64)
    return made, [at + chance.choice((0, 0, 7, 900)) for at in made.submits]


def in_use(made: Trace, starts: Sequence[int], second: int) -> int:
    """Return how many processors are in use during one second; the slow definition."""
    jobs = zip(starts, made.runs, made.sizes, strict=True)
    return sum(size for start, run, size in jobs if start <= second < start + run)


@pytest.mark.parametrize("seed", range(20))
def test_metrics_agree_with_a_slow_definition(seed: int) -> None:
    made, starts = drawn(seed)
    found = measure(made, starts)
    waits = [s - at for s, at in zip(starts, made.submits, strict=True)]
    slowdowns = [
        max(Fraction(1), Fraction(w + run, max(run, 10)))
        for w, run in zip(waits, made.runs, strict=True)
    ]
    end = max(s + run for s, run in zip(starts, made.runs, strict=True))
    seconds = range(made.submits[0], end)
    busy = sum(in_use(made, starts, second) for second in seconds)
    assert found.mean_wait == sum(waits) / len(waits)
    assert found.median_wait == median(waits)
    assert found.mean_bounded_slowdown == pytest.approx(float(sum(slowdowns) / len(waits)), 1e-14)
    assert found.makespan == len(seconds)
    assert found.utilisation == busy / (64 * len(seconds))
    for groups in (found.sizes, found.lengths):
        assert sum(g.jobs for g in groups) == len(waits)
        assert sum((g.mean_wait or 0) * g.jobs for g in groups) == pytest.approx(sum(waits))


@pytest.mark.parametrize("seed", range(20))
def test_use_over_time_is_the_mean_of_each_part(seed: int) -> None:
    made, starts = drawn(seed)
    span = max(s + run for s, run in zip(starts, made.runs, strict=True)) - made.submits[0]
    width = -(-span // 7) + seed % 3
    first = made.submits[0]
    slow = [
        sum(in_use(made, starts, first + part * width + i) for i in range(width)) / (64 * width)
        for part in range(7)
    ]
    assert usage(made, starts, width, 7) == pytest.approx(slow)


def test_the_borders_of_run_times_rise() -> None:
    assert [*LENGTHS] == sorted(set(LENGTHS))
