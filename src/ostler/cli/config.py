"""`ostler config`: the machine's attributes, and files of all that administrators have set."""

from ostler.cli.ask import call
from ostler.cli.main import slow_road
from ostler.cli.options import Given
from ostler.cli.output import Row, cell, json_text, rows_of, say, table
from ostler.cli.site import administer

_COLUMNS = [("key", "KEY"), ("value", "VALUE"), ("source", "SOURCE"), ("help", "MEANING")]


def main(given: Given) -> int:
    """List all attributes with the values that hold, or print that of one."""
    document = call(given, "read", what="settings", ref=next(iter(given.words), ""))
    if given.flag("json"):
        say(json_text(document))
        return 0
    rows = rows_of(document, "settings")
    for row in rows:
        row["source"] = _source(row)
    if given.words:
        for row in rows:
            source = "" if row["source"] == "set" else f" ({row['source']})"
            say(f"{cell('', row.get('value'))}{source}")
        return 0
    say(table(rows, _COLUMNS, heading=not given.flag("quiet")))
    return 0


def _source(row: Row) -> str:
    """Return default, set, or the name of the other attribute that holds in its place."""
    if row.get("default"):
        return "default"
    other = row.get("set_with")
    return "set" if other in (None, row.get("key")) else str(other)


def change(given: Given) -> int:
    """Set an attribute, or take its default again: `none` means that in all tables."""
    key, *rest = given.words
    values = {"value": rest[0] if rest and rest != ["none"] else None}
    return administer(given, [{"verb": "set", "kind": "attribute", "key": [key], "values": values}])


def apply(given: Given) -> int:
    """Make the machine what a file says."""
    slow_road()  # what a file says is looked at with installed packages
    from ostler.cli import config_file

    return config_file.apply(given)


def show(given: Given) -> int:
    """Print what is set as such a file."""
    slow_road()
    from ostler.cli import config_file

    return config_file.show(given)
