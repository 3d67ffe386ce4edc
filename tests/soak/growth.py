"""Whether a quantity grows with the work done: a robust slope after a warm-up, and its judgement."""

from collections.abc import Sequence
from itertools import combinations
from statistics import median
from typing import NamedTuple

from tests.soak.vitals import Vitals

WARM_UP = 0.3  # of the work; caches, stocks and the allocator fill in it
MOST_POINTS = 300  # of one slope: its cost is their square

MB = float(1 << 20)


class Bound(NamedTuple):
    """How much may be gained between warm-up and end: so much, and so much for each element."""

    fixed: float
    each: float = 0.0


# Keyed by the end of the quantity's name; the first that fits counts.
BOUNDS = {
    "manager RSS": Bound(6 * MB, 50.0),  # an array of a million elements may cost 50 MB
    "manager PSS": Bound(6 * MB, 50.0),
    "RSS": Bound(2 * MB, 2.0),
    "PSS": Bound(2 * MB, 2.0),
    "fds": Bound(3),
    "threads": Bound(2),
    "processes": Bound(2),
    "database bytes": Bound(4 * MB, 400.0),  # two rows an element are its work
    "WAL bytes": Bound(32 * MB),  # a saw: written back by and by
    "journal bytes": Bound(8 * MB),  # likewise
    "spool bytes": Bound(8 * MB),  # a saw of a megabyte a starter
    "log bytes": Bound(16384.0),
    "other bytes": Bound(65536.0),
    "control groups": Bound(3),
    "files": Bound(4),
    "spools": Bound(3),
}


class Growth(NamedTuple):
    """One line of the table."""

    quantity: str
    first: float
    last: float
    highest: float
    gained: float  # by the slope, between warm-up and end
    allowed: float

    @property
    def is_flat(self) -> bool:
        """Say whether it is within its bound; what shrinks is."""
        return self.gained <= self.allowed


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Return the median of the slopes of all pairs: no outlier moves it (Theil and Sen).

    points: (elements done, value); at least two different first values, else 0.
    """
    thinned = points[:: max(1, len(points) // MOST_POINTS)]
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in combinations(thinned, 2) if a[0] != b[0]]
    return median(slopes) if slopes else 0.0


def judge(samples: Sequence[tuple[int, Vitals]]) -> list[Growth]:
    """Return the growth of each quantity. samples: (elements done, what was held), in order."""
    if not samples:
        return []
    end = samples[-1][0]
    warm = [(done, vitals) for done, vitals in samples if done >= WARM_UP * end]
    names = sorted({name for _, vitals in samples for name in vitals})
    return [_growth(name, warm, end) for name in names if any(name in v for _, v in warm)]


def _growth(name: str, warm: Sequence[tuple[int, Vitals]], end: int) -> Growth:
    points = [(float(done), vitals[name]) for done, vitals in warm if name in vitals]
    values = [value for _, value in points]
    span = end - warm[0][0]
    bound = next(bound for suffix, bound in BOUNDS.items() if name.endswith(suffix))
    gained = slope(points) * span
    return Growth(name, values[0], values[-1], max(values), gained, bound.fixed + bound.each * span)


def table(rows: Sequence[Growth]) -> str:
    """Return the table that a person reads; sizes in MB."""
    lines = [f"{'quantity':24}{'warm':>10}{'end':>10}{'most':>10}{'gained':>10}{'allowed':>10}"]
    for row in rows:
        unit = MB if row.quantity.endswith(("RSS", "PSS", "bytes")) else 1.0
        values = (row.first, row.last, row.highest, row.gained, row.allowed)
        cells = "".join(f"{value / unit:10.2f}" for value in values)
        lines.append(f"{row.quantity:24}{cells}{'' if row.is_flat else '  GROWS'}")
    return "\n".join(lines)
