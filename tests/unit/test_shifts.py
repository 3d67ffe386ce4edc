"""Shifts: when configurations take turns by the calendar."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from ostler.model.errors import UsageError
from ostler.model.shifts import clash, due, next_begin, parse_calendar, upcoming

BERLIN = ZoneInfo("Europe/Berlin")
DAY = parse_calendar("mon-fri 08:00")
NIGHT = parse_calendar("mon-fri 20:00")
BOTH = {"day": DAY, "night": NIGHT}


def at(text: str, zone: ZoneInfo = BERLIN) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("mon-fri 08:00", "mon-fri 08:00"),
        ("8:00", "daily 08:00"),
        ("daily 23:59", "daily 23:59"),
        ("sat,sun 10:00; mon,tue,wed 7:30 Europe/Berlin", "mon-wed 07:30; sat,sun 10:00 Europe/Berlin"),
        ("FRI-MON 00:00", "mon,fri,sat,sun 00:00"),
        ("", ""),
    ],
)  # fmt: skip
def test_a_calendar_is_kept_in_one_form(written: str, kept: str) -> None:
    assert parse_calendar(written).text == kept
    assert parse_calendar(kept).text == kept


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("mon-fri 24:00", "no calendar"),
        ("mon fri 08:00", "no calendar"),
        ("someday 08:00", "no weekday"),
        ("mon 08:00 Atlantis/Poseidonis", "no time zone"),
        ("mon", "no time zone"),
        ("mon 08:00 ../../etc/passwd", "no time zone"),
        ("UTC", "names no time"),
        ("mon 08:00;" * 200, "too long"),
    ],
)
def test_a_calendar_that_means_nothing_is_refused(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        parse_calendar(text)


def test_what_began_last_lasts_until_another_begins() -> None:
    assert due(BOTH, BERLIN, at("2026-03-04 07:59")) == ("night", at("2026-03-03 20:00"))
    assert due(BOTH, BERLIN, at("2026-03-04 08:00")) == ("day", at("2026-03-04 08:00"))
    sunday = at("2026-03-08 12:00")
    assert due(BOTH, BERLIN, sunday) == ("night", at("2026-03-06 20:00"))
    assert upcoming(BOTH, BERLIN, sunday) == ("day", at("2026-03-09 08:00"))


def test_a_wall_clock_stays_where_it_is_when_summer_time_begins() -> None:
    before, after = at("2026-03-27 08:00"), at("2026-03-30 08:00")
    assert next_begin(DAY, BERLIN, before) == after
    assert after - before == 3 * 86_400 - 3_600


def test_a_wall_clock_that_is_left_out_comes_later_and_one_that_comes_twice_counts_once() -> None:
    night = parse_calendar("sun 02:30")
    left_out = next_begin(night, BERLIN, at("2026-03-28 12:00"))
    assert left_out == at("2026-03-29 03:30")
    twice = next_begin(night, BERLIN, at("2026-10-24 12:00"))
    assert twice is not None
    assert datetime.fromtimestamp(twice, UTC).hour == 0
    assert next_begin(night, BERLIN, twice) == at("2026-11-01 02:30")


def test_a_calendar_may_go_by_another_zone_than_the_machine() -> None:
    there = parse_calendar("daily 08:00 Asia/Tokyo")
    assert next_begin(there, BERLIN, at("2026-03-04 12:00")) == at(
        "2026-03-05 08:00", ZoneInfo("Asia/Tokyo")
    )


def test_what_never_begins_is_never_due() -> None:
    assert due({"default": parse_calendar("")}, BERLIN, 1e9) is None
    assert upcoming({}, BERLIN, 1e9) is None
    assert next_begin(parse_calendar(""), BERLIN, 1e9) is None


def test_two_that_begin_at_the_same_time_are_named() -> None:
    assert clash(BOTH) == ""
    weekend = parse_calendar("fri,sat 20:00")
    assert clash({**BOTH, "weekend": weekend}) == "night and weekend both begin fri 20:00"
