"""`ostler contexts`: what each node holds of allocations, asked of the nodes themselves."""

from ostler.cli.ask import call
from ostler.cli.options import Given
from ostler.cli.output import Column, Row, complain, json_text, rows_of, say, table

_COLUMNS: list[Column] = [
    ("context", "CONTEXT"),
    ("node", "NODE"),
    ("phase", "PHASE"),
    ("job", "JOB"),
    ("user", "USER"),
    ("tasks", "TASKS"),
    ("members", "MEMBERS"),
]


def main(given: Given) -> int:
    """List the contexts; 5 if a node did not answer."""
    document = call(given, "read", what="contexts")
    silent = document.get("silent")
    names = ", ".join(map(str, silent)) if isinstance(silent, list) else ""
    rows: list[Row] = rows_of(document, "contexts")
    quiet = given.flag("quiet")
    if given.flag("json"):
        say(json_text(document))
    elif rows or not quiet:
        shown = [{**row, "members": _joined(row.get("members"))} for row in rows]
        say(table(shown, _COLUMNS, heading=not quiet) if rows else "no contexts")
    if names:
        complain(f"not heard of: {names}; what they hold is not known")
    return 5 if names else 0


def _joined(names: object) -> str:
    return ",".join(map(str, names)) if isinstance(names, list) else ""
