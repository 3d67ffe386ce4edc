"""The writes of one turn, sorted by table: thousands of rows cost one statement for each table."""

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from json import dumps
from typing import Any

from ostler.model.allocation import Allocation
from ostler.model.foreign_rows import Discrepancy, RmJob, RmNode
from ostler.model.job import Element, Job
from ostler.model.node import Node
from ostler.model.record import (
    Accounting,
    Answered,
    Blob,
    Dealt,
    Errand,
    Event,
    Posting,
    Ruled,
    Setting,
    SiteRow,
    Subscriber,
    Transaction,
    Write,
)
from ostler.store.days import totals
from ostler.store.sqlite import rm_rows, rows, site_rows
from ostler.store.sqlite.connection import SQL

Values = rows.Values


class Batch:
    """Rows ready to be written. Of several writes of one row only the last is kept."""

    def __init__(self, writes: Iterable[Write]) -> None:
        """Take the writes in their order; raises OverflowError for numbers over 64 bits."""
        kept: dict[type, dict[Any, Any]] = {kind: {} for kind in _KEYS}
        for write in writes:
            kind = type(write)
            if isinstance(write, Ruled) and write.job.id in kept[Job]:
                kept[Job][write.job.id] = write.job
                continue
            kept[kind][_KEYS[kind](write)] = write
        allocations = kept[Allocation].values()
        settings = kept[Setting].values()
        readers = kept[Subscriber].values()
        errands = kept[Errand].values()
        self._attempts = kept[Accounting].values()
        rm_nodes = kept[RmNode].values()
        # Parents before children: SQLite checks a reference with each row.
        self._statements: list[tuple[str, Sequence[Values]]] = [
            ("add_blob", [(b.digest, b.uid, b.data) for b in kept[Blob].values()]),
            ("put_rule", _by_rule(kept[Ruled].values())),  # before what is written as a whole
            ("put_job", [rows.job_values(j) for j in kept[Job].values()]),
            ("put_element", [rows.element_values(e) for e in kept[Element].values()]),
            ("put_allocation", [rows.allocation_values(a) for a in allocations]),
            ("put_share", [row for a in allocations for row in rows.share_values(a)]),
            ("add_event", [rows.event_values(e) for e in kept[Event].values()]),
            ("add_posting", [(p.uid, p.request_id, p.serial) for p in kept[Posting].values()]),
            ("put_errand", [rows.errand_values(e) for e in errands]),
            ("add_dealt", [(d.at, d.at, d.note, d.user, d.serial) for d in kept[Dealt].values()]),
            ("put_node", [rows.node_values(n) for n in kept[Node].values()]),
            ("put_rm_job", [rm_rows.job_values(j) for j in kept[RmJob].values()]),
            ("drop_rm_node", [(n.name,) for n in rm_nodes if n.over]),
            ("put_rm_node", [rm_rows.node_values(n) for n in rm_nodes if not n.over]),
            ("put_discrepancy", [*map(rm_rows.discrepancy_values, kept[Discrepancy].values())]),
            ("drop_attribute", [(s.key,) for s in settings if s.value is None]),
            (
                "put_attribute",
                [(s.key, s.value, s.by, s.at) for s in settings if s.value is not None],
            ),
            ("drop_subscriber", [(r.uid, r.name) for r in readers if r.serial is None]),
            (
                "put_subscriber",
                [(r.uid, r.name, r.user, r.serial, r.at) for r in readers if r.serial is not None],
            ),
            ("add_transaction", [*map(site_rows.transaction_values, kept[Transaction].values())]),
            (
                "add_answered",
                [(a.uid, a.request_id, a.at, a.answer) for a in kept[Answered].values()],
            ),
            *(site_rows.statements(kept[SiteRow].values()) if kept[SiteRow] else ()),
        ]

    def write(self, conn: sqlite3.Connection) -> None:
        """Write all rows inside the transaction that the caller has begun."""
        if self._attempts:
            _account(conn, self._attempts)
        for name, values in self._statements:
            if values:
                conn.executemany(SQL[name], values)


def _account(conn: sqlite3.Connection, attempts: Iterable[Accounting]) -> None:
    """Write attempts, and add them to what was used in their days."""
    jobs = {a.job for a in attempts}
    begun = {job for job in jobs if conn.execute(SQL["has_attempt"], (job,)).fetchone()}
    told: list[tuple[Accounting, bool]] = []
    for attempt in attempts:
        told.append((attempt, attempt.job not in begun))
        begun.add(attempt.job)
    conn.executemany(
        SQL["add_accounting"], [rows.accounting_values(a, first=first) for a, first in told]
    )
    conn.executemany(SQL["add_use"], totals(told))


def _by_rule(told: Iterable[Ruled]) -> list[Values]:
    found: defaultdict[str, list[int]] = defaultdict(list)
    for each in told:
        found[each.job.rule].append(each.job.id)
    return [(rule, dumps(jobs)) for rule, jobs in found.items()]


def _element(e: Element) -> tuple[int, int]:
    return e.job, e.index


# Events and attempts are only ever added: one that comes twice is a defect that must show.
_KEYS: dict[type, Callable[[Any], object]] = {
    Job: lambda w: w.id,
    Ruled: lambda w: w.job.id,
    Element: _element,
    Allocation: lambda w: w.id,
    Node: lambda w: w.name,
    Event: id,
    Accounting: id,
    Setting: lambda w: w.key,
    SiteRow: lambda w: (w.kind, w.key),
    Transaction: id,
    Blob: lambda w: w.digest,
    Subscriber: lambda w: (w.uid, w.name),
    Errand: lambda w: w.key,
    Posting: id,
    Dealt: lambda w: w.serial,
    RmJob: lambda w: w.key,
    RmNode: lambda w: w.name,
    Discrepancy: lambda w: w.serial,
    Answered: id,
}
