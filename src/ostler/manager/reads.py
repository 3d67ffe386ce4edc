"""Answers to `Read`: the documents of `--json`, from memory for what lives, else from the store."""

from collections.abc import Callable, Mapping
from typing import Any

from ostler.core.charge import rows
from ostler.core.explain import Prepared, prepare
from ostler.core.foreign.names import read_ref
from ostler.core.machine import Machine
from ostler.core.node_entry import NodeEntry
from ostler.core.site_view import (
    configuration_rows,
    handler_rows,
    partition_rows,
    reservation_rows,
    site_rows,
)
from ostler.core.view import counts, node_row, nodes_in
from ostler.core.whatif import prepare_if
from ostler.manager.accounts import attempts, used
from ostler.manager.documents import Asked, Counted, Listing
from ostler.manager.foreign import Foreign
from ostler.manager.history import history, named, shown
from ostler.manager.job_reads import JobReads, is_plain
from ostler.manager.native import Agents
from ostler.manager.rm_reads import list_rms, one_rm, trace
from ostler.manager.schedulers import NO_PROCESS
from ostler.model.caller import Caller
from ostler.model.errors import Missing, UsageError
from ostler.model.features import NATIVE
from ostler.model.ids import job_name
from ostler.model.settings import ATTRIBUTES, Attribute, attribute, in_force
from ostler.store.protocol import Store
from ostler.store.sqlite.archive import Archives
from ostler.wire import messages

Row = dict[str, Any]
EVENTS_SHOWN = 100


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
        self.jobs = JobReads(store, machine, archives)
        self._store = store
        self._agents = agents
        self._machine = machine
        self._status = status
        self._documents: dict[str, Callable[[Asked], Found]] = {
            "status": self._read_status,
            "jobs": self.jobs.listing,
            "job": self.jobs.job,
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

    def is_in_memory(self, message: messages.Read) -> bool:
        """Say whether the store is not asked for this document."""
        return message.what == "jobs" and is_plain(message.options)

    def _read_status(self, asked: Asked) -> Row:  # noqa: ARG002 - everybody sees the same
        return self._status() | {"jobs": counts(self._machine().state)}

    def _nodes(self, asked: Asked) -> Row:
        state, rm = self._machine().state, asked.options.rm
        wanted = (each for each in nodes_in(state) if rm is None or (each.node.rm or NATIVE) == rm)
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
        self.jobs.recall(wanted)
        if suppose is not None:
            return prepare_if(state, asked.now, asked.caller, wanted, suppose)
        found = prepare(state, asked.now, wanted)
        if isinstance(found, dict) and found.get("result"):
            return found | self.jobs.why_ended(wanted)
        return found

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
