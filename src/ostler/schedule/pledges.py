"""Room that running work is giving up for a job: kept for it until it starts.

What gives way by ending needs some time, and not all of it the same. Meanwhile the room of those
that are gone already is nobody else's: else small work would take it, and the job would press for
more and more of them. In a pass it is as if the job ran there from now on for all of its time, so
that a start which is promised to another is right, too. `conservative` keeps its own promise.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from msgspec import Struct

from ostler.model.resources import Request
from ostler.schedule.booking import book_of
from ostler.schedule.choose import Seats
from ostler.schedule.planner import Planner, policy_of
from ostler.schedule.table import ALONE, Counts, Hold, Shape, Table

if TYPE_CHECKING:
    from ostler.schedule.classes import Entry
    from ostler.schedule.engine import Engine

_FIRST = -(1 << 40)  # numbers of what is kept, in the table


class Pledge(Struct, frozen=True):
    """What is kept for one element of a job, once those have ended that give way to it."""

    job: int
    partition: str
    request: Request
    seats: tuple[tuple[str, int], ...]  # node, tasks
    victims: frozenset[int]  # allocations


def holding(engine: "Engine") -> dict[str, list[Pledge]]:
    """Return by partition those for whom something still ends; forget the others."""
    found: dict[str, list[Pledge]] = {}
    for job, pledge in list(engine.pledges.items()):
        if _is_coming(engine, pledge):
            found.setdefault(pledge.partition, []).append(pledge)
        else:
            del engine.pledges[job]
    return found


@contextmanager
def kept(engine: "Engine", planner: Planner, partitions: set[str]) -> Iterator[None]:
    """Start those for whom all that gave way has ended, and keep the room of the others."""
    table, taken = planner.table, dict[int, dict[int, Counts]]()
    for pledge in [each for each in engine.pledges.values() if each.partition in partitions]:
        entry = engine.queue.entries.get(pledge.job)
        policy = policy_of(planner.picture.rules.of(pledge.partition).policy)
        if entry is None or entry.view.partition != pledge.partition or policy.reserved is None:
            continue
        shape, seats = planner.shape(entry.view), _rows(table, pledge)
        takes = {row: table.taken(shape, row, tasks) for row, tasks in seats}
        if (
            takes
            and _is_there(planner, shape, takes)
            and not planner.over(shape, entry.view, seats)
        ):
            del engine.pledges[pledge.job]
            _begin(engine, planner, entry, shape, seats)
        elif takes and _is_coming(engine, pledge):
            number = _FIRST - len(taken)
            taken[number] = takes
            _change(table, takes, -1)
            until, cpus = planner.now + entry.view.duration, planner.cpus(shape.request, seats)
            table.hold(number, Hold(until, list(takes.items()), entry.view.user, cpus))
            planner.pledged.add(pledge.job)
        else:
            del engine.pledges[pledge.job]
    try:
        yield
    finally:
        for number, takes in taken.items():
            table.drop(number)
            _change(table, takes, 1)


def _begin(engine: "Engine", planner: Planner, entry: "Entry", shape: Shape, seats: Seats) -> None:
    partition = entry.view.partition
    policy = policy_of(planner.picture.rules.of(partition).policy)
    book = book_of(engine.books, partition, policy)
    if book is not None:
        book.taken(entry.view.job)
    engine.starts(planner, entry.view, shape, seats)


def _is_coming(engine: "Engine", pledge: Pledge) -> bool:
    """Say whether it still waits for something that ends."""
    running = engine.picture.running
    views = (running.get(alloc) for alloc in pledge.victims)
    return pledge.job in engine.queue.entries and any(view and view.leaving for view in views)


def _rows(table: Table, pledge: Pledge) -> Seats:
    """Return its seats as rows of the table; none if one of the nodes cannot be used any more."""
    rows = [(table.rows.get(node, -1), tasks) for node, tasks in pledge.seats]
    if any(row < 0 or not table.views[row].usable for row, _ in rows):
        return []
    return rows


def _is_there(planner: Planner, shape: Shape, takes: dict[int, Counts]) -> bool:
    for row, counts in takes.items():
        free = planner.table.free(row)
        if shape.request.exclusive and free != counts:
            return False
        pairs = zip(free, counts, strict=True)
        if any(there < count for at, (there, count) in enumerate(pairs) if at != ALONE):
            return False
    return True


def _change(table: Table, takes: dict[int, Counts], sign: int) -> None:
    """Take so much of the rows, or give it back; what is alone there goes by `Table.hold`."""
    changed = {}
    for row, counts in takes.items():
        free = table.free(row)
        changed[row] = [
            there if at == ALONE else there + sign * count
            for at, (there, count) in enumerate(zip(free, counts, strict=True))
        ]
    table.set_free(changed)
