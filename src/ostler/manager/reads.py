"""Answers to `Read`: the documents of `--json`, from memory for what lives, else from the store."""

from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any

from msgspec.structs import replace

from ostler.core.absent import is_archived
from ostler.core.charge import rows
from ostler.core.entry import Entry
from ostler.core.explain import Prepared, prepare
from ostler.core.foreign.names import read_ref
from ostler.core.load import ended_entry, recall
from ostler.core.machine import Machine
from ostler.core.node_entry import NodeEntry
from ostler.core.roles import may, may_see_all
from ostler.core.site_view import (
    configuration_rows,
    handler_rows,
    partition_rows,
    reservation_rows,
    site_rows,
)
from ostler.core.view import counts, element_row, files, job_row, node_row
from ostler.core.whatif import prepare_if
from ostler.manager.accounts import attempts, used
from ostler.manager.documents import Asked, Counted, Listing
from ostler.manager.foreign import Foreign
from ostler.manager.history import history, named, shown
from ostler.manager.native import Agents
from ostler.manager.rm_reads import list_rms, narrowed, one_rm, trace
from ostler.manager.schedulers import NO_PROCESS
from ostler.model.caller import Caller
from ostler.model.errors import Missing, UsageError
from ostler.model.features import NATIVE
from ostler.model.ids import STEPS_FROM, JobId, Ref, job_name, within
from ostler.model.settings import ATTRIBUTES, Attribute, attribute, in_force
from ostler.store.protocol import Store
from ostler.store.sqlite.archive import Archives
from ostler.store.sqlite.reads import Reads as Kept
from ostler.wire import messages

Row = dict[str, Any]
ELEMENTS_SHOWN = 1_000
STEPS_SHOWN = 1_000
EVENTS_SHOWN = 100
SHOWN = 10_000  # jobs, at most


Found = Row | Prepared | Counted | Listing


class Reads:
    """Reads for one manager. Called on the loop; each store read is short and indexed."""

    def __init__(
        self,
        store: Store,
        machine: Callable[[], Machine],
        status: Callable[[], Row],
        agents: Agents,
        archives: Archives,
    ) -> None:
        self._archives = archives
        self.schedulers: Callable[[], list[Row]] = list  # their processes
        self.pools: Callable[[], list[Row]] = list
        self.foreign: Foreign
        self._store = store
        self._agents = agents
        self._machine = machine
        self._status = status
        self._documents: dict[str, Callable[[Asked], Found]] = {
            "status": self._read_status,
            "jobs": self._jobs,
            "job": self._job,
            "nodes": self._nodes,
            "node": self._node,
            "explain": self._explain,
            "history": self._history,
            "events": self._events,
            "acct": self._acct,
            "usage": self._usage,
            "settings": self._settings,
            "site": self._site,
            "partitions": self._partitions,
            "handlers": self._handlers,
            "iterations": lambda asked: trace(self._machine().state, asked.ref, self.foreign),
            "rms": lambda _: list_rms(self._machine().state),
            "rm": lambda asked: one_rm(self._machine().state, asked.ref, self.foreign),
            "pools": lambda _: {"pools": self.pools()},
            "schedulers": self._schedulers,
            "handled": self._handled,
            "reservations": self._reservations,
            "configurations": self._configurations,
        }

    def answer(self, caller: Caller, message: messages.Read, now: float) -> Found:
        """Return the document, or what to ask of whom for it; raise `UsageError` or `Missing`.

        now: Unix seconds.
        """
        document = self._documents.get(message.what)
        if document is None:
            known = ", ".join(sorted(self._documents))
            raise UsageError(f"nothing named {message.what!r} can be read", expected=known)
        return document(Asked(caller, message.ref, message.options, now))

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

    def _read_status(self, asked: Asked) -> Row:  # noqa: ARG002 - everybody sees the same
        return self._status() | {"jobs": counts(self._machine().state)}

    def _jobs(self, asked: Asked) -> Listing:
        state, options = self._machine().state, asked.options
        user = options.user or (None if options.all or options.rm else asked.caller.user)
        wanted, since = set(options.states), options.since
        limit = options.limit or SHOWN
        place = options.partition
        plain = not (options.all or options.steps or options.rm or wanted or place)
        plain = plain and since is None
        if plain and user is not None:
            numbers, more = state.jobs_of[user].newest(limit) if user in state.jobs_of else ([], 0)
            own: list[Row | Entry] = [state.jobs[n] for n in numbers]
            return Listing(self._veil, asked.caller, state, own, more, options.columns)
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

    def _job(self, asked: Asked) -> Row:
        wanted = read_ref(self._machine().state, asked.ref)
        self.recall(wanted)
        state = self._machine().state
        if not is_archived(state, wanted.job):
            return self._job_document(asked, wanted, state.entry(wanted), self._store)
        with self._archives.holding(wanted.job) as (month, kept):
            job = kept.job(wanted.job)
            if job is None:
                raise Missing(f"no job {job_name(wanted.job)}")
            entry = ended_entry(job, kept.done(job.id))
            entry.check(wanted)
            document = self._job_document(asked, wanted, entry, kept)
        document["jobs"][0]["archive"] = month
        return document

    def _job_document(self, asked: Asked, wanted: Ref, entry: Entry, rows: Store | Kept) -> Row:
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

    def _nodes(self, asked: Asked) -> Row:
        state, rm = self._machine().state, asked.options.rm
        nodes = (entry for _, entry in sorted(state.nodes.items()))
        wanted = (each for each in nodes if rm is None or (each.node.rm or NATIVE) == rm)
        return {"nodes": [self._node_row(entry) for entry in wanted]}

    def _node_row(self, entry: NodeEntry) -> Row:
        name = entry.node.name
        load = {"load": self._agents.loads.get(name)}
        return node_row(entry) | self._agents.fresh.row(name) | load

    def _node(self, asked: Asked) -> Row:
        state = self._machine().state
        entry = state.nodes.get(asked.ref)
        if entry is None:
            known = ", ".join(sorted(state.nodes)[:5])
            raise Missing(f"there is no node {asked.ref!r}", expected=f"known: {known or 'none'}")
        held = [state.allocations[number] for number in sorted(entry.allocations)]
        jobs = [job_name(job) for job in sorted({alloc.job for alloc in held})]
        return {"nodes": [self._node_row(entry) | {"jobs": jobs}]}

    def _explain(self, asked: Asked) -> Row | Prepared:
        suppose, state = asked.options.suppose, self._machine().state
        if suppose is not None and not asked.ref:
            return prepare_if(state, asked.now, asked.caller, None, suppose)
        wanted = read_ref(self._machine().state, asked.ref)
        self.recall(wanted)
        if suppose is not None:
            return prepare_if(state, asked.now, asked.caller, wanted, suppose)
        return prepare(state, asked.now, wanted)

    def _history(self, asked: Asked) -> Row:
        return history(asked.ref, self._machine().state, self._store, self._archives)

    def _events(self, asked: Asked) -> Row:
        since = asked.options.since
        limit = asked.options.limit or EVENTS_SHOWN
        rows = self._store.events(since_serial=int(since or 0), limit=limit, newest=since is None)
        return {"events": shown(rows, self._store)}

    def _acct(self, asked: Asked) -> Row:
        return attempts(asked, self._machine().state, self._store, self._archives)

    def _usage(self, asked: Asked) -> Counted:
        return used(asked)

    def _settings(self, asked: Asked) -> Row:
        state = self._machine().state
        known = [attribute(asked.ref)] if asked.ref else list(ATTRIBUTES.values())
        return {"settings": [_setting(state.settings, a) for a in known]}

    def _site(self, asked: Asked) -> Row:  # noqa: ARG002 - everybody sees the same
        """Return all that administrators have set, by table, and which transaction was the last."""
        state = self._machine().state
        return {**site_rows(state), "serial": state.next_transaction - 1}

    def _schedulers(self, asked: Asked) -> Row:  # noqa: ARG002 - everybody sees the same
        process = {row["name"]: row for row in self.schedulers()}
        return {
            "schedulers": [
                process.get(r["name"], NO_PROCESS) | r for r in rows(self._machine().state)
            ]
        }

    def _handlers(self, asked: Asked) -> Row:  # noqa: ARG002 - everybody sees the same
        return {"handlers": handler_rows(self._machine().state)}

    def _handled(self, asked: Asked) -> Row:
        options = asked.options
        rows = self._store.handled(
            user=options.user,
            handler=asked.ref or None,
            unfinished="waiting" in options.states,
            limit=options.limit or EVENTS_SHOWN,
        )
        return {"handled": [named(row) for row in rows]}

    def _partitions(self, asked: Asked) -> Row:  # noqa: ARG002 - everybody sees the same
        return {"partitions": partition_rows(self._machine().state)}

    def _reservations(self, asked: Asked) -> Row:
        return {"reservations": reservation_rows(self._machine().state, asked.now)}

    def _configurations(self, asked: Asked) -> Row:
        return {"configurations": configuration_rows(self._machine().state, asked.now)}


def _setting(settings: Mapping[str, str], known: Attribute) -> Row:
    value, of = in_force(settings, known.key)
    return {
        "key": known.key,
        "value": value,
        "default": not of,
        "set_with": of or None,
        "help": known.help,
    }


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
