"""`ostler events` and `ostler history`: what happened, as it was written down."""

from ostler.cli.ask import link_to, number
from ostler.cli.options import Given
from ostler.cli.output import Row, cell, json_text, rows_of, say, table
from ostler.cli.when import parse_moment
from ostler.client.link import Link

_COLUMNS = [("serial", "SERIAL"), ("at", "TIME"), ("kind", "EVENT"), ("of", "OF"), ("text", "TEXT")]
_KIND, _OF = 18, 6  # columns of a line of --follow, which knows no more than its own event
_MANY = 100_000  # events looked through for a time or a job


def main(given: Given) -> int:
    """List events; with --follow go on with each new one."""
    link = link_to(given)
    job = given.text("job")
    since = given.text("since")
    options: dict[str, object] = {}
    if (text := given.text("limit")) is not None:
        options["limit"] = number("--limit", text, _MANY)
    elif since is not None or job is not None:
        options["limit"] = _MANY
    if job is None:
        rows = rows_of(link.call("read", what="events", options=options), "events")
    else:
        rows = rows_of(link.call("read", what="history", ref=job), "events")
    if since is not None:
        begin = parse_moment("--since", since, past=True)
        rows = [row for row in rows if _at(row) >= begin]
    if not given.flag("follow"):
        link.close()
        _print(given, {"events": rows})
        return 0
    for row in rows:
        _line(given, row)
    return _follow(given, link, _last(rows), job or "")


def _at(row: Row) -> float:
    at = row.get("at")
    return at if isinstance(at, int | float) else 0.0


def _last(rows: list[Row]) -> int:
    """Return the highest serial; -1 if there is none."""
    return max((s for row in rows if isinstance(s := row.get("serial"), int)), default=-1)


def _follow(given: Given, link: Link, last: int, job: str) -> int:
    """Print each event once, over as many connections as it takes, until interrupted."""
    while True:
        generation = link.generation
        request = link.send("follow", since=last, job=job)
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
            _line(given, row)
    return last


def _line(given: Given, row: Row) -> None:
    """Print one event: with --json one object a line."""
    if given.flag("json"):
        say(json_text(row))
    else:
        kind, of = f"{row.get('kind'):<{_KIND}}", f"{_of(row):<{_OF}}"
        say(f"{cell('at', row.get('at'))}  {kind}  {of}  {cell('', row.get('text'))}")


def history(given: Given) -> int:
    """Say how one job came to be as it is."""
    link = link_to(given)
    document = link.call("read", what="history", ref=given.words[0])
    link.close()
    _print(given, document)
    return 0


def _print(given: Given, document: object) -> None:
    if given.flag("json"):
        say(json_text(document))
        return
    rows = [{**row, "of": _of(row)} for row in rows_of(document, "events")]
    quiet = given.flag("quiet")
    if rows or not quiet:
        say(table(rows, _COLUMNS, heading=not quiet) if rows else "no events")


def _of(row: Row) -> str:
    """Return what the event is about: an element, a job, a node."""
    job, element, node = (row.get(key) for key in ("job", "element", "node"))
    if job is not None:
        return f"{job}" if element is None else f"{job}_{element}"
    return f"{node}" if node is not None else "-"
