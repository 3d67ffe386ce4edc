"""`ostler config`: the machine's attributes."""

from ostler.cli.ask import link_to
from ostler.cli.options import Given
from ostler.cli.output import json_text, rows_of, say, table

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
    link = link_to(given)
    document = link.call("configure", key=key, value=rest[0] if rest else None)
    link.close()
    if given.flag("json"):
        say(json_text(document))
    elif not given.flag("quiet"):
        for row in rows_of(document, "settings"):
            value = f"= {row.get('value')}" if rest else "takes its default again"
            say(f"{row.get('key')} {value}")
    return 0
