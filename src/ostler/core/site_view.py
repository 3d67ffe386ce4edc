"""What administrators have set, as rows of the tables."""

from collections.abc import Iterator
from math import inf
from typing import Any

from msgspec import to_builtins
from msgspec.json import decode

from ostler.core.serving import begin_of
from ostler.core.state import State
from ostler.core.view import rows_held
from ostler.model.ids import is_step
from ostler.model.nodeset import fold
from ostler.model.site_changes import Changed, describe
from ostler.model.site_kinds import KINDS
from ostler.schedule.reservations import windows

Row = dict[str, Any]


def object_of(text: str, s: State) -> tuple[str | None, str] | None:
    """Return the kind and name of what a text names that is no job; None: a job is meant.

    A name alone may be that of a node, or of any row; of what there is not, jobs have the say.
    """
    kind, blank, name = text.partition(" ")
    if blank:
        return kind, name
    if text in s.nodes:
        return "node", text
    is_job = text[:1].isdigit() or text.partition("/")[0] in s.rms
    return None if is_job else (None, text)


def change_row(row: Row) -> Row:
    """Return a transaction as an event, with what it changed in words."""
    before, after = (None if row[at] is None else decode(row[at]) for at in ("before", "after"))
    words = describe(Changed(row["kind"], (row["name"],), before, after))
    done = {"create": "created", "set": "changed", "remove": "removed"}[row["verb"]]
    text = f"{row['user']} {done} {row['kind']} {row['name']}" + (f": {words}" if words else "")
    none = dict.fromkeys(("job", "element", "allocation", "node"))
    none |= dict.fromkeys(("dealt_by", "dealt_at", "dealt_note"))
    kind = f"{row['kind']}/{done}"
    told = {"serial": row["serial"], "at": row["at"], "kind": kind, "user": row["user"]}
    return {**told, **none, "object": row["name"], "before": before, "after": after, "text": text}


def partition_rows(s: State) -> list[Row]:
    """Return the partitions with their nodes, what is free there, and what runs and waits.

    Of nodes: in node notation, those there are; CPUs are free where something may start. Cost: a
    look at all nodes, allocations and jobs.
    """
    rows = {
        name: {
            **to_builtins(row),
            "configuration": s.site.active.name,
            "configured_nodes": s.site.active.nodes.get(name, ""),
            "nodes": "",
            "cpus": 0,
            "free_cpus": 0,
            "allocations": 0,
            "jobs_waiting": 0,
            "awaited": rows_held(s, _held(s, name)),
        }
        for name, row in s.site.partitions.items()
    }
    mine: dict[str, list[str]] = {}
    for name, entry in sorted(s.nodes.items()):
        row = rows.get(entry.node.partition)
        if row is not None and not entry.node.gone:
            mine.setdefault(entry.node.partition, []).append(name)
            row["cpus"] += len(entry.node.facts.cpus)
            row["free_cpus"] += 0 if entry.unusable else len(entry.books.cpus)
    for name, nodes in mine.items():
        rows[name]["nodes"] = fold(nodes)
    for alloc in s.allocations.values():
        if not is_step(alloc.job):
            rows[s.jobs[alloc.job].job.spec.partition]["allocations"] += 1
    for number, job in s.jobs.items():
        if not is_step(number) and (job.waiting or job.barred):
            rows[job.job.spec.partition]["jobs_waiting"] += 1
    return list(rows.values())


def _held(s: State, closing: str) -> Iterator[tuple[str, int]]:
    """Yield each node and job that a partition waits for before it is down."""
    for number in s.parts.closing.get(closing, ()):
        alloc = s.allocations[number]
        for name in alloc.nodes - alloc.freed:
            yield name, alloc.job


def configuration_rows(s: State, now: float) -> list[Row]:
    """Return the configurations, each with when its calendar has it begin next."""
    found = []
    for name, row in s.site.configurations.items():
        at = begin_of(s, now, name)
        found.append({**to_builtins(row), "begins_at": None if at == inf else at})
    return found


def handler_rows(s: State) -> list[Row]:
    """Return the handlers, each with how many events wait for it."""
    return [
        {**to_builtins(row), "waiting": s.desk.waiting(name)}
        for name, row in s.site.handlers.items()
    ]


def reservation_rows(s: State, now: float) -> list[Row]:
    """Return the reservations, each with its time that is or comes next; None: it has none left."""
    found = []
    for name, row in s.site.reservations.items():
        rules = next(each for each in s.rules.reservations if each.name == name)
        begin, end = next(windows(rules, s.rules.utc_offset, now), (None, None))
        times = {"is_open": begin is not None and begin <= now, "begins_at": begin, "ends_at": end}
        found.append(to_builtins(row) | times | {"nodes_now": fold(rules.nodes)})
    return found


def site_rows(s: State) -> dict[str, list[Row]]:
    """Return each table with its rows."""
    found = {
        kind.table: [to_builtins(row) for row in s.site.rows(kind.name).values()]
        for kind in KINDS.values()
    }
    attributes = [{"key": key, "value": value} for key, value in sorted(s.settings.items())]
    return found | {"attributes": attributes}
