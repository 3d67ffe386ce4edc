"""Reservations: which nodes are closed to whom, now and later.

A window is half open: closed from its begin, open again from its end. A recurring reservation keeps
the wall clock of its first window: each begins at that time of the day on the weekdays it names, by
the offset from UTC that is given with the rules. When the offset changes (summer time), rules with
the new one are given, and what is planned moves with the wall clock.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from heapq import merge
from itertools import islice
from math import floor, inf

from msgspec.structs import replace

from ostler.model.resources import Request
from ostler.schedule.fit import named
from ostler.schedule.rules import DAY, Reservation, Rules
from ostler.schedule.snapshot import WaitingView

Window = tuple[float, float]  # begin and end, Unix seconds
Key = frozenset[str]  # names of the reservations that somebody may use
_WEEK = 7  # days
_THURSDAY = 3  # 1970-01-01
_TRIES = 1_000  # windows looked at for a gap that is long enough


def windows(reservation: Reservation, utc_offset: int, begin: float) -> Iterator[Window]:
    """Yield the windows that end after `begin`, in order; they may overlap."""
    for start in _starts(reservation, utc_offset, begin - reservation.duration):
        if start + reservation.duration > begin:
            yield start, start + reservation.duration


def _starts(reservation: Reservation, utc_offset: int, after: float) -> Iterator[float]:
    """Yield begins of windows in order, of those before `after` the last ones at most."""
    until = inf if reservation.until is None else reservation.until
    if not reservation.days:
        if reservation.start < until:
            yield reservation.start
        return
    days = {day for day in reservation.days if 0 <= day < _WEEK}
    first = reservation.start + reservation.utc_offset - utc_offset
    count = max(0, floor((after - first) / DAY))
    while days and (start := first + count * DAY) < until:
        if (floor((start + utc_offset) / DAY) + _THURSDAY) % _WEEK in days:
            yield start
        count += 1


class Calendar:
    """All reservations, looked up by node and by who asks."""

    def __init__(self, rules: Rules) -> None:
        self._offset = rules.utc_offset
        self._all = [found for found in rules.reservations if found.duration > 0]
        self._on: dict[str, list[Reservation]] = defaultdict(list)
        for reservation in self._all:
            for node in reservation.nodes:
                self._on[node].append(reservation)
        self._named = {found.name: found for found in self._all}

    def key(self, user: str, project: str) -> Key:
        """Return whose nodes they may use; jobs of equal keys may use the same nodes."""
        return frozenset(
            found.name
            for found in self._all
            if user in found.users or (project and project in found.projects)
        )

    def until(self, key: Key, now: float) -> dict[str, float]:
        """Return when their work must be off each node, of those that are ever closed to them.

        Work may start on a node now if it ends by then. Of a node that is closed now it is the
        begin of that window: nothing ends by then.
        """
        found = {node: self._next(node, key, now) for node in self._on}
        return {node: begin for node, begin in found.items() if begin < inf}

    def shut(self, key: Key, now: float, duration: float) -> tuple[str, ...]:
        """Return the nodes on which their work of that duration may not start now, sorted."""
        begins = self.until(key, now)
        return tuple(sorted(node for node, at in begins.items() if now + duration > at))

    def of(self, name: str) -> tuple[str, ...]:
        """Return the nodes of a reservation; none if there is no such one."""
        found = self._named.get(name)
        return () if found is None else found.nodes

    def kept(self, names: Key, now: float, until: float) -> set[str]:
        """Return the nodes of those of these reservations that have a window now, or before then."""
        found: set[str] = set()
        for name in names:
            one = self._named[name]
            if next(windows(one, self._offset, now), (inf, inf))[0] < until:
                found.update(one.nodes)
        return found

    def begins(self, name: str, key: Key, now: float) -> float:
        """Return from when on, now or later, they may use a reservation; inf: never."""
        found = self._named.get(name) if name in key else None
        if found is None:
            return inf
        return max(now, next(windows(found, self._offset, now), (inf, inf))[0])

    def names(self, key: Key, nodes: Collection[str], now: float, until: float) -> list[str]:
        """Return the reservations that keep them from some of these nodes now or before then."""
        found = {r.name for node in nodes for r in self._on.get(node, ()) if r.name not in key}
        return sorted(name for name in found if self.kept(frozenset([name]), now, until))

    def _next(self, node: str, key: Key, now: float) -> float:
        begins = (next(each, (inf, inf))[0] for each in self._closing(node, key, now))
        return min(begins, default=inf)

    def _closing(self, node: str, key: Key, begin: float) -> list[Iterator[Window]]:
        return [
            windows(found, self._offset, begin)
            for found in self._on.get(node, ())
            if found.name not in key
        ]

    def closed(self, node: str, key: Key, begin: float, end: float) -> list[Window]:
        """Return when between begin and end the node is closed to them, as windows far apart."""
        found: list[Window] = []
        for each in self._closing(node, key, begin):
            for window in each:
                if window[0] >= end:
                    break
                found.append(window)
        apart: list[Window] = []
        for first, last in sorted(found):
            if apart and first <= apart[-1][1]:
                apart[-1] = (apart[-1][0], max(last, apart[-1][1]))
            else:
                apart.append((first, last))
        return apart

    def opens(self, node: str, key: Key, now: float, duration: float) -> float:
        """Return from when on, now or later, the node is theirs for so long; inf: never.

        After a thousand windows without a gap that is long enough it is taken to be never.
        """
        at = now
        closing = merge(*self._closing(node, key, now))
        for begin, end in islice(closing, _TRIES):
            if at + duration <= begin:
                return at
            at = max(at, end)
        return inf if next(closing, None) else at

    def change(self, now: float) -> float:
        """Return the next time after now at which a node opens or closes for anybody."""
        times = []
        for found in self._all:
            for begin, end in windows(found, self._offset, now):
                times.append(begin if begin > now else end)
                if begin > now:
                    break
        return min(times, default=inf)


def narrowed(calendar: Calendar | None, entry: WaitingView, now: float) -> tuple[Request, Request]:
    """Return what an entry asks for, on the nodes of its own reservation; and of these on open ones.

    The two are one and the same where nothing is shut to it now. In a reservation that it names
    work begins while that is open, and may outlast it.
    """
    request = entry.request
    if calendar is None:
        return request, _on(request, ()) if request.reservation else request
    key, own, open_now = calendar.key(entry.user, entry.project), request, True
    if name := request.reservation:
        own = _on(request, calendar.of(name))
        open_now = calendar.begins(name, key, now) <= now
    if not open_now:
        return own, _on(request, ())
    shut = calendar.shut(key, now, entry.duration)
    return own, replace(own, exclude=(*own.exclude, *shut)) if shut else own


def shut_to(
    calendar: Calendar | None, entry: WaitingView, now: float, nodes: Iterable[str]
) -> tuple[str, ...]:
    """Return those of the nodes on which an entry may not start now, for a reservation."""
    _, less = narrowed(calendar, entry, now)
    if less is entry.request:
        return ()
    return tuple(name for name in nodes if named(name, entry.request) > named(name, less))


def _on(request: Request, nodes: Collection[str]) -> Request:
    """Return the request on these nodes alone."""
    wanted = request.nodelist
    return replace(request, nodelist=tuple(n for n in nodes if not wanted or n in wanted) or ("",))
