"""`ostler acct` and `ostler usage`: what ended attempts used, as the kernel counted it."""

import time

from ostler.cli.ask import call, number
from ostler.cli.columns import ACCOUNTING, USAGE
from ostler.cli.listing import show
from ostler.cli.options import Given
from ostler.cli.output import Column, Row, chosen, complain, json_text, rows_of, say, table
from ostler.cli.period import end_of_day, parts, period_of
from ostler.cli.spreadsheet import csv_text
from ostler.model.errors import UsageError
from ostler.model.nodeset import fold

MOST_ROWS = 10_000  # of one answer
COLUMNS: list[Column] = [
    ("id", "JOB"),
    ("user", "USER"),
    ("project", "PROJECT"),
    ("nodes", "NODES"),
    ("cpus", "CPUS"),
    ("elapsed", "TIME"),
    ("cpu_user_seconds", "CPU-USER"),
    ("cpu_system_seconds", "CPU-SYS"),
    ("max_rss", "MEMORY"),
    ("read_bytes", "READ"),
    ("written_bytes", "WRITTEN"),
    ("result", "RESULT"),
    ("exit_status", "EXIT"),
]
_SUMS: list[Column] = [
    ("period", "PERIOD"),
    ("user", "USER"),
    ("project", "PROJECT"),
    ("partition", "PARTITION"),
    ("jobs", "JOBS"),
    ("attempts", "ATTEMPTS"),
    ("unsuccessful", "UNSUCCESSFUL"),
    ("running", "RUNNING"),
    ("held_cpu_seconds", "CPU-HELD"),
    ("used_cpu_seconds", "CPU-USED"),
    ("efficiency", "EFFICIENCY"),
    ("held_gpu_seconds", "GPU-HELD"),
    ("max_rss", "MEMORY"),
]
BY = ("user", "project", "partition", "day", "month")


def main(given: Given) -> int:
    """List accounting rows, one for each attempt of each element."""
    options = _options(given)
    since, until = period_of(given, time.time())
    options |= {"since": since, "until": until}
    if (text := given.text("limit")) is not None:
        options["limit"] = number("--limit", text, MOST_ROWS) or MOST_ROWS
    options = {key: value for key, value in options.items() if value is not None}
    document = call(given, "read", what="acct", ref=given.text("job") or "", options=options)
    rows = rows_of(document, "accounting")
    more = bool(document.pop("more", False))
    if (month := document.get("archive")) and not given.flag("quiet"):
        complain(f"from archive {month}: `ostler query --archive {month}` asks it", bare=True)
    if given.flag("json"):
        say(json_text(document))
    else:
        _print(given, rows)
    if more and not given.flag("quiet"):
        hint = f"--limit 0 shows up to {MOST_ROWS}, --period a part"
        complain(f"these are the last {len(rows)}; there are more: {hint}")
    return 0


def _print(given: Given, rows: list[Row]) -> None:
    quiet, keys = given.flag("quiet"), given.text("format")
    if given.flag("csv"):
        _spreadsheet(rows, keys, ACCOUNTING)
    elif keys is not None:
        say(chosen(rows, keys, ACCOUNTING.split(), heading=not quiet))
    elif rows or not quiet:
        arrays = {row.get("job") for row in rows if row.get("element")}
        shown = [_shown(row, array=row.get("job") in arrays) for row in rows]
        columns = [c for c in COLUMNS if c[0] != "project" or any(r.get("project") for r in rows)]
        say(table(shown, columns, heading=not quiet) if rows else "nothing has ended yet")


def _spreadsheet(rows: list[Row], keys: str | None, usual: str) -> None:
    """Print CSV. usual: the columns where there are no rows to tell them."""
    known = list(rows[0]) if rows else usual.split()
    columns = [key.strip() for key in keys.split(",")] if keys else known
    if wrong := [key for key in columns if key not in known]:
        raise UsageError(f"there is no column {wrong[0]!r}", expected=", ".join(known))
    say(csv_text(columns, ([row.get(key) for key in columns] for row in rows)))


def _options(given: Given) -> dict[str, object]:
    """Return whose rows are meant."""
    options: dict[str, object] = {"all": True} if given.flag("everybody") else {}
    for key in ("user", "project", "partition"):
        if (text := given.text(key if key == "user" else f"of_{key}")) is not None:
            options[key] = text
    return options


def _shown(row: Row, *, array: bool) -> Row:
    began, ended = row.get("started_at"), row.get("ended_at")
    elapsed = None
    if isinstance(began, int | float) and isinstance(ended, int | float):
        elapsed = ended - began
    job, element = row.get("job"), row.get("element")
    nodes = fold(str(row.get("nodes") or "").split(","))
    ident = f"{job}_{element}" if array else f"{job}"
    return {**row, "id": ident, "elapsed": elapsed, "nodes": nodes}


def usage(given: Given) -> int:
    """Sum up who held and used how much."""
    now = time.time()
    if given.text("period") is None and given.text("since") is None:
        given.values["period"] = "month"
    since, until = period_of(given, now)
    span = (0.0 if since is None else since, end_of_day(now) if until is None else until)
    by = [word.strip() for word in (given.text("by") or "user").split(",")]
    if wrong := [word for word in by if word not in BY]:
        raise UsageError(f"--by cannot be {wrong[0]!r}", expected=", ".join(BY))
    if "day" in by and "month" in by:
        raise UsageError("--by day and month say the same", expected="one of them")
    unit = next((word for word in by if word in ("day", "month")), None)
    spans = [("", *span)] if unit is None else parts(span, unit)
    options = {**_options(given), "spans": spans, "by": [b for b in by if b != unit]}
    document = call(given, "read", what="usage", options=options)
    rows = rows_of(document, "usage")
    if given.flag("csv") and not given.flag("json"):
        _spreadsheet(rows, given.text("format"), USAGE)
        return 0
    rare = ("held_gpu_seconds", "running")
    columns = [c for c in _SUMS if c[0] not in rare or any(r.get(c[0]) for r in rows)]
    columns = [c for c in columns if c[0] != "period" or unit]
    return show(given, document, "usage", columns, nothing="nothing was used in that time")
