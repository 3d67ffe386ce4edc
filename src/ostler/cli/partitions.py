"""`ostler partitions start/stop/reload` and `ostler configurations`: which nodes are whose, and when."""

from ostler.cli.ask import call, link_to
from ostler.cli.awaited import Rows, answer_of
from ostler.cli.listing import show
from ostler.cli.options import Given
from ostler.cli.output import Column, Row, json_text, rows_of, say
from ostler.cli.site import Change, administer, values_of
from ostler.model.errors import UsageError

CONFIGURATIONS: list[Column] = [
    ("name", "NAME"),
    ("active", "ACTIVE"),
    ("begins_at", "BEGINS"),
    ("moved", "JOBS THAT MOVE"),
    ("calendar", "CALENDAR"),
    ("nodes", "NODES"),
]
_KEYS = ("calendar", "moved")
_WAYS = {"wait": "wait", "drain": "drain", "kill": "kill_again"}  # way to stop -> its option


def word(given: Given) -> int:
    """Start, stop or reload a partition; of a stop that waits the answer comes when it is down."""
    verb = given.command.name.partition(" ")[2]
    ways = [way for way, flag in _WAYS.items() if given.flag(flag)]
    if len(ways) > 1:
        raise UsageError(f"--{ways[0]} and --{ways[1]} contradict each other")
    how, name = {"how": ways[0]} if ways else {}, given.words[0]
    link = link_to(given)
    number = link.send("partition_word", verb=verb, name=name, **how)

    def look() -> Rows:
        rows = rows_of(link.call("read", what="partitions"), "partitions")
        return [node for row in rows if row["name"] == name for node in rows_of(row, "awaited")]

    document = answer_of(link, number, look, "interrupt this not to wait: the stop itself goes on")
    link.close()
    if given.flag("json"):
        say(json_text(document))
    elif not given.flag("quiet"):
        say("\n".join(_told(row) for row in rows_of(document, "partitions")))
    return 0


def _told(row: Row) -> str:
    runs, waiting = _count(row, "allocations", "run"), _count(row, "jobs_waiting", "wait")
    held = row.get("held")
    text = f"partition {row.get('name')} is {row.get('state')}: {runs}, {waiting}"
    if isinstance(held, list) and held:
        text += f"; held, for they would be refused now: {', '.join(map(str, held))}"
    return text


def _count(row: Row, key: str, verb: str) -> str:
    what = "job" if key == "jobs_waiting" else "allocation"
    count = row.get(key) or 0
    return f"1 {what} {verb}s" if count == 1 else f"{count or 'no'} {what}s {verb}"


def configurations(given: Given) -> int:
    """List the configurations with what each partition has in them."""
    document = call(given, "read", what="configurations")
    return show(given, document, "configurations", CONFIGURATIONS)


def configuration(given: Given) -> int:
    """Create, change or remove a configuration: PARTITION=NODES, calendar=TEXT, moved=HOW."""
    verb = given.command.name.partition(" ")[2]
    name, *rest = given.words
    values: dict[str, object] = {}
    nodes: dict[str, object] = {}
    for key, value in values_of(rest).items():
        if key in _KEYS:
            values[key] = value
        else:
            nodes[key] = None if value == "none" else value
    if nodes or verb == "create":
        values["nodes"] = nodes
    one: Change = {"verb": verb, "kind": "configuration", "key": [name]}
    return administer(given, [one | ({} if verb == "remove" else {"values": values})])


def use(given: Given) -> int:
    """Switch to a configuration, or only say what would move."""
    dry = given.flag("dry")
    document = call(given, "use_configuration", name=given.words[0], dry=dry)
    if given.flag("json"):
        say(json_text(document))
    elif not given.flag("quiet"):
        say("\n".join(_switched(row, dry=dry) for row in rows_of(document, "configurations")))
    return 0


def _switched(row: Row, *, dry: bool) -> str:
    was = f"configuration {row.get('was')} -> {row.get('name')}"
    lines = [f"{was}, if it were used" if dry else was]
    moves = row.get("moves")
    lines += [
        f"  {move['nodes']}: {move['from'] or 'no partition'} -> {move['to'] or 'no partition'}"
        for move in (moves if isinstance(moves, list) else ())
    ]
    how = {"go_on": "will go on", "drain": "will be waited for", "suspend": "will stand still"}
    for key, text in (
        ("jobs_running_on_them", f"on nodes that move {how.get(str(row.get('moved')))}"),
        ("jobs_that_get_nodes", "whose wait for nodes is over"),
        ("jobs_that_wait_for_another", "will wait for another configuration"),
    ):
        if count := row.get(key):
            lines.append(f"  {count} {'job' if count == 1 else 'jobs'} {text}")
    return "\n".join(lines if len(lines) > 1 else [*lines, "  nothing moves"])
