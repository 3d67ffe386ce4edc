"""One user's unfinished jobs, the newest found without a look at the others."""

from collections.abc import Iterator
from itertools import chain, islice

from ostler.model.ids import STEPS_FROM, JobId


class OwnJobs:
    """Numbers of jobs, and of steps in allocations."""

    __slots__ = ("_in_order", "_jobs", "_steps")

    def __init__(self) -> None:
        self._jobs: dict[JobId, None] = {}  # numbers rise, so that those added last are the newest,
        self._in_order = True  # unless one that had ended runs again
        self._steps: set[JobId] = set()

    def add(self, number: JobId) -> None:
        """Take a job or step in."""
        if number >= STEPS_FROM:
            self._steps.add(number)
            return
        self._in_order = self._in_order and next(reversed(self._jobs), 0) < number
        self._jobs[number] = None

    def discard(self, number: JobId) -> None:
        """Forget it."""
        self._steps.discard(number)
        self._jobs.pop(number, None)

    def __len__(self) -> int:
        """Return how many there are, steps too."""
        return len(self._jobs) + len(self._steps)

    def __iter__(self) -> Iterator[JobId]:
        """Yield all of them, steps too, in no order."""
        return chain(self._jobs, self._steps)

    def newest(self, most: int) -> tuple[list[JobId], int]:
        """Return the newest jobs without steps, by number, and how many older ones there are."""
        if not self._in_order:
            self._jobs = dict.fromkeys(sorted(self._jobs))
            self._in_order = True
        found = list(islice(reversed(self._jobs), most))[::-1]
        return found, len(self._jobs) - len(found)
