"""`ostler config`: the machine's attributes."""

from ostler.cli.ask import link_to
from ostler.cli.options import Given
from ostler.cli.output import json_text, rows_of, say, table
from ostler.cli.site import administer

_COLUMNS = [("key", "KEY"), ("value", "VALUE"), ("source", "SOURCE"), ("help", "MEANING")]


def main(given: Given) -> int:
    """List all attributes with the values that hold."""
    link = link_to(given)
    document = link.call("read", what="settings")
    link.close()
    if given.flag("json"):
        say(json_text(document))
        return 0
    rows = rows_of(document, "settings")
    for row in rows:
        row["source"] = "default" if row.get("default") else "set"
    say(table(rows, _COLUMNS, heading=not given.flag("quiet")))
    return 0


def change(given: Given) -> int:
    """Set an attribute, or take its default again."""
    key, *rest = given.words
    values = {"value": rest[0] if rest else None}
    return administer(given, [{"verb": "set", "kind": "attribute", "key": [key], "values": values}])
