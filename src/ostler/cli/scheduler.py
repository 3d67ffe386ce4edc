"""`ostler scheduler`: who plans which partition, and programs that do."""

from ostler.cli.ask import call
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
ITERATIONS: list[Column] = [
    ("rm", "RM"),
    ("began_at", "BEGAN"),
    ("nodes", "NODES"),
    ("details", "DETAILS"),
    ("jobs", "JOBS"),
    ("queues", "QUEUES"),
    ("load", "LOAD"),
    ("at", "TAKEN IN"),
    ("because", "BECAUSE"),
    ("why", "FAILED"),
]
_PARTS = {
    "nodes": "nodes_seconds",
    "details": "node_details_seconds",
    "jobs": "jobs_seconds",
    "queues": "queues_seconds",
    "load": "load_seconds",
}


def main(given: Given) -> int:
    """List the schedulers."""
    document = call(given, "read", what="schedulers")
    return show(given, document, "schedulers", SCHEDULERS, _shown)


def _shown(row: Row) -> Row:
    mean = row.get("mean_seconds")
    return {**row, "mean": f"{mean * 1000:.0f} ms" if isinstance(mean, float) else None}


def trace(given: Given) -> int:
    """List the last iterations over other resource managers, and how long what they loaded took."""
    name = given.words[0] if given.words else ""
    document = call(given, "read", what="iterations", ref=name)
    nothing = "no iterations: there are no other resource managers, or none has been loaded yet"
    if name:
        nothing = f"no iterations: {name} has not been loaded since the manager began"
    return show(given, document, "iterations", ITERATIONS, _traced, nothing=nothing)


def _traced(row: Row) -> Row:
    shown = {name: _milliseconds(row.get(key)) for name, key in _PARTS.items()}
    return {**row, **shown}


def _milliseconds(seconds: object) -> str:
    return f"{seconds * 1000:.0f} ms" if isinstance(seconds, int | float) else "skipped"


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
