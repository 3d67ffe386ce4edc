"""`ostler nodes`, `ostler node`, and an administrator's word about nodes."""

from ostler.cli.ask import call, names, words
from ostler.cli.listing import show
from ostler.cli.options import Given
from ostler.cli.output import Column, Row, fields, json_text, rows_of, say
from ostler.model.errors import UsageError

COLUMNS: list[Column] = [
    ("name", "NAME"),
    ("status", "STATUS"),
    ("age_seconds", "AGE"),
    ("word", "WORD"),
    ("partition", "PARTITION"),
    ("cpus", "CPUS"),
    ("free_cpus", "FREE"),
    ("memory", "MEMORY"),
    ("free_memory", "FREE"),
    ("gpus", "GPUS"),
    ("allocations", "RUNS"),
    ("features", "FEATURES"),
    ("why", "REASON"),
]


def main(given: Given) -> int:
    """List the nodes."""
    rm = given.text("of_rm")
    document = call(given, "read", what="nodes", options={} if rm is None else {"rm": rm})
    return _print(given, document)


def _print(given: Given, document: object) -> int:
    return show(given, document, "nodes", COLUMNS, _shown)


def _shown(row: Row) -> Row:
    told = row.get("restless") or row.get("rm")
    why = row.get("word_reason") or (row.get("unusable") if told else "")
    return {**row, "why": why}


def one(given: Given) -> int:
    """Show one node."""
    document = call(given, "read", what="node", ref=given.words[0])
    if given.flag("json"):
        say(json_text(document))
    else:
        say("\n".join(fields(row) for row in rows_of(document, "nodes")))
    return 0


def describe(given: Given) -> int:
    """Give nodes features, or those again that they declare themselves."""
    nodes, *rest = given.words
    if given.flag("reset") == bool(rest):
        raise UsageError(
            "which features the nodes have is not clear",
            expected="a list, as in a100,ib, or none; or --reset",
        )
    found = words(rest[0]) if rest else None
    document = call(given, "node_word", verb="features", nodes=names(nodes), features=found)
    if given.flag("json"):
        say(json_text(document))
    elif not given.flag("quiet"):
        for row in rows_of(document, "nodes"):
            listed = row.get("features")
            told = ", ".join(map(str, listed)) if isinstance(listed, list) else ""
            say(f"{row.get('name')}: {told or 'no features'}")
    return 0


def word(given: Given) -> int:
    """Drain or undrain nodes."""
    verb = given.command.name.partition(" ")[2]
    wanted = [name for text in given.words for name in names(text)]
    document = call(given, "node_word", verb=verb, nodes=wanted, reason=given.text("reason") or "")
    if given.flag("json"):
        say(json_text(document))
    elif not given.flag("quiet"):
        for row in rows_of(document, "nodes"):
            runs = row.get("allocations") or 0
            what = "1 allocation runs" if runs == 1 else f"{runs or 'no'} allocations run"
            say(f"{row.get('name')}: {row.get('word')}, {what} there")
    return 0
