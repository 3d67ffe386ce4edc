"""What people may do to foreign jobs, and what is said of them: as far as their drivers can."""

from typing import Any

from ostler.core.entry import Entry
from ostler.core.foreign import orders
from ostler.core.foreign.rms import Rm
from ostler.core.foreign.spread import rm_at, rms_of, spreads
from ostler.core.state import State
from ostler.model.errors import NotNow, Unsupported
from ostler.model.foreign import Option
from ostler.model.foreign_rows import RmJob, Stage
from ostler.model.ids import Ref
from ostler.model.job import FOREIGN
from ostler.model.states import JobState, Rule

# Words for jobs, and what a driver must declare so that they can be said of what runs there.
_RUNNING: dict[str, tuple[Option, ...]] = {
    "suspend": (Option.SUSPEND, Option.RESUME),
    "resume": (Option.SUSPEND, Option.RESUME),
    "signal": (),
    "detach": (),
}
_THEIRS = ("hold", "release", "modify")  # of what waits: it is not the machine's to start


def their_own(s: State, entry: Entry) -> Rm | None:
    """Return the resource manager that starts a job by itself; None: that is done from here."""
    job = entry.job
    if not job.rm or job.spec.kind != FOREIGN:
        return None
    rm = s.rms.get(job.rm)
    if rm is None or (rm.about is not None and not rm.can(Option.SCHEDULES)):
        return None
    return rm  # also as long as its driver has not said what it can


def check(s: State, entry: Entry, verb: str, ref: Ref | None = None) -> None:
    """Raise `Unsupported` if the driver of a job's resource manager has no means for a word.

    ref: the elements that are meant; None: all.
    """
    options = _RUNNING.get(verb)
    for each in rms_of(s, entry, ref) if s.rms and options is not None else ():
        if not (options and all(map(each.can, options))):
            hint = "" if entry.job.rm else "name the elements that are elsewhere"
            raise Unsupported(f"the driver of {_title(each)} cannot {verb} jobs", hint=hint)
    rm = s.rms.get(entry.job.rm)
    if rm is None:
        return
    name = _title(rm)
    if verb == "requeue" and entry.job.spec.kind == FOREIGN:
        raise Unsupported(f"it was submitted to {name} itself, and would be submitted there again")
    if verb in _THEIRS and their_own(s, entry) is not None:
        raise Unsupported(f"{name} starts it by itself", hint=f"{verb} it there")


def _title(rm: Rm) -> str:
    return f"{rm.name} ({rm.about.name if rm.about else rm.row.driver})"


def check_limit(s: State, entry: Entry) -> None:
    """Raise `Unsupported` if the time limit of what runs cannot be another."""
    for rm in rms_of(s, entry) if s.rms and entry.slots else ():
        if not rm.can(Option.MODIFY):
            raise Unsupported(f"the driver of {rm.name} cannot change the time limit of what runs")


def check_cancel(s: State, entry: Entry) -> None:
    """Raise `NotNow` if a job that waits in its resource manager cannot be ended there now."""
    rm = s.rms.get(entry.job.rm)
    if rm is None or entry.job.spec.kind != FOREIGN or entry.slots:
        return
    if rm.down_since is not None:
        raise NotNow(f"{rm.name} does not answer: {rm.why}", hint="try again when it does")


def cancel_waiting(s: State, entry: Entry) -> None:
    """Let what waits in a resource manager end there, too."""
    rm = s.rms.get(entry.job.rm)
    if rm is None or entry.job.spec.kind != FOREIGN:
        return
    for job in jobs_of(s, entry):
        if job.stage is Stage.WAITS:
            orders.cancel(s, rm, job)


def jobs_of(s: State, entry: Entry, element: int | None = None) -> list[RmJob]:
    """Return what resource managers have of a job, the newest attempts of its elements only.

    element: of which that is asked; None: of all.
    """
    job = entry.job
    if not (job.rm or spreads(s, entry)):
        return []
    indices = {*entry.live, *entry.touched} if job.is_array else {0}
    found = []
    for index in sorted(indices) if element is None else (element,):
        if (rm := rm_at(s, entry, index)) is None:
            continue
        attempt = entry.element(index).attempt
        for number in (attempt + 1, attempt):
            if (known := rm.jobs.get((job.id, index, number))) is not None:
                found.append(known)
                break
    return found


def why_waits(s: State, entry: Entry) -> dict[str, Any]:
    """Return why a job waits that its resource manager starts by itself; empty: it is not such."""
    rm = their_own(s, entry)
    if rm is None or entry.slots or entry.job.state is JobState.DONE:
        return {}
    told = next(iter(jobs_of(s, entry)), None)
    said = f", and says: {told.reason}" if told is not None and told.reason else ""
    where = f"{rm.name}/{told.id}" if told is not None else rm.name
    return {
        "rule": str(Rule.FOREIGN),
        "reason": f"it is {where}, which {rm.name} starts by itself{said}",
        "to_start_now": f"ask whoever runs {rm.name}",
    }


def own_reason(s: State, entry: Entry, element: int | None = None) -> str:
    """Return what its resource manager says of a job or element, as one phrase; empty: nothing."""
    told = [job for job in jobs_of(s, entry, element) if job.stage is not Stage.OVER]
    if len(told) != 1 or not (told[0].reason or told[0].native_state):
        return ""
    job = told[0]
    return f"{job.rm} says of {job.id or 'it'}: {' '.join(filter(None, (job.native_state, job.reason)))}"


def unknown_since(s: State, entry: Entry) -> float | None:
    """Return since when nothing that can be understood is told of a job; None: all of it is."""
    times = [
        at
        for job in jobs_of(s, entry)
        if job.stage is not Stage.OVER
        for at in (job.missing_since, s.rms[job.rm].unclear.get(job.key))
    ]
    return min((at for at in times if at is not None), default=None)
