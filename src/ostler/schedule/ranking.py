"""The places of waiting jobs in the queue of an engine, and how long they are good."""

from collections.abc import Sequence
from math import inf

from ostler.schedule.priority import STEP, Key, Ranked, Scorer, full_minute, ordered
from ostler.schedule.rules import Rules

_MANY = 5_000  # jobs from which on arrays pay


class Ranking:
    """Keys of one moment. Who comes later is given a key of that moment, too.

    While all age, nobody passes anybody. Once the age of some counts no more the others gain on
    them: then the second at which the first passes is known, and who comes is good for a minute.
    """

    def __init__(self, scorer: Scorer | None = None) -> None:
        self._scorer = scorer or Scorer(Rules(), 0.0)
        self._oldest = inf  # when it was submitted
        self._passed_at = inf  # when the first passes another, of those there were at the moment
        self._some_full = False  # the age of some of them counted no more
        self._came = False  # others have come
        self._frozen = False  # the order stays, whatever the time

    def copy(self) -> "Ranking":
        """Return another to be changed on its own."""
        other = Ranking(self._scorer)
        vars(other).update(vars(self))
        return other

    def key(self, job: Ranked) -> Key:
        """Return the place in the queue: what comes first is less."""
        return self._scorer.key(job)

    def enter(self, job: Ranked) -> Key:
        """Return the place of one that comes, or has changed."""
        self._came = True
        self._oldest = min(self._oldest, job.submitted_at)
        return self._scorer.key(job)

    @property
    def valid_until(self) -> float:
        """Return when time alone may change the order; inf: never. Unix seconds, a full minute."""
        if self._frozen or not self._scorer.rate:
            return inf
        if not self._some_full:
            return full_minute(self._oldest + self._scorer.most)
        return min(self._passed_at, self._scorer.moment + STEP if self._came else inf)

    def freeze(self) -> None:
        """Let the order stay as it is, for a forecast: what waits grows older, but not in it."""
        self._frozen = True

    def renew(self, scorer: Scorer, jobs: Sequence[Ranked]) -> None:
        """Begin anew: keys that were given before are good no more, and are to be asked for."""
        self._scorer = scorer
        self._oldest = min((job.submitted_at for job in jobs), default=inf)
        self._passed_at, self._some_full = inf, False
        if scorer.rate and self._oldest + scorer.most <= scorer.moment:
            self._some_full = True
            self._passed_at = _ordered(jobs, scorer)

    def settled(self) -> None:
        """Note that all who were there have their keys."""
        self._came = False


def _ordered(jobs: Sequence[Ranked], scorer: Scorer) -> float:
    if len(jobs) < _MANY:
        return ordered(jobs, scorer).valid_until
    from ostler.schedule import priority_arrays

    return priority_arrays.ordered(jobs, scorer).valid_until
