"""`ostler pool`, `ostler grow`, `ostler shrink`: nodes that are jobs in other resource managers."""

from ostler.cli.ask import call, number
from ostler.cli.listing import show
from ostler.cli.options import Given
from ostler.cli.output import Column, Row, rows_of
from ostler.cli.site import Change, administer, values_of
from ostler.model.errors import Missing, Refused, UsageError

POOLS: list[Column] = [
    ("name", "NAME"),
    ("nodes", "NODES"),
    ("idle_nodes", "IDLE"),
    ("asked", "ASKED"),
    ("most", "MOST"),
    ("least", "LEAST"),
    ("cpus", "CPUS"),
    ("wanted_cpus", "WANTED"),
    ("why", "WHY"),
]


def main(given: Given) -> int:
    """List the pools."""
    nothing = "no pools; `ostler pool add` makes one"
    return show(given, _read(given), "pools", POOLS, lambda row: row, nothing=nothing)


def _read(given: Given) -> Row:
    document: Row = call(given, "read", what="pools")
    return document


def change(given: Given) -> int:
    """Add, change or remove one."""
    word = given.command.name.partition(" ")[2]
    name, *rest = given.words
    one: Change = {"verb": "create" if word == "add" else word, "kind": "pool", "key": [name]}
    if word != "remove":
        at = next((i for i, each in enumerate(rest) if each.startswith("-")), len(rest))
        values: Row = {**values_of(rest[:at])}
        for key, option in (("most", "pool_most"), ("idle", "pool_idle")):
            if (text := given.text(option)) is not None:
                values[key] = text
        if options := rest[at:]:
            values["options"] = options
        one["values"] = values
    return administer(given, [one])


def grow(given: Given) -> int:
    """Keep more nodes."""
    return _keep(given, 1)


def shrink(given: Given) -> int:
    """Keep fewer nodes."""
    return _keep(given, -1)


def _keep(given: Given, sign: int) -> int:
    count, name = number("N", given.words[0], 10_000), given.text("pool_from")
    if count == 0:
        raise UsageError("0 nodes change nothing", expected="1 or more")
    pools = rows_of(_read(given), "pools")
    named = [row for row in pools if name in (None, row["name"])]
    if len(named) != 1:
        known = ", ".join(str(row["name"]) for row in pools) or "none"
        hint = "name one with --from" if pools else "make one with `ostler pool add`"
        raise Missing("there is no such pool", expected=f"known: {known}", hint=hint)
    [row] = named
    least = int(str(row["least"])) + sign * count
    if least < 0:
        raise Refused(f"{row['least']} nodes are kept; {count} cannot be given back")
    values: Row = {"least": str(least)}
    if least > int(str(row["most"])):
        values["most"] = str(least)
    one: Change = {"verb": "set", "kind": "pool", "key": [str(row["name"])], "values": values}
    return administer(given, [one])
