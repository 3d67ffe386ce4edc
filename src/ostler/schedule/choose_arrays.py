"""The few of many nodes from which `choose` chooses as it would from all of them."""

import numpy as np
from numpy.typing import NDArray

from ostler.model.resources import Request
from ostler.schedule.table import Shape

Ints = NDArray[np.int64]
Caps = NDArray[np.int32]
Bools = NDArray[np.bool_]


def capacity(shape: Shape, free: Ints, ok: Bools) -> Caps:
    """Return how many tasks have room on each node."""
    found = tasks_in(shape, free)
    found *= ok
    return found.astype(np.int32)


def tasks_in(shape: Shape, counts: Ints) -> Ints:
    """Return how many tasks have room. counts: by column."""
    found = np.full(counts.shape[1:], shape.most, np.int64)
    for column, need in shape.needs:
        np.minimum(found, counts[column] // need if need > 1 else counts[column], out=found)
    np.maximum(found, 0, out=found)
    return found


def candidates(caps: Caps, request: Request) -> Ints | None:
    """Return a few nodes from which `choose` chooses as from all; None: it cannot be seated."""
    tasks, count = request.tasks, request.nodes
    if not count and not request.spread:
        return _fewest(caps, tasks)
    if count:
        if np.count_nonzero(caps) < count or tasks < count:
            return None
        share = -(-tasks // count)
        if not request.spread:
            enough = np.flatnonzero(caps >= share)
            if len(enough) >= count:
                return _lowest(caps, enough, count)
    some = np.flatnonzero(caps)
    return _lowest(-caps, some, min(count or tasks, len(some))) if len(some) else None


def _lowest(values: Caps, rows: Ints, count: int) -> Ints:
    """Return those of the rows with the lowest values; of equals the first."""
    if len(rows) <= count:
        return rows
    among = values[rows]
    limit = np.partition(among, count - 1)[count - 1]
    less = rows[among < limit]
    return np.concatenate([less, rows[among == limit][: count - len(less)]])


def _fewest(caps: Caps, tasks: int) -> Ints | None:
    """Return the roomiest that are filled, and the one that takes what is left of the tasks."""
    enough = np.flatnonzero(caps >= tasks)
    if len(enough):
        return enough[[int(caps[enough].argmin())]]
    levels = np.bincount(caps)
    room = np.cumsum((levels * np.arange(len(levels)))[::-1])[::-1]  # of this level and above
    if not len(room) or room[0] < tasks:
        return None
    level = int(np.flatnonzero(room >= tasks)[-1])
    left = tasks - (int(room[level + 1]) if level + 1 < len(room) else 0)
    full = (left - 1) // level
    left -= full * level
    chosen = [np.flatnonzero(caps > level), np.flatnonzero(caps == level)[: full + 1]]
    smaller = np.flatnonzero((caps >= left) & (caps < level))
    if len(smaller):
        chosen.append(smaller[[int(caps[smaller].argmin())]])
    return np.concatenate(chosen)
