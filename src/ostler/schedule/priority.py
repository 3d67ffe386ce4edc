"""The order of the queue: a sum of weighted factors, then what was returned, then age, then id.

A score is a whole number of grains (`GRAIN` to a point), and ages are whole seconds, so that equal
machines order equally, with NumPy or without, and the difference of two jobs that both still age
stays exactly what it is. Scores are taken at full minutes (`STEP`): who plans twice within one
plans with the same order.
Source: "Multifactor Priority Plugin" of Slurm's documentation, for the sum and its factors.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from math import ceil, inf
from typing import Protocol, TypeVar

from msgspec import Struct

from ostler.model.resources import Request
from ostler.schedule.rules import Rules

GRAIN = 10**9  # to a point of a weight
STEP = 60  # seconds
FULL = 100  # the highest priority, and the highest boost
Key = tuple[int, bool, float, int]  # ascending: what comes first is less
Share = Callable[[str, str], float]  # project, user -> factor of fair share, 0 to 1


class Ranked(Protocol):
    """What the order needs of a waiting job."""

    @property
    def job(self) -> int: ...
    @property
    def user(self) -> str: ...
    @property
    def project(self) -> str: ...
    @property
    def partition(self) -> str: ...
    @property
    def priority(self) -> int: ...
    @property
    def boost(self) -> int: ...
    @property
    def submitted_at(self) -> float: ...
    @property
    def head(self) -> bool: ...
    @property
    def request(self) -> Request: ...


R = TypeVar("R", bound=Ranked)


class Stands(Protocol):
    """How a user in a project stands by its share."""

    @property
    def project(self) -> str: ...
    @property
    def user(self) -> str: ...
    @property
    def factor(self) -> float: ...


def by_standing(standings: Iterable[Stands]) -> Share:
    """Return a look-up; who is not listed has used nothing."""
    known = {(each.project, each.user): each.factor for each in standings}
    return lambda project, user: known.get((project, user), 1.0)


class Ordered(Struct):
    """Waiting jobs in order, and how long that lasts if none comes or changes."""

    keys: list[Key]  # of each, at the moment of the scorer
    at: list[int]  # places in what was given, first job first
    valid_until: float  # Unix seconds at which time alone changes the order; inf: never


class Scorer:
    """Scores as of one full minute. `key` compares what came later, too, until `valid_until`."""

    def __init__(self, rules: Rules, now: float, cpus: int = 0, share: Share | None = None) -> None:
        """Prepare. now: Unix seconds. cpus: of the machine. share: None: all have the same."""
        self.moment = int(now) // STEP * STEP
        self._rules = rules
        self._weights = weights = rules.weights
        self._cpus = max(cpus, 1)
        self._share = share if weights.share else None
        self.most = max(weights.max_age, 1)  # seconds that age counts
        self.rate = weights.age * GRAIN // self.most  # grains a second
        self._bases: dict[tuple[object, ...], int] = {}

    def key(self, job: Ranked) -> Key:
        """Return the place in the queue: what comes first is less."""
        return -self.score(job), not job.head, job.submitted_at, job.job

    def in_order(self, jobs: Iterable[R]) -> list[R]:
        """Return the jobs, first one first."""
        return sorted(jobs, key=self.key)

    def score(self, job: Ranked) -> int:
        """Return the score in grains."""
        return self.base(job) + self._aged(job, self.moment)

    def base(self, job: Ranked) -> int:
        """Return what of the score does not depend on time."""
        request = job.request
        like = (
            job.priority,
            job.boost,
            job.partition,
            request.tasks * request.cpus if self._weights.size else 0,
            (job.project, job.user) if self._share else None,
        )
        known = self._bases.get(like)
        if known is None:
            known = sum(self._parts(job).values())
            self._bases[like] = known
        return known

    def parts(self, job: Ranked, now: float) -> dict[str, float]:
        """Return what each factor adds to the score of a job at this time, in points."""
        found = self._parts(job) | {"age": self._aged(job, int(now))}
        names = ("priority", "age", "size", "share", "partition", "boost")
        return {name: found[name] / GRAIN for name in names}

    def _aged(self, job: Ranked, at: int) -> int:
        return self.rate * min(self.most, at - int(job.submitted_at)) if self.rate else 0

    def _parts(self, job: Ranked) -> dict[str, int]:
        weights = self._weights
        cpus = min(job.request.tasks * job.request.cpus, self._cpus)
        size = self._cpus - cpus if weights.small_first else cpus
        share = self._share(job.project, job.user) if self._share else 1.0
        factor = self._rules.of(job.partition).factor
        return {
            "priority": weights.priority * GRAIN * job.priority // FULL,
            "size": weights.size * GRAIN * size // self._cpus,
            "share": round(weights.share * GRAIN * share),
            "partition": round(weights.partition * GRAIN * factor),
            "boost": weights.boost * GRAIN * job.boost // FULL,
        }


def ordered(jobs: Sequence[Ranked], scorer: Scorer) -> Ordered:
    """Return the order of all of them. Of many thousands `priority_arrays.ordered` is faster."""
    keys = [scorer.key(job) for job in jobs]
    at = sorted(range(len(jobs)), key=keys.__getitem__)
    queue = [jobs[place] for place in at]
    return Ordered([keys[place] for place in at], at, _valid_until(queue, scorer))


def _valid_until(queue: Sequence[Ranked], scorer: Scorer) -> float:
    """Return the first full minute at which one of them passes the one ahead of it.

    Whoever passes anybody passes a neighbour first, or at the same time.
    """
    if not scorer.rate:
        return inf
    passed = (_passed(a, b, scorer) for a, b in pairwise(queue))
    return full_minute(min(passed, default=inf))


def _passed(ahead: Ranked, behind: Ranked, scorer: Scorer) -> float:
    """Return the second at which `behind` gets before `ahead`; inf: never.

    Both gain alike until the older one's age counts no more; from then on the younger one gains.
    """
    old, young = int(ahead.submitted_at), int(behind.submitted_at)
    gap = scorer.base(ahead) - scorer.base(behind)  # when both are as old as counts
    enough = 0 if behind.head and not ahead.head else -1
    if old >= young or gap > enough:
        return inf
    return young + scorer.most - (enough - gap) // scorer.rate


def full_minute(at: float) -> float:
    """Return the first full minute at or after this second."""
    return inf if at == inf else ceil(at / STEP) * STEP
