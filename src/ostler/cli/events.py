"""`ostler events` and `ostler history`: what happened, as it was written down."""

from ostler.cli.ask import call, link_to, number
from ostler.cli.options import Given
from ostler.cli.output import Row, cell, complain, json_text, rows_of, say, table
from ostler.cli.when import parse_moment
from ostler.client.link import Link

_COLUMNS = [("serial", "SERIAL"), ("at", "TIME"), ("kind", "EVENT"), ("of", "OF"), ("text", "TEXT")]
_KIND = 20  # columns of a line of --follow, which knows no more than its own event
_MANY = 100_000  # events looked through for a time or a job


def main(given: Given) -> int:
    """List events; with --follow go on with each new one."""
    if (name := given.text("subscribe")) is not None:
        from ostler.cli.post import subscribe

        return subscribe(given, name)
    pattern: dict[str, object] = {}
    if given.words or given.text("object") or given.text("says"):
        from ostler.cli.post import pattern_of

        pattern = pattern_of(given)
    link = link_to(given)
    rows = _rows(given, link, wide=bool(pattern))
    last = _last(rows)
    if since := given.text("since"):
        begin = parse_moment("--since", since, past=True)
        rows = [row for row in rows if _at(row) >= begin]
    if pattern:
        from ostler.cli.post import fits, tell_of_doubt

        rows = [row for row in rows if fits(row, pattern)]
        if (text := given.text("limit")) is not None:
            rows = rows[-number("--limit", text, _MANY) :]
        if not rows:
            tell_of_doubt(given)
    if not given.flag("follow"):
        link.close()
        _print(given, {"events": rows})
        return 0
    for row in rows:
        line(row, as_json=given.flag("json"))
    return _follow(given, link, last, pattern)


def _rows(given: Given, link: Link, *, wide: bool) -> list[Row]:
    """Return the last events, of one job if one is named. wide: look at many, for some of them."""
    if (job := given.text("job")) is not None:
        return rows_of(link.call("read", what="history", ref=job), "events")
    options: dict[str, object] = {}
    if wide or given.text("since") is not None:
        options["limit"] = _MANY
    elif (text := given.text("limit")) is not None:
        options["limit"] = number("--limit", text, _MANY)
    return rows_of(link.call("read", what="events", options=options), "events")


def _at(row: Row) -> float:
    at = row.get("at")
    return at if isinstance(at, int | float) else 0.0


def _last(rows: list[Row]) -> int:
    """Return the highest serial; -1 if there is none."""
    return max((s for row in rows if isinstance(s := row.get("serial"), int)), default=-1)


def _follow(given: Given, link: Link, last: int, pattern: dict[str, object]) -> int:
    """Print each event once, over as many connections as it takes, until interrupted."""
    while True:
        generation = link.generation
        narrowed = {"pattern": pattern} if pattern else {}
        request = link.send("follow", since=last, job=given.text("job") or "", **narrowed)
        while link.generation == generation:
            try:
                link.pump(None)
            finally:  # what came before it broke is printed all the same
                last = _lines(given, link.news(request), last)
            if link.answered(request):
                link.result(request)  # raises what was refused


def _lines(given: Given, news: list[Row], last: int) -> int:
    """Print the events that are new, and return the highest serial."""
    for row in news:
        serial = row.get("serial")
        if isinstance(serial, int) and serial > last:
            last = serial
            line(row, as_json=given.flag("json"))
    return last


def line(row: Row, *, as_json: bool) -> None:
    """Print one event: with --json one object a line."""
    if as_json:
        say(json_text(row))
    else:
        kind = f"{row.get('kind'):<{_KIND}}"
        say(f"{cell('at', row.get('at'))}  {kind}  {_of(row)} {cell('', row.get('text'))}")


def history(given: Given) -> int:
    """Say how one job came to be as it is."""
    document = call(given, "read", what="history", ref=" ".join(given.words))
    _print(given, document)
    if (month := document.get("archive")) and not given.flag("quiet"):
        complain(f"it is in archive {month}: `ostler query --archive {month}` asks it", bare=True)
    return 0


def _print(given: Given, document: object) -> None:
    if given.flag("json"):
        say(json_text(document))
        return
    rows = [{**row, "of": _of(row), "text": _told(row)} for row in rows_of(document, "events")]
    quiet = given.flag("quiet")
    if rows or not quiet:
        say(table(rows, _COLUMNS, heading=not quiet) if rows else "no events")


def _told(row: Row) -> str:
    """Return its sentence, and who has dealt with it."""
    text, who = cell("", row.get("text")), row.get("dealt_by")
    if not who:
        return text
    note = f": {row['dealt_note']}" if row.get("dealt_note") else ""
    return f"{text} [dealt with by {who}{note}]"


def _of(row: Row) -> str:
    """Return what the event is about: an element, a job, a node."""
    job, element, node = (row.get(key) for key in ("job", "element", "node"))
    if job is not None:
        return f"{job}" if element is None else f"{job}_{element}"
    return f"{node or row.get('object') or '-'}"
