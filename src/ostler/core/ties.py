"""Arrays that wait for others element by element: element 7 starts when element 7 there succeeded.

What is tied follows from how the elements of the other job ended, so nothing of it is stored.
docs/decisions/0014-workflows-and-tasks.md has the why.
"""

from collections.abc import Mapping

from msgspec.structs import replace

from ostler.core.entry import Entry
from ostler.core.state import State
from ostler.model.errors import NotNow, Refused, UsageError
from ostler.model.ids import element_name
from ostler.model.job import Job, JobSpec
from ostler.model.ranges import RangeSet, format_ranges, without
from ostler.model.states import JobState, Result

_ROWS = 1_000  # elements that end at once with a row of their own, at most


def check(s: State, job: Job, beside: Mapping[int, JobSpec]) -> None:
    """Raise the error that refuses a dependency element by element.

    beside: jobs of the same submission, by the ids that they will have.
    """
    for number in job.spec.tied_to:
        entry = _known(s, number)
        spec = entry.job.spec if entry else beside.get(number)
        if spec is None:
            raise _forgotten(number)
        name = f"job {spec.name!r}" if number in beside else f"job {number}"
        if not (job.spec.array and spec.array):
            which = name if job.spec.array else "it"
            raise UsageError(f"elements are to wait for those of {name}, and {which} is no array")
        if job.spec.array != spec.array:
            mine, theirs = _sized(job.spec), _sized(spec)
            raise UsageError(
                f"it has {mine}, and {name}, which they are to wait for one by one, {theirs}",
                expected="the same elements in both",
            )
        if entry and number in s.ended and not entry.results.get(Result.SUCCESS):
            raise Refused(f"it could never start: no element of {name} succeeded")


def _sized(spec: JobSpec) -> str:
    count = sum(high - low + 1 for low, high in spec.array)
    return f"{count} elements ({format_ranges(list(spec.array))})"


def _known(s: State, number: int) -> Entry | None:
    return s.jobs.get(number) or s.recent.get(number)


def _forgotten(number: int) -> NotNow:
    return NotNow(f"how the elements of job {number} ended is not at hand", hint="try again")


def check_known(s: State, job: Job) -> None:
    """Raise `NotNow` unless memory has all jobs whose elements this one's wait for."""
    for number in job.spec.tied_to:
        if _known(s, number) is None:
            raise _forgotten(number)


def tie(s: State, entry: Entry, ended: Mapping[int, list[int]] | None = None) -> None:
    """Bar the elements that wait for others. ended: successes of jobs that memory does not have."""
    for number in entry.job.spec.tied_to:
        other = _known(s, number)
        well = [(i, i) for i in (ended or {}).get(number, ())]
        if other is not None and (successes := other.results.get(Result.SUCCESS)):
            well = successes.spans
        entry.tied[number] = RangeSet(without(list(entry.job.spans()), RangeSet(well).spans))
    if entry.tied:
        open_spans = entry.waiting.spans
        for elements in entry.tied.values():
            open_spans = without(open_spans, elements.spans)
        entry.barred = RangeSet(without(entry.waiting.spans, open_spans))
        entry.waiting = RangeSet(open_spans)


def hopeless(s: State, entry: Entry, index: int) -> bool:
    """Say whether an element cannot start as things are: its own of another job did not succeed."""
    return any(
        number in s.ended or (number in s.jobs and s.jobs[number].result_of(index) is not None)
        for number, elements in entry.tied.items()
        if index in elements
    )


def loosen(s: State, other: Entry, entry: Entry) -> list[tuple[int, str]]:
    """Let elements wait for their turn whose own of `other` have succeeded.

    Returns (element, sentence) for those that wait in vain. Cost: by what has changed since the
    last call, and by the number of ranges.
    """
    tied = entry.tied[other.job.id]
    well = other.results.get(Result.SUCCESS)
    for index in well.common(tied.spans) if well else ():
        tied.discard(index)
        if index in entry.barred:
            entry.barred.discard(index)
            entry.let_wait(index)
            s.marks.jobs.add(entry.job.id)
            s.changed = True
    lost: list[tuple[int, str]] = []
    for result, found in other.results.items():
        if result != Result.SUCCESS and entry.barred:
            told = f"ended as {result}, and was to succeed first"
            lost += [
                (i, f"element {element_name(other.job.id, i)} {told}")
                for i in found.common(entry.barred.spans)
            ]
    return lost


def end_lost(s: State, now: float, entry: Entry, lost: list[tuple[int, str]]) -> str:
    """End elements that wait in vain; return the sentence for the job. Whoever calls settles it."""
    many = len(lost) > _ROWS
    untouched: list[tuple[int, int]] = []
    for index, why in lost:
        if many and index not in entry.touched:
            untouched.append((index, index))
            continue
        element = replace(
            entry.element(index),
            state=JobState.DONE,
            result=Result.DEPENDENCY,
            reason=why,
            held_by="",
            ended_at=now,
        )
        s.save(element)
        entry.finish(index, Result.DEPENDENCY, None, element.attempt)
    if untouched:
        _end_without_rows(entry, RangeSet(untouched))
    return lost[0][1] if len(lost) == 1 else f"{len(lost)} of the elements it waits for failed"


def _end_without_rows(entry: Entry, ended: RangeSet) -> None:
    """Count elements as ended whose end the row of the job tells; see `load`."""
    entry.barred = RangeSet(without(entry.barred.spans, ended.spans))
    into = entry.results.setdefault(Result.DEPENDENCY, RangeSet())
    into.spans = RangeSet([*into.spans, *ended.spans]).spans
    entry.job = replace(entry.job, rest=Result.DEPENDENCY)


def end_rest(s: State, entry: Entry) -> None:
    """After a restart: end what `end_lost` ended without rows."""
    lost = [i for i in entry.barred if i not in entry.touched and hopeless(s, entry, i)]
    if lost:
        _end_without_rows(entry, RangeSet([(i, i) for i in lost]))


def bar_again(s: State, now: float, other: Entry, indices: list[int]) -> None:
    """Tie elements anew to those of `other` that are to run again."""
    for number in s.dependents.get(other.job.id, ()):
        entry = s.jobs[number]
        tied = entry.tied.get(other.job.id)
        if tied is None:
            continue
        for index in indices:
            tied.add(index)
            if index in entry.waiting:
                entry.waiting.discard(index)
                entry.barred.add(index)
            elif entry.job.rest and entry.result_of(index) == Result.DEPENDENCY:
                # It stays ended, and that can no longer be told from how the other one ended.
                why = f"element {element_name(other.job.id, index)} did not succeed the first time"
                s.save(
                    replace(
                        entry.element(index),
                        state=JobState.DONE,
                        result=Result.DEPENDENCY,
                        reason=why,
                        ended_at=now,
                    )
                )
        s.marks.jobs.add(number)
