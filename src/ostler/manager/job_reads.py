"""What is read of jobs: from memory while they live, then from the store, then from archives."""

from collections.abc import Callable
from itertools import islice
from typing import Any

from msgspec.structs import replace

from ostler.core.absent import is_archived
from ostler.core.entry import Entry
from ostler.core.foreign.names import read_ref
from ostler.core.load import ended_entry, recall
from ostler.core.machine import Machine
from ostler.core.roles import may, may_see_all
from ostler.core.view import element_row, files, job_row
from ostler.manager.documents import Asked, Listing
from ostler.manager.rm_reads import narrowed
from ostler.model.caller import Caller
from ostler.model.errors import Missing
from ostler.model.ids import STEPS_FROM, JobId, Ref, element_name, job_name, within
from ostler.model.states import Result
from ostler.store.protocol import Store
from ostler.store.sqlite.archive import Archives
from ostler.store.sqlite.reads import Reads as Kept
from ostler.wire import messages

Row = dict[str, Any]
ELEMENTS_SHOWN = 1_000
STEPS_SHOWN = 1_000
SHOWN = 10_000  # jobs, at most
FAILURES_SHOWN = 3  # elements of each result, by `explain`


def is_plain(options: messages.ReadOptions) -> bool:
    """Say whether jobs are asked for of which memory knows all: those of one user that live."""
    more = options.all or options.steps or options.rm or options.states or options.partition
    return not more and options.since is None


class JobReads:
    """Jobs of one manager, unfinished and ended ones."""

    def __init__(self, store: Store, machine: Callable[[], Machine], archives: Archives) -> None:
        self._store = store
        self._machine = machine
        self._archives = archives

    def recall(self, ref: Ref) -> None:
        """Bring an ended job back into memory, so that the core can act on it.

        Those, too, whose elements its own wait for.
        """
        self._recall(ref.job)
        state = self._machine().state
        entry = state.recent.get(ref.job)
        for number in entry.job.spec.tied_to if entry else ():
            self._recall(number)

    def _recall(self, number: int) -> None:
        state = self._machine().state
        if number in state.jobs or number in state.recent or number not in state.ended:
            return
        job = self._store.job(number)
        if job is not None:
            recall(state, job, self._store.done(number))

    def listing(self, asked: Asked) -> Listing:
        state, options = self._machine().state, asked.options
        user = options.user or (None if options.all or options.rm else asked.caller.user)
        wanted, since = set(options.states), options.since
        limit = options.limit or SHOWN
        place = options.partition
        if is_plain(options) and user is not None:
            numbers, more = state.jobs_of[user].newest(limit) if user in state.jobs_of else ([], 0)
            own: list[Row | Entry] = [state.jobs[n] for n in numbers]
            return Listing(self._veil, asked.caller, state, own, more, options.columns, user)
        found: dict[int, Row | Entry] = {}
        if options.all or since is not None or wanted:
            rows = self._store.jobs(
                user=user,
                partition=place,
                states=wanted or None,
                since=since,
                steps=options.steps,
                limit=limit,
            )
            found = {int(row["id"]): _public(row) for row in rows}
        for number in state.jobs if user is None else state.jobs_of.get(user, ()):
            here = place in (None, state.jobs[number].job.spec.partition)
            if here and (options.steps or number < STEPS_FROM):
                found[number] = state.jobs[number]
            else:  # its row may be older
                found.pop(number, None)
        if wanted:
            found = {number: one for number, one in found.items() if _matches(one, wanted)}
        if options.rm:
            found = narrowed(state, found, options.rm, self._store.rms)
        steps = (lambda number: (within(number), number)) if options.steps else None
        order = sorted(found, key=steps)  # steps behind their job
        shown = [found[number] for number in order[-limit:]]
        more = len(order) - len(shown)
        return Listing(self._veil, asked.caller, state, shown, more, options.columns)

    def job(self, asked: Asked) -> Row:
        wanted = read_ref(self._machine().state, asked.ref)
        self.recall(wanted)
        state = self._machine().state
        if not is_archived(state, wanted.job):
            return self._document(asked, wanted, state.entry(wanted), self._store)
        with self._archives.holding(wanted.job) as (month, kept):
            job = kept.job(wanted.job)
            if job is None:
                raise Missing(f"no job {job_name(wanted.job)}")
            entry = ended_entry(job, kept.done(job.id))
            entry.check(wanted)
            document = self._document(asked, wanted, entry, kept)
        document["jobs"][0]["archive"] = month
        return document

    def why_ended(self, wanted: Ref) -> Row:
        """Return what `explain` adds to an end: an element's reason; of an array those that failed.

        `failures` are the first few of each result but success, by number.
        """
        entry = self._machine().state.entry(wanted)
        if not entry.job.is_array:
            return {}
        if wanted.elements is not None:
            rows = self._store.elements(wanted.job, spans=wanted.elements, limit=1)
            return {"reason": rows[0]["reason"]} if rows and rows[0]["reason"] else {}
        bad = [found for result, found in entry.results.items() if result != Result.SUCCESS]
        first = sorted(index for found in bad for index in islice(found, FAILURES_SHOWN))
        rows = self._store.elements(wanted.job, spans=[(index, index) for index in first])
        return {
            "failures": [
                {
                    "id": element_name(wanted.job, row["element"]),
                    "result": row["result"],
                    "reason": row["reason"],
                }
                for row in rows
            ]
        }

    def _document(self, asked: Asked, wanted: Ref, entry: Entry, rows: Store | Kept) -> Row:
        state = self._machine().state
        row = job_row(state, entry)
        if asked.options.brief:
            self._veil(row, asked.caller)
            return {"jobs": [row if wanted.elements is None else row | _counts(entry, wanted)]}
        spans = wanted.elements or entry.job.spans()
        stored = rows.elements(wanted.job, spans=spans, limit=ELEMENTS_SHOWN)
        known = {int(r["element"]): r for r in stored}
        numbers = (i for low, high in spans for i in range(low, high + 1))
        elements: list[Row] = []
        for index in islice(numbers, ELEMENTS_SHOWN):
            element = element_row(state, entry, index)
            place = entry.element(index)
            if element["state"] == "done" and index in known:
                element |= {k: v for k, v in known[index].items() if k not in ("job", "element")}
                place = replace(place, node=known[index]["node"])
            own = may(state, asked.caller, "see", entry.job)
            elements.append(element | (files(entry.job, place) if own else {}))
        row["element_rows"] = elements
        if entry.job.holds:
            row["step_rows"] = self._steps_of(wanted.job, rows)
            for step in row["step_rows"]:
                self._veil(step, asked.caller)
        self._veil(row, asked.caller)
        return {"jobs": [row]}

    def _veil(self, row: Row, caller: Caller) -> None:
        """Take out what only the owner of a job and administrators may see."""
        if row["user"] != caller.user and not may_see_all(self._machine().state, caller):
            del row["command"]

    def _steps_of(self, job: JobId, kept: Store | Kept) -> list[Row]:
        """Return the steps of an allocation's job, as they are and as they ended."""
        state = self._machine().state
        rows = {int(row["id"]): _public(row) for row in kept.steps(job, limit=STEPS_SHOWN)}
        for number in state.steps.get(job, ()):
            rows[number] = job_row(state, state.jobs[number])
        return [rows[number] for number in sorted(rows)][-STEPS_SHOWN:]


def _counts(entry: Entry, wanted: Ref) -> Row:
    """Return how the named elements stand, in the keys that count all of a job's."""
    spans = wanted.elements or ()
    ended = {
        result: sum(found.between(low, high) for low, high in spans)
        for result, found in entry.results.items()
    }
    return {
        "id": str(wanted),
        "elements": sum(high - low + 1 for low, high in spans),
        "elements_done": sum(ended.values()),
        "elements_by_result": {result: count for result, count in ended.items() if count},
    }


_PRIVATE = ("spec", "request_id", "uid", "gid", "rest")


def _public(row: Row) -> Row:
    """Return an ended job's row of the store with the keys of `core.view.job_row`."""
    shown = {key: value for key, value in row.items() if key not in _PRIVATE}
    return shown | {
        "id": job_name(row["id"]),
        "elements_live": 0,
        "elements_done": row["elements"],
        "elements_by_result": {row["result"]: 1} if row["elements"] == 1 else None,
        "allocation_nodes": [],
        "rm_jobs": [],
        "unknown_since": None,
    }


def _matches(found: Row | Entry, wanted: set[str]) -> bool:
    if isinstance(found, Entry):
        return str(found.job.state) in wanted  # it has no result yet
    return found["state"] in wanted or found["result"] in wanted
