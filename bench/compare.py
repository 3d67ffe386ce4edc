"""What got slower since the reference. Pure."""

from collections.abc import Iterator

from msgspec import Struct

from bench.record import RATIO, Figure, Record
from bench.stats import spread

LEAST_TOLERANCE = 0.10  # runs on one machine differ by so much with nothing changed
SIGMAS = 3  # of the reference's own rounds
HALF = 0.5  # the most that noise takes from a whole run on a quiet host
ROUGH = 0.7  # ... that a short run on another, busy host may lose: it is three times as bad


class Change(Struct, frozen=True):
    """One figure, then and now."""

    figure: Figure  # as it is now
    then: float
    now: float
    worse: float  # part of what was good that is gone: 0.5 is half as good, below 0 is better
    tolerance: float

    @property
    def slower(self) -> bool:
        """Say whether it got worse by more than its tolerance."""
        return self.worse > self.tolerance


def tolerance(then: Figure) -> float:
    """Return which part of a figure may be lost to noise, from the spread of its rounds."""
    return min(max(LEAST_TOLERANCE, SIGMAS * spread(then.values)), HALF)


def changes(then: Record, now: Record, *, rough: bool = False) -> Iterator[Change]:
    """Yield each figure that both runs have, in the order of the second.

    rough: as for a short run on another host: ratios only, and most may be lost, for ratios differ
    from one processor to the next; what fails is a change of shape.
    """
    known = {(figure.row, figure.name): figure for figure in then.figures}
    for figure in now.figures:
        old = known.get((figure.row, figure.name))
        if old is None or (rough and figure.unit != RATIO):
            continue
        noise = SIGMAS * max(spread(old.values), spread(figure.values))
        limit = max(ROUGH, noise) if rough else tolerance(old)
        yield Change(figure, old.median, figure.median, _worse(old, figure), limit)


def missing(then: Record, now: Record) -> list[str]:
    """Return the figures of the rows run now that only the reference has."""
    have = {(figure.row, figure.name) for figure in now.figures}
    rows = set(now.rows())
    return [
        f"{figure.row}: {figure.name}"
        for figure in then.figures
        if figure.row in rows and (figure.row, figure.name) not in have
    ]


def _worse(then: Figure, now: Figure) -> float:
    bad, good = (now.median, then.median) if now.less else (then.median, now.median)
    return 1 - good / bad if bad else 0.0
