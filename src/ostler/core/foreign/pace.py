"""When a foreign resource manager is asked, and when what it said is taken in. Pure: virtual time.

A load is launched so that it completes just before it is due to be taken in; how long it takes is
learnt. It is taken in when it is complete and either something has happened or the time has come.
Each resource manager has a pace of its own, so that none waits for another.

The expected time is a moving average and four times its mean deviation, as in V. Jacobson,
"Congestion Avoidance and Control" (1988), and RFC 6298.
"""

from typing import Final

NEVER: Final = float("inf")
MARGIN = 1.0  # seconds that a load is to be complete ahead of its time
GAP = 0.5  # seconds between two loads, at least; or as long as the last one took
FIRST_PAUSE = 1.0  # seconds
LONGEST_PAUSE = 60.0
CALM = 120.0  # seconds without a loss after which the next one is the first again
_GAIN = 1 / 8  # of a new measurement in the average
_GAIN_DEVIATION = 1 / 4


class Timing:
    """How long calls of one kind take, in seconds."""

    def __init__(self) -> None:
        self.count = 0
        self.total = self.most = self.last = 0.0
        self.average = self.deviation = 0.0
        self.failed = 0

    def took(self, seconds: float) -> None:
        """Take note of one."""
        if self.count:
            self.deviation += _GAIN_DEVIATION * (abs(seconds - self.average) - self.deviation)
            self.average += _GAIN * (seconds - self.average)
        else:
            self.average, self.deviation = seconds, seconds / 8
        self._add(1, seconds, seconds)
        self.last = seconds

    def took_together(self, count: int, total: float, most: float) -> None:
        """Take note of many that were made at once."""
        if not count:
            return
        mean = total / count
        self.average = self.average + _GAIN * (mean - self.average) if self.count else mean
        self._add(count, total, most)
        self.last = mean

    def _add(self, count: int, total: float, most: float) -> None:
        self.count += count
        self.total += total
        self.most = max(self.most, most)

    @property
    def expected(self) -> float:
        """Return how long the next one will hardly exceed."""
        return self.average + 4 * self.deviation

    def row(self) -> dict[str, float]:
        """Return it for people: milliseconds would only be guessed at, so seconds."""
        return {
            "count": self.count,
            "failed": self.failed,
            "total": round(self.total, 6),
            "max": round(self.most, 6),
            "average": round(self.average, 6),
            "last": round(self.last, 6),
        }


class Backoff:
    """How long to wait before something that was lost is begun again: 1, 2, 4, .. 60 seconds."""

    def __init__(self, most: float = LONGEST_PAUSE) -> None:
        self._most = most
        self._pause = 0.0  # the last one
        self._lost_at = -NEVER

    def lost(self, now: float) -> float:
        """Return the pause in seconds."""
        calm = now - self._lost_at - self._pause >= CALM
        self._pause = FIRST_PAUSE if calm or not self._pause else 2 * self._pause
        self._pause = min(self._pause, self._most)
        self._lost_at = now
        return self._pause

    def calm(self) -> None:
        """Begin anew: it works."""
        self._pause = 0.0


class Pace:
    """The rhythm of one resource manager."""

    def __init__(self, interval: float, now: float) -> None:
        """Begin, with a load at once. interval: seconds between two iterations without events."""
        self.interval = interval
        self.next_at = now + interval  # when the next iteration is due without an event
        self.timing = Timing()  # of whole loads
        self._not_before = now  # of the next load
        self._began: float | None = None  # of the load under way
        self._complete = False  # a load is complete, and not taken in yet
        self._first = True
        self._taking = False  # what was loaded is being taken in, which takes several turns
        self._iterated_at = now
        self._event = False  # something has happened since the last iteration
        self._again = False  # something has happened that the load under way need not show

    @property
    def loading(self) -> bool:
        """Say whether a load is under way."""
        return self._began is not None

    @property
    def because(self) -> str:
        """Return why the next iteration comes when it does: `event` or `time`."""
        return "event" if self._event else "time"

    @property
    def launch_at(self) -> float:
        """Return when the next load is to begin; `NEVER` while there is no need of one."""
        if self.loading or self._complete or self._taking:
            return NEVER
        if self._first or self._event:
            return self._not_before
        lead = min(self.timing.expected + MARGIN, self.interval)
        return max(self.next_at - lead, self._not_before)

    @property
    def iterate_at(self) -> float:
        """Return when what is loaded is to be taken in; `NEVER` while it is not complete."""
        if not self._complete:
            return NEVER
        return -NEVER if self._event else self.next_at

    @property
    def due(self) -> float:
        """Return when there is next something to do."""
        return min(self.launch_at, self.iterate_at)

    def happened(self, *, seen: bool = True) -> None:
        """Take note of an event. Not seen: what is loaded by now need not show it."""
        self._event = True
        if not seen:
            self._again, self._complete = self.loading, False

    def launched(self, now: float) -> None:
        """Take note that a load has begun."""
        self._began, self._first = now, False
        self._complete = self._again = False

    def loaded(self, now: float) -> None:
        """Take note that all has been answered."""
        if self._began is None:
            return
        took = now - self._began
        self.timing.took(took)
        self._not_before = now + max(GAP, took)
        self._began, self._complete = None, True

    def failed(self, now: float, pause: float) -> None:
        """Take note that there will be no answer. pause: seconds until it can be asked again."""
        self._began, self._complete = None, False
        self.timing.failed += 1
        self._first = True
        self._not_before = max(self._not_before, now + max(GAP, pause))

    def iterated(self, now: float) -> None:
        """Take note that what was loaded has been taken in."""
        self._complete = False
        self._event, self._again = self._again, False
        self.next_at, self._iterated_at = now + self.interval, now

    def takes(self) -> None:
        """Take note that this takes several turns: until it is over, another load is of no use."""
        self._taking = True

    def taken(self, now: float) -> None:
        """Take note that all of it is in. There is time for plans before the next load is in."""
        if self._taking:
            self._taking = False
            self._not_before = max(self._not_before, now + max(GAP, now - self._iterated_at))
