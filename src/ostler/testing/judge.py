"""The rules of a simulated machine, checked while it runs: cheap ones always, dear ones at times."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import StrEnum
from math import inf
from typing import Any

from msgspec.structs import replace

from ostler.core import violations as rules
from ostler.core.entry import Entry
from ostler.core.events import Event, Planned
from ostler.core.load import load
from ostler.core.state import State
from ostler.model.allocation import Allocation
from ostler.model.constraint import parse
from ostler.model.event_kinds import doubt
from ostler.model.ids import is_step
from ostler.model.job import ALLOC, Element, Job
from ostler.model.node import Node
from ostler.model.nodeset import unfold
from ostler.model.record import Accounting, Write
from ostler.model.record import Event as Row
from ostler.model.settings import licences
from ostler.model.states import LEGAL_ALLOCATION, LEGAL_JOB, AllocationState, JobState, Result
from ostler.testing.disk import SimStore
from ostler.testing.ledger import Broken, Ledger

EVERY = 40  # events between two looks at everything


class Judge:
    """Looks at each event's outcome; raises `Broken` with every sentence that applies."""

    def __init__(self, ledger: Ledger, store: SimStore) -> None:
        self.ledger = ledger
        self.store = store
        self.events = 0
        self.on_move: Callable[[Allocation], None] = lambda _: None  # told of each allocation's row
        self._state: State | None = None
        self._last: dict[tuple[str, int], StrEnum] = {}
        self._gave: dict[int, set[int]] = {}  # allocation -> elements that it had when last seen
        self._seen: dict[str, str] = {}  # node -> status by its last event

    def watch(self, s: State, writes: list[Write], event: Event) -> None:
        """Check what one event has changed."""
        self.events += 1
        same = s is self._state
        found = [*self._moved(s, writes), *self._changed(s, writes)]
        if same:
            found += self._on_record(writes)
        planned = isinstance(event, Planned) and (event.piece is None or event.piece.last)
        if planned and not s.changed:
            found += rules.unexplained(s)
        if self.events % EVERY == 0:
            found += rules.violations(s)
        blame(found, event)

    def _moved(self, s: State, writes: list[Write]) -> Iterator[str]:
        """Hold each row against the one before it and the table of legal moves."""
        if s is not self._state:  # read anew: what was not durable is forgotten
            self._state = s
            self._last = {("job", n): e.job.state for n, e in s.jobs.items()}
            self._last |= {("allocation", n): a.state for n, a in s.allocations.items()}
            self._gave = {n: _elements(a) for n, a in s.allocations.items()}
            self._seen = {name: str(entry.node.status) for name, entry in s.nodes.items()}
            return
        for write in writes:
            if not isinstance(write, Job | Allocation):
                continue
            noun = type(write).__name__.lower()
            table: Mapping[Any, Any] = LEGAL_JOB if noun == "job" else LEGAL_ALLOCATION
            old = self._last.get((noun, write.id), write.state)
            self._last[noun, write.id] = write.state
            if old is not write.state and write.state not in table[old]:
                yield f"{noun} {write.id} moved from {old} to {write.state}"

    def _on_record(self, writes: list[Write]) -> Iterator[str]:
        """Hold the status of each node that is written against what its events say, and back."""
        rows = [write for write in writes if isinstance(write, Node)]
        for write in writes:
            if isinstance(write, Row) and doubt(write.kind):
                yield f"nobody knows of events {write.kind}"
            if isinstance(write, Row) and write.kind == "node/status" and write.node is not None:
                before, _, after = write.text.partition(" -> ")
                if before != self._seen.get(write.node, before):
                    yield f"{write.node} was {self._seen[write.node]}, and its event says {before}"
                self._seen[write.node] = after
                if after not in [row.status for row in rows if row.name == write.node]:
                    yield f"{write.node} is {after} by its event, and its row is not written"
        for row in rows:
            if self._seen.setdefault(row.name, row.status) != row.status:
                yield f"{row.name} is {row.status} by its row, and {self._seen[row.name]} by its events"

    def _changed(self, s: State, writes: list[Write]) -> Iterator[str]:
        nodes: set[str] = set()
        for write in writes:
            if isinstance(write, Allocation):
                self.on_move(write)
                nodes |= write.nodes
                if len({task.rank for task in write.tasks}) != len(write.tasks):
                    yield f"allocation {write.id} has two ends of one task: {write.tasks}"
                if write.state is AllocationState.SUSPENDED:
                    self.ledger.suspended.add(write.id)
                if write.state is AllocationState.GRANTED and not write.made:
                    entry = s.jobs.get(write.job)
                    new = write.id not in self._gave
                    if new and entry is not None and entry.job.spec.array_cap:
                        yield from _over_cap(entry)
                    if new and entry is not None and not entry.job.spec.within:
                        yield from _unasked(s, entry, write)
                        yield from _into_a_window(s, entry, write)
                yield from self._given(s, write)
                if write.state is not AllocationState.RELEASED and write.id in s.allocations:
                    yield from rules.allocation_violations(s, s.allocations[write.id])
            elif isinstance(write, Job) and write.id in s.jobs:
                yield from rules.job_violations(s, s.jobs[write.id])
            elif isinstance(write, Element) and write.state is JobState.DONE:
                yield from self._ended(write)
            elif isinstance(write, Accounting) and write.result == Result.SUCCESS:
                yield from self._succeeded(write)
        for name in sorted(nodes):
            yield from rules.node_violations(s, name, s.nodes[name])

    def _given(self, s: State, alloc: Allocation) -> Iterator[str]:
        """Check what an allocation is newly to run."""
        now = _elements(alloc)
        new = now - self._gave.get(alloc.id, set())
        self._gave[alloc.id] = now
        entry = s.jobs.get(alloc.job)
        if not new or entry is None:
            return
        self.ledger.granted(alloc.job, alloc.id)
        for number in entry.job.spec.tied_to:
            other = s.jobs.get(number) or s.recent.get(number)
            early = {i for i in new if other and other.result_of(i) != Result.SUCCESS}
            if early:
                yield f"elements {early} of job {alloc.job} start before those of job {number}"
        for index in sorted(new & entry.touched.keys()):
            if entry.touched[index].held_by:
                yield f"element {alloc.job}_{index} is held, and given to allocation {alloc.id}"

    def _succeeded(self, row: Accounting) -> Iterator[str]:
        name = f"element {row.job}_{row.element}"
        if (spec := self.ledger.promised.get(row.job)) is not None and spec.kind == ALLOC:
            return  # what ran in it has rows of its own
        runs = self.ledger.runs.get((row.job, row.element), [])
        mine = [r for r in runs if r.launch.alloc == row.allocation and r.attempt == row.attempt]
        if row.part:  # what it gave back is no matter
            mine = [r for r in mine if r.node in row.nodes.split(",")]
        if {r.node for r in mine} != set(row.nodes.split(",")):
            yield f"{name} is a success on {row.nodes}, and did not run on all of them"
        if not all(r.succeeded for r in mine):
            yield f"{name} is a success, and its run in allocation {row.allocation} was none"

    def _ended(self, element: Element) -> Iterator[str]:
        name = f"element {element.job}_{element.index}"
        if element.result is Result.LOST:
            ledger, nodes = self.ledger, element.node.split(",")
            gone = any(ledger.crashed.get(n) or ledger.fenced.get(n) for n in nodes)
            if not gone and not any((element.job, n) in ledger.unproven for n in nodes):
                yield f"{name} is lost, and no host of {element.node} went down"

    def compare(self, s: State, now: float) -> None:
        """Check that the database, loaded anew, is what memory has. Nothing may be unwritten."""
        blame(differences(s, load(self.store.load(), s.epoch, now)), "loading")

    def everything(self, s: State) -> None:
        """Check all that can be checked of memory."""
        blame(rules.violations(s), "a look at everything")

    def finish(self, s: State) -> None:
        """Check what must hold when all is over."""
        blame(self._unfinished(s), "the end")

    def _unfinished(self, s: State) -> Iterator[str]:
        for node, runs in self.ledger.active.items():
            for run in runs:
                yield f"allocation {run.launch.alloc} still runs on {node}, and nobody knows"
        for job in self.ledger.promised:
            if job in s.ended:
                yield from self._accounted(job)
            elif job not in s.jobs:
                yield f"job {job} was acknowledged, and is lost"

    def _accounted(self, number: int) -> Iterator[str]:
        """Hold what is written of the elements of an ended job against what truly ran."""
        job = self.store.job(number)
        if job is None:
            yield f"job {number} has ended, and the database does not have it"
            return
        ended = {row.element: row.result for row in self.store.done(number)}
        total = sum(high - low + 1 for low, high in job.spans())
        if job.rest is None and len(ended) != total:
            yield f"job {number} has ended, and {total - len(ended)} of its elements have no row"
        for (other, index), runs in self.ledger.runs.items():
            if other != number:
                continue
            last = max(runs, key=lambda run: run.began).launch.alloc, runs[-1].attempt
            well = all(r.succeeded for r in runs if (r.launch.alloc, r.attempt) == last)
            if index not in ended:
                yield f"element {number}_{index} ran, and has no row"
            elif ended[index] == Result.FAILED and well:
                yield f"element {number}_{index} is said to have failed, and its last run did not"


def _elements(alloc: Allocation) -> set[int]:
    mine = alloc.chunk if alloc.slot else ((alloc.element, alloc.element),)
    return {i for low, high in mine for i in range(low, high + 1)}


def _over_cap(entry: Entry) -> Iterator[str]:
    live, cap = len(entry.slots), entry.job.spec.array_cap
    if live > cap:
        yield f"job {entry.job.id} is given one more, has {live} at once, and may have {cap}"


def _unasked(s: State, entry: Entry, alloc: Allocation) -> Iterator[str]:
    """Hold what was just given against what the job asked for beside sizes."""
    request, name = entry.job.spec.request, f"job {entry.job.id}"
    home = entry.job.spec.partition
    if wrong := [n for n in sorted(alloc.nodes) if s.nodes[n].node.partition != home]:
        yield f"{name} of partition {home} is given {wrong}, which are of others"
    if not s.site.open(home):
        yield f"{name} is given nodes, and its partition {home} is stopped"
    facts = [s.nodes[node].node.facts for node in sorted(alloc.nodes)]
    wanted = parse(request.constraint)
    if not all(wanted.matches(known.features) for known in facts):
        yield f"{name} asks for {request.constraint}, and is given {sorted(alloc.nodes)}"
    for other in s.allocations.values():
        if other.id == alloc.id or is_step(other.job) or not alloc.nodes & other.nodes:
            continue
        whole = s.jobs[other.job].job.spec.request.exclusive and other.suspended_at is None
        if whole or request.exclusive:
            yield f"{name} and job {other.job} share {alloc.nodes & other.nodes}, and one is alone"
    for licence, count in s.licences_held.items():
        if request.licences.get(licence) and count > licences(s.text("licences")).get(licence, 0):
            yield f"{name} is given one more of licence {licence}, and {count} are held"


def _into_a_window(s: State, entry: Entry, alloc: Allocation) -> Iterator[str]:
    """Hold a start against single reservations of its nodes, by their definition."""
    begin, limit = alloc.granted_at, entry.job.spec.time_limit or inf
    for row in s.site.reservations.values():
        if entry.job.user in row.users or not alloc.nodes & {*unfold(row.nodes)}:
            continue
        if begin < row.start + row.duration and begin + limit > row.start + 1.0:
            yield f"job {entry.job.id} starts on {sorted(alloc.nodes)}, reserved as {row.name}"


def differences(memory: State, stored: State) -> Iterator[str]:
    """Yield where two states differ in what must survive a restart."""
    for what in (
        "jobs",
        "allocations",
        "nodes",
        "ended",
        "settings",
        "user_cpus",
        "licences_held",
        "next_job",
    ):
        mine, other = getattr(memory, what), getattr(stored, what)
        if isinstance(mine, dict):
            yield from _keys(what, mine, other)
        elif mine != other:
            yield f"{what}: memory has {mine}, the database {other}"
    for number in memory.jobs.keys() & stored.jobs.keys():
        yield from _entries(memory.jobs[number], stored.jobs[number])
    for number in memory.allocations.keys() & stored.allocations.keys():
        if memory.allocations[number] != stored.allocations[number]:
            mine_, other_ = memory.allocations[number], stored.allocations[number]
            yield f"allocation {number}: memory has {mine_}, the database {other_}"
    for name in memory.nodes.keys() & stored.nodes.keys():
        a, b = memory.nodes[name], stored.nodes[name]
        if replace(a.node, unknown_since=None) != replace(b.node, unknown_since=None):
            yield f"node {name}: memory has {a.node}, the database {b.node}"
        books = [(x.books.cpus, x.books.gpus, x.books.memory, x.books.generic) for x in (a, b)]
        if books[0] != books[1]:
            yield f"the books of {name}: memory has {books[0]}, the database {books[1]}"


def _keys(what: str, mine: dict[object, object], other: dict[object, object]) -> Iterator[str]:
    if mine.keys() != other.keys():
        only = sorted(map(str, mine.keys() ^ other.keys()))
        yield f"{what} {only} are known to memory or to the database alone"


def _entries(mine: Entry, other: Entry) -> Iterator[str]:
    name = f"job {mine.job.id}"
    if mine.job != other.job:
        yield f"{name}: memory has {mine.job}, the database {other.job}"
    for what in ("live", "unmet"):
        if getattr(mine, what) != getattr(other, what):
            yield f"{name}: {what} is {getattr(mine, what)}, in the database {getattr(other, what)}"
    if mine.barred.spans != other.barred.spans:
        yield f"{name}: {mine.barred.spans} are barred, in the database {other.barred.spans}"
    if mine.waiting.spans != other.waiting.spans:
        yield f"{name}: {mine.waiting.spans} wait, in the database {other.waiting.spans}"
    stays = [{rm: f.spans for rm, f in e.bound.items() if f} for e in (mine, other)]
    if stays[0] != stays[1]:
        yield f"{name}: its elements stay in {stays[0]}, in the database {stays[1]}"
    results = [{r: f.spans for r, f in e.results.items() if f} for e in (mine, other)]
    if results[0] != results[1]:
        yield f"{name}: its elements ended as {results[0]}, in the database {results[1]}"
    for index in mine.touched.keys() | other.touched.keys():
        a, b = mine.touched.get(index), other.touched.get(index)
        if a is None or b is None or (a.held_by, a.attempt) != (b.held_by, b.attempt):
            yield f"element {mine.job.id}_{index}: memory has {a}, the database {b}"


def blame(found: Iterable[str], what: object) -> None:
    """Raise `Broken` if there is any sentence."""
    sentences = list(found)
    if sentences:
        raise Broken("\n".join([f"after {str(what)[:300]}:", *sentences[:12]]))
