"""The order of the queue, and of nodes: the same for equal snapshots, however they are listed."""

import re
from collections.abc import Iterable
from functools import lru_cache
from operator import attrgetter

from ostler.schedule.snapshot import WaitingView

_DIGITS = re.compile(r"([0-9]+)")


def queue_order(waiting: Iterable[WaitingView]) -> list[WaitingView]:
    """Return entries by priority, high first; then returned ones; then by age; then by job id.

    Cost: four stable sorts. The snapshot is mostly in order of age already, and a sort of what is
    in order is one look at each entry; one sort by a key of four costs twice as much.
    """
    queue = list(waiting)
    if len(queue) < 2:
        return queue
    queue.sort(key=attrgetter("job"))
    queue.sort(key=attrgetter("submitted_at"))
    queue.sort(key=attrgetter("head"), reverse=True)
    queue.sort(key=attrgetter("priority"), reverse=True)
    return queue


@lru_cache(maxsize=16_384)
def node_order(name: str) -> tuple[str | int, ...]:
    """Return a sort key by which n2 comes before n10.

    >>> sorted(["n10", "n2"], key=node_order)
    ['n2', 'n10']
    """
    parts = _DIGITS.split(name)
    return tuple(int(part) if at % 2 else part for at, part in enumerate(parts))
