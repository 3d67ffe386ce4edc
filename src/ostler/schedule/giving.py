"""What follows a pass: who gives way to whom, whose turn it is, and who goes on after all that."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from heapq import heapify, heappop, heappush
from itertools import islice
from math import inf
from typing import TYPE_CHECKING

from msgspec import Struct

from ostler.model.states import Rule
from ostler.schedule.booking import asks
from ostler.schedule.choose import Seats
from ostler.schedule.classes import Entry
from ostler.schedule.firsts import HELD_UP
from ostler.schedule.head import joined
from ostler.schedule.planner import Planner
from ostler.schedule.pledges import Pledge, holding
from ostler.schedule.preempt import Needy, Running, may_preempt, outranks
from ostler.schedule.pressure import Way, gives_way
from ostler.schedule.priority import Key
from ostler.schedule.promises import Promises
from ostler.schedule.rules import Preemption
from ostler.schedule.slices import turns
from ostler.schedule.snapshot import Resume, WaitingView
from ostler.schedule.standby import go_on_at_last, halt
from ostler.schedule.table import Counts, Shape

if TYPE_CHECKING:
    from ostler.schedule.engine import Engine


TRIES = 10  # jobs of a partition for which a pass asks who might give way, at most


class Due(Struct, frozen=True):
    """When time alone changes who gives way or has a turn; inf: it does not."""

    press: float = inf  # something has run long enough to be preempted
    turn: float = inf  # a slice ends

    @property
    def at(self) -> float:
        """Return the first of these times."""
        return min(self.press, self.turn)


def give(
    engine: "Engine", planner: Planner, dirty: set[str], due: Due
) -> tuple[tuple[str, ...], Due]:
    """Complete a plan; return the partitions in which a slice ended, and when to look again.

    dirty: partitions that were looked at; in others nobody else gives way than before, unless it is
    due, or to somebody new. Costs nothing but a look at the rules where they have neither preemption nor slices and
    nothing stands by.
    """
    picture, rules, now = planner.picture, planner.picture.rules, planner.now
    claimed: set[int] = set()
    turned: tuple[str, ...] = ()
    press = turn = inf
    queue = engine.queue
    if rules.preempting and (engine.heads or queue.short or queue.held_up or engine.pledges):
        everywhere = picture.ways or due.press <= now
        pledged = holding(engine)
        needy = engine.heads.keys() | queue.short.keys() | queue.held_up.keys() | pledged.keys()
        fresh = {queue.classes[number].partition for number in queue.touched}
        pressing = sorted(needy if everywhere else needy & (dirty | fresh))
        for partition in pressing:
            only = None if everywhere or partition in dirty else queue.touched
            room = pledged.get(partition, [])
            claimed |= _Pressing(engine, planner, partition, room, only).press()
        press = next(picture.givers.over_after(now), inf) if pressing else due.press
    if rules.slicing:
        turned, turn = turns(engine, planner)
    if picture.resumes.all:
        planner.lines += [Resume(n) for n in go_on_at_last(picture, claimed, now)]
    return turned, Due(press, turn)


class _Pressing:
    """Who of a partition makes others give way in a pass, in the order of the queue."""

    def __init__(
        self,
        engine: "Engine",
        planner: Planner,
        partition: str,
        pledges: list[Pledge],
        only: Collection[int] | None,
    ) -> None:
        """Begin. pledges: room that is being made for some already. only: of these classes."""
        self._engine, self._planner, self._partition = engine, planner, partition
        self._pledges, self._only = pledges, only
        self._claimed: set[int] = set()  # that stand by, and must go on standing
        self._weakest: dict[str, int] | None = None

    def press(self) -> set[int]:
        """Ask one after the other; return what stands by and must go on standing.

        Where more than one start is promised, one presses at a time: what is promised to others
        is laid anew behind it. Nobody presses behind a head that starts, for the next pass finds
        another head first.
        """
        engine, partition = self._engine, self._partition
        head, book = engine.heads.get(partition), engine.books.get(partition)
        if book is not None and self._pledges:
            return set()
        tries = TRIES
        for job in self._line():
            if book is None and not self._has_weaker(job):
                continue
            tries -= 1
            if self._may(job) and self._press(job):
                leads = head is not None and job == head.job
                if book is not None or (leads and partition not in engine.heads):
                    break
            if not tries:
                break
        return self._claimed

    def _line(self) -> Iterator[int]:
        """Yield who might press, in the order of the queue: behind one that does, its equals."""
        engine, queue, partition = self._engine, self._engine.queue, self._partition
        short = queue.short.get(partition)
        heap = [
            (found.seen, found.number)
            for found in queue.of(partition)
            if (self._only is None or found.number in self._only)
            and found.seen is not None
            and (found.rule in HELD_UP or (found.rule is Rule.LICENCES and found.seen[-1] == short))
        ]
        if partition not in engine.books and not self._planner.backfills(partition):
            head = engine.heads.get(partition)
            first = {short, None if head is None else head.job}
            heap = [one for one in heap if one[0][-1] in first]
        heapify(heap)
        behind: dict[int, list[Key]] = {}
        while heap:
            key, number = heappop(heap)
            job, found = key[-1], queue.classes[number]
            known = job in engine.pledges
            if not known and job in queue.entries:
                yield job
            if found.rule is Rule.LICENCES or not (known or self._has_pressed(job)):
                continue
            if number not in behind:
                later = (other for other in _ascending(found.heap) if other > key)
                behind[number] = [*islice((k for k in later if queue.is_live(k, found)), TRIES)]
            if behind[number]:
                heappush(heap, (behind[number].pop(0), number))

    def _has_pressed(self, job: int) -> bool:
        return job in self._engine.pledges or job not in self._engine.queue.entries

    def _has_weaker(self, job: int) -> bool:
        """Say whether anything runs that has to give way to such a job, wherever that is."""
        if self._weakest is None:
            picture = self._planner.picture
            self._weakest = picture.givers.weakest(picture.rules, self._planner.now)
        view, rules = self._engine.queue.entries[job].view, self._planner.picture.rules
        needy = Needy(job, view.partition, view.priority)
        return any(outranks(rules, needy, *weak) for weak in self._weakest.items())

    def _may(self, job: int) -> bool:
        """Say whether others may have to give way to a job that waits.

        Where more than one start is promised they have to if nothing is promised to any job before
        it in the queue that it would still be there for.
        """
        engine, planner = self._engine, self._planner
        entry, entries = engine.queue.entries[job], engine.queue.entries
        if (book := engine.books.get(self._partition)) is None:
            behind = any(head.key < entry.key for head in planner.heads_of(self._partition))
            return not (behind and planner.is_promised(planner.shape(entry.view), entry.view, []))
        until = planner.now + entry.view.duration
        others = (other for other in book.jobs if other in entries)
        before = (other for other in others if entries[other].key < entry.key)
        return not any((book.start_of(other) or inf) < until for other in before)

    def _press(self, job: int) -> bool:
        """Let running work give way to a job that waits, and start that if it has all it needs then.

        Returns whether anything came of it.
        """
        engine, planner, picture = self._engine, self._planner, self._planner.picture
        entry, book = engine.queue.entries[job], engine.books.get(self._partition)
        view, shape, table = entry.view, planner.shape(entry.view), planner.table
        way = gives_way(planner, view, entry.key, self._pledges)
        if not (
            way.lines or way.claimed or (book and _comes_first(planner, view, shape, book, engine))
        ):
            return False
        for line in way.lines:
            other = picture.running[line.alloc]
            if line.how is Preemption.SUSPEND:
                halt(picture, other, planner.now)
            else:
                picture.leaves(other)
        planner.lines += way.lines
        _leave(planner, way)
        table.withhold(picture.resumes.kept(way.claimed))
        late = [head for head in planner.late_heads(view) if head.key < entry.key]
        seats = planner.seats(shape, view, joined(late) if late else None)
        if seats is not None and planner.over(shape, view, seats) is None:
            self._start(view, shape, seats)
        else:
            self._keep(entry, shape, way)
        table.withhold(picture.resumes.kept())
        self._claimed |= way.claimed
        return True

    def _start(self, view: WaitingView, shape: Shape, seats: Seats) -> None:
        engine, partition = self._engine, self._partition
        head, book = engine.heads.get(partition), engine.books.get(partition)
        if head is not None and head.job == view.job:
            del engine.heads[partition]  # who lacks licences gets them when others have ended
        engine.starts(self._planner, view, shape, seats)
        if book is not None:
            book.taken(view.job)

    def _keep(self, entry: Entry, shape: Shape, way: Way) -> None:
        """Keep room for a job for which something ends."""
        engine, planner, view = self._engine, self._planner, entry.view
        book = engine.books.get(self._partition)
        if book is not None:
            book.press(asks(planner, entry))
            engine.look_again(self._partition)
        victims = frozenset(line.alloc for line in way.lines)
        pledge = Pledge(view.job, self._partition, shape.request, way.seats, victims)
        engine.pledges[view.job] = pledge
        self._pledges.append(pledge)
        rows = planner.table.rows
        takes = {rows[node]: planner.table.taken(shape, rows[node], n) for node, n in way.seats}
        _change_later(planner, way.later.keys(), takes, -1)


def _ascending(heap: Sequence[Key]) -> Iterator[Key]:
    """Yield what is in a heap, the least first. Each costs log2 of those before it."""
    line = [(heap[0], 0)] if heap else []
    while line:
        key, at = heappop(line)
        yield key
        for below in (2 * at + 1, 2 * at + 2):
            if below < len(heap):
                heappush(line, (heap[below], below))


def _leave(planner: Planner, way: Way) -> None:
    """Take note of what is there, beside promised starts, now that others give way."""
    for job, extra in way.later.items():
        _change_later(planner, {job}, extra, 1)


def _change_later(
    planner: Planner, jobs: Collection[int], change: Mapping[int, Counts], sign: int
) -> None:
    """Change what is left beside the starts that are promised to these jobs."""
    for head in (*planner.heads.values(), *planner.beside_heads.values()):
        if head.job in jobs:
            for row in change.keys() & head.after.keys():
                pairs = zip(head.after[row], change[row], strict=True)
                head.after[row] = [there + sign * more for there, more in pairs]
            head.kept = None


def _comes_first(
    planner: Planner, view: WaitingView, shape: Shape, book: Promises, engine: "Engine"
) -> bool:
    """Say whether a job has room now but for promises to jobs that would have to give way to it.

    What it could take from them if they ran is not kept for them while they wait.
    """
    seats = planner.seats(shape, view)
    if seats is None or planner.over(shape, view, seats) is not None:
        return False
    if planner.is_promised(shape, view, seats):
        return False
    nodes = {planner.table.views[row].name for row, _ in seats}
    rules, me = planner.picture.rules, Needy(view.job, view.partition, view.priority)
    for _, job in book.within(nodes, planner.now + view.duration):
        other = engine.queue.entries.get(job)
        if other is None or job == view.job:
            continue
        ran = Running(0, view.partition, other.view.priority, -inf, frozenset(), stands=True)
        if not may_preempt(rules, me, ran, planner.now):
            return False
    return True
