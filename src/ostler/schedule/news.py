"""What plans tell of what waits: the rules that are new, so many at a time."""

from collections.abc import Iterable, Mapping
from math import inf

from ostler.model.states import Rule
from ostler.schedule.classes import Class, Queue
from ostler.schedule.head import Head
from ostler.schedule.promises import Promises
from ostler.schedule.resumes import Resumption
from ostler.schedule.snapshot import Wait


class News:
    """The jobs whose rule may be another one than was told."""

    def __init__(self) -> None:
        self._told: dict[int, Rule] = {}
        self._jobs: set[int] = set()
        self._promised: set[int] = set()  # jobs of which a promised start was told

    def __bool__(self) -> bool:
        """Say whether there may be anything to tell."""
        return bool(self._jobs)

    def put(self, job: int) -> None:
        """Tell the rule of a job, changed or not."""
        self._told.pop(job, None)
        self._jobs.add(job)

    def look(self, job: int) -> None:
        """Tell the rule of a job if it is another one."""
        self._jobs.add(job)

    def forget(self, job: int) -> None:
        """Take note that nobody knows its rule any more, or what was promised to it."""
        self._told.pop(job, None)
        self._promised.discard(job)

    def changed(self, found: Class) -> None:
        """Note what is to be told of a class that has been looked at."""
        seen = found.seen
        told = (seen[-1], found.rule) if seen is not None else None
        if told != found.told:
            self._jobs.update(pair[0] for pair in (found.told, told) if pair is not None)
            found.told = told

    def dropped(self, found: Class) -> None:
        """Note that a class is no more."""
        if found.told is not None:
            self._jobs.add(found.told[0])

    def take(
        self,
        queue: Queue,
        blocked: Mapping[int, Wait],
        pending: Iterable[Resumption],
        most: float,
    ) -> dict[int, Wait]:
        """Return the rules that are new, of so many jobs at most; the others stay to be told.

        pending: what is suspended and cannot go on yet.
        """
        waits: dict[int, Wait] = {}
        while self._jobs and len(waits) < most:
            job = self._jobs.pop()
            self._tell(waits, job, queue.wait_of(job) or blocked.get(job))
        for resumption in pending:
            job = resumption.view.job
            if job not in queue.entries and job not in blocked and job not in waits:
                self._tell(waits, job, resumption.wait)
        return waits

    def promised(self, heads: Iterable[Head], books: Mapping[str, Promises]) -> dict[int, float]:
        """Return the starts of jobs that are promised one for the first time. books: by partition."""
        found = {head.job: head.shadow for head in heads if head.job not in self._promised}
        for book in books.values():
            found |= {
                job: book.start_of(job) or inf for job in book.jobs if job not in self._promised
            }
        found = {job: start for job, start in found.items() if start < inf}
        self._promised |= found.keys()
        return found

    def _tell(self, waits: dict[int, Wait], job: int, wait: Wait | None) -> None:
        if wait is not None and self._told.get(job) is not wait.rule:
            waits[job] = wait
            self._told[job] = wait.rule

    def copy(self) -> "News":
        """Return another, to be changed on its own."""
        other = News()
        other._told, other._jobs = self._told.copy(), self._jobs.copy()
        other._promised = self._promised.copy()
        return other


class Silent(News):
    """Nobody wants to know."""

    def put(self, job: int) -> None:
        """Do nothing."""

    def look(self, job: int) -> None:
        """Do nothing."""

    def changed(self, found: Class) -> None:
        """Do nothing."""

    def dropped(self, found: Class) -> None:
        """Do nothing."""

    def take(
        self,
        queue: Queue,  # noqa: ARG002
        blocked: Mapping[int, Wait],  # noqa: ARG002
        pending: Iterable[Resumption],  # noqa: ARG002
        most: float,  # noqa: ARG002
    ) -> dict[int, Wait]:
        """Return nothing."""
        return {}

    def promised(
        self,
        heads: Iterable[Head],  # noqa: ARG002
        books: Mapping[str, Promises],  # noqa: ARG002
    ) -> dict[int, float]:
        """Return nothing."""
        return {}

    def copy(self) -> "News":
        """Return another."""
        return Silent()
