"""The store on SQLite: one connection that writes, one that reads, one that checkpoints."""

import os
import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import inf
from pathlib import Path
from typing import Any, Self

from ostler.model.errors import OstlerError, StaleEpoch, Unsupported
from ostler.model.ids import JobId
from ostler.model.record import EndedElement, Loaded, Moment, Subscriber, Used, Write
from ostler.model.settings import ATTRIBUTES
from ostler.model.site import Site, site_of
from ostler.model.site_kinds import KINDS
from ostler.store.protocol import Account
from ostler.store.sqlite import archive, rm_rows, roles, rows
from ostler.store.sqlite.batch import Batch
from ostler.store.sqlite.connection import (
    MEMORY,
    SQL,
    Place,
    as_dict,
    connect,
    create_private,
    one_moment,
    transaction,
)
from ostler.store.sqlite.faults import SLOW, explained, sensible, unusable
from ostler.store.sqlite.migrate import migrate, migrations
from ostler.store.sqlite.reads import Reads
from ostler.store.sqlite.site_rows import row_of
from ostler.store.sqlite.successes import successes

WAL_ROOM = 1 << 20  # bytes of WAL to begin with; where it has grown beyond, it stays so
HALF_LIVES = 20  # after so many, a millionth of use is left
_ZEROS = 1 << 18  # bytes written at once
_MOMENT = 0.01  # seconds between two tries to open a database that others have whole
WAL_MOST = 64 << 20  # bytes that a checkpoint may leave; with more it makes the writer wait


class SqliteStore(Reads):
    """A database of one machine; open it with `open`.

    `commit` and the roles belong to one thread at a time, reads to another, `checkpoint` to any.
    With `:memory:` all share one connection and nothing outlives the object.
    """

    def __init__(self, path: str, writer: sqlite3.Connection, reader: sqlite3.Connection) -> None:
        self.path = path
        self._place = Place(path)
        self._writer = writer
        self._writing = threading.RLock()
        super().__init__(reader, path, self._writing if reader is writer else threading.RLock())

    @classmethod
    def open(cls, path: str) -> Self:
        """Open the database and bring it to the present version; make it if there is none.

        Raises `NotNow` when it cannot be opened or is damaged, `Refused` when it is newer than
        this release or not Ostler's, `Unsupported` when this host's SQLite cannot do it.
        """
        try:
            with explained(path):
                return cls._open(path)
        except OSError as error:
            raise unusable(path, error) from error

    @classmethod
    def _open(cls, path: str) -> Self:
        if path != MEMORY:
            create_private(path)
        writer = connect(path)
        try:
            migrate(writer, path, migrations())
            if path == MEMORY:
                writer.execute("PRAGMA synchronous = OFF")
                return cls(path, writer, writer)
            _use_wal(writer, path)
            _make_room(writer, path)
            return cls(path, writer, connect(path, read_only=True))
        except BaseException:
            writer.close()
            raise

    def close(self) -> None:
        """Close all connections; the last one brings the WAL into the file."""
        self._reader.close()
        self._writer.close()

    # -- writing ---------------------------------------------------------------------------

    def commit(self, writes: Sequence[Write], epoch: int) -> None:
        """Write all of it durably, or nothing.

        epoch: of the machine role in whose name it is written. Raises `StaleEpoch` when that is
        over, and `NotNow` with the cause when the database cannot be written; see `probe`.
        """
        with explained(self.path):
            batch = Batch(writes)
            self._place.check()
            with self._as_holder(epoch):
                batch.write(self._writer)

    @contextmanager
    def _as_holder(self, epoch: int) -> Iterator[None]:
        """Begin a transaction of the role's holder; raise `StaleEpoch` if it is that no more."""
        with self._writing, transaction(self._writer):
            if self._writer.execute(SQL["check_epoch"], {"epoch": epoch}).fetchone() is None:
                raise _stale(epoch)
            yield

    def drop_events(self, epoch: int, before: float, below: int, limit: int) -> None:
        """Remove the oldest events, at most `limit` of them, but never the newest.

        before: Unix seconds. below: a serial. Raises `StaleEpoch` and `NotNow` as `commit` does.
        """
        values = {"before": before, "below": below, "limit": limit}
        with explained(self.path), self._writing:
            if self._writer.execute(SQL["has_old_event"], values).fetchone() is None:
                return  # as nearly always: nothing is looked at but the oldest
        with explained(self.path), self._as_holder(epoch):
            self._writer.execute(SQL["drop_events"], values)
            self._writer.execute(SQL["drop_handled"])
            self._writer.execute(SQL["drop_postings"])
            self._writer.execute(SQL["drop_discrepancies"])
            self._writer.execute(SQL["drop_answered"])

    def put_moments(self, moments: Sequence[Moment], epoch: int) -> None:
        """Write when nodes were last heard of and looked at, without waiting for the disk.

        Raises as `commit` does. A crash of the host may lose it.
        """
        if not moments:
            return
        values = [(*moment[1:], moment.node) for moment in moments]
        self._place.check()
        with explained(self.path), self._writing:  # reentrant
            self._writer.execute("PRAGMA synchronous = NORMAL")
            try:
                with self._as_holder(epoch):
                    self._writer.executemany(SQL["put_moment"], values)
            finally:
                self._writer.execute(
                    f"PRAGMA synchronous = {'OFF' if self.path == MEMORY else 'FULL'}"
                )

    def copy_jobs(self, folder: str, before: float, limit: int) -> list[JobId]:
        """Copy ended jobs into the archives of a folder; return them and their steps.

        From any thread, with connections of its own. before: of their end, in Unix seconds.
        """
        return archive.copy_jobs(self.path, Path(folder), before, limit)

    def copy_accounts(self, folder: str, before: float, limit: int) -> list[Account]:
        """Copy the accounting of attempts that ended before; return which. See `copy_jobs`."""
        return archive.copy_accounts(self.path, Path(folder), before, limit)

    def drop_jobs(self, epoch: int, jobs: Sequence[JobId], limit: int) -> bool:
        """Remove archived jobs, at most `limit` rows of a table; say whether all is gone."""
        with explained(self.path), self._as_holder(epoch):
            return archive.drop_jobs(self._writer, jobs, limit)

    def drop_accounts(self, epoch: int, accounts: Sequence[Account]) -> None:
        """Remove archived accounting."""
        with explained(self.path), self._as_holder(epoch):
            archive.drop_accounts(self._writer, accounts)

    def orphans(self) -> tuple[list[str], list[JobId]]:
        """Return blobs that no job names, and the jobs that were asked; from any thread."""
        return archive.orphans(self.path)

    def drop_blobs(self, epoch: int, digests: Sequence[str], asked: Sequence[JobId]) -> None:
        """Remove blobs that no job names, not even one that was not asked."""
        with explained(self.path), self._as_holder(epoch):
            archive.drop_blobs(self._writer, digests, asked)

    def probe(self) -> None:
        """Write something that changes nothing; raise `NotNow` while writing does not work."""
        self._place.check()
        with explained(self.path), self._writing, transaction(self._writer):
            (version,) = self._writer.execute("PRAGMA user_version").fetchone()
            self._writer.execute(f"PRAGMA user_version = {version}")

    def checkpoint(self) -> None:
        """Bring the WAL into the file, beside the writer and the readers; raises `NotNow`.

        Call it from neither's thread, now and then while there are commits. The writer waits
        only when some long read keeps more than `WAL_MOST` from being moved: to cut off 80 MB,
        all of them moved already, is a quarter of a second in which nothing is committed.
        """
        if self.path == MEMORY:
            return
        self._place.check()
        with explained(self.path):
            conn = connect(self.path)
            try:
                conn.execute("PRAGMA synchronous = FULL")
                _, logged, moved = conn.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                (page,) = conn.execute("PRAGMA page_size").fetchone()
                if (logged - moved) * page > WAL_MOST:
                    conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            finally:
                conn.close()

    def wal_bytes(self) -> int:
        """Return the size of the WAL; it does not shrink at a checkpoint but is used again."""
        try:
            return os.stat(f"{self.path}-wal").st_size
        except FileNotFoundError:
            return 0

    # -- roles -----------------------------------------------------------------------------

    def take_role(
        self,
        names: Sequence[str],
        *,
        holder: str,
        pid: int,
        start_time: float,
        boot_id: str,
        now_boottime: float,
        lease_seconds: float,
        is_alive: roles.IsAlive,
        at_least: int = 0,
    ) -> int:
        """Take all the roles, or none, under one new epoch, and return it.

        A role is free when nobody has it, its lease or its boot is over, or is_alive(pid,
        start_time) says that its holder is dead. now_boottime: seconds of CLOCK_BOOTTIME.
        at_least: the new epoch is no lower, whatever the database has forgotten.
        Raises `NotNow` that names the holder.
        """
        with explained(self.path), self._writing, transaction(self._writer):
            return roles.take(
                self._writer,
                names,
                holder=holder,
                pid=pid,
                start_time=start_time,
                boot_id=boot_id,
                now=now_boottime,
                lease_seconds=lease_seconds,
                is_alive=is_alive,
                at_least=at_least,
            )

    def renew(self, epoch: int, *, now_boottime: float, lease_seconds: float) -> None:
        """Let the lease of all roles of this epoch begin anew; raise `StaleEpoch`, `NotNow`."""
        values = {"epoch": epoch, "lease_until": now_boottime + lease_seconds}
        with explained(self.path), self._writing, transaction(self._writer):
            if not self._writer.execute(SQL["renew_roles"], values).rowcount:
                raise _stale(epoch)

    def drop_role(self, epoch: int) -> None:
        """Give all roles of this epoch back, if they are still held; raises `NotNow`."""
        with explained(self.path), self._writing, transaction(self._writer):
            self._writer.execute(SQL["drop_roles"], {"epoch": epoch})

    # -- loading ---------------------------------------------------------------------------

    def load(self) -> Loaded:
        """Return what the core needs to go on; raises `NotNow`. Take the role first."""
        with explained(self.path), self._writing, sensible(self.path), one_moment(self._writer):
            return self._load()

    def _load(self) -> Loaded:
        shares: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for share in self._dicts("load_shares"):
            shares[share["allocation"]].append(share)
        done: dict[int, list[EndedElement]] = defaultdict(list)
        for job, *ended in self._writer.execute(SQL["load_done"]):
            done[job].append(EndedElement(*ended))
        settings = dict(self._writer.execute(SQL["attributes"]))
        jobs = [rows.job_of(row) for row in self._writer.execute(SQL["load_jobs"])]
        return Loaded(
            jobs=jobs,
            elements=[rows.element_of(row) for row in self._writer.execute(SQL["load_elements"])],
            done=dict(done),
            allocations=[
                rows.allocation_of(row, shares[row["id"]])
                for row in self._dicts("load_allocations")
            ],
            nodes=[rows.node_of(row) for row in self._dicts("nodes")],
            settings=settings,
            ended=dict(self._writer.execute(SQL["load_ended"])),
            next_job=self._number("next_job"),
            next_allocation=self._number("next_allocation"),
            next_event=self._number("next_event"),
            successes=successes(self._writer, jobs),
            used=self._used(settings),
            errands=[rows.errand_of(row) for row in self._writer.execute(SQL["load_errands"])],
            rm_nodes=[*map(rm_rows.node_of, self._dicts("rm_nodes"))],
            rm_jobs=[*map(rm_rows.job_of, self._dicts("load_rm_jobs"))],
            discrepancies=[*map(rm_rows.discrepancy_of, self._dicts("load_discrepancies"))],
            subscribers=[Subscriber(*row) for row in self._writer.execute(SQL["subscribers"])],
            site=self._site(),
            next_transaction=self._number("next_transaction"),
        )

    def _site(self) -> Site:
        kinds = KINDS.values()
        return site_of(row_of(kind, row) for kind in kinds for row in self._dicts(kind.table))

    def _used(self, settings: dict[str, str]) -> list[Used]:
        """Return what has been used, where that counts: all of a long time is looked at."""
        if not int(settings.get("weight-share", 0)):
            return []
        default = ATTRIBUTES["share-half-life"].default
        half_life = float(settings.get("share-half-life", default)) or inf
        span = {"since": HALF_LIVES * half_life}
        return [Used(*row) for row in self._writer.execute(SQL["load_used"], span)]

    def _dicts(self, name: str) -> list[dict[str, Any]]:
        cursor = self._writer.execute(SQL[name])
        cursor.row_factory = as_dict
        return cursor.fetchall()

    def _number(self, name: str) -> int:
        (number,) = self._writer.execute(SQL[name]).fetchone()
        return int(number)


def _use_wal(writer: sqlite3.Connection, path: str) -> None:
    writer.execute("PRAGMA synchronous = FULL")
    mode = _in_wal_mode(writer)
    if mode != "wal":
        raise Unsupported(
            f"the file system of {path} cannot share memory, which SQLite's WAL needs",
            hint="name a state folder on a local file system",
        )
    writer.execute("PRAGMA wal_autocheckpoint = 0")


def _in_wal_mode(writer: sqlite3.Connection) -> str:
    """Ask for the WAL, and return the mode that was got; wait for others, as SQLite does not here.

    Whoever opens it first, or closes it last, has all of it for a moment.
    """
    until = time.monotonic() + SLOW
    while True:
        try:
            (mode,) = writer.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(_MOMENT)
        else:
            return str(mode)


def _make_room(writer: sqlite3.Connection, path: str) -> None:
    """Fill the WAL up with zeros, so that commits overwrite it.

    A sync of a file that has grown makes its file system commit, too, which takes as long again.
    Behind the last frame SQLite expects anything: frames tell by salt and checksum that they count.
    """
    with transaction(writer):  # so that no other process appends to it meanwhile
        fd = os.open(f"{path}-wal", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(fd).st_size
            _fill(fd, size)
        finally:
            os.close(fd)


def _fill(fd: int, size: int) -> None:
    """Write zeros from the present size up to `WAL_ROOM`; nothing where there is no room."""
    try:
        for at in range(size, WAL_ROOM, _ZEROS):
            os.pwrite(fd, bytes(min(_ZEROS, WAL_ROOM - at)), at)
        os.fsync(fd)
    except OSError:
        os.ftruncate(fd, size)


def _stale(epoch: int) -> OstlerError:
    return StaleEpoch(
        f"the role of epoch {epoch} has been taken over", hint="ask the manager that has it now"
    )
