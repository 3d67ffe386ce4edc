"""`ostler reservations`: nodes kept for somebody, or for maintenance, for a time."""

import time

from ostler.cli.ask import call
from ostler.cli.listing import show
from ostler.cli.options import Given
from ostler.cli.output import Column, Row
from ostler.cli.site import Change, administer, values_of
from ostler.cli.when import parse_moment
from ostler.model.errors import UsageError

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_EACH = {"daily": _DAYS, "workdays": _DAYS[:5], "weekend": _DAYS[5:], "once": ()}
_LISTED: list[Column] = [
    ("name", "NAME"),
    ("nodes", "NODES"),
    ("whose", "FOR"),
    ("open", "OPEN"),
    ("begins_at", "NEXT"),
    ("ends_at", "UNTIL"),
    ("days", "DAYS"),
]


def listing(given: Given) -> int:
    """List the reservations, each with its time that is or comes next."""
    document = call(given, "read", what="reservations")
    return show(given, document, "reservations", _LISTED, _shown)


def _shown(row: Row) -> Row:
    users, projects, days = (_list(row.get(key)) for key in ("users", "projects", "days"))
    whose = ", ".join([*users, *(f"project {each}" for each in projects)])
    return row | {
        "whose": whose or "maintenance",
        "open": "now" if row.get("is_open") else "",
        "days": ",".join(_DAYS[int(day)] for day in days) or "once",
    }


def _list(value: object) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list | tuple) else []


def change(given: Given) -> int:
    """Create, change or remove a reservation."""
    verb = given.command.name.partition(" ")[2]
    name, *rest = given.words
    one: Change = {"verb": verb, "kind": "reservation", "key": [name]}
    if verb != "remove":
        nodes = rest.pop(0) if rest and "=" not in rest[0] else None
        values = values_of(rest)
        if verb == "create" and nodes is None:
            raise UsageError("it has no nodes", expected="NAME NODES duration=2h")
        if verb == "create":
            values.setdefault("start", "now")
        if nodes is not None:
            values["nodes"] = nodes
        one["values"] = _typed(values)
    return administer(given, [one])


def _typed(values: dict[str, object]) -> dict[str, object]:
    """Return the values as the manager takes them: moments in seconds, days as numbers."""
    for key in ("start", "until"):
        if (text := values.get(key)) not in (None, "none"):
            values[key] = parse_moment(key, str(text))
    if isinstance(start := values.get("start"), float):
        values["utc_offset"] = time.localtime(start).tm_gmtoff
    if (days := values.get("days")) is not None:
        values["days"] = _days(str(days))
    return values


def _days(text: str) -> list[int]:
    words = [day for word in text.split(",") for day in _EACH.get(word.strip(), (word.strip(),))]
    if not all(word in _DAYS for word in words):
        known = ", ".join((*_DAYS, *_EACH))
        raise UsageError(f"days cannot be {text!r}", expected=f"{known}; with commas")
    return sorted({_DAYS.index(word) for word in words})
