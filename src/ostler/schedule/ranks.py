"""Which ranks the tasks on each node have."""

from functools import lru_cache


@lru_cache(maxsize=16)
def cyclic(counts: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Return the ranks on each node when they go round the nodes. counts: tasks on each, in order.

    >>> cyclic((1, 3, 2))
    ((0,), (1, 3, 5), (2, 4))
    """
    found: list[list[int]] = [[] for _ in counts]
    open_nodes = [at for at, count in enumerate(counts) if count]
    rank = 0
    while open_nodes:
        for at in open_nodes:
            found[at].append(rank)
            rank += 1
        open_nodes = [at for at in open_nodes if len(found[at]) < counts[at]]
    return tuple(map(tuple, found))
