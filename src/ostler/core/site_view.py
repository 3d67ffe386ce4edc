"""What administrators have set, as rows of the tables."""

from typing import Any

from msgspec import to_builtins

from ostler.core.state import State
from ostler.model.nodeset import fold
from ostler.model.site_kinds import KINDS

Row = dict[str, Any]


def partition_rows(s: State) -> list[Row]:
    """Return the partitions, each with its nodes: in node notation, and those there are."""
    mine: dict[str, list[str]] = {}
    for name, entry in sorted(s.nodes.items()):
        mine.setdefault(entry.node.partition, []).append(name)
    return [
        {
            **to_builtins(row),
            "configured_nodes": s.site.active.nodes.get(name, ""),
            "nodes": fold(mine.get(name, [])),
        }
        for name, row in s.site.partitions.items()
    ]


def handler_rows(s: State) -> list[Row]:
    """Return the handlers, each with how many events wait for it."""
    return [
        {**to_builtins(row), "waiting": s.desk.waiting(name)}
        for name, row in s.site.handlers.items()
    ]


def site_rows(s: State) -> dict[str, list[Row]]:
    """Return each table with its rows."""
    found = {
        kind.table: [to_builtins(row) for row in s.site.rows(kind.name).values()]
        for kind in KINDS.values()
    }
    attributes = [{"key": key, "value": value} for key, value in sorted(s.settings.items())]
    return found | {"attributes": attributes}
