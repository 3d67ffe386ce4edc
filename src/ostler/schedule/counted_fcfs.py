"""First come, first served: each job starts when it fits and all before it have started."""

from heapq import heappop, heappush

from ostler.schedule.counted_work import TELL_EVERY, Tell, Work


def fcfs(work: Work, procs: int, tell: Tell) -> list[int]:
    """Return start seconds in order of arrival. Cost: a heap of what runs.

    No job passes another, so the start of each follows from those before it alone, and neither
    estimates nor the order of events inside one second have a say.
    """
    starts: list[int] = []
    ends: list[tuple[int, int]] = []  # end, size
    free, now = procs, 0
    for job, (submitted, seconds, wanted) in enumerate(
        zip(work.submit, work.run, work.size, strict=True)
    ):
        if not job % TELL_EVERY:
            tell(job)
        now = max(now, submitted)
        while free < wanted or (ends and ends[0][0] <= now):
            end, given = heappop(ends)
            free += given
            now = max(now, end)
        free -= wanted
        heappush(ends, (now + seconds, wanted))
        starts.append(now)
    return starts
