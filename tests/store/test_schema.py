"""The schema explains itself, and what it calls private is private."""

import re
from pathlib import Path

from ostler.store.reference import reference
from ostler.store.sqlite.connection import MEMORY, connect
from ostler.store.sqlite.migrate import migrate, migrations
from ostler.store.sqlite.sandbox import ADMIN_TABLES, PRIVATE, TABLES

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reference" / "database.md"


def test_the_reference_is_what_the_schema_says() -> None:
    assert PAGE.read_text() == reference(), f"run: python -m ostler.store.reference > {PAGE}"


def test_every_table_can_be_queried_by_somebody() -> None:
    conn = connect(MEMORY)
    migrate(conn, MEMORY, migrations())
    made = {
        row[0]
        for row in conn.execute("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')")
    }
    conn.close()
    assert made == {*TABLES, *ADMIN_TABLES}


def test_what_the_schema_calls_private_is_what_queries_keep_back() -> None:
    called: dict[str, set[str]] = {}
    table = ""
    for step in migrations():
        for line in step.sql.splitlines():
            if match := re.match(r"CREATE (?:TABLE|VIEW) (\w+)", line):
                table = match[1]
            elif match := re.match(r'\s+(?:j\.)?"?(\w+)"? .* -- (?:text: )?private', line):
                called.setdefault(table, set()).add(match[1])
    assert called == {table: set(columns) for table, columns in PRIVATE.items()}
