"""`python -m ostler.store.reference`: writes the reference of the database from its schema.

A table's text is the comment lines before its first column, a column's text is the comment behind
it; SQLite keeps both with the table, so what is printed is what a new database holds.
"""

import re
import sys

from ostler.store.sqlite.connection import MEMORY, connect
from ostler.store.sqlite.migrate import migrate, migrations
from ostler.store.sqlite.sandbox import ADMIN_TABLES, PRIVATE, TABLES

_COLUMN = re.compile(r'^\s*"?(?P<name>\w+)"? (?P<type>INTEGER|REAL|TEXT|BLOB)\b.*?-- (?P<text>.*)$')
_OF_VIEW = re.compile(r'^.* AS "?(?P<name>\w+)"?,? -- (?P<type>\w+): (?P<text>.*)$')
_COMMENT = re.compile(r"^\s*-- (?P<text>.*)$")

_HEAD = """\
# The database

Made by `python -m ostler.store.reference` from the schema's own comments; do not edit.

`STATE/ostler.db` is an SQLite file. Read it with `ostler query "SELECT …"`, which shows each user
the tables below, with these columns. Only Ostler writes to it. The version of the schema described
here is {version} (`PRAGMA user_version`); opening an older file brings it up to date and keeps the
old one beside it as `ostler.db.vN`.

Times are Unix seconds, sizes bytes, durations seconds. `--json` documents use the same names.
A column marked *owner only* is NULL in the rows of others; *hidden* ones are not in `query` at all.
"""


def reference() -> str:
    """Return the page; raise ValueError when a table or column has no comment."""
    conn = connect(MEMORY)
    try:
        steps = migrations()
        migrate(conn, MEMORY, steps)
        parts = [_HEAD.format(version=steps[-1].version)]
        for table in sorted((*TABLES, *ADMIN_TABLES)):
            (sql,) = conn.execute(
                "SELECT sql FROM sqlite_schema WHERE name = ?", (table,)
            ).fetchone()
            known = [row[1] for row in conn.execute(f"PRAGMA table_xinfo({table})")]
            parts.append(_table(table, sql, known))
    finally:
        conn.close()
    return "\n".join(parts)


def _table(table: str, sql: str, known: list[str]) -> str:
    about: list[str] = []
    columns: dict[str, tuple[str, str]] = {}
    for line in sql.splitlines():
        if match := _COLUMN.match(line) or _OF_VIEW.match(line):
            columns[match["name"]] = (match["type"].lower(), match["text"])
        elif (match := _COMMENT.match(line)) and not columns:
            about.append(match["text"])
    if not about or list(columns) != known:
        msg = f"table {table} or one of its columns has no comment: {set(known) - set(columns)}"
        raise ValueError(msg)
    lines = [f"## {table}", "", " ".join(about)]
    if table in ADMIN_TABLES:
        lines[-1] += " *Administrators only.*"
    lines += ["", "| column | type | meaning |", "|---|---|---|"]
    for name, (kind, text) in columns.items():
        meaning = text.removeprefix("private: ").replace("|", "\\|")
        lines.append(f"| `{name}` | {kind} | {meaning}{_seen_by(table, name)} |")
    return "\n".join(lines) + "\n"


def _seen_by(table: str, column: str) -> str:
    private = PRIVATE.get(table, {})
    if column not in private:
        return ""
    return " *(owner only)*" if private[column] else " *(hidden)*"


if __name__ == "__main__":
    sys.stdout.write(reference())
