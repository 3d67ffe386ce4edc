"""What a replay is judged by: waits, slowdowns and use of the machine, over every job.

Source: Feitelson, "Metrics for Parallel Job Scheduling and Their Convergence" (2001). No single one
ranks schedulers the same way everywhere, so all are told.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum
from statistics import median

from ostler.sim.swf import Trace

TAU = 10  # seconds; what runs for less counts as if it ran so long, or tiny jobs alone would count
_MINUTE, _HOUR = 60, 3600
LENGTHS = (_MINUTE, 10 * _MINUTE, _HOUR, 6 * _HOUR, 24 * _HOUR)  # the longest of each class
_WIDER = 8  # each class of sizes reaches to so many times the size of the one before


@dataclass(frozen=True, slots=True)
class Group:
    """The jobs of one class: those of `least` to `most` processors or seconds; None: or more.

    Waits in seconds. Without jobs all three are None.
    """

    least: int
    most: int | None
    jobs: int
    mean_wait: float | None
    median_wait: float | None
    mean_bounded_slowdown: float | None

    @property
    def span(self) -> str:
        """The class in words: `1`, `2-8`."""
        return str(self.least) if self.least == self.most else f"{self.least}-{self.most}"


@dataclass(frozen=True, slots=True)
class Measured:
    """What one replay comes to. Seconds; utilisation is a share of the machine.

    makespan: from the first submission to the last end. sizes, lengths: the same by processors and
    by run time, smallest first, those without jobs too.
    """

    mean_wait: float
    median_wait: float
    mean_bounded_slowdown: float
    utilisation: float
    makespan: int
    sizes: tuple[Group, ...]
    lengths: tuple[Group, ...]


def measure(trace: Trace, starts: Sequence[int]) -> Measured:
    """Return the metrics of a replay. starts: second at which each job started, as in the trace."""
    waits = [start - submit for start, submit in zip(starts, trace.submits, strict=True)]
    slowdowns = [*map(bounded_slowdown, waits, trace.runs)]
    work = sum(run * size for run, size in zip(trace.runs, trace.sizes, strict=True))
    ends = max(start + run for start, run in zip(starts, trace.runs, strict=True))
    makespan = ends - trace.submits[0]
    return Measured(
        mean_wait=sum(waits) / len(waits),
        median_wait=float(median(waits)),
        mean_bounded_slowdown=fsum(slowdowns) / len(slowdowns),
        utilisation=work / (trace.procs * makespan),
        makespan=makespan,
        sizes=_grouped(trace.sizes, size_borders(trace.procs), waits, slowdowns),
        lengths=_grouped(trace.runs, [*LENGTHS, None], waits, slowdowns),
    )


def bounded_slowdown(wait: int, run: int) -> float:
    """Return how many times longer it took than it ran, at least 1.

    >>> bounded_slowdown(90, 10), bounded_slowdown(4, 1)
    (10.0, 1.0)
    """
    return max(1.0, (wait + run) / max(run, TAU))


def size_borders(procs: int) -> list[int | None]:
    """Return the largest size of each class on a machine of so many processors.

    The borders at 1 and 8 are usual ones of studies that tell narrow jobs from wide ones.

    >>> size_borders(100)
    [1, 8, 64, 100]
    """
    borders: list[int | None] = []
    border = 1
    while border < procs:
        borders.append(border)
        border *= _WIDER
    return [*borders, procs]


def _grouped(
    values: Sequence[int],
    borders: Sequence[int | None],
    waits: Sequence[int],
    slowdowns: Sequence[float],
) -> tuple[Group, ...]:
    """Return a group for each border: the values from above the last one up to it."""
    limits = [border for border in borders if border is not None]
    found: list[list[int]] = [[] for _ in borders]
    for job, value in enumerate(values):
        found[bisect_left(limits, value)].append(job)
    leasts = [1, *(limit + 1 for limit in limits)]
    return tuple(
        _group(least, most, [waits[j] for j in jobs], [slowdowns[j] for j in jobs])
        for least, most, jobs in zip(leasts, borders, found, strict=False)
    )


def _group(least: int, most: int | None, waits: list[int], slowdowns: list[float]) -> Group:
    if not waits:
        return Group(least, most, 0, None, None, None)
    count = len(waits)
    return Group(
        least, most, count, sum(waits) / count, float(median(waits)), fsum(slowdowns) / count
    )


def usage(trace: Trace, starts: Sequence[int], width: float, parts: int) -> list[float]:
    """Return the share of the machine in use, over time: the mean of each part of `width` seconds.

    The first part begins with the first submission; after the last one all must have ended.
    """
    first = trace.submits[0]
    changes = [(start - first, size) for start, size in zip(starts, trace.sizes, strict=True)]
    changes += [
        (start - first + run, -size)
        for start, run, size in zip(starts, trace.runs, trace.sizes, strict=True)
    ]
    done = [0.0] * parts  # processor seconds
    busy, at, part = 0, 0.0, 0
    for when, change in sorted(changes):
        while part < parts - 1 and (part + 1) * width < when:
            done[part] += busy * ((part + 1) * width - at)
            part += 1
            at = part * width
        done[part] += busy * (when - at)
        at = when
        busy += change
    return [each / (width * trace.procs) for each in done]
