"""Keeps the memory limit of a share: by control group where there is one, else by looking."""

import os
import resource  # wait4 loads it too, when a job's user may not be able to read it

from ostler.agent.proc import descendants, proportional, resident
from ostler.model.units import format_size
from ostler.wire.cgroup import Groups

_SOON, _LATE = 0.02, 0.2  # seconds between two looks, near the limit and far from it
_COUNT = 1.0  # seconds between two looks at the kernel's count of kills


class MemoryWatch:
    """Watches everything below this process against `limit` bytes; 0: only sums up."""

    __slots__ = ("_baseline", "_by_kernel", "_groups", "_interval", "_killed", "limit", "peak")

    def __init__(self, groups: Groups, limit: int) -> None:
        self.limit = limit
        self.peak = 0  # bytes, of one process by the kernel or of all by looking
        self._groups = groups
        self._by_kernel = groups.limit(limit)
        self._killed = groups.kills() if limit else 0
        # A child counts what its parent had at the spawn as its own peak.
        self._baseline = _own_peak() if limit else 0
        self._interval = _SOON

    def begin(self) -> None:
        """Begin anew with the next element."""
        self.peak = 0
        if self._by_kernel:
            self._killed = self._groups.kills()

    @property
    def interval(self) -> float | None:
        """Return the seconds until the next look; None if none is needed."""
        if not self.limit:
            return None
        return _COUNT if self._by_kernel else self._interval

    def look(self) -> str:
        """Return why the limit is broken, one sentence; empty while it is kept."""
        if not self.limit:
            return ""
        if self._by_kernel:
            if self._groups.kills() > self._killed:
                return self._sentence(self._groups.peak())
            return ""
        used = self._in_use()
        self.peak = max(self.peak, used)
        near = used > self.limit // 2
        self._interval = _SOON if near else min(self._interval * 2, _LATE)
        return self._sentence(used) if used > self.limit else ""

    def ended(self, peak: int) -> str:
        """Take in the peak of one process that has ended; return why that is too much, or ''."""
        self.peak = max(self.peak, peak)
        if self.limit and peak > self.limit and peak > self._baseline:
            return self._sentence(peak)
        return self.look() if self._by_kernel else ""

    def _in_use(self) -> int:
        pids = self._groups.members()
        if pids is None:
            pids = descendants(os.getpid())
        used = sum(map(resident, pids))
        if used > self.limit:
            # Pages that forked processes share are counted once for each; look closer. What cannot
            # be looked at so closely counts as it is now, and what has ended since, not at all.
            used = sum(proportional(pid) or resident(pid) for pid in pids)
        return used

    def _sentence(self, used: int) -> str:
        if used <= self.limit:
            return f"ran out of the {format_size(self.limit)} of memory it asked for"
        return f"used {format_size(used)} of the {format_size(self.limit)} it asked for"


def _own_peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
