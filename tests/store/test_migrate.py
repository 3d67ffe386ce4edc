"""A database is brought to the present version whole, with the old one kept, or left as it was."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ostler.model.errors import Refused
from ostler.store.sqlite.connection import connect, create_private
from ostler.store.sqlite.migrate import Migration, migrate, migrations, statements

FIRST = Migration(1, "CREATE TABLE t (a);\nINSERT INTO t VALUES (1);\n")
SECOND = Migration(2, "-- More; of it.\nALTER TABLE t ADD COLUMN b;\nUPDATE t SET b = 'x;y';\n")
BROKEN = Migration(3, "DELETE FROM t;\nINSERT INTO nowhere VALUES (1);\n")


def version(conn: sqlite3.Connection) -> int:
    return int(conn.execute("PRAGMA user_version").fetchone()[0])


@pytest.fixture
def old(path: Path) -> Iterator[sqlite3.Connection]:
    """A database of version 1 with its rows still in the WAL."""
    create_private(str(path))
    conn = connect(str(path))
    migrate(conn, str(path), [FIRST])
    conn.execute("PRAGMA journal_mode = WAL")
    conn.execute("INSERT INTO t VALUES (2)")
    yield conn
    conn.close()


def test_a_new_database_is_made_by_all_steps_and_nothing_is_kept_beside(path: Path) -> None:
    create_private(str(path))
    conn = connect(str(path))
    migrate(conn, str(path), [FIRST, SECOND])
    assert conn.execute("SELECT * FROM t").fetchall() == [(1, "x;y")]
    conn.close()
    assert list(path.parent.iterdir()) == [path]


def test_an_older_database_is_changed_and_its_old_state_is_kept(
    old: sqlite3.Connection, path: Path
) -> None:
    migrate(old, str(path), [FIRST, SECOND])
    assert (version(old), old.execute("SELECT * FROM t").fetchall()) == (
        2,
        [(1, "x;y"), (2, "x;y")],
    )
    kept = path.with_name("ostler.db.v1")
    assert kept.stat().st_mode & 0o077 == 0
    copy = connect(str(kept))
    assert (version(copy), copy.execute("SELECT * FROM t").fetchall()) == (1, [(1,), (2,)])
    copy.close()


def test_a_step_that_fails_leaves_the_database_as_it_was(
    old: sqlite3.Connection, path: Path
) -> None:
    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        migrate(old, str(path), [FIRST, SECOND, BROKEN])
    assert (version(old), old.execute("SELECT * FROM t").fetchall()) == (1, [(1,), (2,)])
    migrate(old, str(path), [FIRST, SECOND])
    assert version(old) == 2


def test_a_database_of_the_present_version_is_not_touched(
    old: sqlite3.Connection, path: Path
) -> None:
    migrate(old, str(path), [FIRST])
    assert not list(path.parent.glob("*.v*"))


def test_a_newer_database_is_refused(old: sqlite3.Connection, path: Path) -> None:
    migrate(old, str(path), [FIRST, SECOND])
    with pytest.raises(Refused, match="has version 2, and this Ostler knows versions up to 1"):
        migrate(old, str(path), [FIRST])


def test_many_who_open_an_old_database_at_once_change_it_once(
    old: sqlite3.Connection, path: Path
) -> None:
    counting = Migration(2, "INSERT INTO t SELECT count(*) + 100 FROM t;")

    def upgrade(_: int) -> None:
        conn = connect(str(path))
        migrate(conn, str(path), [FIRST, counting])
        conn.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(upgrade, range(4)))
    assert old.execute("SELECT a FROM t").fetchall() == [(1,), (2,), (102,)]


def test_steps_must_follow_one_another(tmp_path: Path) -> None:
    (tmp_path / "0001_first.sql").write_text("SELECT 1;")
    (tmp_path / "0003_third.sql").write_text("SELECT 1;")
    with pytest.raises(ValueError, match=r"expected 0002_NAME\.sql"):
        migrations(tmp_path)


def test_statements_are_parted_where_they_end() -> None:
    text = "-- a; b\nSELECT ';';\n\nCREATE TRIGGER x AFTER INSERT ON t BEGIN\n SELECT 1;\nEND;\n"
    assert [s.strip().splitlines()[0] for s in statements(text)] == [
        "-- a; b",
        "CREATE TRIGGER x AFTER INSERT ON t BEGIN",
    ]
