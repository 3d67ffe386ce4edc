"""What the manager needs of a database, whichever it is."""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, Protocol

from ostler.model.ids import JobId
from ostler.model.job import Job
from ostler.model.record import EndedElement, Loaded, Write

Row = dict[str, Any]
# A row of accounting: allocation, job, element, attempt, part.
Account = tuple[int, int, int, int, int]


class Store(Protocol):
    """One machine's database. All methods raise `NotNow` with the cause when it does not answer.

    Writing, reading and checkpoints each have a thread of their own. Rows of reads have the
    columns of docs/reference/database.md as keys.
    """

    def load(self) -> Loaded:
        """Return what the core needs to go on."""

    def commit(self, writes: Sequence[Write], epoch: int) -> None:
        """Write all of it durably, or nothing; raise `StaleEpoch` when the role is over."""

    def drop_events(self, epoch: int, before: float, below: int, limit: int) -> None:
        """Remove the oldest events, some at a time."""

    def copy_jobs(self, folder: str, before: float, limit: int) -> list[JobId]:
        """Copy jobs that have ended into the archives of a folder; return them and their steps."""

    def copy_accounts(self, folder: str, before: float, limit: int) -> list[Account]:
        """Copy accounting into the archives of a folder; return what was copied."""

    def drop_jobs(self, epoch: int, jobs: Sequence[JobId], limit: int) -> bool:
        """Remove jobs that were copied, some rows at a time; say whether all is gone."""

    def drop_accounts(self, epoch: int, accounts: Sequence[Account]) -> None:
        """Remove accounting that was copied."""

    def orphans(self) -> tuple[list[str], list[JobId]]:
        """Return environments and scripts that no job names, and the jobs that were asked."""

    def drop_blobs(self, epoch: int, digests: Sequence[str], asked: Sequence[JobId]) -> None:
        """Remove such, unless a job names them that was not asked."""

    def probe(self) -> None:
        """Return if writing works, after a commit that failed."""

    def checkpoint(self) -> None:
        """Do the database's housekeeping beside the writer."""

    def close(self) -> None:
        """Let go of the database."""

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
        is_alive: Callable[[int, float], bool],
        at_least: int = 0,
    ) -> int:
        """Take the roles under one new epoch and return it; `NotNow` names who has them."""

    def renew(self, epoch: int, *, now_boottime: float, lease_seconds: float) -> None:
        """Let the lease begin anew; raise `StaleEpoch` when the roles are gone."""

    def drop_role(self, epoch: int) -> None:
        """Give the roles of this epoch back."""

    def jobs(
        self,
        *,
        user: str | None = None,
        partition: str | None = None,
        states: Collection[str] | None = None,
        since: float | None = None,
        ids: Collection[JobId] | None = None,
        steps: bool = False,
        limit: int = ...,
    ) -> list[Row]:
        """Return the newest jobs that all given conditions select, by id; steps: those, too."""

    def steps(self, job: JobId, *, limit: int = ...) -> list[Row]:
        """Return the newest steps of an allocation's job, by number."""

    def rms(self, jobs: Collection[JobId]) -> list[tuple[JobId, str, int]]:
        """Return which other resource managers have had elements of jobs, and how many each."""

    def job(self, ident: JobId) -> Job | None:
        """Return one job, whatever its state."""

    def done(self, ident: JobId) -> list[EndedElement]:
        """Return each ended element of a job that has a row."""

    def elements(
        self,
        job: JobId,
        *,
        spans: Sequence[tuple[int, int]] | None = None,
        states: Collection[str] | None = None,
        limit: int = ...,
    ) -> list[Row]:
        """Return the first rows of elements, by number."""

    def events(
        self,
        *,
        since_serial: int = 0,
        job: JobId | None = None,
        element: int | None = None,
        node: str | None = None,
        limit: int = ...,
        newest: bool = False,
    ) -> list[Row]:
        """Return events from a serial on, in order: the first, or the newest."""

    def handled(
        self, *, user: str | None, handler: str | None, unfinished: bool, limit: int = ...
    ) -> list[Row]:
        """Return the newest errands, with their events; user: those that tell this user."""

    def dealt(self, serials: Collection[int]) -> dict[int, tuple[str, float, str]]:
        """Return which of these events a person has dealt with: who, when, and what was said."""

    def find_post(self, request_id: str, uid: int) -> Row | None:
        """Return the event that a client has posted under this request id."""

    def find_answered(self, request_id: str, uid: int) -> str | None:
        """Return what a client was answered to this request to change the site, as JSON."""

    def oldest_event(self) -> int:
        """Return the lowest serial there is; 0 without events."""

    def history(self, job: JobId, element: int | None = None, *, limit: int = ...) -> list[Row]:
        """Return the newest events of a job; with an element, its own and the whole job's."""

    def transactions(self, name: str, kind: str | None = None, *, limit: int = ...) -> list[Row]:
        """Return the newest changes of what administrators have set under a name, in order."""

    def accounting(
        self,
        *,
        user: str | None = None,
        project: str | None = None,
        partition: str | None = None,
        since: float | None = None,
        until: float | None = None,
        job: JobId | None = None,
        limit: int = ...,
    ) -> list[Row]:
        """Return the newest attempts that ended in [since, until), by their end."""

    def find_request(self, request_id: str, uid: int | None = None) -> JobId | None:
        """Return the job that a client has asked for under this id."""

    def requests(self) -> Iterator[tuple[int, str]]:
        """Yield (uid, request id) of all jobs whose client gave one."""

    def blob(self, digest: str) -> bytes | None:
        """Return the bytes of a digest."""

    def nodes(self) -> list[Row]:
        """Return every node that ever was in the machine, by name."""
