"""Which elements of ended arrays succeeded, for jobs that wait for them element by element."""

import sqlite3
from collections.abc import Iterable

from ostler.model.job import Job
from ostler.model.ranges import RangeSet, parse_ranges, without
from ostler.model.states import Result
from ostler.store.sqlite.connection import SQL


def successes(database: sqlite3.Connection, jobs: Iterable[Job]) -> dict[int, list[int]]:
    """Return them by job, of those that are not among these jobs, which name them."""
    live = {job.id: job for job in jobs}
    named = {number for job in live.values() for number in job.spec.tied_to}
    return {number: _of(database, number) for number in sorted(named - live.keys())}


def _of(database: sqlite3.Connection, number: int) -> list[int]:
    given = {"job": number}
    well, told = RangeSet(), RangeSet()
    for element, result, *_ in database.execute(SQL["done_of_job"], given):
        told.add(element)
        if result == Result.SUCCESS:
            well.add(element)
    for (array,) in database.execute(SQL["needless_of_job"], given):
        # Elements that nobody needed ended as a success, and have no rows.
        for low, high in without(parse_ranges(array), told.spans):
            well = RangeSet([*well.spans, (low, high)])
    return list(well)
