"""`ostler events post`, `wait`, `ack`, `forget`, and `ostler events --subscribe`."""

import time

from ostler.cli.ask import call, duration, link_to, number
from ostler.cli.events import line
from ostler.cli.options import Given
from ostler.cli.output import Row, complain, json_text, rows_of, say
from ostler.client.link import Link
from ostler.client.spec import new_request_id
from ostler.model.errors import NotNow, UsageError

_PAGE = 1_000  # events read, printed and acknowledged together
_HIGHEST = 1 << 62  # serial


def main(given: Given) -> int:
    """Post one event and print its serial."""
    kind, *about, text = given.words
    asked = {"kind": kind, "object": about[0] if about else "", "text": text}
    document = call(given, "post", request_id=new_request_id(), **asked)
    if given.flag("json"):
        say(json_text(document))
    elif not given.flag("quiet"):
        say(str(rows_of(document, "events")[0]["serial"]))
    return 0


def pattern_of(given: Given) -> dict[str, object]:
    """Return the pattern that was typed, as a message has it; raise `UsageError`."""
    from ostler.cli.main import slow_road

    slow_road()
    from msgspec.structs import asdict

    from ostler.model.event_kinds import check_kind
    from ostler.model.happening import parse_pattern

    kind = given.words[0] if given.words else ""
    found = parse_pattern(kind, given.text("object") or "", given.text("says") or "")
    check_kind(kind)
    return asdict(found)


def tell_of_doubt(given: Given) -> None:
    """Say that the kind which was typed is none that comes by itself, if so."""
    if given.words and not given.flag("quiet"):
        from ostler.model.event_kinds import doubt

        if text := doubt(given.words[0]):
            complain(text)


def wait(given: Given) -> int:
    """Print the first event that fits; raise `NotNow` when the time is over."""
    pattern = pattern_of(given)
    tell_of_doubt(given)
    end = None
    if (text := given.text("timeout")) is not None:
        end = time.monotonic() + duration("--timeout", text)
    link = link_to(given)
    if (text := given.text("after_serial")) is not None:
        since = number("--after", text, _HIGHEST) + 1
    else:
        newest = rows_of(link.call("read", what="events", options={"limit": 1}), "events")
        since = _serial(newest[-1]) + 1 if newest else 0
    row = _first(link, since, pattern, end)
    link.close()
    if row is None:
        raise NotNow(f"no such event came in {given.text('timeout')}")
    if not given.flag("quiet"):
        line(row, as_json=given.flag("json"))
    return 0


def _first(link: Link, since: int, pattern: dict[str, object], end: float | None) -> Row | None:
    """Return the first event that fits, over as many connections as it takes; None: too late."""
    while True:
        generation = link.generation
        request = link.send("follow", since=since, pattern=pattern)
        while link.generation == generation:
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                return None
            link.pump(left)
            if news := link.news(request):
                first: Row = news[0]
                return first
            if link.answered(request):
                link.result(request)  # raises what was refused


def _serial(row: Row) -> int:
    serial = row.get("serial")
    return serial if isinstance(serial, int) else 0


def subscribe(given: Given, name: str) -> int:
    """Print what this subscriber has not read yet, and acknowledge it; with --follow go on."""
    pattern = pattern_of(given)
    link = link_to(given)
    found = rows_of(link.call("subscribe", name=name), "subscribers")[0]
    last = _pages(given, link, name, _serial(found), pattern)
    if not given.flag("follow"):
        link.close()
        return 0
    while True:
        generation = link.generation
        request = link.send("follow", since=last + 1)
        while link.generation == generation:
            link.pump(None)
            last = _take(given, link, name, last, link.news(request), pattern)
            if link.answered(request):
                link.result(request)  # raises what was refused


def _pages(given: Given, link: Link, name: str, last: int, pattern: dict[str, object]) -> int:
    """Print all that there is by now, page by page; return the last serial."""
    while True:
        options = {"since": last + 1, "limit": _PAGE}
        rows = rows_of(link.call("read", what="events", options=options), "events")
        if rows and (first := _serial(rows[0])) > last + 1:
            complain(
                f"events {last + 1} to {first - 1} are no longer kept, and {name} has not read "
                "them (see the attribute events-lifetime)"
            )
        last = _take(given, link, name, last, rows, pattern)
        if len(rows) < _PAGE:
            return last


def _take(
    given: Given,
    link: Link,
    name: str,
    last: int,
    rows: list[Row],
    pattern: dict[str, object],
) -> int:
    """Print the events that are new and fit, then acknowledge all of them; return the last serial."""
    fresh = [row for row in rows if _serial(row) > last]
    for row in fresh:
        if fits(row, pattern):
            line(row, as_json=given.flag("json"))
    if not fresh:
        return last
    if not given.flag("keep"):
        link.call("subscribe", name=name, serial=_serial(fresh[-1]))
    return _serial(fresh[-1])


def fits(row: Row, pattern: dict[str, object]) -> bool:
    """Say whether an event is one that the pattern means."""
    from msgspec import convert

    from ostler.model.happening import Pattern
    from ostler.model.ids import parse_ref
    from ostler.model.record import Event

    number = row.get("job")
    known = {**row, "job": parse_ref(str(number)).job if number is not None else None}
    return convert(pattern, Pattern).matches(convert(known, Event))


def ack(given: Given) -> int:
    """Say who has dealt with an event; or up to where a subscriber has read, or does no more."""
    name, alone = given.words[0], len(given.words) == 1
    said = given.text("reason")
    if said is not None and not alone:
        raise UsageError("--reason says how an event was dealt with", hint="leave NAME out")
    link = link_to(given)
    if given.command.name == "events forget":
        document = link.call("subscribe", name=name, forget=True)
    elif alone:
        document = link.call("deal", serial=number("SERIAL", name, _HIGHEST), note=said or "")
    else:
        serial = number("SERIAL", given.words[1], _HIGHEST)
        document = link.call("subscribe", name=name, serial=serial)
    link.close()
    if given.flag("json"):
        say(json_text(document))
    return 0
