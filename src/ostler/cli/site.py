"""What administrators set: partitions, and how any change is asked for and told."""

from ostler.cli.ask import call
from ostler.cli.doubts import tell_of_doubts
from ostler.cli.listing import show
from ostler.cli.options import Given
from ostler.cli.output import Column, Row, cell, json_text, rows_of, say
from ostler.client.spec import new_request_id
from ostler.model.errors import UsageError

Change = dict[str, object]

PARTITIONS: list[Column] = [
    ("name", "NAME"),
    ("kind", "KIND"),
    ("state", "STATE"),
    ("nodes", "NODES"),
    ("cpus", "CPUS"),
    ("free_cpus", "FREE"),
    ("allocations", "RUN"),
    ("jobs_waiting", "WAIT"),
    ("time_limit", "MOST TIME"),
    ("policy", "POLICY"),
    ("is_default", "DEFAULT"),
]
_ACTIVE = ""  # instead of the name of a configuration: the one that is in force


def administer(given: Given, changes: list[Change]) -> int:
    """Ask for changes, all or none, and say what has come of each."""
    document = call(given, "administer", changes=changes, request_id=new_request_id())
    tell(given, document)
    return 0


def tell(given: Given, document: object) -> None:
    """Print what has changed."""
    rows = rows_of(document, "changes")
    if given.flag("json"):
        say(json_text(document))
    elif not given.flag("quiet"):
        texts = [str(row.get("text")) for row in rows]
        say("\n".join(texts) or "nothing changes: it is so already")
    tell_of_doubts(given, rows)


def values_of(words: list[str]) -> dict[str, object]:
    """Return the values of KEY=VALUE words; raise `UsageError`."""
    found: dict[str, object] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key or key in found:
            raise UsageError(
                f"{word!r} sets nothing", expected="KEY=VALUE, each key once, as in tier=2"
            )
        found[key] = value
    return found


def partitions(given: Given) -> int:
    """List the partitions with the nodes that the active configuration gives them."""
    document = call(given, "read", what="partitions")
    return show(given, document, "partitions", PARTITIONS, _shown)


def _shown(row: Row) -> Row:
    policy = cell("policy", row.get("policy") or "")
    return {**row, "is_default": "yes" if row.get("is_default") else "", "policy": policy}


def partition(given: Given) -> int:
    """Create, change or remove a partition; with nodes, those of the active configuration."""
    verb = given.command.name.partition(" ")[2]
    name, *rest = given.words
    nodes: str | None = None
    if rest and "=" not in rest[0]:
        nodes, *rest = rest
    if nodes is not None and (more := [word for word in rest if "=" not in word]):
        named = f"{nodes},{more[0]}"
        raise UsageError(f"{more[0]!r} is a second word of nodes", expected=f"one, as in {named}")
    changes: list[Change] = []
    if verb != "set" or rest or nodes is None:
        one: Change = {"verb": verb, "kind": "partition", "key": [name]}
        changes.append(one | ({} if verb == "remove" else {"values": values_of(rest)}))
    if nodes is not None:
        value = {"nodes": {name: None if nodes == "none" else nodes}}
        changes.append({"verb": "set", "kind": "configuration", "key": [_ACTIVE], "values": value})
    return administer(given, changes)
