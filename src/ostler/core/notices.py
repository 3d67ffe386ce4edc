"""Users who asked for it are told when their job begins, ends or fails, or elements of it fail."""

from datetime import UTC, datetime
from typing import NamedTuple

from ostler.core.entry import Entry
from ostler.core.state import State
from ostler.model.errand import HOOK, MAIL, Notice
from ostler.model.ids import element_name
from ostler.model.job import Element, Job
from ostler.model.notify import UNHARMED, wanted
from ostler.model.record import Event

BEGUN, FAILED = "job/begun", "element/failed"
ELEMENTS_TOLD = 10  # of one array, where they are asked for


def on_started(s: State, now: float, entry: Entry) -> None:
    """Tell of the first start of any task of the job."""
    job = entry.job
    if job.spec.notify or wanted(job.spec.mail, "begin", ""):
        s.note(now, BEGUN, "its first task started", job=job.id, user=job.user)
        _tell(s, now, entry, "begin")


def on_ended(s: State, now: float, entry: Entry) -> None:
    """Tell of the end, whose event was noted last."""
    if entry.job.spec.mail or entry.job.spec.notify:
        _tell(s, now, entry, "end")


def on_element_failed(s: State, now: float, entry: Entry, element: Element) -> None:
    """Tell of one of the first elements that fail; further ones are in the counts at the end.

    The entry counts this one already.
    """
    job = entry.job
    if "element" not in job.spec.mail or not job.is_array or element.result in UNHARMED:
        return
    failed = sum(len(found) for result, found in entry.results.items() if result not in UNHARMED)
    if failed > ELEMENTS_TOLD:
        return
    name = element_name(job.id, element.index)
    s.note(now, FAILED, element.reason, job=job.id, element=element.index, user=job.user)
    event = Event(
        s.next_event - 1, now, FAILED, job.id, element.index, user=job.user, text=element.reason
    )
    titled = f" ({job.spec.name})" if job.spec.name else ""
    last = failed == ELEMENTS_TOLD
    status = "" if element.exit_status is None else str(element.exit_status)
    rows: list[tuple[str, str]] = [
        ("element", name),
        ("name", job.spec.name),
        ("user", job.user),
        ("node", element.node),
        ("started", _moment(element.started_at)),
        ("ended", _moment(element.ended_at)),
        ("result", str(element.result)),
        ("exit status", status),
        ("reason", element.reason),
        ("note", f"{ELEMENTS_TOLD} have failed: others are not told one by one" if last else ""),
    ]
    subject = f"element {name}{titled}: {element.result}: {element.reason}"
    _send(s, now, job, event, Told("element", str(element.result), subject, _text(rows)))


class Told(NamedTuple):
    """What a user is told."""

    moment: str
    result: str
    subject: str
    lines: tuple[str, ...]


def _tell(s: State, now: float, entry: Entry, moment: str) -> None:
    job = entry.job
    kind = BEGUN if moment == "begin" else "job/ended"
    event = Event(s.next_event - 1, now, kind, job.id, user=job.user, text=job.reason)
    told = Told(moment, str(job.result or ""), _subject(job, moment), _lines(entry, moment))
    _send(s, now, job, event, told)


def _send(s: State, now: float, job: Job, event: Event, told: Told) -> None:
    spec, moment = job.spec, told.moment
    channels = [(HOOK, spec.notify)] if spec.notify else []
    if wanted(spec.mail, moment, told.result):
        channels.append((MAIL, spec.mail_to or job.user))
    result = "" if moment == "begin" else told.result
    for channel, target in channels:
        notice = Notice(
            *(job.user, job.uid, job.gid, target, told.subject, told.lines, moment, result)
        )
        s.desk.tell(s, now, event, channel, notice)


def _subject(job: Job, moment: str) -> str:
    name = f" ({job.spec.name})" if job.spec.name else ""
    if moment == "begin":
        return f"job {job.name}{name} has started"
    return f"job {job.name}{name}: {job.result}: {job.reason}"


def _lines(entry: Entry, moment: str) -> tuple[str, ...]:
    """Return what a mail says. Of the command nothing: mails travel, and are read by others."""
    job = entry.job
    rows: list[tuple[str, str]] = [
        ("job", job.name),
        ("name", job.spec.name),
        ("user", job.user),
        ("partition", job.spec.partition),
        ("submitted", _moment(job.submitted_at)),
        ("started", _moment(job.started_at)),
    ]
    if moment == "end":
        rows += [
            ("ended", _moment(job.ended_at)),
            ("result", str(job.result)),
            ("exit status", "" if job.exit_status is None else str(job.exit_status)),
            ("reason", job.reason),
        ]
    if job.is_array:
        rows.append(("elements", str(entry.total)))
        counts = {result: len(found) for result, found in entry.results.items() if found}
        rows += [(f"  {result}", str(count)) for result, count in counts.items()]
    return _text(rows)


def _text(rows: list[tuple[str, str]]) -> tuple[str, ...]:
    return tuple(f"{what + ':':<13}{value}" for what, value in rows if value)


def _moment(at: float | None) -> str:
    return "" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
