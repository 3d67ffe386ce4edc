"""What the process that runs errands is told to do: the words for programs, mails and webhooks."""

import shlex
from typing import TYPE_CHECKING, Any

from msgspec.json import encode

from ostler.model.errand import MAIL, Hook, Mail, Notice, Order, Program
from ostler.model.event_kinds import split_kind
from ostler.model.happening import object_of
from ostler.model.ids import job_name
from ostler.model.record import Errand, Event
from ostler.model.site import Handler

if TYPE_CHECKING:  # the state has a desk, which orders
    from ostler.core.state import State

_MOST = 4_000  # characters of one argument


def order_of(s: "State", errand: Errand, handler: Handler | None) -> Order:
    """Return the order for an attempt of an errand. handler: None of a notice."""
    work: Program | Mail | Hook
    notice = errand.notice
    if notice is None and handler is not None:
        work = _program(errand, handler)
    elif notice is None:
        msg = f"nobody handles event {errand.first}"
        raise ValueError(msg)
    elif errand.handler == MAIL:
        work = _mail(s, errand, notice)
    else:
        work = _hook(s, errand, notice)
    return Order(errand.first, errand.handler, errand.attempt, work)


def told(event: Event) -> dict[str, Any]:
    """Return an event as programs read it."""
    of_class, of_type = split_kind(event.kind)
    return {
        "serial": event.serial,
        "at": event.at,
        "kind": event.kind,
        "class": of_class,
        "type": of_type,
        "object": object_of(event),
        "job": None if event.job is None else job_name(event.job),
        "element": event.element,
        "node": event.node,
        "user": event.user,
        "text": event.text,
    }


def _program(errand: Errand, handler: Handler) -> Program:
    """Return the program with RMS's five arguments: id, class, name, type, description."""
    event = told(errand.event)
    names = ("serial", "class", "object", "type", "text")
    words = (str(event[name]).replace("\0", " ")[:_MOST] for name in names)
    document = {
        "event": event,
        "handler": handler.name,
        "attempt": errand.attempt,
        "events": errand.events,
        "first": errand.first,
    }
    stdin = encode(document).decode() + "\n"
    return Program(
        (*shlex.split(handler.command), *words), stdin, float(handler.timeout), handler.user
    )


def _also(errand: Errand, notice: Notice) -> list[str]:
    """Return the lines for what is told along with it."""
    others = errand.events - 1
    if not others:
        return []
    lines = ["", f"And {others} more, which are not told one by one:"]
    lines += [f"  {subject}" for subject in notice.also]
    left = others - len(notice.also)
    return [*lines, f"  and {left} others"] if left else lines


def _mail(s: "State", errand: Errand, notice: Notice) -> Mail:
    return Mail(
        notice.uid,
        notice.gid,
        notice.target,
        notice.subject,
        "\n".join([*notice.lines, *_also(errand, notice)]) + "\n",
        f"{errand.first}.{errand.event.at:.0f}",
        s.text("mail-from"),
        s.text("smtp-host"),
        s.text("mail-command"),
        *map(s.text, ("smtp-security", "smtp-user", "smtp-password-file", "smtp-ca-file")),
    )


def _hook(s: "State", errand: Errand, notice: Notice) -> Hook:
    """Return the JSON that is posted; `text` is what chat systems show."""
    document = {
        "text": "\n".join([notice.subject, *_also(errand, notice)]),
        "moment": notice.moment,
        "result": notice.result or None,
        "job": None if errand.event.job is None else job_name(errand.event.job),
        "user": notice.user,
        "lines": notice.lines,
        "events": errand.events,
        "event": told(errand.event),
    }
    ident = f"{errand.first}.{errand.event.at:.0f}"
    body, reach = encode(document).decode(), s.text("webhook-reach")
    return Hook(notice.uid, notice.gid, notice.target, body, ident, reach)
