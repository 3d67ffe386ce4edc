"""How many jobs wait, by whom, for which project, and where."""

from ostler.core.entry import Entry
from ostler.model.states import JobState
from ostler.schedule.limits import Bucket
from ostler.schedule.rules import Holder

Account = tuple[str, str, str]  # user, project and partition of a job

_COLUMNS = {Holder.USER: 0, Holder.PROJECT: 1, Holder.PARTITION: 2}
_WAITS = (JobState.PENDING, JobState.HELD)


class WaitingJobs:
    """Jobs of which nothing runs; steps do not count."""

    def __init__(self) -> None:
        self._counts: dict[Account, int] = {}

    def look(self, entry: Entry, *, over: bool = False) -> None:
        """Count the job if it waits now, or no more. over: it is no longer among the unfinished."""
        job, spec = entry.job, entry.job.spec
        waits = job.state in _WAITS and not (over or spec.within)
        account = (job.user, spec.project, spec.partition) if waits else None
        if account == entry.waits_as:
            return
        if entry.waits_as is not None:
            left = self._counts.pop(entry.waits_as) - 1
            if left:
                self._counts[entry.waits_as] = left
        if account is not None:
            self._counts[account] = self._counts.get(account, 0) + 1
        entry.waits_as = account

    def of(self, bucket: Bucket) -> int:
        """Return how many count in this bucket of limits. Cost: by accounts, not by jobs."""
        holder, name, where = bucket
        at = _COLUMNS[holder]
        return sum(
            count
            for account, count in self._counts.items()
            if where in ("", account[2]) and name in ("", account[at])
        )
