"""Replay as the definitions read, slowly: every question is answered anew from who holds what.

Shares nothing with `ostler.schedule`; what it returns is what that must return.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class Job(NamedTuple):
    """One job of a trace. Times are seconds."""

    submit: int
    run: int
    size: int
    estimate: int


class Hold(NamedTuple):
    """Processors that are not free from one second on, up to another that is not part of it."""

    begin: int
    end: int
    size: int


@dataclass
class Story:
    """What happened so far."""

    jobs: Sequence[Job]
    procs: int
    starts: dict[int, int] = field(default_factory=dict)
    order: list[int] = field(default_factory=list)  # of starts, as decided
    ended: set[int] = field(default_factory=set)
    promises: list[tuple[int, int]] = field(default_factory=list)  # job, second; each as made

    def start(self, job: int, now: int) -> None:
        self.starts[job] = now
        self.order.append(job)

    def holds(self) -> list[Hold]:
        """Return what is held until its planned end by jobs whose termination has not come."""
        return [
            Hold(self.starts[j], self.starts[j] + self.jobs[j].estimate, self.jobs[j].size)
            for j in self.order
            if j not in self.ended
        ]

    def ending(self, now: int) -> list[int]:
        """Return whose termination falls into this second, in the order in which they started."""
        return [j for j in self.order if self.starts[j] + self.jobs[j].run == now]


def slow_replay(jobs: Sequence[Job], procs: int, policy: str, rule: str) -> list[int]:
    """Return start seconds in order of arrival. policy: as `parse_policy` takes; rule: event, batch."""
    story = slow_story(jobs, procs, policy, rule)
    return [story.starts[job] for job in range(len(jobs))]


def slow_story(jobs: Sequence[Job], procs: int, policy: str, rule: str) -> Story:
    """Return all that happened in the end."""
    story = Story(jobs, procs)
    if policy == "conservative":
        _conservative(story, rule)
    else:
        _queued(story, rule, PASSES[policy] if policy in PASSES else _reserved(policy))
    return story


def free_at(second: int, procs: int, holds: Sequence[Hold]) -> int:
    return procs - sum(hold.size for hold in holds if hold.begin <= second < hold.end)


def fits(job: Job, begin: int, procs: int, holds: Sequence[Hold]) -> bool:
    """Say whether it could run from `begin` on for all of its estimate."""
    changes = [hold.begin for hold in holds if begin < hold.begin < begin + job.estimate]
    return all(free_at(second, procs, holds) >= job.size for second in [begin, *changes])


def earliest(job: Job, now: int, procs: int, holds: Sequence[Hold]) -> int:
    """Return the first second from now on at which it fits; more gets free only as a hold ends."""
    seconds = sorted({now, *(hold.end for hold in holds if hold.end > now)})
    return next(second for second in seconds if fits(job, second, procs, holds))


# ── those that decide who starts now ─────────────────────────────────────────────────────────

Pass = Callable[[Story, list[int], int], None]  # story, who waits in order of arrival, now


def _queued(story: Story, rule: str, serve: Pass) -> None:
    waiting: list[int] = []

    def one_pass(now: int) -> None:
        serve(story, waiting, now)
        waiting[:] = [job for job in waiting if job not in story.starts]

    now = -1
    while True:
        soon = [story.starts[j] + story.jobs[j].run for j in story.starts]
        times = [at for at in [*(job.submit for job in story.jobs), *soon] if at > now]
        if not times:
            return
        now = min(times)
        arriving = [j for j, job in enumerate(story.jobs) if job.submit == now]
        ending = story.ending(now)
        if rule == "batch":
            story.ended.update(ending)
            waiting += arriving
            one_pass(now)
            continue
        for job in arriving:
            waiting.append(job)
            one_pass(now)
        for job in ending:
            story.ended.add(job)
            one_pass(now)


def _free(story: Story, now: int) -> int:
    return free_at(now, story.procs, story.holds())


def _fcfs(story: Story, waiting: list[int], now: int) -> None:
    for job in waiting:
        if story.jobs[job].size > _free(story, now):
            return
        story.start(job, now)


def _easy(
    story: Story, waiting: list[int], now: int, scan: Callable[[int], int] = lambda _: 0
) -> None:
    _fcfs(story, waiting, now)
    left = [job for job in waiting if job not in story.starts]
    if not left:
        return
    head, holds = story.jobs[left[0]], story.holds()
    shadow = min(hold.end for hold in holds if free_at(hold.end, story.procs, holds) >= head.size)
    extra = free_at(shadow, story.procs, holds) - head.size
    story.promises.append((left[0], shadow))
    for job in sorted(left[1:], key=scan):
        size, estimate = story.jobs[job].size, story.jobs[job].estimate
        if size > _free(story, now):
            continue
        if now + estimate <= shadow:
            story.start(job, now)
        elif size <= extra:
            extra -= size
            story.start(job, now)


def _sjbf(story: Story, waiting: list[int], now: int) -> None:
    _easy(story, waiting, now, lambda job: story.jobs[job].estimate)


PASSES: dict[str, Pass] = {"fcfs": _fcfs, "easy": _easy, "easy-sjbf": _sjbf}


def _reserved(policy: str) -> Pass:
    most = int(policy.removeprefix("reserved-"))

    def serve(story: Story, waiting: list[int], now: int) -> None:
        promised: list[Hold] = []
        for number in waiting:
            job, holds = story.jobs[number], [*story.holds(), *promised]
            if fits(job, now, story.procs, holds):
                story.start(number, now)
            elif len(promised) < most:
                begin = earliest(job, now, story.procs, holds)
                if not promised:
                    story.promises.append((number, begin))
                promised.append(Hold(begin, begin + job.estimate, job.size))

    return serve


# ── the one in which everybody has a promise ─────────────────────────────────────────────────


def _conservative(story: Story, rule: str) -> None:
    promise: dict[int, int] = {}

    def held_without(one: int) -> list[Hold]:
        others = [
            Hold(begin, begin + story.jobs[j].estimate, story.jobs[j].size)
            for j, begin in promise.items()
            if j != one and j not in story.starts
        ]
        return [*story.holds(), *others]

    def put(job: int, now: int) -> None:
        promise[job] = earliest(story.jobs[job], now, story.procs, held_without(job))
        story.promises.append((job, promise[job]))

    def sweep(now: int) -> None:
        for job in sorted(promise):
            if promise[job] > now:
                put(job, now)

    now = -1
    while True:
        now = min(_coming(story, promise, now), default=-1)
        if now < 0:
            return
        arriving = [j for j, job in enumerate(story.jobs) if job.submit == now]
        ending = story.ending(now)
        if rule == "batch":
            story.ended.update(ending)
            if ending:
                sweep(now)
            for job in arriving:
                put(job, now)
        else:
            for job in arriving:
                put(job, now)
            for job in ending:
                story.ended.add(job)
                sweep(now)
        for job in sorted(promise):
            if promise[job] == now:
                story.start(job, now)


def _coming(story: Story, promise: dict[int, int], now: int) -> Iterator[int]:
    """Yield the seconds after this one in which something happens."""
    yield from (job.submit for job in story.jobs if job.submit > now)
    yield from (begin for begin in promise.values() if begin > now)
    ends = (story.starts[j] + story.jobs[j].run for j in story.starts)
    yield from (end for end in ends if end > now)
