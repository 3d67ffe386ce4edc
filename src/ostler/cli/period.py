"""Stretches of time as people name them: today, last-month, 2026-11, a day and another.

All by this host's calendar: a day with a change of clocks has 23 or 25 hours.
"""

from datetime import date, datetime, timedelta
from itertools import pairwise

from ostler.cli.options import Given
from ostler.cli.when import parse_moment
from ostler.model.errors import UsageError

Span = tuple[float, float]  # Unix seconds: from the first to before the second
MOST_SPANS = 1_000  # days or months of one table

_UNITS = ("day", "week", "month", "year")
_EXPECTED = (
    "today, yesterday, week, month, year, last-week, last-month, last-year, 2026, 2026-11, "
    "2026-11-30 or FROM..TO"
)


def period_of(given: Given, now: float) -> tuple[float | None, float | None]:
    """Return what --period, or --since and --until, say; None: open. Raises `UsageError`."""
    since, until = given.text("since"), given.text("until")
    if (text := given.text("period")) is not None:
        if since is not None or until is not None:
            raise UsageError("--period and --since or --until say the same", expected="one of them")
        return parse_period(text, now)
    low = None if since is None else parse_moment("--since", since, past=True, now=now)
    high = None if until is None else parse_moment("--until", until, past=True, now=now)
    if low is not None and high is not None and low >= high:
        raise UsageError(f"--until {until} is not after --since {since}")
    return low, high


def parse_period(text: str, now: float) -> Span:
    """Return the stretch; raise `UsageError`. now: Unix seconds."""
    word = text.strip()
    low, dots, high = word.partition("..")
    try:
        if dots:
            span = (parse_moment("--period", low, past=True, now=now), _end(high, now))
        else:
            first, unit = _first(word, datetime.fromtimestamp(now).date())  # noqa: DTZ006 - here
            span = _midnight(first), _midnight(_next(first, unit))
    except (ValueError, OverflowError, OSError):
        raise UsageError(f"--period cannot be {text[:100]!r}", expected=_EXPECTED) from None
    if span[0] >= span[1]:
        raise UsageError(f"--period {text[:100]!r} ends before it begins")
    return span


def parts(span: Span, unit: str) -> list[tuple[str, float, float]]:
    """Return (name, from, to) of each day or month of a stretch; raise `UsageError`.

    The first and the last are cut where the stretch begins and ends.
    """
    low, high = span
    day = datetime.fromtimestamp(low).date()  # noqa: DTZ006 - this host's calendar is meant
    starts = [day if unit == "day" else day.replace(day=1)]
    while _midnight(starts[-1]) < high:
        if len(starts) > MOST_SPANS:
            raise UsageError(f"--by {unit} would be over {MOST_SPANS} rows of time")
        starts.append(_next(starts[-1], unit))
    form = "%Y-%m-%d" if unit == "day" else "%Y-%m"
    return [
        (first.strftime(form), max(_midnight(first), low), min(_midnight(after), high))
        for first, after in pairwise(starts)
    ]


def end_of_day(now: float) -> float:
    """Return when the present day is over: with its end, whole days are summed."""
    return _midnight(datetime.fromtimestamp(now).date() + timedelta(days=1))  # noqa: DTZ006 - here


def _end(text: str, now: float) -> float:
    """Return the end of FROM..TO: a bare date means the whole of that day."""
    try:
        return _midnight(date.fromisoformat(text.strip()) + timedelta(days=1))
    except ValueError:
        return parse_moment("--period", text, past=True, now=now)


def _first(word: str, today: date) -> tuple[date, str]:
    """Return the first day of a named stretch, and how long that is; raise ValueError."""
    if word == "today":
        return today, "day"
    if word == "yesterday":
        return today - timedelta(days=1), "day"
    last, unit = word.startswith("last-"), word.removeprefix("last-")
    if unit in _UNITS[1:]:
        begun = _begin(today, unit)
        return (_begin(begun - timedelta(days=1), unit) if last else begun), unit
    numbers = word.split("-")
    if not all(n.isascii() and n.isdigit() for n in numbers) or len(numbers[0]) != 4:
        raise ValueError(word)
    year, month, day = ([int(n) for n in numbers] + [1, 1])[:3] if len(numbers) < 4 else [0] * 3
    return date(year, month, day), ("year", "month", "day")[len(numbers) - 1]


def _begin(day: date, unit: str) -> date:
    if unit == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if unit == "month" else day.replace(month=1, day=1)


def _next(first: date, unit: str) -> date:
    if unit in ("day", "week"):
        return first + timedelta(days=1 if unit == "day" else 7)
    months = first.month + (1 if unit == "month" else 12)
    return first.replace(year=first.year + (months - 1) // 12, month=(months - 1) % 12 + 1)


def _midnight(day: date) -> float:
    return datetime(day.year, day.month, day.day).timestamp()  # noqa: DTZ001 - local time is meant
