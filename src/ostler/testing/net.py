"""A network that delays, loses, cuts and resets, by script and by seed.

Connections are streams: frames arrive in order or not at all, and a frame that is lost breaks the
connection. Each side learns of the break by itself, at once or only when it misses heartbeats.
"""

from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

from ostler.testing.clock import Timer, VirtualClock
from ostler.wire.conn import Peer

SILENCE = 9.0  # seconds without a heartbeat after which a side gives a connection up


CLOSED = object()  # a frame that tells of the end


class End:
    """One side of a connection, with the part of `wire.conn.Connection` that daemons use."""

    def __init__(self, net: "FakeNet", name: str) -> None:
        self.name = name
        self.other: End
        self.peer = Peer(0, 0, 0)
        self.reason = ""  # why it is over; empty while it is not, as far as this side knows
        self.on_frame: Callable[[Any], None] = lambda _: None
        # What the other side says after it knows of the end; whoever had this side may still hear
        # it, but nobody who came after.
        self.on_late: Callable[[bytes], None] = lambda _: None
        self.on_close: Callable[[], None] = lambda: None
        self._net = net
        self._cutoff: float | None = None  # frames that arrive later are lost
        self._last = 0.0  # arrival of the last frame to this side

    @property
    def open(self) -> bool:
        """Say whether this side believes in the connection."""
        return not self.reason

    def send(self, frame: Any) -> None:
        """Send a frame; it arrives after those before it, or the connection breaks."""
        if self.open:
            self._net.carry(self, frame)

    def close(self, reason: str = "") -> None:
        """Close this side; the other one learns of it over the net."""
        if self.open:
            self.reason = reason or "closed"
            self._net.carry(self, CLOSED)

    def deliver(self, frame: Any) -> None:
        """Take a frame that has arrived."""
        if self.open:
            self.on_frame(frame)

    def lose(self, reason: str) -> None:
        """Learn that the connection is over."""
        if self.open:
            self.reason = reason
            self.on_close()

    def arrival(self, time: float) -> float:
        """Return when a frame that could be here at `time` arrives, after those before it."""
        self._last = max(self._last, time)
        return self._last

    def stop_at(self, time: float) -> None:
        """Lose whatever arrives later."""
        self._cutoff = time if self._cutoff is None else min(self._cutoff, time)

    def hears(self, now: float) -> bool:
        """Say whether a frame that arrives now still counts."""
        return self._cutoff is None or now <= self._cutoff


class FakeNet:
    """Links between named hosts. `delay`: least and most seconds that a frame travels."""

    def __init__(
        self, clock: VirtualClock, rng: Random, delay: tuple[float, float] = (0.0002, 0.004)
    ) -> None:
        self.frames = 0  # sent so far
        self._clock = clock
        self._rng = rng
        self._delay = delay
        self._cuts: set[frozenset[str]] = set()
        self._ends: list[End] = []

    def connect(self, a: str, b: str) -> tuple[End, End] | None:
        """Return both sides of a new connection; None while the hosts cannot reach each other."""
        if self.is_cut(a, b):
            return None
        ends = End(self, a), End(self, b)
        ends[0].other, ends[1].other = ends[1], ends[0]
        self._ends = [end for end in self._ends if end.open or end.other.open]
        self._ends += ends
        return ends

    def is_cut(self, a: str, b: str) -> bool:
        """Say whether the link is down."""
        return frozenset((a, b)) in self._cuts

    def cut(self, a: str, b: str) -> None:
        """Take the link down: frames are lost, and both sides fall silent to each other."""
        self._cuts.add(frozenset((a, b)))
        self._clock.after(SILENCE, lambda: self._miss(a, b))

    def heal(self, a: str, b: str) -> None:
        """Bring the link up again."""
        self._cuts.discard(frozenset((a, b)))

    def heal_all(self) -> None:
        """Bring every link up again."""
        self._cuts.clear()

    def between(self, a: str, b: str) -> list[End]:
        """Return the sides of all connections between two hosts, oldest first."""
        pair = {a, b}
        return [e for e in self._ends if {e.name, e.other.name} == pair]

    def reset(self, a: str, b: str) -> None:
        """Reset every connection between two hosts: what is under way may still arrive or not."""
        for end in self.between(a, b):
            at = self._clock.now + self._rng.uniform(0.0, self._delay[1])
            end.stop_at(at)
            self._lose_at(at, end, "the connection was reset")

    def carry(self, sender: End, frame: Any) -> None:
        """Deliver a frame to the other side, or break the connection."""
        to = sender.other
        self.frames += 1
        self._clock.at(self._arrival(to), lambda: self._arrive(sender, to, frame))

    def hush(self, name: str, other: str, still: Callable[[], bool]) -> None:
        """Let another host notice that one says nothing, if that is `still` so then."""
        for end in self.between(name, other):
            if end.name == name and end.open and end.other.open:
                self._clock.after(self._silence(), partial(self._give_up, end.other, still))

    def _give_up(self, end: End, still: Callable[[], bool]) -> None:
        if still() and end.open:
            end.close("nothing was heard of it")
            end.on_close()

    def vanish(self, name: str) -> None:
        """Let a host disappear without a word: the others notice that it is silent."""
        for end in self._ends:
            if end.name == name and end.open:
                end.reason = "its host is down"
                end.stop_at(self._clock.now)
                end.other.stop_at(self._clock.now + self._delay[1])
                self._lose_at(self._clock.now + self._silence(), end.other, "nothing was heard")

    def travel(self) -> float:
        """Return the seconds that something takes to go from one host to another and back."""
        return 2 * self._rng.uniform(*self._delay)

    def _arrival(self, to: End) -> float:
        return to.arrival(self._clock.now + self._rng.uniform(*self._delay))

    def _arrive(self, sender: End, to: End, frame: Any) -> None:
        if not to.hears(self._clock.now):
            return
        if self.is_cut(sender.name, to.name):
            self._break(sender, to)
        elif frame is CLOSED:
            to.lose("the other side closed it")
        else:
            to.deliver(frame)

    def _break(self, *ends: End) -> None:
        for end in ends:
            end.stop_at(self._clock.now)
            self._lose_at(self._clock.now + self._silence(), end, "nothing was heard of it")

    def _miss(self, a: str, b: str) -> None:
        """Heartbeats were lost, if the link is still down."""
        if self.is_cut(a, b):
            for end in self.between(a, b):
                self._break(end)

    def _silence(self) -> float:
        return self._rng.uniform(SILENCE / 3, SILENCE * 1.3)

    def _lose_at(self, time: float, end: End, reason: str) -> Timer:
        return self._clock.at(time, lambda: end.lose(reason))
