"""What attempts used, by the days of this host's calendar, so that a year need not be added up anew.

A day is told by when it began and ended, in Unix seconds: one with a change of clocks has 23 or 25
hours, and days that were summed while the host was in another zone stay as they are.
"""

import time
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from ostler.model.ids import STEPS_FROM
from ostler.model.record import Accounting

_MOST = 1_000  # days of one attempt; one with more is a clock that was wrong: all is its last day's
NO_FAILURE = ("success", "requeued", "resized")


class Day(NamedTuple):
    """A day: from the first moment to before the second, Unix seconds."""

    since: float
    until: float


class Total(NamedTuple):
    """A row of daily_use."""

    since: float
    until: float
    user: str
    project: str
    partition: str
    jobs: int
    attempts: int
    unsuccessful: int
    held_cpu_seconds: float
    used_cpu_seconds: float
    held_gpu_seconds: float
    held_memory_byte_seconds: float
    max_rss: int
    read_bytes: float
    written_bytes: float


def day_of(at: float) -> Day:
    """Return the day of a moment."""
    here = time.localtime(at)
    return _day(here.tm_year, here.tm_mon, here.tm_mday)


@lru_cache(maxsize=64)
def _day(year: int, month: int, day: int) -> Day:
    first, after = ((year, month, day + n, 0, 0, 0, 0, 0, -1) for n in (0, 1))
    return Day(time.mktime(first), time.mktime(after))


def days_between(low: float, high: float) -> Iterator[Day]:
    """Yield the days in which something lies that began at the one moment and ended at the other."""
    day = day_of(low)
    yield day
    while day.until <= high:
        day = day_of(day.until)
        yield day


def totals(attempts: Iterable[tuple[Accounting, bool]]) -> list[Total]:
    """Return what is to be added to daily_use: each attempt counts by the part of its time.

    attempts: each with whether it is the first of its job that ended. Steps are within what their
    allocations held.
    """
    found: dict[tuple[Day, str, str, str], list[float]] = {}
    last: tuple[float, float, str, str, str] = (0.0, 0.0, "", "", "")
    row: list[float] = []
    for each, first in attempts:
        if each.job >= STEPS_FROM:
            continue
        # Nearly always it is as the one before: of the same job, and on the same day.
        low, high, user, project, partition = last
        same = each.user == user and each.project == project and each.partition == partition
        if not (low <= each.ended_at < high and same):
            day = day_of(each.ended_at)
            row = found.setdefault((day, each.user, each.project, each.partition), [0] * 10)
            last = (*day, each.user, each.project, each.partition)
            low = day.since
        row[0] += first
        row[1] += 1
        row[2] += each.result not in NO_FAILURE
        if each.granted_at >= low or each.ended_at - each.granted_at > _MOST * 86_400:
            _add(row, each, 1.0)
        else:
            for part, share in _parts(each):
                key = part, each.user, each.project, each.partition
                _add(found.setdefault(key, [0] * 10), each, share)
    return [
        Total(
            *day, user, project, partition,
            jobs=int(row[0]), attempts=int(row[1]), unsuccessful=int(row[2]),
            held_cpu_seconds=row[3], used_cpu_seconds=row[4], held_gpu_seconds=row[5],
            held_memory_byte_seconds=row[6], max_rss=int(row[7]),
            read_bytes=row[8], written_bytes=row[9],
        )
        for (day, user, project, partition), row in found.items()
    ]  # fmt: skip


def _parts(each: Accounting) -> Iterator[tuple[Day, float]]:
    """Yield the days of an attempt, each with its part of the whole time."""
    low, high = each.granted_at, each.ended_at
    for day in days_between(low, high):
        yield day, (min(high, day.until) - max(low, day.since)) / (high - low)


def _add(row: list[float], each: Accounting, share: float) -> None:
    usage = each.usage
    held = share * (each.ended_at - each.granted_at - usage.suspended)
    if held > 0.0:
        row[3] += held * each.cpus
        if each.gpus:
            row[5] += held * each.gpus
        if each.memory:
            row[6] += held * each.memory
    row[4] += share * (usage.cpu_user + usage.cpu_system)
    row[7] = max(row[7], usage.max_rss)
    if usage.read_bytes:
        row[8] += share * usage.read_bytes
    if usage.written_bytes:
        row[9] += share * usage.written_bytes


def cut(low: float, high: float, now: float) -> tuple[Day | None, list[Day]]:
    """Return the whole days of a stretch as one, None without any; and the parts at its ends.

    Nothing has ended before 1970 or ends after `now`, so there a stretch may as well be open.
    """
    since = low if low <= 0 or day_of(low).since == low else day_of(low).until
    until = day_of(high).since
    if high >= now and until < high:
        until = high = day_of(high).until
    if since >= until:
        return None, [Day(low, high)]
    ends = pairwise(sorted({low, since, until, high}))
    return Day(since, until), [Day(*end) for end in ends if end != (since, until)]
