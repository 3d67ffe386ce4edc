"""Users who asked for it are told when their job begins, ends or fails: one notice a job."""

from datetime import UTC, datetime

from ostler.core.entry import Entry
from ostler.core.state import State
from ostler.model.errand import HOOK, MAIL, Notice
from ostler.model.job import Job
from ostler.model.notify import wanted
from ostler.model.record import Event

BEGUN = "job-begun"


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


def _tell(s: State, now: float, entry: Entry, moment: str) -> None:
    job, spec = entry.job, entry.job.spec
    kind = BEGUN if moment == "begin" else "job-ended"
    event = Event(s.next_event - 1, now, kind, job.id, user=job.user, text=job.reason)
    result = str(job.result or "")
    channels = [(HOOK, spec.notify)] if spec.notify else []
    if wanted(spec.mail, moment, result):
        channels.append((MAIL, spec.mail_to or job.user))
    for channel, target in channels:
        notice = Notice(
            job.user,
            job.uid,
            job.gid,
            target,
            _subject(job, moment),
            tuple(_lines(entry, moment)),
            moment,
            result if moment == "end" else "",
        )
        s.desk.tell(s, now, event, channel, notice)


def _subject(job: Job, moment: str) -> str:
    name = f" ({job.spec.name})" if job.spec.name else ""
    if moment == "begin":
        return f"job {job.name}{name} has started"
    return f"job {job.name}{name}: {job.result}: {job.reason}"


def _lines(entry: Entry, moment: str) -> list[str]:
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
    return [f"{what + ':':<13}{value}" for what, value in rows if value]


def _moment(at: float | None) -> str:
    return "" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
