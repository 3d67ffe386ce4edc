"""Ended jobs leave the database for files of their own, one for each month in which they ended.

An archive has the schema of the database itself, so whatever reads the one reads the other. First
rows are copied, then the core forgets the jobs, then the rows are deleted some at a time: a stop
in between costs that the same rows are copied once more. Accounting has a lifetime of its own.
"""

import sqlite3
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from json import dumps
from pathlib import Path

import msgspec
from msgspec import Struct

from ostler.model.errors import Missing
from ostler.model.ids import MAX_STEPS, JobId, job_name, step_id
from ostler.store.protocol import Account
from ostler.store.sqlite.connection import SQL, connect, create_private, one_moment, transaction
from ostler.store.sqlite.faults import explained
from ostler.store.sqlite.migrate import migrate, migrations
from ostler.store.sqlite.reads import Reads

# Parents before children, and the other way round.
_COPIES = (
    "copy_jobs",
    "copy_elements",
    "copy_allocations",
    "copy_shares",
    "copy_rm_jobs",
    "copy_events",
)
_DROPS = (
    "drop_elements_of_jobs",
    "drop_allocations_of_jobs",
    "drop_rm_jobs_of_jobs",
    "drop_events_of_jobs",
)
FOLDER = "archive"  # in the state folder
_FILES = "????-??.db"


class Archives:
    """The archives of a folder, for reading; a file that is put there or taken away is seen."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._spans: dict[tuple[str, int], tuple[int, int]] = {}  # jobs of a file as it was then

    @contextmanager
    def holding(self, job: JobId) -> Iterator[tuple[str, Reads]]:
        """Give the name of the archive that has a job, and its rows; raises `Missing`, `NotNow`."""
        for path in sorted(self._folder.glob(_FILES), reverse=True):
            with explained(str(path)), closing(connect(str(path), read_only=True)) as conn:
                low, high = self._span(path, conn)
                if low <= job <= high and conn.execute(SQL["get_job"], {"id": job}).fetchone():
                    yield path.stem, Reads(conn, str(path), nullcontext())
                    return
        raise Missing(
            f"job {job_name(job)} was moved to an archive, which is no longer there",
            hint=f"the archives are in {self._folder}",
        )

    def _span(self, path: Path, conn: sqlite3.Connection) -> tuple[int, int]:
        """Return the first and the last job of an archive."""
        file = str(path), path.stat().st_mtime_ns
        found = self._spans.get(file)
        if found is None:
            (low, high) = conn.execute(SQL["span_of_jobs"]).fetchone()
            found = self._spans[file] = low or 0, high or -1
        return found


def path_of(folder: Path, name: str) -> Path:
    """Return the file of an archive; raise `Missing` that names those that there are."""
    known = sorted(path.stem for path in folder.glob(_FILES))
    if name not in known:
        there = ", ".join(known[-24:]) or "none so far"
        raise Missing(f"there is no archive {name[:40]!r}", expected=f"archives: {there}")
    return folder / f"{name}.db"


def copy_jobs(database: str, folder: Path, before: float, limit: int) -> list[int]:
    """Copy jobs that ended before, with their steps, elements, allocations, events; return them.

    before: Unix seconds. At most `limit` jobs, and never the newest one, nor that of the newest
    allocation: their numbers must not come again. Raises `NotNow`.
    """
    with explained(database), closing(connect(database, read_only=True)) as live:
        values = {"before": before, "limit": limit}
        by_month: dict[str, list[int]] = defaultdict(list)
        for job, ended_at in live.execute(SQL["old_jobs"], values).fetchall():
            span = {"low": step_id(job, 0), "high": step_id(job, MAX_STEPS - 1)}
            steps = [number for (number,) in live.execute(SQL["numbers_of_steps"], span)]
            by_month[_month(ended_at)] += [job, *steps]
    for month, jobs in by_month.items():
        _copy(database, folder, month, [(name, {"jobs": dumps(jobs)}) for name in _COPIES])
    return [job for jobs in by_month.values() for job in jobs]


def copy_accounts(database: str, folder: Path, before: float, limit: int) -> list[Account]:
    """Copy attempts that ended before, and return which; raises `NotNow`."""
    with explained(database), closing(connect(database, read_only=True)) as live:
        values = {"before": before, "limit": limit}
        found = live.execute(SQL["old_accounts"], values).fetchall()
    by_month: dict[str, list[Account]] = defaultdict(list)
    for alloc, job, element, attempt, part, ended_at in found:
        by_month[_month(ended_at)].append((alloc, job, element, attempt, part))
    for month, accounts in by_month.items():
        _copy(database, folder, month, [("copy_accounts", {"accounts": dumps(accounts)})])
    return [account for accounts in by_month.values() for account in accounts]


def drop_jobs(conn: sqlite3.Connection, jobs: Sequence[int], limit: int) -> bool:
    """Delete rows of jobs, `limit` of each table at most; say whether nothing is left of them.

    Inside a transaction of the caller.
    """
    values = {"jobs": dumps(list(jobs)), "limit": limit}
    deleted = [conn.execute(SQL[name], values).rowcount for name in _DROPS]
    if max(deleted) >= limit:
        return False
    conn.execute(SQL["drop_jobs"], {"jobs": values["jobs"]})
    return True


def drop_accounts(conn: sqlite3.Connection, accounts: Sequence[Account]) -> None:
    """Delete rows of accounting, inside a transaction of the caller."""
    conn.executemany(SQL["drop_account"], accounts)


def _copy(
    database: str, folder: Path, month: str, copies: list[tuple[str, dict[str, str]]]
) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    path = str(folder / f"{month}.db")
    create_private(path)
    with explained(path), closing(connect(path)) as archive:
        archive.execute("PRAGMA synchronous = FULL")
        migrate(archive, path, migrations())
        archive.execute("ATTACH ? AS live", (f"{Path(database).absolute().as_uri()}?mode=ro",))
        with transaction(archive):
            for name, values in copies:
                archive.execute(SQL[name], values)


def _month(at: float) -> str:
    return time.strftime("%Y-%m", time.localtime(at))


# -- environments and scripts that no job names any more -----------------------------------------


class _Named(Struct):
    """Of a specification what names blobs."""

    env: str = ""
    script: str = ""
    items: str = ""


_decode_named = msgspec.msgpack.Decoder(_Named).decode


def orphans(database: str) -> tuple[list[str], list[JobId]]:
    """Return blobs that no job names, and the jobs that were asked; raises `NotNow`."""
    with explained(database), closing(connect(database, read_only=True)) as live, one_moment(live):
        named, asked = _named(live, [])
        found = [digest for (digest,) in live.execute(SQL["digests"]) if digest not in named]
    return found, asked


def drop_blobs(conn: sqlite3.Connection, digests: Sequence[str], asked: Sequence[JobId]) -> None:
    """Delete blobs unless a job names them that has come meanwhile, and was not asked.

    Inside a transaction of the caller.
    """
    named, _ = _named(conn, asked)
    conn.executemany(SQL["drop_blob"], [(each,) for each in digests if each not in named])


def _named(conn: sqlite3.Connection, asked: Sequence[JobId]) -> tuple[set[str], list[JobId]]:
    named: set[str] = set()
    jobs: list[JobId] = []
    for number, spec in conn.execute(SQL["specs"], {"asked": dumps(list(asked))}):
        found = _decode_named(spec)
        named.update((found.env, found.script, found.items))
        jobs.append(number)
    return named, jobs
