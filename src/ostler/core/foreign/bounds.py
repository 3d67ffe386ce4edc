"""Sizes that a resource manager tells, within what the machine can add up and send on.

Sums of all that one may list stay below 2**63, which every message and the database hold.
"""

from collections.abc import Mapping
from itertools import islice

from ostler.model.limits import MAX_GENERIC

MOST = 1 << 44  # bytes, or of a named resource: of one node, or of one job on one node


def bounded(size: int) -> int:
    """Return a size as far as it can be true.

    >>> bounded(1 << 30) == 1 << 30, bounded(1 << 53) == MOST
    (True, True)
    """
    return min(size, MOST)


def resources(told: Mapping[str, int]) -> dict[str, int]:
    r"""Return named resources as far as they can be true, and be shown.

    >>> resources({"tape": 2, "ta\x1bpe": 2})
    {'tape': 2}
    """
    known = ((name, bounded(n)) for name, n in told.items() if name and name.isprintable())
    return dict(islice(known, MAX_GENERIC))
