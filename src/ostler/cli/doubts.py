"""What is allowed and may still be a slip: names that nothing has: users, nodes, programs, events.

None of it is an error: they may be there tomorrow, or not now because a service is away.
"""

import os

from ostler.cli.ask import call, state_of
from ostler.cli.options import Given
from ostler.cli.output import Row, complain, rows_of
from ostler.client.place import exists, identity

_PROGRAMS = ("prolog", "epilog")


def tell_of_doubts(given: Given, rows: list[Row]) -> None:
    """Name what changed rows name and nobody knows. rows: `changes` as the manager told them."""
    told = []
    if not (identity() or exists(f"{state_of(given)}/../lab.json")):  # a lab has its own users
        told += [_about_nobody(row) for row in rows]
    told += [text for row in rows for text in (_no_program(row), _no_event(row))]
    told += [_no_driver(given, row) for row in rows]
    told.append(_no_nodes(given, rows))
    for text in dict.fromkeys(filter(None, told)):
        complain(text)


def _about_nobody(row: Row) -> str:
    import grp
    import pwd

    kind, _, name = str(row.get("name")).rpartition(" ")
    what = "user" if row.get("kind") == "user" else kind.rpartition(" ")[2]
    if row.get("kind") not in ("user", "access") or row.get("after") is None:
        return ""
    try:
        if what == "user":
            pwd.getpwnam(name)
        elif what == "group":
            grp.getgrnam(name)
    except KeyError:
        return f"this host knows no {what} {name!r} now: until it does, that is about nobody"
    return ""


def _no_program(row: Row) -> str:
    """Return what is wrong with the first program that a row newly names; empty: nothing."""
    before, after = _values(row, "before"), _values(row, "after")
    named = dict.fromkeys(_PROGRAMS) | after
    if row.get("kind") == "attribute":
        named = {str(row.get("name")): after.get("value")}
    for key, value in named.items():
        path = str(value).partition(" ")[0] if key == "command" else str(value)
        if key not in (*_PROGRAMS, "command") or not path.startswith("/"):
            continue
        if value not in before.values() and not os.access(path, os.X_OK):
            where = "as it is" if key == "command" else "if nodes have none either"
            return f"{key}: {path} is no program on this host: {where}, it fails each time"
    return ""


def _no_event(row: Row) -> str:
    """Return what is odd about the events that a handler newly waits for; empty: nothing."""
    kind = _values(row, "after").get("event")
    if row.get("kind") != "handler" or not kind or kind == _values(row, "before").get("event"):
        return ""
    from ostler.model.event_kinds import doubt

    return doubt(str(kind))


def _no_driver(given: Given, row: Row) -> str:
    """Return why a driver cannot begin as it is told to from now on; empty: it can, or who knows."""
    before, after = _values(row, "before"), _values(row, "after")
    told = ("driver", "settings")
    if row.get("kind") != "rm" or not after or all(before.get(k) == after.get(k) for k in told):
        return ""
    settings = _values(after, "settings")
    if "run-as" in settings or os.stat(state_of(given)).st_uid != os.geteuid():
        return ""  # whoever runs it may read what we cannot
    from ostler.cli.main import slow_road

    slow_road()  # drivers need installed packages
    from ostler.drivers.finding import find

    try:
        find(str(after["driver"]))({k: v for k, v in settings.items() if k != "memory"})
    except Exception as error:  # noqa: BLE001 - a driver's own
        return f"{row.get('name')} cannot be asked as it stands: {error}"
    return ""


def _no_nodes(given: Given, rows: list[Row]) -> str:
    """Return a sentence about nodes that rows newly name and the machine does not have."""
    new: dict[str, None] = {}
    for row in rows:
        before, after = _nodes(_values(row, "before")), _nodes(_values(row, "after"))
        new |= dict.fromkeys(text for text in after if text not in before)
    if not new:
        return ""
    from ostler.model.nodeset import in_short, unfold

    names = {name for text in new for name in unfold(text)}
    known = rows_of(call(given, "read", what="nodes"), "nodes")
    if missing := names - {str(row.get("name")) for row in known}:
        return f"no node is named {in_short(sorted(missing))} now: until one is, that is about none"
    return ""


def _nodes(values: Row) -> list[str]:
    """Return the lists of nodes in a row of a reservation or configuration."""
    nodes = values.get("nodes")
    found = list(nodes.values()) if isinstance(nodes, dict) else [nodes]
    return [text for text in map(str, filter(None, found)) if not set(text) & set("*/:")]


def _values(row: Row, key: str) -> Row:
    found = row.get(key)
    return found if isinstance(found, dict) else {}
