"""The leak watch finds what grows with the work, and nothing else."""

import random

import pytest

from tests.soak.growth import MB, judge, slope, table
from tests.soak.vitals import Vitals


def samples(each: float, quantity: str = "agent fds") -> list[tuple[int, Vitals]]:
    rng = random.Random(1)
    return [
        (done, {quantity: 20 + rng.choice([0, 0, 1]) + each * done})
        for done in range(0, 20_000, 100)
    ]


def test_a_descriptor_lost_once_in_a_thousand_elements_is_found() -> None:
    (row,) = judge(samples(0.001))
    assert not row.is_flat
    assert row.gained == pytest.approx(14, abs=2)
    assert "GROWS" in table([row])


def test_what_comes_and_goes_is_no_growth() -> None:
    (row,) = judge(samples(0.0))
    assert row.is_flat
    assert "GROWS" not in table([row])


def test_what_is_gained_before_the_warm_up_is_over_does_not_count() -> None:
    early = [(done, {"agent RSS": min(done, 3_000) * MB / 100}) for done in range(0, 20_000, 100)]
    (row,) = judge(early)
    assert row.is_flat


def test_a_saw_of_the_log_is_no_slope() -> None:
    teeth = [(float(at), float(at % 50)) for at in range(2_000)]
    assert slope(teeth) == pytest.approx(0, abs=0.02)
