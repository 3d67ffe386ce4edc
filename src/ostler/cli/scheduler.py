"""`ostler scheduler`: who plans which partition, and programs that do."""

from ostler.cli.ask import link_to
from ostler.cli.listing import show
from ostler.cli.options import Given
from ostler.cli.output import Column, Row
from ostler.cli.site import Change, administer, values_of

SCHEDULERS: list[Column] = [
    ("name", "NAME"),
    ("state", "STATE"),
    ("partitions", "PLANS"),
    ("shadow_of", "IN SHADOW"),
    ("plans", "TIMES"),
    ("mean", "MEAN"),
    ("differences", "DIFFERED"),
    ("command", "COMMAND"),
    ("why", "WHY"),
]


def main(given: Given) -> int:
    """List the schedulers."""
    link = link_to(given)
    document = link.call("read", what="schedulers")
    link.close()
    return show(given, document, "schedulers", SCHEDULERS, _shown)


def _shown(row: Row) -> Row:
    mean = row.get("mean_seconds")
    return {**row, "mean": f"{mean * 1000:.0f} ms" if isinstance(mean, float) else None}


def change(given: Given) -> int:
    """Add, change or remove one."""
    word = given.command.name.partition(" ")[2]
    name, *rest = given.words
    one: Change = {"verb": "create" if word == "add" else word, "kind": "scheduler", "key": [name]}
    if word == "add":
        command, *rest = rest
        one["values"] = {"command": command, **values_of(rest)}
    elif word == "set":
        one["values"] = values_of(rest)
    return administer(given, [one])
