"""What a run of the bench found: series, figures, gaps, and the machine's facts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from bench.stats import median

RATIO = "x"  # unit of a figure that compares two contenders of one run

Sample = Mapping[str, float]  # what one contender did in one round: measure with its unit -> value


class Series(Struct):
    """One measure of one contender, a value for each round."""

    row: str
    contender: str
    measure: str  # with its unit: `elements/s`, `own µs`
    values: list[float]


class Figure(Struct):
    """What is judged: a ratio within the run, or a count. One value for each round."""

    row: str
    name: str
    unit: str  # `x` for a ratio
    values: list[float]
    less: bool = False  # less is better
    aim: float | None = None  # at least this, or at most where less is better

    @property
    def median(self) -> float:
        """Return the middle value."""
        return median(self.values)

    @property
    def met(self) -> bool:
        """Say whether the aim is met; there may be none."""
        if self.aim is None:
            return True
        return self.median <= self.aim if self.less else self.median >= self.aim


class Gap(Struct):
    """What could not be measured."""

    row: str
    contender: str
    why: str


class Record(Struct):
    """All of one run, as stored in bench/results."""

    facts: dict[str, Any] = {}
    series: list[Series] = []
    figures: list[Figure] = []
    gaps: list[Gap] = []

    def add(self, row: str, contender: str, sample: Sample) -> None:
        """Add one round's values."""
        for measure, value in sample.items():
            found = self.find(row, contender, measure)
            if found is None:
                found = Series(row, contender, measure, [])
                self.series.append(found)
            found.values.append(value)

    def drop(self, row: str, contender: str, why: str) -> None:
        """Forget a contender that did not last to the end, and say why."""
        self.series = [s for s in self.series if (s.row, s.contender) != (row, contender)]
        self.gaps.append(Gap(row, contender, why))

    def find(self, row: str, contender: str, measure: str) -> Series | None:
        """Return a series, if it was measured."""
        for series in self.series:
            if (series.row, series.contender, series.measure) == (row, contender, measure):
                return series
        return None

    def ratio(
        self,
        row: str,
        measure: str,
        pair: tuple[str, str],
        *,
        less: bool = False,
        aim: float | None = None,
    ) -> None:
        """Add the figure `first / second`, round by round; nothing if one was not measured."""
        above, below = (self.find(row, contender, measure) for contender in pair)
        if above is None or below is None or not all(below.values):
            return
        values = [a / b for a, b in zip(above.values, below.values, strict=True)]
        name = f"{pair[0]} / {pair[1]}, {measure}"
        self.figures.append(Figure(row, name, RATIO, values, less, aim))

    def count(
        self, row: str, contender: str, measure: str, *, less: bool = True, aim: float | None = None
    ) -> None:
        """Add a measure that is judged as it is; nothing if it was not measured."""
        series = self.find(row, contender, measure)
        if series is not None:
            name, unit = f"{contender}, {measure}", measure.rpartition(" ")[2]
            self.figures.append(Figure(row, name, unit, series.values, less, aim))

    def rows(self) -> list[str]:
        """Return the names of the rows that were run, in order."""
        return list(dict.fromkeys([*(s.row for s in self.series), *(g.row for g in self.gaps)]))


def save(record: Record, path: Path) -> None:
    """Write it so that people and `git diff` can read it."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n")


def load(path: Path) -> Record:
    """Return a stored run; raise OSError or `msgspec.ValidationError`."""
    return msgspec.json.decode(path.read_bytes(), type=Record)
