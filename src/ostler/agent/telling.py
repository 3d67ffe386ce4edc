"""Tells the agent how far the elements of a slot are, in windows, and until it is acknowledged."""

import time
from collections.abc import Callable
from math import inf

from ostler.agent import spool
from ostler.agent.spool import Row, Spool
from ostler.core.line import Line

Message = dict[str, object]
Tell = Callable[[Message], None]

WINDOW = 0.1  # seconds between two messages, unless more work is wanted
_SOON = 0.02  # seconds of work left in the queue at which more is wanted at once


class Telling:
    """What is known of a slot's elements, on its way to the manager: spool first, then message."""

    def __init__(self, alloc: int, line: Line, spooled: Spool, tell: Tell) -> None:
        self.due = inf  # monotonic seconds of the next `progress`
        self.ends = 0  # elements of the slot that ended here
        self.is_spool_long = False  # it wants to be begun anew, as was seen at the last message
        self._alloc = alloc
        self._line = line
        self._spool = spooled
        self._tell = tell
        self._heard = 0  # ends that need not be told any more
        self._told = 0  # ends that were told
        self._told_at = time.monotonic()
        self._low = 0  # queued elements at which more is wanted at once
        self._is_low_told = False

    def begun(self) -> None:
        """Tell soon that another element runs, at once if it is time to ask for more."""
        line = self._line
        if not line.last and not self._is_low_told and len(line.queue) <= self._low:
            self._is_low_told = True
            self.report()
        if self.due == inf:
            self.due = self._told_at + WINDOW  # at once, unless a message has just gone

    def fed(self) -> None:
        """Note that more has come, so that its end is worth a message again."""
        self._is_low_told = False

    def ended(self, row: Row) -> None:
        """Note how the running element ended, to be written before the next one begins."""
        self._line.ended(row)
        self.ends += 1
        _, _, started_at, at, cause, why, _, usage = row
        if cause or why or started_at is None or not isinstance(usage, list):
            self._spool.keep(spool.ENDS, {"rows": [row], "last": self.ends})
        else:
            self._spool.keep(spool.OVER, self.ends, at, *usage)
        if self.due == inf:
            self.due = self._told_at + WINDOW  # at once, unless a message has just gone

    def ended_all(self, rows: list[Row]) -> None:
        """Note how all elements ended, none of which has begun."""
        for row in rows:
            self._line.ended(row)
        self.ends += len(rows)
        self._spool.note(spool.ENDS, {"rows": rows, "last": self.ends})

    def report(self) -> None:
        """Tell how far the elements are, if that is news."""
        self.due = inf
        if self._line.running is None and not self._line.untold:
            return
        self._spool.flush()
        self.is_spool_long = self._spool.is_long
        now = time.monotonic()
        ended = self.ends - self._told
        self._low = int(_SOON * ended / (now - self._told_at)) if ended else 0
        self._told, self._told_at = self.ends, now
        self._tell(self._line.report(self._alloc))

    def acknowledge(self, serial: int) -> None:
        """Forget what was told up to this serial."""
        gone = self._line.acknowledge(serial)
        if gone:
            self._heard += gone
            self._spool.note(spool.HEARD, self._heard)

    def renew_spool(self, state: Message) -> None:
        """Begin the spool anew, between two elements, with the state of the share and these ends."""
        self.is_spool_long = False
        try:
            self._spool.renew({**state, "rows": self._line.unacknowledged, "last": self.ends})
        except OSError:
            return  # no room for it: the old one serves on
