"""Numbers from numbers. Pure."""

import math
import statistics
from collections.abc import Sequence

NORMAL = 1.4826  # the median absolute deviation of a normal distribution, turned into its sigma


def median(values: Sequence[float]) -> float:
    """Return the middle value; values: at least one."""
    return statistics.median(values)


def quantile(values: Sequence[float], part: float) -> float:
    """Return the least value that at least `part` (0 to 1) of all values do not exceed.

    A value that was measured, never one in between: the 99th percentile of ten is the greatest.
    """
    ordered = sorted(values)
    return ordered[max(math.ceil(part * len(ordered)) - 1, 0)]


def spread(values: Sequence[float]) -> float:
    """Return the values' sigma as a part of their median, not moved by one or two strays.

    From the median absolute deviation; 0 where there is one value, or the median is 0.
    """
    middle = median(values)
    if not middle:
        return 0.0
    return NORMAL * median([abs(value - middle) for value in values]) / abs(middle)
