"""The order of the queue with arrays: what `priority.ordered` returns, of many thousands of jobs."""

from collections.abc import Sequence
from math import inf

import numpy as np

from ostler.schedule.priority import Key, Ordered, Ranked, Scorer, full_minute


def ordered(jobs: Sequence[Ranked], scorer: Scorer) -> Ordered:
    """Return the order of all of them."""
    count = len(jobs)
    base = np.fromiter(map(scorer.base, jobs), np.int64, count)
    submitted = np.fromiter((job.submitted_at for job in jobs), np.float64, count)
    numbers = np.fromiter((job.job for job in jobs), np.int64, count)
    rest = np.fromiter((not job.head for job in jobs), np.bool_, count)
    born = submitted.astype(np.int64)
    score = base + scorer.rate * np.minimum(scorer.most, scorer.moment - born)
    order = np.lexsort((numbers, submitted, rest, -score))
    columns = ((-score)[order], rest[order], submitted[order], numbers[order])
    keys: list[Key] = list(zip(*(column.tolist() for column in columns), strict=True))
    until = inf
    if scorer.rate and count > 1:
        base, born, rest = base[order], born[order], rest[order]
        gap = base[:-1] - base[1:]
        enough = np.where(rest[:-1] & ~rest[1:], 0, -1)
        passes = (born[:-1] < born[1:]) & (gap <= enough)
        if passes.any():
            late = (enough - gap)[passes] // scorer.rate
            until = full_minute(int((born[1:][passes] + scorer.most - late).min()))
    return Ordered(keys, order.tolist(), until)
