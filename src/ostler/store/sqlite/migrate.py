"""The schema's versions: numbered SQL, each in one transaction, the old file kept beside."""

import os
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from ostler.store.sqlite.connection import MEMORY, connect, create_private, one_moment, transaction
from ostler.store.sqlite.faults import foreign, newer

APPLICATION = 0x4F53544C  # "OSTL", in the file's header
_NAME = re.compile(r"(\d{4})_\w+\.sql")


class Migration(NamedTuple):
    """One step of the schema."""

    version: int  # reached by it; they follow one another from 1
    sql: str


def migrations(folder: Path = Path(__file__).parent / "migrations") -> list[Migration]:
    """Return the steps, oldest first; raise ValueError for a gap or a strange name."""
    found: list[Migration] = []
    for path in sorted(folder.glob("*.sql")):
        match = _NAME.fullmatch(path.name)
        if match is None or int(match[1]) != len(found) + 1:
            msg = f"{path.name} does not follow; expected {len(found) + 1:04}_NAME.sql"
            raise ValueError(msg)
        found.append(Migration(int(match[1]), path.read_text(encoding="utf-8")))
    return found


def migrate(conn: sqlite3.Connection, path: str, steps: Sequence[Migration]) -> None:
    """Bring a database to the last version, or leave it as it was.

    An existing one is first copied to `PATH.vN`, N being its version. Raises `Refused` for a
    database that is newer or not Ostler's, `sqlite3.Error`, OSError.
    """
    known = steps[-1].version
    with one_moment(conn):  # another process may be making it
        found = _version(conn, path)
    if found > known:
        raise newer(path, found, known)
    if found == known:
        return
    with transaction(conn):
        found = _version(conn, path)  # that process may have been first
        if 0 < found < known and path != MEMORY:
            _keep(path, f"{path}.v{found}")
        for step in steps:
            if step.version > found:
                for statement in statements(step.sql):
                    conn.execute(statement)
        conn.execute(f"PRAGMA application_id = {APPLICATION}")
        conn.execute(f"PRAGMA user_version = {max(known, found)}")


def statements(sql: str) -> Iterator[str]:
    """Yield the statements of a text, comments included."""
    text = ""
    for line in sql.splitlines(keepends=True):
        text += line
        if sqlite3.complete_statement(text):
            yield text
            text = ""
    if text.strip():
        yield text


def _version(conn: sqlite3.Connection, path: str) -> int:
    """Return the version, 0 for an empty database; raise `Refused` for somebody else's."""
    (application,) = conn.execute("PRAGMA application_id").fetchone()
    (version,) = conn.execute("PRAGMA user_version").fetchone()
    (tables,) = conn.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if application != APPLICATION and (application or version or tables):
        raise foreign(path)
    return int(version)


def _keep(path: str, copy: str) -> None:
    """Write a copy of the database and make it durable; an older copy of that name goes.

    Called with the database locked, so that nobody else does the same; reading goes on beside.
    """
    partial = f"{copy}.partial"
    Path(partial).unlink(missing_ok=True)
    create_private(partial)
    with closing(connect(path)) as source, closing(connect(partial)) as target:
        source.backup(target)
    with open(partial, "rb") as file:
        os.fsync(file.fileno())
    os.replace(partial, copy)
    folder = os.open(os.path.dirname(os.path.abspath(copy)), os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
