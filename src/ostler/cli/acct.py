"""`ostler acct`: what ended attempts used, as the kernel counted it."""

from ostler.cli.ask import link_to, number
from ostler.cli.options import Given
from ostler.cli.output import Column, Row, chosen, json_text, rows_of, say, table
from ostler.cli.when import parse_moment

COLUMNS: list[Column] = [
    ("id", "JOB"),
    ("user", "USER"),
    ("nodes", "NODES"),
    ("cpus", "CPUS"),
    ("elapsed", "TIME"),
    ("cpu_user_seconds", "CPU-USER"),
    ("cpu_system_seconds", "CPU-SYS"),
    ("max_rss", "MEMORY"),
    ("result", "RESULT"),
    ("exit_status", "EXIT"),
]


def main(given: Given) -> int:
    """List accounting rows, one for each attempt of each element."""
    options: dict[str, object] = {"all": True} if given.flag("everybody") else {}
    if (user := given.text("user")) is not None:
        options["user"] = user
    if (text := given.text("since")) is not None:
        options["since"] = parse_moment("--since", text, past=True)
    link = link_to(given)
    document = link.call("read", what="acct", ref=given.text("job") or "", options=options)
    link.close()
    rows = rows_of(document, "accounting")
    if (text := given.text("limit")) is not None:
        rows = rows[-number("--limit", text) or len(rows) :]
        document = {"accounting": rows}
    quiet = given.flag("quiet")
    if given.flag("json"):
        say(json_text(document))
    elif (keys := given.text("format")) is not None:
        say(chosen(rows, keys, heading=not quiet))
    elif rows or not quiet:
        arrays = {row.get("job") for row in rows if row.get("element")}
        shown = [_shown(row, array=row.get("job") in arrays) for row in rows]
        say(table(shown, COLUMNS, heading=not quiet) if rows else "nothing has ended yet")
    return 0


def _shown(row: Row, *, array: bool) -> Row:
    began, ended = row.get("started_at"), row.get("ended_at")
    elapsed = None
    if isinstance(began, int | float) and isinstance(ended, int | float):
        elapsed = ended - began
    job, element = row.get("job"), row.get("element")
    return {**row, "id": f"{job}_{element}" if array else f"{job}", "elapsed": elapsed}
