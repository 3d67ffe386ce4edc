"""Shifts: when by the calendar one configuration takes the place of another.

A calendar is written `mon-fri 08:00; sat,sun 10:00 Europe/Berlin`: weekdays and wall clocks at
which its configuration begins, and at the end the time zone if it is not the machine's own. It
lasts until another begins, so that calendars leave no gap and overlap nowhere. A wall clock that a
change to summer time leaves out comes as much later; one that comes twice counts the first time.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from itertools import pairwise
from typing import Protocol
from zoneinfo import ZoneInfo

from msgspec import Struct

from ostler.model.errors import UsageError

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MAX_TEXT = 1_000  # characters of a calendar
EXPECTED = "weekdays and a time, as in 'mon-fri 08:00; sat,sun 10:00'"
_WEEK = len(DAYS)
_HOURS, _MINUTES = 24, 60


class Shift(Struct, frozen=True, order=True):
    """A wall clock that comes again on some weekdays."""

    days: tuple[int, ...]  # 0 is Monday, in order
    minute: int  # of the day

    @property
    def text(self) -> str:
        """Return it as it is written: `mon-fri 08:00`."""
        return f"{_days_text(self.days)} {self.minute // _MINUTES:02}:{self.minute % _MINUTES:02}"


class Calendar(Struct, frozen=True):
    """When a configuration begins."""

    shifts: tuple[Shift, ...] = ()
    zone: str = ""  # a name as in Europe/Berlin; empty: the machine's own

    @property
    def text(self) -> str:
        """Return the one form in which it is kept."""
        listed = "; ".join(shift.text for shift in self.shifts)
        return f"{listed} {self.zone}" if self.zone else listed


@lru_cache(maxsize=64)
def parse_calendar(text: str) -> Calendar:
    """Return the calendar that a text describes; an empty one never begins. Raises `UsageError`."""
    if len(text) > MAX_TEXT:
        raise UsageError("the calendar is too long", expected=f"most: {MAX_TEXT} characters")
    *before, last = text.split(";")
    words = last.split()
    zone = ""
    if words and ":" not in words[-1]:
        zone = words.pop()
        zone_of(zone, UTC)
    parts = [part.split() for part in before] + [words]
    shifts = sorted({_shift(part, text) for part in parts if part})
    if zone and not shifts:
        raise UsageError(f"the calendar {text!r} names no time", expected=EXPECTED)
    return Calendar(tuple(shifts), zone)


def _shift(words: list[str], text: str) -> Shift:
    *days, clock = words
    hour, _, minute = clock.partition(":")
    known = all(part.isascii() and part.isdigit() and len(part) <= 2 for part in (hour, minute))
    if len(days) > 1 or not known or int(hour) >= _HOURS or int(minute) >= _MINUTES:
        raise UsageError(f"no calendar is {text!r}", expected=EXPECTED)
    return Shift(_days("".join(days), text), int(hour) * _MINUTES + int(minute))


def _days(text: str, whole: str) -> tuple[int, ...]:
    found: set[int] = set()
    for span in text.lower().split(",") if text not in ("", "daily") else ("mon-sun",):
        first, _, last = span.partition("-")
        if first not in DAYS or (last or first) not in DAYS:
            raise UsageError(
                f"{span!r} in the calendar {whole!r} is no weekday", expected=", ".join(DAYS)
            )
        begin, end = DAYS.index(first), DAYS.index(last or first)
        found.update(day % _WEEK for day in range(begin, end + (_WEEK if end < begin else 0) + 1))
    return tuple(sorted(found))


def _days_text(days: tuple[int, ...]) -> str:
    if len(days) == _WEEK:
        return "daily"
    if len(days) > 2 and all(after - before == 1 for before, after in pairwise(days)):
        return f"{DAYS[days[0]]}-{DAYS[days[-1]]}"
    return ",".join(DAYS[day] for day in days)


@lru_cache(maxsize=64)
def _named(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise UsageError(
            f"there is no time zone {name!r} on this host", expected="a name as in Europe/Berlin"
        ) from None


def zone_of(name: str, home: tzinfo) -> tzinfo:
    """Return the zone of that name, home without a name. Raises `UsageError`.

    The table of zones is constant, and read once: to ask it is no input.
    """
    return _named(name) if name else home


def begins(calendar: Calendar, home: tzinfo, around: float, days: int) -> Iterator[float]:
    """Yield when it begins, in no order, from so many days before `around` to as many after it."""
    zone = zone_of(calendar.zone, home)
    today = datetime.fromtimestamp(around, zone).date()
    for ahead in range(-days, days + 1):
        day = today + timedelta(days=ahead)
        for shift in calendar.shifts:
            if day.weekday() in shift.days:
                yield _instant(day, shift.minute, zone)


def _instant(day: date, minute: int, zone: tzinfo) -> float:
    clock = datetime(day.year, day.month, day.day, *divmod(minute, _MINUTES), tzinfo=zone)
    return clock.timestamp()


def due(calendars: Mapping[str, Calendar], home: tzinfo, now: float) -> tuple[str, float] | None:
    """Return whose turn it is now and since when; None: no calendar begins anything."""
    found = [
        (at, name)
        for name, calendar in calendars.items()
        for at in begins(calendar, home, now, _WEEK + 1)
        if at <= now
    ]
    return max(found)[::-1] if found else None


def upcoming(
    calendars: Mapping[str, Calendar], home: tzinfo, now: float
) -> tuple[str, float] | None:
    """Return whose turn comes next and when, later than now."""
    found = [
        (at, name)
        for name, calendar in calendars.items()
        for at in begins(calendar, home, now, _WEEK + 1)
        if at > now
    ]
    return min(found)[::-1] if found else None


def next_begin(calendar: Calendar, home: tzinfo, now: float) -> float | None:
    """Return when it begins next, later than now; None: never."""
    found = upcoming({"": calendar}, home, now)
    return None if found is None else found[1]


class Begins(Protocol):
    """A configuration, as far as it is about its calendar."""

    @property
    def calendar(self) -> str: ...


def calendars(configurations: Mapping[str, Begins]) -> dict[str, Calendar]:
    """Return the calendars of those that have one."""
    rows = configurations.items()
    return {name: parse_calendar(row.calendar) for name, row in rows if row.calendar}


def clash(calendars: Mapping[str, Calendar]) -> str:
    """Return a phrase on two configurations that begin at the same time; empty: there are none."""
    taken: dict[tuple[str, int, int], str] = {}
    for name, calendar in sorted(calendars.items()):
        for shift in calendar.shifts:
            for day in shift.days:
                other = taken.setdefault((calendar.zone, day, shift.minute), name)
                if other != name:
                    when = Shift((day,), shift.minute).text
                    return f"{other} and {name} both begin {when}"
    return ""


def offset_at(zone: tzinfo, at: float) -> int:
    """Return how far clocks of the zone are before UTC at a time, in seconds east. at: Unix seconds."""
    offset = datetime.fromtimestamp(at, zone).utcoffset()
    return 0 if offset is None else int(offset.total_seconds())
