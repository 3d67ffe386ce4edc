"""What administrators have set as rows of its tables, by the registry: each column by its name."""

from collections.abc import Iterable
from json import dumps, loads
from typing import Any

from msgspec import convert
from msgspec.structs import astuple

from ostler.model.record import SiteRow, Transaction
from ostler.model.site import Row
from ostler.model.site_kinds import KINDS, Kind

Values = tuple[Any, ...]
# Columns that hold tables and lists.
_JSON = frozenset(["nodes", "kinds", "options", "projects", "users", "days", "settings"])
_PLAIN = frozenset({"reservation"})  # kinds whose `nodes` is text


def statements(writes: Iterable[SiteRow]) -> list[tuple[str, list[Values]]]:
    """Return named statements with their values: of each kind what is to go, and what is to be."""
    rows = list(writes)
    found: list[tuple[str, list[Values]]] = []
    for kind in KINDS:
        mine = [row for row in rows if row.kind == kind]
        found.append((f"drop_{kind}", [row.key for row in mine if row.row is None]))
        found.append((f"put_{kind}", [_values(row.row) for row in mine if row.row is not None]))
    return found


def _values(row: Row) -> Values:
    """Return the values in the order of the table, which is that of the struct."""
    return tuple(
        dumps(value) if isinstance(value, dict | tuple) else value for value in astuple(row)
    )


def row_of(kind: Kind, row: dict[str, Any]) -> Row:
    """Return the row of the site that a whole row of its table describes."""
    lists = _JSON - {"nodes"} if kind.name in _PLAIN else _JSON
    plain = {
        name: loads(value) if name in lists and value is not None else value
        for name, value in row.items()
    }
    made: Row = convert(plain, kind.struct, strict=False)
    return made


def transaction_values(each: Transaction) -> Values:
    """Return the row of a transaction."""
    return astuple(each)
