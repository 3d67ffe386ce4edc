"""What a WIKI scheduler is told of the machine: the nodes and jobs of the partitions it plans.

A node that it was told of once stays, as Down, for Maui keeps what vanishes as it was. A job whose
id was shown is looked up until it has ended, is told as ended for a while, and the last of them for
good: a list without a record is a failed query to Maui.
"""

from collections.abc import Iterator
from itertools import islice

from ostler.core.charge import decides
from ostler.core.entry import Entry
from ostler.core.state import State
from ostler.manager.wiki_say import (
    SCHEDULER,
    active_jobs,
    ended_job,
    node_record,
    ref_of,
    unsayable,
    vacated,
    waiting_job,
)
from ostler.model.ids import Ref, element_name, is_step
from ostler.wire.wiki_records import ACTIVE, Job, Node
from ostler.wire.wiki_words import is_name

MOST_JOBS = 4_000  # Maui holds 4,096
ELEMENTS = 100  # of one array that wait, at a time
KEPT = 300.0  # seconds for which an ended job is listed,
LISTINGS = 3  # and as often, at the least


class _Over:
    """A job that has ended, and how often that was told."""

    __slots__ = ("job", "listings", "since")

    def __init__(self, job: Job, since: float) -> None:
        self.job, self.since, self.listings = job, since, 0


class View:
    """Makes the records, and remembers which it has made."""

    def __init__(self) -> None:
        self._nodes: set[str] = set()  # that were told of
        self._jobs: dict[str, Job] = {}  # unfinished ones, as they were told last
        self._over: dict[str, _Over] = {}
        self._active: set[str] = set()  # ids of those that were told of as active

    @property
    def shown(self) -> list[str]:
        """Return the ids of jobs that were told of as unfinished."""
        return list(self._jobs)

    def remember(self, names: list[str]) -> None:
        """Take over what an earlier manager had told of: those that have ended will be told."""
        for name in names:
            if is_name(name):
                self._jobs.setdefault(name, Job(name, "Running"))

    def nodes(self, s: State, now: float) -> list[Node]:
        """Return all nodes of its partitions, and those that were in them."""
        mine = decides(s, SCHEDULER)
        told = []
        for name, entry in s.nodes.items():
            here = entry.node.partition in mine
            if (here or name in self._nodes) and is_name(name):
                told.append(node_record(entry, now, here=here))
        self._nodes.update(node.name for node in told)
        return told

    def jobs(self, s: State, now: float) -> list[Job]:
        """Return its jobs: what runs, what waits as far as there is room, and what has ended."""
        told: dict[str, Job] = {}
        mine = decides(s, SCHEDULER)
        for number in dict.fromkeys(alloc.job for alloc in s.allocations.values()):
            if not is_step(number) and s.jobs[number].job.spec.partition in mine:
                told |= {job.id: job for job in active_jobs(s, now, s.jobs[number])}
        for name in self._jobs.keys() - told.keys():
            ref = ref_of(name)
            waits = None if ref is None else _waits(s, mine, ref)
            if ref is not None and waits is not None:
                told[name] = waiting_job(s, now, waits, _index(ref), name)
        for entry in self._entries(s):
            if len(told) >= MOST_JOBS:
                break
            for index in _waiting(entry):
                name = element_name(entry.job.id, index if entry.job.is_array else None)
                if name not in told:
                    told[name] = waiting_job(s, now, entry, index, name)
        for name, before in self._jobs.items():
            if name not in told:
                self._over[name] = _Over(ended_job(s, before, now), now)
        for name in told.keys() & self._over.keys():  # it was let run again
            del self._over[name]
        for name in self._active & told.keys():
            # What ran and waits again, Maui would take for a start that failed, and leave for an hour.
            if told[name].state not in ACTIVE:
                told[name] = vacated(self._jobs[name], now)
        self._active = {name for name, job in told.items() if job.state in ACTIVE}
        self._jobs = told
        return [*told.values(), *self._ended(now, alone=not told)]

    def started(self, s: State, now: float, ref: Ref) -> None:
        """Remember where a job has been started, however soon it ends."""
        entry = s.jobs.get(ref.job)
        for job in active_jobs(s, now, entry) if entry is not None else ():
            if job.id == str(ref):
                self._jobs[job.id] = job
                self._active.add(job.id)

    def task_list(self, name: str) -> tuple[str, ...]:
        """Return where a job that has ended ran last, as far as was told."""
        over = self._over.get(name)
        known = over.job if over is not None else self._jobs.get(name)
        return known.task_list if known is not None else ()

    def left_out(self, s: State) -> dict[int, str]:
        """Return which jobs cannot be put into WIKI's words, and what of them."""
        some = islice(self._entries(s), MOST_JOBS)
        found = ((entry.job.id, unsayable(entry.job.spec.request)) for entry in some)
        return {number: why for number, why in found if why}

    @staticmethod
    def has(s: State, ref: Ref) -> bool:
        """Say whether this is a job, or an element, that the scheduler may know of."""
        entry = s.jobs.get(ref.job) or s.recent.get(ref.job)
        if entry is None or entry.job.spec.partition not in decides(s, SCHEDULER):
            return False
        index = _index(ref)
        return entry.job.is_array is bool(ref.elements) and entry.has(index, index)

    @staticmethod
    def _entries(s: State) -> Iterator[Entry]:
        """Yield its unfinished jobs, in the order of their submission."""
        mine = decides(s, SCHEDULER)
        for number, entry in s.jobs.items() if mine else ():
            if entry.job.spec.partition in mine and not is_step(number):
                yield entry

    def _ended(self, now: float, *, alone: bool) -> list[Job]:
        for over in self._over.values():
            over.listings += 1
        done = [
            name
            for name, over in self._over.items()
            if over.listings > LISTINGS and now - over.since > KEPT
        ]
        if alone and len(done) == len(self._over):
            done = done[:-1]  # else there would be no record at all
        for name in done:
            del self._over[name]
        return [over.job for over in self._over.values()]


def _index(ref: Ref) -> int:
    return ref.elements[0][0] if ref.elements else 0


def _waits(s: State, mine: frozenset[str], ref: Ref) -> Entry | None:
    """Return the entry of something that was shown and waits still in one of these partitions."""
    entry, index = s.jobs.get(ref.job), _index(ref)
    if entry is None or entry.job.spec.partition not in mine:
        return None
    known = index in entry.waiting or index in entry.barred or index in entry.touched
    return entry if known and index not in entry.live else None


def _waiting(entry: Entry) -> Iterator[int]:
    """Yield some of what waits of a job: the first elements, in the order of their numbers."""
    count = 0
    for spans in (entry.waiting.spans, entry.barred.spans):
        for low, high in spans:
            for index in range(low, min(high, low + ELEMENTS - count - 1) + 1):
                yield index
                count += 1
            if count >= ELEMENTS:
                return
    if not entry.job.is_array and 0 in entry.touched and 0 not in entry.live and not count:
        yield 0  # held
