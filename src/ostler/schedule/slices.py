"""The end of a time slice in a partition: who of those that share its CPUs has the next one."""

from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from heapq import nsmallest
from math import inf
from typing import TYPE_CHECKING

from ostler.model.resources import Request
from ostler.model.states import Rule
from ostler.schedule.booking import asks, beside
from ostler.schedule.fit import placements, seats
from ostler.schedule.gang import Masks, Newcomer, Sliced, Turn, slice_end, turn
from ostler.schedule.heads import forget_head
from ostler.schedule.planner import Planner
from ostler.schedule.resumes import masks_of
from ostler.schedule.room import Room, mask_of
from ostler.schedule.snapshot import Resume, RunningView, Suspend
from ostler.schedule.standby import can_go_on, go_on, halt

if TYPE_CHECKING:
    from ostler.schedule.engine import Engine

SHARING = 4  # allocations that take turns on one CPU, at most
_NEWCOMERS = 64  # waiting elements that are looked at at a slice end, at most
_WANTS_ROOM = frozenset({Rule.RESOURCES, Rule.BEHIND})


def turns(engine: "Engine", planner: Planner) -> tuple[tuple[str, ...], float]:
    """End the slices that are over; return their partitions, and when the next one ends.

    A partition in which nobody waits for CPUs has no slices: one more job costs nothing then.
    """
    picture, now = planner.picture, planner.now
    done, at = [], inf
    parts = {name for name, classes in engine.queue.partitions.items() if classes}
    for found in picture.resumes.pending:
        if found.view.yields and (view := picture.running.get(found.view.alloc)) is not None:
            parts |= picture.partitions(view)
    for partition in sorted(parts):
        seconds = picture.rules.of(partition).time_slice
        if not seconds or not _is_shared(engine, planner, partition):
            continue
        end = slice_end(now, seconds)
        at = min(at, end)
        if picture.turned.get(partition, 0.0) < end - seconds:
            _Slice(engine, planner, partition).over()
            picture.turned[partition] = now
            done.append(partition)
    return tuple(done), at


def _is_shared(engine: "Engine", planner: Planner, partition: str) -> bool:
    """Say whether anybody waits there for CPUs that others have."""
    if any(found.rule in _WANTS_ROOM and found.live for found in engine.queue.of(partition)):
        return True
    picture = planner.picture
    return any(
        found.view.yields and partition in picture.partitions(picture.running[found.view.alloc])
        for found in picture.resumes.pending
        if found.view.alloc in picture.running
    )


class _Slice:
    """What takes turns in a partition, and what does not."""

    def __init__(self, engine: "Engine", planner: Planner, partition: str) -> None:
        picture = planner.picture
        self.engine, self.planner, self.partition = engine, planner, partition
        self.standby = {
            found.view.alloc: found
            for found in picture.resumes.pending
            if found.view.yields and found.view.alloc in picture.running
        }
        self.sharing: list[RunningView] = []
        fixed = [picture.resumes.kept(self.standby)]
        fixed += [masks_of(one.places) for one in picture.assumed]
        for view in picture.running.values():
            mine = picture.partitions(view) == {partition}
            # Of what this plan has halted nobody knows yet when it goes on: a horizon looks past it.
            turns = view.alloc in self.standby or (view.halts and not view.suspended)
            if mine and not view.leaving and turns:
                self.sharing.append(view)
            elif not view.suspended:
                fixed.append(masks_of(view.placements))
        self.fixed = _joined(fixed)

    def over(self) -> None:
        """Let all stand still, go on and start whose turn it is."""
        picture, now, lines = self.planner.picture, self.planner.now, self.planner.lines
        found = self._turn()
        for alloc in found.suspend:
            halt(picture, picture.running[alloc], now)
            lines.append(Suspend(alloc))
        self.planner.table.withhold(picture.resumes.kept(self.standby))
        for alloc in found.resume:
            if can_go_on(picture, self.standby[alloc], self.standby):
                go_on(picture, self.standby[alloc], now)
                lines.append(Resume(alloc))
        for job in found.start:
            self._start(job)
        self.planner.table.withhold(picture.resumes.kept())

    def _turn(self) -> Turn:
        now = self.planner.now
        sliced = [
            Sliced(
                view.alloc,
                view.priority,
                masks_of(view.placements),
                view.halted_at is None,
                now if view.halted_at is None else view.halted_at,
            )
            for view in self.sharing
        ]
        return turn(sliced, self._newcomers(), self.fixed)

    def _newcomers(self) -> Iterator[Newcomer]:
        """Yield elements that wait for room, first ones first."""
        queue = self.engine.queue
        keys = {  # a heap may have one twice
            key
            for found in queue.of(self.partition)
            if found.rule in _WANTS_ROOM
            for key in found.heap
            if queue.is_live(key, found)
        }
        rooms = self._rooms() if keys else []
        left = _NEWCOMERS
        for key in nsmallest(_NEWCOMERS, keys):
            entry = queue.entries[key[-1]]
            view, more = entry.view, min(left, entry.left)
            place = partial(_place, rooms, self.planner.shape(view).request)
            for _ in range(more):
                yield Newcomer(view.job, view.priority, view.submitted_at, place)
            left -= more

    def _rooms(self) -> list[Room]:
        """Return the nodes as newcomers see them: all CPUs on which not too many take turns."""
        depth: Counter[tuple[str, int]] = Counter(
            (place.node, cpu)
            for view in self.sharing
            for place in view.placements
            for cpu in place.cpus
        )
        rooms = self.planner.rooms(self.partition)
        for room in rooms:
            cpus = self.planner.picture.nodes[room.node].facts.cpus
            room.cpus = mask_of(tuple(n for n in cpus if depth[room.node, n] < SHARING))
        return rooms

    def _start(self, job: int) -> None:
        """Start a newcomer on the CPUs that are its own now."""
        engine, planner = self.engine, self.planner
        entry = engine.queue.entries[job]
        view, shape = entry.view, planner.shape(entry.view)
        book = engine.books.get(self.partition)
        if book is None:
            found = planner.seats(shape, view)
        else:  # beside all that is promised to others
            agenda = beside(planner, engine.queue, self.partition, job)
            found = agenda.at_once(asks(planner, entry))
        if found is None or planner.over(shape, view, found) is not None:
            return
        forget_head(planner, job)
        engine.starts(planner, view, shape, found)
        if book is not None:
            book.taken(job)


def _place(rooms: list[Room], request: Request, taken: Masks) -> Masks | None:
    """Return where a newcomer would run beside those whose CPUs are taken; its memory is then."""
    open_now = [room.copy() for room in rooms]
    for room in open_now:
        room.cpus &= ~taken.get(room.node, 0)
    found = seats(open_now, request)
    if found is None:
        return None
    places = placements(open_now, request, found)
    for (at, _), place in zip(found, places, strict=True):
        cpus = rooms[at].cpus
        rooms[at].remove(place)
        rooms[at].cpus = cpus
    return masks_of(places)


def _joined(each: Iterable[Masks]) -> Masks:
    found: dict[str, int] = {}
    for masks in each:
        for node, mask in masks.items():
            found[node] = found.get(node, 0) | mask
    return found
