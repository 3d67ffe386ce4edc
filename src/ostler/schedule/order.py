"""The order of nodes: the same for equal snapshots, however they are listed."""

import re
from functools import lru_cache

_DIGITS = re.compile(r"([0-9]+)")


@lru_cache(maxsize=16_384)
def node_order(name: str) -> tuple[str | int, ...]:
    """Return a sort key by which n2 comes before n10.

    >>> sorted(["n10", "n2"], key=node_order)
    ['n2', 'n10']
    """
    parts = _DIGITS.split(name)
    return tuple(int(part) if at % 2 else part for at, part in enumerate(parts))
