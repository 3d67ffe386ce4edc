"""One unfinished job in memory: its row, and which of its elements stand where."""

from typing import NamedTuple

from ostler.core.effects import Address
from ostler.model.errors import Missing
from ostler.model.ids import AllocationId, Ref
from ostler.model.job import Element, Job
from ostler.model.ranges import RangeSet
from ostler.model.resources import Request
from ostler.model.states import Result

_WORST = (
    Result.LOST,
    Result.MEMORY,
    Result.TIMEOUT,
    Result.FAILED,
    Result.REJECTED,
    Result.CANCELLED,
    Result.DEPENDENCY,
)


class Slot:
    """What is known of a living allocation beside its row; all of it can be forgotten."""

    __slots__ = ("draining", "last", "mean", "recalled", "refused")

    def __init__(self) -> None:
        self.draining = False  # it is to take no more elements
        self.mean = 0.0  # seconds that an element took when it was told so; 0: not known
        self.last = True  # its node was told that no more will come
        self.recalled: set[int] = set()  # elements asked back and not answered yet
        self.refused = False  # the resource manager that was to start it has said that it does not


class Growth(NamedTuple):
    """More nodes for a job that runs. Forgotten with the manager: its client asks again."""

    to: Address  # of the client who asked
    user: str
    at: float  # when, Unix seconds: it stands behind who waits already
    seconds: float  # that the job has left at the most
    request: Request  # what the job asks for beside what it has


class Entry:
    """An array costs ranges, not objects: only elements with a history have a record here."""

    __slots__ = (
        "abandoned_at",
        "attempts",
        "barred",
        "bound",
        "failures",
        "growth",
        "idle_since",
        "job",
        "live",
        "mean",
        "results",
        "retry_at",
        "returned",
        "shunned",
        "slots",
        "statuses",
        "tied",
        "touched",
        "unmet",
        "waiting",
        "waits_as",
        "wakes_at",
        "weight",
    )

    def __init__(self, job: Job) -> None:
        self.job = job
        self.weight = job.spec.weight
        self.waits_as: tuple[str, str, str] | None = None  # where it counts as one that waits
        self.waiting = RangeSet(list(job.spans()))  # could be granted, as far as they go
        # Of arrays that go element by element: for each job that it waits for, the elements that
        # have not succeeded there; and those of its own that would wait if it were not for these.
        self.tied: dict[int, RangeSet] = {}
        self.barred = RangeSet()
        # Of arrays that go to several resource managers: for each, those of the elements that wait
        # or have ended that were submitted there, and stay there; and until when, Unix seconds,
        # nothing is started in one that has refused to.
        self.bound: dict[str, RangeSet] = {}
        self.shunned: dict[str, float] = {}
        self.touched: dict[int, Element] = {}  # unfinished, with a record of their own
        self.live: dict[int, AllocationId] = {}  # granted, or handed to a slot
        self.slots: dict[AllocationId, Slot] = {}  # every allocation of the job
        self.mean = 0.0  # seconds that an element takes, of late; 0: not known
        self.returned: list[int] = []  # elements to start first: their last start was undone
        self.results: dict[str, RangeSet] = {}  # ended elements by result
        self.attempts: dict[int, int] = {}  # starts of ended elements, if there were several
        self.statuses = 0  # OR of the exit statuses of ended elements
        self.unmet: frozenset[int] = frozenset()  # jobs that must end first
        self.retry_at = 0.0
        self.failures: dict[int, int] = {}  # element -> starts in a row that no node could make
        self.abandoned_at: float | None = None  # when the client of `run` or `alloc` went away
        self.idle_since: float | None = None  # of an `alloc`: since when it has had no step
        self.growth: Growth | None = None  # more nodes that are asked for, at once or not at all
        self.wakes_at = 0.0  # of an `alloc`: when its limits are looked at next

    @property
    def total(self) -> int:
        """Return the number of elements."""
        return sum(b - a + 1 for a, b in self.job.spans())

    @property
    def extent(self) -> str:
        """Return how its elements are numbered, as one phrase."""
        spans = self.job.spans()
        text = f"its elements go from {spans[0][0]} to {spans[-1][1]}"
        return text if self.job.is_array else "it is no array"

    @property
    def ended(self) -> int:
        """Return how many elements have ended."""
        return sum(len(found) for found in self.results.values())

    @property
    def unfinished(self) -> int:
        """Return how many elements have not ended."""
        return self.total - self.ended

    def has(self, low: int, high: int) -> bool:
        """Say whether the job has every element from `low` to `high`."""
        return RangeSet(list(self.job.spans())).between(low, high) == high - low + 1

    def check(self, ref: Ref) -> None:
        """Raise `Missing` if it has not all the elements that are named."""
        for low, high in ref.elements or ():
            if not (self.job.is_array and self.has(low, high)):
                raise Missing(f"job {ref.job} has no element {ref}", hint=self.extent)

    def over(self, low: int, high: int) -> bool:
        """Say whether every element from `low` to `high` has ended."""
        ended = sum(found.between(low, high) for found in self.results.values())
        return ended == high - low + 1

    @property
    def queued(self) -> int:
        """Return how many elements are handed to slots beyond one for each."""
        return max(0, len(self.live) - len(self.slots))

    def element(self, index: int) -> Element:
        """Return the element's record; an untouched one is made up.

        Its attempt counts the starts before the present stay in a slot.
        """
        return self.touched.get(index) or Element(self.job.id, index)

    def result_of(self, index: int) -> str | None:
        """Return how the element ended; None if it has not."""
        return next((r for r, found in self.results.items() if index in found), None)

    def next_waiting(self) -> int | None:
        """Return the element to start next: one whose start was undone, else the lowest."""
        while self.returned:
            if self.returned[0] in self.waiting:
                return self.returned[0]
            self.returned.pop(0)
        return self.waiting.first()

    def finish(self, index: int, result: str, status: int | None, attempt: int = 1) -> None:
        """Count an element as ended at that start."""
        if self.live.pop(index, None) is None:
            self.waiting.discard(index)
            self.barred.discard(index)
        self.touched.pop(index, None)
        self.failures.pop(index, None)
        self.ended_as(index, result, attempt)
        self.statuses |= status or 0

    def ended_as(self, index: int, result: str, attempt: int) -> None:
        """Note how an element ended, and at which start."""
        found = self.results.get(result)
        if found is None:
            found = self.results[result] = RangeSet()
        found.add(index)
        if attempt > 1:
            self.attempts[index] = attempt

    def finish_waiting(self, result: str) -> None:
        """Count all untouched elements as ended; they leave no row of their own."""
        if spans := [*self.waiting.spans, *self.barred.spans]:
            into = self.results.setdefault(result, RangeSet())
            into.spans = RangeSet([*into.spans, *spans]).spans
        self.waiting, self.barred = RangeSet(), RangeSet()

    def bind(self, index: int, rm: str) -> None:
        """Let an element stay in a resource manager."""
        self.bound.setdefault(rm, RangeSet()).add(index)

    def let_wait(self, index: int) -> None:
        """Let an element wait for its turn, or first for its own of another job."""
        tied = self.tied and any(index in found for found in self.tied.values())
        (self.barred if tied else self.waiting).add(index)

    def reopen(self, index: int) -> None:
        """Let an ended element wait again."""
        for found in self.results.values():
            found.discard(index)
        self.results = {r: found for r, found in self.results.items() if found}
        self.let_wait(index)

    def verdict(self) -> tuple[Result, str]:
        """Return the result of the whole job and a sentence, when every element has ended."""
        counts = {r: len(found) for r, found in self.results.items()}
        bad = {r: n for r, n in counts.items() if r != Result.SUCCESS}
        total = sum(counts.values())
        if not bad:
            return Result.SUCCESS, f"all {total} elements succeeded"
        listed = ", ".join(f"{n} {r}" for r, n in sorted(bad.items()))
        sentence = f"{sum(bad.values())} of {total} elements did not succeed: {listed}"
        if len(bad) == 1:
            return Result(next(iter(bad))), sentence
        return next(r for r in _WORST if r in bad), sentence
