"""Named SQL is well formed, used, and reads no more of a large database than it must."""

import re
from pathlib import Path

import pytest

from ostler.model.site_kinds import KINDS
from ostler.store.queries import load_queries, parse_queries
from ostler.store.sqlite.connection import MEMORY, SQL, connect
from ostler.store.sqlite.migrate import migrate, migrations

OF_KINDS = {
    name
    for kind in KINDS.values()
    for name in (f"put_{kind.name}", f"drop_{kind.name}", kind.table)
}
SOURCES = Path(__file__).resolve().parents[2] / "src" / "ostler" / "store"


def plan(sql: str) -> list[str]:
    conn = connect(MEMORY)
    migrate(conn, MEMORY, migrations())
    named = re.findall(r":(\w+)", sql)
    values = dict.fromkeys(named, 1) if named else (None,) * sql.count("?")
    sql = sql.replace("live.", "main.")  # what an archive is copied from has its schema
    rows = conn.execute(f"EXPLAIN QUERY PLAN {sql}", values).fetchall()
    conn.close()
    return [row[3] for row in rows]


@pytest.mark.parametrize("name", SQL)
def test_every_statement_is_one_that_the_schema_allows(name: str) -> None:
    plan(SQL[name])


@pytest.mark.parametrize("name", SQL)
def test_every_statement_is_used(name: str) -> None:
    code = "\n".join(path.read_text() for path in SOURCES.rglob("*.py"))
    stem = re.sub("_(first|last)$", "", name)
    if name in OF_KINDS:  # those of the site are named by its registry
        return
    assert f'"{name}"' in code or f'"{stem}"' in code


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in SQL
        if name.startswith(("load_", "get_", "find_", "done_", "next_", "events_of", "role"))
        or name in ("jobs_by_id", "jobs_of_user", "elements_of_job", "accounting_of_job", "blob")
    ],
)
def test_what_is_asked_often_scans_no_table(name: str) -> None:
    for step in plan(SQL[name]):
        assert not re.match(r"SCAN (?!\w+ (USING|VIRTUAL)|CONSTANT|roles)", step), step


def test_names_are_given_once(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text("-- name: x\nSELECT 1;\n")
    (tmp_path / "b.sql").write_text("-- name: x\nSELECT 2;\n")
    with pytest.raises(ValueError, match=r"b\.sql defines x again"):
        load_queries(tmp_path)
    with pytest.raises(ValueError, match="a name of its own"):
        parse_queries("SELECT 1;\n-- name: x\nSELECT 1;\n")
    assert parse_queries("-- name: x\n-- Why.\nSELECT 1;\n") == {"x": "SELECT 1"}
