"""One planning pass: entries are offered in the order of the queue, and start or learn why not.

EASY backfilling: the first entry of a partition that does not fit is its head. It gets a shadow
time, the earliest planned end by which it fits, and the resources it will use then. A later entry
starts only if it ends by the shadow time, or does not use what the head needs then.
Source: Mu'alem and Feitelson, IEEE TPDS 12(6), 2001; here with named CPUs, GPUs, memory and nodes.

Room only shrinks during a pass, so what did not fit once is not tried again: entries of one shape
cost one search together.
"""

from bisect import insort
from collections import Counter
from math import inf

from msgspec.structs import replace

from ostler.model.resources import Placement
from ostler.model.states import Rule
from ostler.schedule import licences
from ostler.schedule.choose import Seats
from ostler.schedule.fit import placements, remove, seats
from ostler.schedule.order import node_order
from ostler.schedule.profile import Release, earliest, planned, releases, when
from ostler.schedule.resumes import Resumes
from ostler.schedule.room import Room, mask_of
from ostler.schedule.snapshot import Resume, Snapshot, Start, Wait, WaitingView
from ostler.schedule.why import Sizes, cannot_fit

Shape = tuple[object, ...]


class Head:
    """The first entry of a partition that waits for resources, and what is promised to it."""

    __slots__ = ("after", "job", "places", "shadow", "user", "user_left")

    def __init__(
        self, job: int, user: str, shadow: float, after: list[Room], places: tuple[Placement, ...]
    ) -> None:
        self.job = job
        self.user = user
        self.shadow = shadow  # Unix seconds; inf: nobody can tell
        self.after = after  # what is free at the shadow time beside the head, room by room
        self.places = places  # what it would get then
        self.user_left = inf  # CPUs its user may hold at the shadow time beside it

    def outlasts(self, now: float, duration: float) -> bool:
        """Say whether work of this duration is still there at the shadow time."""
        return duration == inf or now + duration > self.shadow


class Planner:
    """The state of a pass. `offer` entries in order; `lines` is the plan so far."""

    def __init__(self, snapshot: Snapshot, now: float) -> None:
        self.snapshot = snapshot
        self.now = now
        self.held = dict(snapshot.user_cpus)
        self.resumes = Resumes(snapshot, now, self.held)
        self.lines: list[Start | Resume] = [
            Resume(alloc) for alloc, found in self.resumes.all.items() if found.wait is None
        ]
        self.heads: dict[str, Head] = {}
        self.sizes = Sizes(snapshot)
        self._rooms: dict[str, list[Room]] = {}
        self._users = Counter(p.node for view in snapshot.running for p in view.placements)
        self._coming: list[Release] | None = None
        self._planned: list[Release] = []  # starts of this pass, before `_coming` is made
        self._shapes: dict[Shape, int] = {}
        self._unfit: dict[int, Wait] = {}
        self._behind: dict[tuple[int, float, bool], Wait] = {}
        self._limited: dict[tuple[str, int, int], Wait] = {}
        self._licences = licences.free(snapshot.licences, snapshot.running)

    def offer(self, entry: WaitingView, elements: int) -> tuple[int, Wait | None]:
        """Start up to so many elements; return how many are left, and why they wait."""
        if (known := self._unfit_as(entry)) is not None:
            return elements, known
        left = elements
        while left:
            found = self.look(entry)
            if isinstance(found, Wait):
                if found.rule is Rule.RESOURCES and entry.partition not in self.heads:
                    found = self._lead(entry, found)
                return left, found
            self._start(entry, found)
            left -= 1
        return 0, None

    def _unfit_as(self, entry: WaitingView) -> Wait | None:
        """Return why it waits if that is so as of one before it: of a long queue nearly all do."""
        if entry.blocked or self.snapshot.max_cpus_per_user or entry.partition not in self.heads:
            return None
        return self._unfit.get(self._shapes.get(entry.shape, -1))

    def look(self, entry: WaitingView) -> Seats | Wait:
        """Return where one element would start now, or why it waits. Changes nothing."""
        if entry.blocked is not None:
            return entry.blocked
        request, duration = entry.request, entry.duration
        asked = request.tasks * request.cpus
        held = self.held.get(entry.user, 0)
        if (most := self.snapshot.max_cpus_per_user) and held + asked > most:
            return self._over_limit(entry.user, held, asked)
        shape = self._shape(entry)
        if (known := self._unfit.get(shape)) is not None:
            return known
        head = self.heads.get(entry.partition)
        late = head is not None and head.outlasts(self.now, duration)
        same_user = head is not None and head.user == entry.user
        if late and (known := self._behind.get((shape, duration, same_user))) is not None:
            return known
        if short := licences.lacking(request, self._licences):
            wait = Wait(Rule.LICENCES, short)
            self._unfit[shape] = wait
            return wait
        rooms = self.rooms(entry.partition)
        found = seats(rooms, request)
        if found is None:
            wait = cannot_fit(self.sizes, rooms, request, entry.partition)
            self._unfit[shape] = wait
            return wait
        if request.exclusive and most:
            asked = sum(rooms[at].cpus.bit_count() for at, _ in found)
            if held + asked > most:
                return self._over_limit(entry.user, held, asked)
        if head is None or not late:
            return found
        if not same_user or asked <= head.user_left:
            spare = [room.both(after) for room, after in zip(rooms, head.after, strict=True)]
            if (beside := seats(spare, request)) is not None:
                return beside
        wait = Wait(Rule.BEHIND, {"ahead": head.job, **_at("shadow", head.shadow)})
        self._behind[shape, duration, same_user] = wait
        return wait

    def rooms(self, partition: str) -> list[Room]:
        """Return what is free in the partition now, in order of nodes."""
        found = self._rooms.get(partition)
        if found is None:
            views = [v for v in self.snapshot.nodes if v.usable and v.partition == partition]
            views.sort(key=lambda view: node_order(view.name))
            found = [
                Room(
                    view.name,
                    mask_of(view.free_cpus) & ~self._promised(view.name),
                    view.free_memory,
                    mask_of(view.free_gpus),
                    view.free_generic,
                    view.facts.features,
                    self._users[view.name],
                )
                for view in views
            ]
            self._rooms[partition] = found
        return found

    def coming(self) -> list[Release]:
        """Return what will come free, starts of this pass included, in order of time."""
        if self._coming is None:
            self._coming = releases(self.snapshot, self.now, self.resumes)
            for release in self._planned:
                insort(self._coming, release, key=when)
        return self._coming

    def advance(self) -> bool:
        """Go on to the next planned end, for a forecast; False if nothing more is known to end."""
        coming = self.coming()
        if not coming or coming[0].at == inf:
            return False
        self.now = max(coming[0].at, self.now)
        over = 0
        rooms = {room.node: room for part in self._rooms.values() for room in part}
        for release in coming:
            if release.at > self.now:
                break
            over += 1
            release.apply(rooms)
            licences.change(self._licences, release.licences, 1)
            if release.user_cpus:
                self.held[release.user] = self.held.get(release.user, 0) - release.user_cpus
        del coming[:over]
        self.heads.clear()
        self._unfit.clear()
        self._behind.clear()
        return True

    def _promised(self, node: str) -> int:
        return self.resumes.withheld.get(node, 0) | self.resumes.taken.get(node, 0)

    def _shape(self, entry: WaitingView) -> int:
        return self._shapes.setdefault(entry.shape, len(self._shapes))

    def _over_limit(self, user: str, held: int, asked: int) -> Wait:
        wait = self._limited.get((user, held, asked))
        if wait is None:
            most = self.snapshot.max_cpus_per_user
            wait = Wait(Rule.LIMIT, {"limit": most, "held": held, "asked": asked})
            self._limited[user, held, asked] = wait
        return wait

    def _lead(self, entry: WaitingView, wait: Wait) -> Wait:
        """Make the entry the head of its partition."""
        rooms, request = self.rooms(entry.partition), entry.request
        whole = self.sizes.usable(entry.partition)
        found = earliest(rooms, whole, self.coming(), request)
        if found is None:  # what is usable could not hold it: that is another rule's business
            return wait
        shadow, after, chosen = found
        places = placements(after, request, chosen, keep=rooms)
        remove(after, chosen, places)
        head = Head(entry.job, entry.user, shadow, after, places)
        if most := self.snapshot.max_cpus_per_user:
            freed = sum(
                release.user_cpus
                for release in self.coming()
                if release.user == entry.user and release.at <= shadow
            )
            held = self.held.get(entry.user, 0) - freed
            head.user_left = most - held - request.tasks * request.cpus
        self.heads[entry.partition] = head
        return wait if shadow == inf else replace(wait, expected_start=shadow)

    def _start(self, entry: WaitingView, chosen: Seats) -> None:
        rooms, request = self.rooms(entry.partition), entry.request
        head = self.heads.get(entry.partition)
        if head is not None and head.outlasts(self.now, entry.duration):
            spare = [room.both(after) for room, after in zip(rooms, head.after, strict=True)]
            places = placements(spare, request, chosen)
            remove(head.after, chosen, places)
            if head.user == entry.user:
                head.user_left -= request.tasks * request.cpus
        else:  # gone in time. The lowest CPUs are the head's: what stays longer keeps the others
            places = placements(rooms, request, chosen)
        remove(rooms, chosen, places)
        self.lines.append(Start(entry.job, places))
        cpus = sum(len(place.cpus) for place in places)
        self.held[entry.user] = self.held.get(entry.user, 0) + cpus
        licences.change(self._licences, request.licences, -1)
        ends = self.now + entry.duration
        release = planned(ends, entry.job, places, entry.user, request.licences)
        if self._coming is None:
            self._planned.append(release)
        else:
            insort(self._coming, release, key=when)


def _at(name: str, time: float) -> dict[str, float]:
    return {} if time == inf else {name: time}
