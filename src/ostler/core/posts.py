"""Events that people post, and how far their subscribers have read."""

from msgspec.structs import asdict

from ostler.core.effects import Fail, Reply
from ostler.core.events import DealtWith, Posted, Subscribed
from ostler.core.roles import may
from ostler.core.state import State
from ostler.model.errors import Missing, OstlerError, Refused, UsageError
from ostler.model.event_kinds import USER, check_kind, split_kind
from ostler.model.happening import parse_kind
from ostler.model.ids import Ref, parse_ref
from ostler.model.limits import MAX_NAME, MAX_SENTENCE, MAX_SUBSCRIBERS
from ostler.model.record import Dealt, Posting, Subscriber

NEWEST = 1 << 62  # no serial is higher


def take(s: State, now: float, event: Posted | DealtWith | Subscribed) -> None:
    """Take what people say to the postbox."""
    if isinstance(event, Posted):
        _on_posted(s, now, event)
    elif isinstance(event, DealtWith):
        _on_dealt_with(s, now, event)
    else:
        _on_subscribed(s, now, event)


def _on_posted(s: State, now: float, event: Posted) -> None:
    """Write the event down, if whoever posts it may."""
    caller = event.caller
    if (answer := s.postbox.posted.find(caller.uid, event.request_id)) is not None:
        s.effects.append(Reply(event.to, answer))
        return
    try:
        kind = parse_kind(event.kind)
        of_class = split_kind(kind)[0]
        if of_class != USER and not may(s, caller, "post any"):
            raise Refused(
                f"{caller.user} may not post events of class {of_class!r}",
                expected=f"class {USER}, as in {USER}/backup; an operator may post any",
            )
        check_kind(kind)
        text, about = _line("its text", event.text, MAX_SENTENCE), event.object
        _line("its object", about, MAX_NAME)
    except OstlerError as error:
        s.effects.append(Fail(event.to, error))
        return
    serial = s.next_event
    job = _job(s, about) if of_class == "job" else None
    if job is not None:
        element = job.elements[0][0] if job.elements else None
        s.note(now, kind, text, job=job.job, element=element, user=caller.user)
    elif of_class == "node" and about in s.nodes:
        s.note(now, kind, text, node=about, user=caller.user)
    else:
        s.note(now, kind, text, about=about or None, user=caller.user)
    row = {"serial": serial, "at": now, "kind": kind, "user": caller.user, "text": text}
    answer = {"events": [row]}
    if event.request_id:
        s.save(Posting(caller.uid, event.request_id, serial))
        s.postbox.posted.remember(caller.uid, event.request_id, answer)
    s.effects.append(Reply(event.to, answer))


def _on_dealt_with(s: State, now: float, event: DealtWith) -> None:
    """Write down who has dealt with an event; that is an event, too."""
    user, serial = event.caller.user, event.serial
    try:
        if not 0 < serial < s.next_event:
            raise Missing(f"there is no event {serial}", expected=f"1 to {s.next_event - 1}")
        note = _line("the note", event.note, MAX_SENTENCE)
    except OstlerError as error:
        s.effects.append(Fail(event.to, error))
        return
    s.save(Dealt(serial, user, now, note))
    told = f"{user} has dealt with event {serial}"
    s.note(now, "event/dealt", f"{told}: {note}" if note else told, about=str(serial), user=user)
    row = {"serial": serial, "dealt_by": user, "dealt_at": now, "dealt_note": note}
    s.effects.append(Reply(event.to, {"events": [row]}))


def _line(what: str, text: str, most: int) -> str:
    """Return the text if it is one line of a good length; raise `UsageError`."""
    if len(text) > most or not text.isprintable():
        raise UsageError(
            f"{what} cannot be {text[:80]!r}", expected=f"one line of at most {most} characters"
        )
    return text


def _job(s: State, text: str) -> Ref | None:
    try:
        ref = parse_ref(text)
    except UsageError:
        return None
    return ref if ref.job in s.jobs or ref.job in s.ended else None


def _on_subscribed(s: State, now: float, event: Subscribed) -> None:
    """Begin a subscription, acknowledge what was read, or forget it; answer how it stands."""
    key = (event.caller.uid, event.name)
    try:
        found = s.postbox.subscribers.get(key) or _begin(s, now, event)
        if event.forget:
            found = Subscriber(found.uid, found.name, found.user, None, now)
        elif event.serial is not None:
            _check_serial(s, found, event.serial)
            found = Subscriber(found.uid, found.name, found.user, event.serial, now)
    except OstlerError as error:
        s.effects.append(Fail(event.to, error))
        return
    if found.serial is None:
        s.postbox.subscribers.pop(key, None)
    if found != s.postbox.subscribers.get(key):
        s.save(found)
        if found.serial is not None:
            s.postbox.subscribers[key] = found
    s.effects.append(Reply(event.to, {"subscribers": [asdict(found)]}))


def _begin(s: State, now: float, event: Subscribed) -> Subscriber:
    """Return a new subscriber, who has read all that there is by now."""
    caller, name = event.caller, event.name
    if event.forget or event.serial is not None:
        raise Missing(
            f"{caller.user} has no subscriber {name[:100]!r}",
            hint=f"begin one: ostler events --subscribe {name[:100]}",
        )
    if not name or len(name) > MAX_NAME or not name.isprintable():
        raise UsageError(
            f"a subscriber cannot be named {name[:80]!r}",
            expected=f"1 to {MAX_NAME} printable characters",
        )
    if sum(uid == caller.uid for uid, _ in s.postbox.subscribers) >= MAX_SUBSCRIBERS:
        raise Refused(
            f"{caller.user} has {MAX_SUBSCRIBERS} subscribers",
            hint="forget one: ostler events forget NAME",
        )
    return Subscriber(caller.uid, name, caller.user, s.next_event - 1, now)


def _check_serial(s: State, found: Subscriber, serial: int) -> None:
    if found.serial is not None and not found.serial <= serial < s.next_event:
        raise UsageError(
            f"{found.name} cannot acknowledge event {serial}",
            expected=f"{found.serial}, the last so far, to {s.next_event - 1}, the newest",
        )


def droppable(s: State, now: float) -> tuple[float, int] | None:
    """Return (Unix seconds, serial): older events below that serial may go; None: all are kept."""
    lifetime = s.setting("events-lifetime")
    below = s.desk.oldest
    return (now - lifetime, NEWEST if below is None else below) if lifetime else None
