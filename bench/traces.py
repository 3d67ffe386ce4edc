"""A synthetic workload of the size of CEA-Curie's: as many jobs, as many processors, as busy."""

from random import Random

from ostler.schedule.counted import Work

CURIE_JOBS = 300_000
CURIE_PROCS = 80_640
_LIMITS = (900, 1_800, 3_600, 7_200, 14_400, 28_800, 43_200, 86_400, 86_400, 86_400, 259_200)
_LOAD = 0.8  # of the machine


def curie_like(seed: int, jobs: int = CURIE_JOBS, procs: int = CURIE_PROCS) -> Work:
    """Return jobs in order of arrival, the same for the same seed.

    They come in bursts of one user, more by day than by night; sizes are multiples of a node's 16
    processors with a long tail; limits are round, and most jobs end long before theirs.
    """
    random = Random(seed)
    shapes: list[tuple[int, int, int]] = []
    while len(shapes) < jobs:
        size, limit = _size(random, procs), random.choice(_LIMITS)
        burst = min(random.choice((1, 1, 1, 2, 5, 20)), jobs - len(shapes))
        shapes += [(size, _run(random, limit), limit) for _ in range(burst)]
    span = sum(size * run for size, run, _ in shapes) / (procs * _LOAD)
    submit = sorted(_moment(random, span) for _ in shapes)
    return Work(
        submit,
        [run for _, run, _ in shapes],
        [size for size, _, _ in shapes],
        [limit for _, _, limit in shapes],
    )


def _size(random: Random, procs: int) -> int:
    if random.random() < 0.25:
        return random.randint(1, 16)
    return min(procs, 16 * max(1, round(random.lognormvariate(2.5, 1.7))))


def _run(random: Random, limit: int) -> int:
    if random.random() < 0.1:
        return limit  # killed at it
    return max(1, round(limit * random.betavariate(0.4, 1.6)))


def _moment(random: Random, span: float) -> int:
    """Return a second of submission: two of three in the ten hours of a working day."""
    day = 86_400 * random.randrange(max(1, round(span / 86_400)))
    hour = random.uniform(8, 18) if random.random() < 2 / 3 else random.uniform(0, 24)
    return day + round(3_600 * hour)
