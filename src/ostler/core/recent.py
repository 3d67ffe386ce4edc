"""Ended jobs that are kept whole in memory for a while: the newest, up to a number and a weight."""

from collections import OrderedDict

from ostler.core.entry import Entry
from ostler.model.limits import MAX_REFS

RECENT = 2 * MAX_REFS  # jobs, at most
RECENT_BYTES = 64 << 20  # of their commands and lists, at most, if there are several


class Recent(OrderedDict[int, Entry]):
    """The jobs by their numbers, those that ended last behind."""

    def __init__(self) -> None:
        super().__init__()
        self._weight = 0

    def keep(self, entry: Entry) -> list[Entry]:
        """Keep a job; return those that are kept no longer for it."""
        gone: list[Entry] = []
        self.forget(entry.job.id)
        self[entry.job.id] = entry
        self._weight += entry.weight
        while len(self) > RECENT or (self._weight > RECENT_BYTES and len(self) > 1):
            old = self[next(iter(self))]
            self.forget(old.job.id)
            gone.append(old)
        return gone

    def forget(self, number: int) -> None:
        """Keep a job no longer, if it is kept."""
        old = self.pop(number, None)
        if old is not None:
            self._weight -= old.weight
