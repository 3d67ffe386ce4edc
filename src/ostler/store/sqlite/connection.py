"""Connections to one database file, and the settings each of them has."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ostler.model.errors import Unsupported
from ostler.store.queries import load_queries
from ostler.store.sqlite.faults import SLOW, gone

SQL = load_queries(Path(__file__).parent / "queries")
MEMORY = ":memory:"
OLDEST = (3, 37, 0)  # the first with STRICT tables


def connect(path: str, *, read_only: bool = False) -> sqlite3.Connection:
    """Open a connection that begins no transaction by itself.

    It may be used from any thread, by one at a time. Raises `Unsupported`, `sqlite3.Error`.
    """
    if sqlite3.sqlite_version_info < OLDEST:
        raise Unsupported(
            f"Python has SQLite {sqlite3.sqlite_version} here",
            expected=f"{'.'.join(map(str, OLDEST))} or later",
        )
    mode = "ro" if read_only else "rw"  # never made by accident: see create_private
    target = path if path == MEMORY else f"{Path(path).absolute().as_uri()}?mode={mode}"
    conn = sqlite3.connect(
        target, timeout=SLOW, isolation_level=None, check_same_thread=False, uri=path != MEMORY
    )
    try:
        conn.execute("PRAGMA foreign_keys = ON")
        conn.execute("PRAGMA trusted_schema = OFF")  # the file may have been made by anybody
    except sqlite3.Error:
        conn.close()
        raise
    return conn


def create_private(path: str) -> None:
    """Make an empty file if there is none, for its owner only: rows hold commands, environments.

    WAL and index take the mode of the file. Raises OSError, for a file that may not be written too.
    """
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


class Place:
    """Notices that a file in use was moved or deleted: SQLite would go on writing to it."""

    def __init__(self, path: str) -> None:
        self._inodes: dict[str, int | None] = {}
        if path != MEMORY:
            self._inodes = {path: os.stat(path).st_ino, f"{path}-wal": None}

    def check(self) -> None:
        """Raise `NotNow` if a file is no longer the one that was there before."""
        for path, inode in self._inodes.items():
            try:
                found = os.stat(path).st_ino
            except FileNotFoundError:
                found = None
            if inode is None:
                self._inodes[path] = found  # the WAL is made by the first write
            elif found != inode:
                raise gone(path)


@contextmanager
def transaction(conn: sqlite3.Connection) -> Iterator[None]:
    """Lock the database for writing; commit at the end, roll back if anything is raised."""
    conn.execute("BEGIN IMMEDIATE")
    try:
        yield
        conn.execute("COMMIT")
    except BaseException:
        if conn.in_transaction:  # SQLite itself has rolled back after some faults
            conn.execute("ROLLBACK")
        raise


@contextmanager
def one_moment(conn: sqlite3.Connection) -> Iterator[None]:
    """Let all that is read inside be of one moment, whatever others write."""
    conn.execute("BEGIN")
    try:
        yield
    finally:
        if conn.in_transaction:  # SQLite itself has ended it after some faults
            conn.execute("ROLLBACK")


def as_dict(cursor: sqlite3.Cursor, row: tuple[object, ...]) -> dict[str, object]:
    """Return a row as column name -> value: a row factory."""
    return {column[0]: value for column, value in zip(cursor.description, row, strict=True)}
