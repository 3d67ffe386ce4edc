"""How many jobs wait, by whom, for which project, and where."""

from collections.abc import Mapping

from ostler.core.entry import Entry
from ostler.model.states import JobState
from ostler.schedule.limits import Bucket
from ostler.schedule.rules import Holder

Account = tuple[str, str, str]  # user, project and partition of a job

_COLUMNS = {Holder.USER: 0, Holder.GROUP: 0, Holder.PROJECT: 1, Holder.PARTITION: 2}
_WAITS = (JobState.PENDING, JobState.HELD)


def account_of(entry: Entry) -> Account | None:
    """Return where an unfinished job counts as one that waits; None: it does not."""
    job, spec = entry.job, entry.job.spec
    waits = job.state in _WAITS and not spec.within
    return (job.user, spec.project, spec.partition) if waits else None


class WaitingJobs:
    """Jobs of which nothing runs; steps do not count."""

    def __init__(self) -> None:
        self.counts: dict[Account, int] = {}
        self.members: Mapping[str, tuple[str, ...]] = {}  # user -> groups

    def look(self, entry: Entry, *, over: bool = False) -> None:
        """Count the job if it waits now, or no more. over: it is no longer among the unfinished."""
        account = None if over else account_of(entry)
        if account == entry.waits_as:
            return
        if entry.waits_as is not None:
            left = self.counts.pop(entry.waits_as) - 1
            if left:
                self.counts[entry.waits_as] = left
        if account is not None:
            self.counts[account] = self.counts.get(account, 0) + 1
        entry.waits_as = account

    def of(self, bucket: Bucket) -> int:
        """Return how many count in this bucket of limits. Cost: by accounts, not by jobs."""
        holder, name, where = bucket
        at = _COLUMNS[holder]
        group = holder is Holder.GROUP
        return sum(
            count
            for account, count in self.counts.items()
            if where in ("", account[2])
            and name in (self.members.get(account[at], ()) if group else ("", account[at]))
        )
