"""Loads of resource managers, taken in as a whole; and what their drivers tell beside."""

from collections.abc import Iterator
from math import inf

from msgspec.structs import replace

from ostler.core.events import RmAnswered, RmLoaded, RmTrouble, RmUp
from ostler.core.foreign import intake, jobs, nodes, orders, uses
from ostler.core.foreign.again import not_taken_again
from ostler.core.foreign.distrust import clean
from ostler.core.foreign.look import Look
from ostler.core.foreign.rms import Asked, Denied, Intake, Rm
from ostler.core.foreign.spread import may_go_elsewhere, pause, rms_of
from ostler.core.foreign.told import allocation_of, back, ended, goes_on, keep
from ostler.core.foreign.usable import looks
from ostler.core.foreign.whose import is_free
from ostler.core.moves import settle
from ostler.core.state import State
from ostler.model.foreign import About, Did, ForeignState, Option, Outcome
from ostler.model.foreign_rows import RmJob, Stage
from ostler.model.states import AllocationState, Result

_JOB = 1.0  # microseconds to look whose a job is
_DOUBLED = 10  # times that the pause after a cancel that was refused is doubled
_MOST_PAUSE = 60.0  # seconds: somebody waits for that end
_TAKEN = (Did.DONE, Did.ACCEPTED, Did.ALREADY)


def on_up(s: State, now: float, event: RmUp) -> None:
    """Take note of what a driver is."""
    rm = s.rms.get(event.rm)
    if rm is not None:
        news = rm.troubled or rm.about != event.about
        rm.about = event.about
        rm.troubled, rm.lost = False, ""
        if news:  # its process may be another each time that a node does not answer
            s.note(now, "driver/up", clean(event.about.title), about=event.rm)


def _learn(s: State, rm: Rm, about: About) -> Iterator[float]:
    """Take note of what a driver can; jobs may be ours to start, or to suspend, that were not."""
    rm.about = about
    if rm.counted == about.options:
        return
    for numbers in intake.sliced(list(s.jobs)):
        for number in [number for number in numbers if number in s.jobs]:
            entry = s.jobs[number]
            if rm in rms_of(s, entry):
                s.marks.jobs.add(number)
                s.marks.allocations.update(entry.slots)
        yield _JOB * len(numbers)
    rm.counted, s.changed = about.options, True


def on_trouble(s: State, now: float, event: RmTrouble) -> None:
    """Record it. What became of the calls that were lost with it is not known."""
    rm = s.rms.get(event.rm)
    if rm is None:
        return
    rm.troubled = True
    if event.until:  # a process is gone, not only an answer
        rm.lost = clean(event.why)
    s.note(now, f"driver/{event.kind}", clean(event.why), about=event.rm)
    for number in event.calls:
        _answered(s, now, rm, number, Outcome(Did.UNKNOWN, text=event.why))


def on_loaded(s: State, now: float, event: RmLoaded) -> None:
    """Take nodes and jobs in; or note that there was no answer.

    What it does not answer is as it was, and nothing new is started there. A load that comes while
    another is being taken in follows it, unless there is a newer one by then.
    """
    rm = s.rms.get(event.rm)
    if rm is None or not rm.row.enabled:
        return  # it was removed meanwhile
    if rm.intake is not None:
        rm.following = event
    else:
        intake.begin(s, now, rm, event, _steps)


def on_more(s: State, now: float) -> None:
    """Go on with the load whose turn it is."""
    while s.parts.taking:
        rm = s.rms.get(s.parts.taking.popleft())
        if rm is None or (rm.intake is None and rm.following is None):
            continue  # it was removed meanwhile
        if not rm.row.enabled:
            intake.drop(s, rm)
            continue
        if rm.intake is not None:
            intake.go_on(s, now, rm, rm.intake)
        elif rm.following is not None:
            load, rm.following = rm.following, None
            intake.begin(s, now, rm, load, _steps)
        return


def _steps(s: State, rm: Rm, at: Intake, load: RmLoaded) -> Iterator[float]:
    """Take a load in, step by step."""
    yield from _learn(s, rm, load.about)
    rm.took = load.took
    rm.loads += 1
    if load.nodes is None or load.jobs is None:
        _went_down(s, at.now, rm, clean(load.why))
    else:
        _came_up(s, at.now, rm)
    began, told, listed = load.began, load.jobs, load.nodes
    del load  # what has been taken in is let go of bit by bit
    if listed is not None:
        yield from nodes.take(s, at, rm, listed, began)
        if told is not None:
            look = Look(s, at, rm, began)
            work = jobs.take(look, told)
            del told
            yield from work
            yield from uses.compare(s, at, rm, began)
    for each in list(s.rms.values()):  # others, too, of which a node is the same computer
        if each.stale and (each is rm or each.intake is None):
            yield from looks(s, each)


def _went_down(s: State, now: float, rm: Rm, why: str) -> None:
    if rm.down_since is None or not rm.why or rm.loads == 1:
        s.note(now, "rm/down", why, about=rm.name)
    rm.stale = rm.stale or rm.down_since is None or rm.why != why
    rm.down_since = now if rm.down_since is None else rm.down_since
    rm.why = why


def _came_up(s: State, now: float, rm: Rm) -> None:
    if rm.down_since is not None:
        s.note(now, "rm/up", f"it answers, after {now - rm.down_since:.0f} s", about=rm.name)
        rm.stale = True
    rm.down_since, rm.why, rm.lost = None, "", ""


# -- answers to calls ---------------------------------------------------------------------------


def on_answered(s: State, now: float, event: RmAnswered) -> None:
    """Take the answer to a call in."""
    rm = s.rms.get(event.rm)
    if rm is not None:
        _answered(s, now, rm, event.call, event.outcome)


def _answered(s: State, now: float, rm: Rm, number: int, outcome: Outcome) -> None:
    asked = rm.asked.pop(number, None)
    if asked is None:
        return  # of a manager before this one
    rm.under_way.discard(asked)
    job = rm.jobs.get(asked.key)
    if job is None:
        return
    outcome = replace(outcome, text=clean(outcome.text))
    if asked.verb in (Option.SUSPEND, Option.RESUME):
        rm.turned[asked.key] = now  # a load that began before need not show it
    if asked.verb == orders.START:
        _start_answered(s, now, rm, job, outcome)
    elif asked.verb == orders.CANCEL:
        _cancel_answered(s, now, rm, job, outcome)
    elif outcome.did in (Did.REFUSED, Did.NEVER):
        _refused(s, now, rm, job, asked, outcome)


def _start_answered(s: State, now: float, rm: Rm, job: RmJob, outcome: Outcome) -> None:
    if job.stage is not Stage.ASKED:
        return  # a load has shown it already, or it has ended
    if outcome.did is not Did.UNKNOWN:
        rm.denied.pop(Asked(orders.START, job.key), None)
    text = outcome.text or "it gave no reason"
    said = f"{rm.name} refused it: {text}"
    alloc = allocation_of(s, job)
    if outcome.end is not None:
        ended(s, now, rm, replace(job, id=job.id or outcome.end.id), outcome.end)
    elif outcome.did not in _TAKEN and job.missing_since is not None:
        not_taken_again(s, now, rm, job, outcome)
    elif outcome.did in _TAKEN:
        taken = replace(
            job,
            stage=Stage.TAKEN,
            since=now,
            missing_since=None,
            id=outcome.id if outcome.id and is_free(rm, outcome.id, job.key) else job.id,
            incarnation=outcome.incarnation or job.incarnation,
            reason="",
        )
        keep(s, rm, taken)
        if alloc is not None and alloc.cause:
            orders.cancel(s, rm, taken)
    elif outcome.did is Did.REFUSED:
        s.note(now, "start/refused", said, job=job.job, about=rm.name)
        back(s, now, rm, job, said)
    elif outcome.did is Did.NEVER:
        s.note(now, "start/refused", f"{said}; it always will", job=job.job, about=rm.name)
        if alloc is not None and may_go_elsewhere(s, alloc):
            back(s, now, rm, job, said)
            pause(s.jobs[job.job], rm.name, inf)
            return
        _never(s, now, rm, job, said)
    else:
        _unsaid(s, now, rm, job, orders.START, outcome)


def _never(s: State, now: float, rm: Rm, job: RmJob, why: str) -> None:
    """End a job that will never start; hold it if it goes on waiting in its resource manager."""
    entry = s.jobs.get(job.job)
    if not job.theirs or entry is None:
        back(s, now, rm, job, why, str(Result.REJECTED))
        return
    back(s, now, rm, job, why)
    before = entry.job
    entry.job = replace(before, held_by="ostler")
    settle(s, now, entry, why=why, saved=before)


def _cancel_answered(s: State, now: float, rm: Rm, job: RmJob, outcome: Outcome) -> None:
    if outcome.did in _TAKEN:
        rm.ending[job.key] = now
        rm.denied.pop(Asked(orders.CANCEL, job.key), None)
    elif outcome.did is Did.UNKNOWN:
        _unsaid(s, now, rm, job, orders.CANCEL, outcome)
    else:
        asked, text = Asked(orders.CANCEL, job.key), outcome.text or "it gave no reason"
        before = rm.denied.get(asked, Denied("", 0, now))
        pause = min(rm.row.retry * 2 ** min(before.times, _DOUBLED), _MOST_PAUSE)
        rm.denied[asked] = Denied(text, before.times + 1, now + pause)
        if text != before.text:
            said = f"{rm.name} does not end it: {text}"
            s.note(now, "cancel/refused", said, job=job.job, about=rm.name)


def _unsaid(s: State, now: float, rm: Rm, job: RmJob, verb: str, outcome: Outcome) -> None:
    """Record that nobody can tell what became of an order: with the next load it is asked again."""
    asked = Asked(verb, job.key)
    if asked not in rm.denied:
        said = f"nobody can tell whether {rm.name} did {verb} it: {outcome.text}"
        s.note(now, f"{verb}/unknown", said, job=job.job, about=rm.name)
        rm.denied[asked] = Denied(outcome.text, 1, now)
    if outcome.text != job.reason:
        keep(s, rm, replace(job, reason=outcome.text))


def _refused(s: State, now: float, rm: Rm, job: RmJob, asked: Asked, outcome: Outcome) -> None:
    """Record it. What was to stand still, and does not, goes on here, too."""
    text = f"{rm.name} does not {asked.verb} it: {outcome.text}"
    s.note(now, f"{asked.verb}/refused", text, job=job.job, about=rm.name)
    alloc = allocation_of(s, job)
    if asked.verb != Option.SUSPEND or alloc is None:
        return
    if alloc.state is AllocationState.SUSPENDED and job.state == ForeignState.RUNNING:
        goes_on(s, now, rm, job, alloc)
