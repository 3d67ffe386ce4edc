"""The store of a simulated machine: a real one, on a disk that can be full."""

from collections.abc import Callable, Sequence

from ostler.model.errors import NotNow
from ostler.model.ids import JobId
from ostler.model.job import Job
from ostler.model.record import EndedElement, Loaded, Write
from ostler.store.sqlite.store import SqliteStore
from ostler.testing.ledger import Broken

ROLES = ("machine", "partition:main")
BOOT = "manager-boot-1"


class SimStore:
    """The part of the store's protocol that a simulated manager uses. Outlives every manager."""

    def __init__(self) -> None:
        self.real = SqliteStore.open(":memory:")
        self.full = False
        self.commits = 0
        self.on_commit: Callable[[Sequence[Write]], None] = lambda _: None

    def take_role(
        self, pid: int, now: float, lease_seconds: float, is_alive: Callable[[int, float], bool]
    ) -> int:
        """Take the roles for the simulated process `pid`; return the epoch or raise `NotNow`."""
        self._check()
        return self.real.take_role(
            ROLES,
            holder=f"manager:{pid}",
            pid=pid,
            start_time=float(pid),
            boot_id=BOOT,
            now_boottime=now,
            lease_seconds=lease_seconds,
            is_alive=is_alive,
        )

    def commit(self, writes: Sequence[Write], epoch: int) -> None:
        """Write all of it, or nothing."""
        self._check()
        try:
            self.real.commit(writes, epoch)
        except NotNow as error:  # nothing is wrong with this disk: the rows are
            raise Broken(str(error)) from error
        self.commits += 1
        self.on_commit(writes)

    def probe(self) -> None:
        """Return if writing works."""
        self._check()
        self.real.probe()

    def load(self) -> Loaded:
        """Return what the core needs to go on."""
        return self.real.load()

    def find_request(self, request_id: str, uid: int) -> JobId | None:
        """Return the job that a client has asked for under this id."""
        return self.real.find_request(request_id, uid)

    def job(self, ident: JobId) -> Job | None:
        """Return one job, whatever its state."""
        return self.real.job(ident)

    def done(self, ident: JobId) -> list[EndedElement]:
        """Return each ended element that has a row."""
        return self.real.done(ident)

    def close(self) -> None:
        """Let go of the database."""
        self.real.close()

    def _check(self) -> None:
        if self.full:
            raise NotNow("the disk is full", hint="free some space; work then goes on by itself")
