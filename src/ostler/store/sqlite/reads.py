"""Reads of what the core no longer holds in memory, for a thread of their own."""

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from json import dumps
from typing import Any

from ostler.model.ids import MAX_STEPS, STEPS_FROM, JobId, is_step, step_id
from ostler.model.job import Job
from ostler.model.limits import MAX_ELEMENT
from ostler.model.record import EndedElement
from ostler.model.states import JobState
from ostler.store.sqlite import rows
from ostler.store.sqlite.connection import SQL, as_dict
from ostler.store.sqlite.faults import explained, sensible

Row = dict[str, Any]
Spans = Sequence[tuple[int, int]]
LIMIT = 10_000  # rows, unless told otherwise

_UNFINISHED = frozenset(str(s) for s in JobState if s is not JobState.DONE)


class Reads:
    """Lists of rows, keys are the columns of docs/reference/database.md.

    `command`, `request_id` and `spec` of a job are private: whoever passes a row on takes them
    out unless the reader owns the job. All methods raise `NotNow`.
    """

    def __init__(
        self, conn: sqlite3.Connection, path: str, lock: AbstractContextManager[Any]
    ) -> None:
        self._reader = conn
        self._path = path
        self._reading = lock

    def jobs(
        self,
        *,
        user: str | None = None,
        partition: str | None = None,
        states: Collection[str] | None = None,
        since: float | None = None,
        ids: Collection[JobId] | None = None,
        steps: bool = False,
        limit: int = LIMIT,
    ) -> list[Row]:
        """Return the newest `limit` jobs that all given conditions select, by id.

        steps: those in allocations, too.

        states: of jobs, or their results. since: Unix seconds; leaves out what had ended before.
        `spec` is not among the columns.
        """
        values = {
            "user": user,
            "partition": partition,
            "states": None if states is None else dumps([str(s) for s in states]),
            "since": since,
            "ids": None if ids is None else dumps(list(ids)),
            "below": 1 << 62 if steps else STEPS_FROM,
            "limit": limit,
        }
        if ids is not None:
            name = "jobs_by_id"
        elif states is not None and _UNFINISHED.issuperset(states):
            name = "jobs_unfinished"
        else:
            name = "jobs_of_all" if user is None else "jobs_of_user"
        found = self._rows(name, **values)
        for row in found:
            del row["spec"]
        return found[::-1]

    def steps(self, job: JobId, *, limit: int = LIMIT) -> list[Row]:
        """Return the newest `limit` steps of an allocation's job, by number; columns as of `jobs`."""
        found = self._rows("steps_of_job", **_steps_of(job), limit=limit)
        for row in found:
            del row["spec"]
        return found[::-1]

    def rms(self, jobs: Collection[JobId]) -> list[tuple[JobId, str, int]]:
        """Return which other resource managers have had elements of jobs, and how many each."""
        return [(job, rm, n) for job, rm, n in self._values("rms_of_jobs", jobs=dumps([*jobs]))]

    def job(self, ident: JobId) -> Job | None:
        """Return one job, whatever its state; None if there is none."""
        found = self._values("get_job", id=ident)
        with sensible(self._path):
            return rows.job_of(found[0]) if found else None

    def done(self, ident: JobId) -> list[EndedElement]:
        """Return each ended element of a job that has a row."""
        return [EndedElement(*row) for row in self._values("done_of_job", job=ident)]

    def elements(
        self,
        job: JobId,
        *,
        spans: Spans | None = None,
        states: Collection[str] | None = None,
        limit: int = LIMIT,
    ) -> list[Row]:
        """Return the first `limit` rows of elements, by number; spans are inclusive, disjoint."""
        return self._rows(
            "elements_of_job",
            job=job,
            spans=dumps([(0, MAX_ELEMENT)] if spans is None else list(spans)),
            states=None if states is None else dumps([str(s) for s in states]),
            limit=limit,
        )

    def events(
        self,
        *,
        since_serial: int = 0,
        job: JobId | None = None,
        element: int | None = None,
        node: str | None = None,
        limit: int = LIMIT,
        newest: bool = False,
    ) -> list[Row]:
        """Return events from a serial on, in order: the first `limit` of them, or the newest.

        element: only together with job; events of the job as a whole are left out then.
        """
        return self._events(since_serial, job, element, node, limit, newest=newest, wide=False)

    def handled(
        self, *, user: str | None, handler: str | None, unfinished: bool, limit: int = LIMIT
    ) -> list[Row]:
        """Return the newest errands, with their events; user: those that tell this user."""
        values = {"user": user, "handler": handler, "open": int(unfinished), "limit": limit}
        return self._rows("errands", **values)[::-1]

    def dealt(self, serials: Collection[int]) -> dict[int, tuple[str, float, str]]:
        """Return which of these events a person has dealt with: who, when, and what was said."""
        rows = self._values("dealt", serials=dumps(list(serials)))
        return {serial: (user, at, note) for serial, user, at, note in rows}

    def find_post(self, request_id: str, uid: int) -> Row | None:
        """Return the event that a client has posted under this request id; None if there is none."""
        found = self._values("find_posting", request_id=request_id, uid=uid)
        return self.events(since_serial=found[0][0], limit=1)[0] if found else None

    def find_answered(self, request_id: str, uid: int) -> str | None:
        """Return what a client was answered to this request to change the site, as JSON."""
        found = self._values("find_answered", request_id=request_id, uid=uid)
        return str(found[0][0]) if found else None

    def oldest_event(self) -> int:
        """Return the lowest serial there is; 0 without events."""
        return int(self._values("oldest_event")[0][0])

    def history(self, job: JobId, element: int | None = None, *, limit: int = LIMIT) -> list[Row]:
        """Return the newest events of a job; with an element, its own and the whole job's."""
        return self._events(0, job, element, None, limit, newest=True, wide=True)

    def _events(
        self,
        since: int,
        job: JobId | None,
        element: int | None,
        node: str | None,
        limit: int,
        *,
        newest: bool,
        wide: bool,
    ) -> list[Row]:
        values: Row = {"since": since, "limit": limit}
        name = "events"
        if job is not None:
            name = "events_of_job"
            values |= {"job": job, "element": element, "node": node, "wide": wide}
        elif node is not None:
            name = "events_of_node"
            values["node"] = node
        found = self._rows(f"{name}_{'last' if newest else 'first'}", **values)
        return found[::-1] if newest else found

    def transactions(self, name: str, kind: str | None = None, *, limit: int = LIMIT) -> list[Row]:
        """Return the newest changes of what administrators have set under a name, in order."""
        return self._rows("transactions_of_object", object=name, kind=kind, limit=limit)[::-1]

    def accounting(
        self,
        *,
        user: str | None = None,
        project: str | None = None,
        partition: str | None = None,
        since: float | None = None,
        until: float | None = None,
        job: JobId | None = None,
        limit: int = LIMIT,
    ) -> list[Row]:
        """Return the newest attempts that ended in [since, until) Unix seconds, by their end."""
        values: Row = {"user": user, "project": project, "partition": partition}
        values |= {"since": since, "until": until, "limit": limit}
        if job is not None:
            span = _steps_of(job) if not is_step(job) else {"low": job, "high": job}
            return self._rows("accounting_of_job", job=job, **span, **values)[::-1]
        return self._rows("accounting_of_all", **values)[::-1]

    def find_request(self, request_id: str, uid: int | None = None) -> JobId | None:
        """Return the job that a client has asked for under this id; None if there is none.

        Request ids of different users are different; without uid the newest job counts.
        """
        found = self._values("find_request", request_id=request_id, uid=uid)
        return int(found[0][0]) if found else None

    def requests(self) -> Iterator[tuple[int, str]]:
        """Yield (uid, request id) of all jobs whose client gave one."""
        with self._reading, explained(self._path):
            yield from self._reader.execute(SQL["requests"])

    def blob(self, digest: str) -> bytes | None:
        """Return the bytes of a digest; None if there are none. Private to who owns the job."""
        found = self._values("blob", digest=digest)
        return bytes(found[0][0]) if found else None

    def nodes(self) -> list[Row]:
        """Return every node that ever was in the machine, by name."""
        return self._rows("nodes")

    def _rows(self, name: str, **values: object) -> list[Row]:
        with self._reading, explained(self._path):
            cursor = self._reader.execute(SQL[name], values)
            cursor.row_factory = as_dict
            return cursor.fetchall()

    def _values(self, name: str, **values: object) -> list[Any]:
        with self._reading, explained(self._path):
            return self._reader.execute(SQL[name], values).fetchall()


def _steps_of(job: JobId) -> dict[str, int]:
    """Return the span of numbers that the steps of a job can have."""
    return {"low": step_id(job, 0), "high": step_id(job, MAX_STEPS - 1)}
