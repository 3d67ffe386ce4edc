"""Stretches of time as people name them, by a calendar whose clocks change."""

import os
import time
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from ostler.cli.period import parse_period, parts
from ostler.model.errors import UsageError

ZONE = ZoneInfo("Europe/Berlin")
HOUR = 3_600


@pytest.fixture(autouse=True)
def berlin() -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = "Europe/Berlin"
    time.tzset()
    yield
    os.environ.pop("TZ")
    if before is not None:
        os.environ["TZ"] = before
    time.tzset()


def at(*parts: int) -> float:
    year, month, day, hour, minute = (*parts, 0, 0)[:5]
    return datetime(year, month, day, hour, minute, tzinfo=ZONE).timestamp()


NOW = datetime(2026, 11, 4, 15, 30, tzinfo=ZONE).timestamp()  # a Wednesday


@pytest.mark.parametrize(
    ("text", "first", "after"),
    [
        ("today", (2026, 11, 4), (2026, 11, 5)),
        ("yesterday", (2026, 11, 3), (2026, 11, 4)),
        ("week", (2026, 11, 2), (2026, 11, 9)),
        ("last-week", (2026, 10, 26), (2026, 11, 2)),
        ("month", (2026, 11, 1), (2026, 12, 1)),
        ("last-month", (2026, 10, 1), (2026, 11, 1)),
        ("last-year", (2025, 1, 1), (2026, 1, 1)),
        ("2024", (2024, 1, 1), (2025, 1, 1)),
        ("2024-12", (2024, 12, 1), (2025, 1, 1)),
        ("2024-02-29", (2024, 2, 29), (2024, 3, 1)),
        ("2026-11-01..2026-11-03", (2026, 11, 1), (2026, 11, 4)),
        ("2026-11-01T12:00..now", (2026, 11, 1, 12), (2026, 11, 4, 15, 30)),
    ],
)
def test_a_period_is_from_midnight_to_midnight_here(
    text: str, first: tuple[int, ...], after: tuple[int, ...]
) -> None:
    assert parse_period(text, NOW) == (at(*first), at(*after))


def test_the_day_on_which_clocks_go_back_has_25_hours() -> None:
    low, high = parse_period("2026-10-25", NOW)
    assert high - low == 25 * HOUR


@pytest.mark.parametrize("text", ["", "tomorow", "last-day", "2026-13", "2026-1-1-1", "26-01"])
def test_what_is_no_period_is_refused_with_examples(text: str) -> None:
    with pytest.raises(UsageError, match="last-month"):
        parse_period(text, NOW)


def test_a_period_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(UsageError, match="before it begins"):
        parse_period("2026-11-03..2026-11-01", NOW)


def test_months_and_days_of_a_period_lie_end_to_end_and_are_cut_at_its_ends() -> None:
    span = (at(2026, 10, 30, 12), at(2026, 12, 1))
    assert parts(span, "month") == [
        ("2026-10", at(2026, 10, 30, 12), at(2026, 11, 1)),
        ("2026-11", at(2026, 11, 1), at(2026, 12, 1)),
    ]
    days = parts(span, "day")
    assert [name for name, *_ in days[:2]] == ["2026-10-30", "2026-10-31"]
    assert days[-1][2] == span[1]
    assert all(one[2] == two[1] for one, two in pairwise(days))


def test_a_table_of_too_many_days_is_refused() -> None:
    with pytest.raises(UsageError, match="1000"):
        parts((0.0, NOW), "day")
