"""`ostler jobs` and `ostler job`: what there is and how it stands."""

import time

from ostler.cli.ask import call, link_to, number
from ostler.cli.options import Given
from ostler.cli.output import (
    Column,
    Row,
    cell,
    chosen,
    complain,
    cut,
    fields,
    json_text,
    laid_out,
    rows_of,
    say,
    table,
    width,
)
from ostler.client.link import Link
from ostler.model.errors import UsageError

TYPE_CHECKING = False  # as in typing, which is not loaded here
if TYPE_CHECKING:
    from collections.abc import Callable

Columns = dict[str, list[object]]
ROWS = 200  # of the table, unless another number is asked for
_MANY = 10_000  # jobs that a manager lists at once
COLUMNS: list[Column] = [
    ("id", "ID"),
    ("name", "NAME"),
    ("user", "USER"),
    ("state", "STATE"),
    ("elements", "DONE"),
    ("cpus", "CPUS"),
    ("elapsed", "TIME"),
    ("why", "WHERE OR WHY"),
]
_WANTED: tuple[str, ...] = (  # what the table is made of
    "id", "name", "user", "state", "result", "array", "elements", "elements_done",
    "tasks", "cpus", "submitted_at", "started_at", "ended_at", "rule", "reason", "allocation_nodes",
    "rm_jobs", "unknown_since",
)  # fmt: skip
_ELEMENTS: list[Column] = [
    ("id", "ID"),
    ("state", "STATE"),
    ("exit_status", "EXIT"),
    ("attempt", "ATTEMPT"),
    ("elapsed", "TIME"),
    ("max_rss", "MEMORY"),
    ("node", "NODE"),
    ("reason", "REASON"),
]
_STEPS: list[Column] = [
    ("id", "STEP"),
    ("name", "NAME"),
    ("state", "STATE"),
    ("exit_status", "EXIT"),
    ("tasks", "TASKS"),
    ("cpus", "CPUS"),
    ("elapsed", "TIME"),
    ("why", "WHERE OR WHY"),
]
STATES: tuple[str, ...] = (
    "held",
    "pending",
    "starting",
    "running",
    "suspended",
    "finishing",
    "done",
)
STATES += ("success", "failed", "cancelled", "timeout", "memory", "lost", "rejected", "dependency")


def main(given: Given) -> int:
    """List jobs: one's own unfinished ones unless told otherwise."""
    options = _options(given)
    bare = given.flag("quiet") or given.flag("tree") or "format" in given.values
    whole = bare or given.flag("json") or "limit" in given.values
    if not whole:
        options["limit"] = ROWS
    if not (given.flag("json") or given.flag("tree") or "format" in given.values):
        options["columns"] = _WANTED
    link = link_to(given)
    if given.flag("watch"):
        return _watch(given, link, options)
    document = link.call("read", what="jobs", options=options)
    link.close()
    if given.flag("json") and given.flag("tree"):
        from ostler.cli.tree import edges

        document["edges"] = edges(rows_of(document, "jobs"))
    text = json_text(document) if given.flag("json") else _text(given, document)
    if text:
        say(text)
    if not whole and (more := document.get("more")):
        complain(f"{more} older ones are not shown; `ostler jobs --limit 0` lists them", bare=True)
    return 0


def _text(given: Given, document: Row) -> str:
    quiet = given.flag("quiet")
    if (keys := given.text("format")) is not None:
        from ostler.cli.columns import COLUMNS as KNOWN

        known = KNOWN["jobs"].split()
        return chosen(rows_of(document, "jobs"), keys, known, heading=not quiet)
    if given.flag("tree"):
        from ostler.cli.tree import drawn

        if rows := rows_of(document, "jobs"):
            return drawn([_shown(row) for row in rows])
    else:
        told = _columns(document)
        if told["id"]:
            return _table(told, heading=not quiet)
    return "" if quiet else _none(given)


def _columns(document: Row) -> Columns:
    """Return what was told of jobs, by key."""
    told: Columns = {key: [] for key in _WANTED}
    for part in rows_of(document, "parts"):
        count, columns = part.get("rows"), part.get("columns")
        if isinstance(count, int) and isinstance(columns, dict):
            for key in told:
                values = columns.get(key) or [None]
                told[key] += values * count if len(values) == 1 else values
    return told


def _table(told: Columns, *, heading: bool) -> str:
    """Return the table, made by column: each row by itself takes four times as long."""
    columns = (
        [*COLUMNS[:1], ("rm_jobs", "THERE"), *COLUMNS[1:]] if any(told["rm_jobs"]) else COLUMNS
    )
    if any(told["rm_jobs"]):
        told["rm_jobs"] = [*map(_there, told["rm_jobs"])]
    made = {key: [*map(make, *map(told.__getitem__, keys))] for key, (make, keys) in _MADE.items()}
    return laid_out({**told, **made}, columns, heading=heading)


def _there(names: object) -> object:
    """Return what a job is called elsewhere; of an array, whose elements have each a name, the first.

    >>> _there(["slurm/1", "slurm/2"])
    'slurm/1 and others'
    """
    if isinstance(names, list) and len(names) > 1:
        return f"{names[0]} and others"
    return names


def _none(given: Given) -> str:
    """Return why there is nothing to list, where that may surprise."""
    user = given.text("user")
    known = ("all", "in_state", "since", "in_partition")
    narrowed = any(name in given.values for name in known)
    if user is None and not narrowed:
        return "no unfinished jobs of yours; `ostler jobs --since 1d` lists those that ended, too"
    if user is None:
        return "no jobs"
    import pwd

    try:
        pwd.getpwnam(user)
    except KeyError:
        return f"no jobs; there is no user {user!r} here"
    return "no jobs" if narrowed else f"no unfinished jobs of {user}"


def _watch(given: Given, link: Link, options: dict[str, object]) -> int:
    """Show the table until Ctrl-C."""
    if given.flag("json"):
        raise UsageError("--watch draws tables", hint="for a program: `ostler events -f --json`")
    from ostler.cli.watch import watch

    def draw() -> str:
        told = _columns(link.call("read", what="jobs", options=options))
        states = told["state"]
        counts: dict[object, int] = {}
        for word in map(_state, states, told["result"]):
            counts[word] = counts.get(word, 0) + 1
        # What is in motion comes first and then the newest: the terminal may be short.
        order = [at for at, state in enumerate(states) if state != "done"]
        order += [at for at in reversed(range(len(states))) if states[at] == "done"]
        shown = {key: [column[at] for at in order] for key, column in told.items()}
        named = ", ".join(f"{count} {word}" for word, count in counts.items())
        head = f"{time.strftime('%H:%M:%S')}  {named or 'no jobs'}; Ctrl-C ends this"
        text = f"\n\n{_table(shown, heading=not given.flag('quiet'))}" if states else ""
        return cut(head, width() or 80) + text

    return watch(link, draw)


def _options(given: Given) -> dict[str, object]:
    options: dict[str, object] = {name: True for name in ("all", "steps") if given.flag(name)}
    if (user := given.text("user")) is not None:
        options["user"] = user
    if (partition := given.text("in_partition")) is not None:
        options["partition"] = partition
    if (rm := given.text("of_rm")) is not None:
        options["rm"] = rm
    if (text := given.text("limit")) is not None and (most := number("--limit", text, _MANY)):
        options["limit"] = most
    if (text := given.text("in_state")) is not None:
        options["states"] = states = [part for part in text.split(",") if part]
        for state in states:
            if state not in STATES:
                raise UsageError(
                    f"--state cannot be {state!r}",
                    expected=", ".join(STATES),
                    hint="a state folder has a / in it, or stands before the command",
                )
    if (text := given.text("since")) is not None:
        from ostler.cli.when import parse_moment

        options["since"] = parse_moment("--since", text, past=True)
    return options


def _shown(row: Row) -> Row:
    """Return a job's row as tables show it."""
    made = {key: make(*map(row.get, keys)) for key, (make, keys) in _MADE.items()}
    return {**row, **made}


def _state(state: object, result: object) -> object:
    return result if state == "done" else state


def _done(array: object, total: object, done: object) -> str:
    if array is None:
        return "-"
    total = 1 if total is None else total
    return f"{total if done is None else done}/{total}"  # rows of steps do not count them again


def _product(tasks: object, cpus: object) -> object:
    return tasks * cpus if isinstance(tasks, int) and isinstance(cpus, int) else cpus


def _elapsed(submitted: object, started: object, ended: object) -> object:
    """Return the seconds it has run, or has waited if it never did."""
    since, until = started or submitted, ended or time.time()
    if isinstance(since, int | float) and isinstance(until, int | float):
        return max(0.0, until - since)
    return None


def _why(state: object, rule: object, reason: object, nodes: object, silent: object) -> object:
    """Return where it is, or why it is nowhere."""
    if nodes and state not in ("pending", "held", "done"):
        where = _folded(nodes)
        return f"{where}, silent" if silent else where  # at least one: `ostler explain` says which
    return reason or (f"waits: {rule}" if rule else "")


def _folded(nodes: object) -> str:
    """Return names of nodes as people write them: n[01-03]."""
    if not isinstance(nodes, list) or len(nodes) < 2:
        return cell("", nodes)
    from ostler.model.nodeset import fold

    return fold(map(str, nodes))


_MADE: "dict[str, tuple[Callable[..., object], tuple[str, ...]]]" = {
    # What a table shows and nobody tells: what makes it, of which values.
    "state": (_state, ("state", "result")),
    "elements": (_done, ("array", "elements", "elements_done")),
    "cpus": (_product, ("tasks", "cpus")),
    "elapsed": (_elapsed, ("submitted_at", "started_at", "ended_at")),
    "why": (_why, ("state", "rule", "reason", "allocation_nodes", "unknown_since")),
}


def one(given: Given) -> int:
    """Show one job with its elements."""
    document = call(given, "read", what="job", ref=given.words[0])
    if given.flag("json"):
        say(json_text(document))
        return 0
    for row in rows_of(document, "jobs"):
        elements = rows_of(row, "element_rows")
        told = {key: value for key, value in row.items() if not key.endswith("_rows")}
        if told.get("allocation_nodes"):
            told["allocation_nodes"] = _folded(told["allocation_nodes"])
        say(fields(told))
        if row.get("step_rows"):
            say("")
            say(table([_step(step) for step in rows_of(row, "step_rows")], _STEPS))
        if len(elements) > 1:
            say("")
            say(table([_element(element) for element in elements], _ELEMENTS))
            say(f"\n`ostler job {elements[0].get('id')}` shows all of one element")
        for element in elements if len(elements) == 1 else []:
            say(f"\nelement {element.get('id')}")
            known = ("id", "job", "tasks")  # or just told of the job itself
            rest = {k: v for k, v in element.items() if k not in known and row.get(k) != v}
            say(fields({**rest, "tasks": _tasks(element.get("tasks"))}, indent="  "))
    return 0


def _step(row: Row) -> Row:
    """Return a step's row as the table of `ostler job` shows it."""
    return {**_shown(row), "tasks": row.get("tasks"), "exit_status": row.get("exit_status")}


def _element(row: Row) -> Row:
    """Return an element's row as the table of `ostler job` shows it."""
    state = _state(row.get("state"), row.get("result"))
    ran = row.get("started_at") is not None
    elapsed = _elapsed(None, row.get("started_at"), row.get("ended_at")) if ran else None
    return {**row, "state": state, "elapsed": elapsed}


def _tasks(value: object) -> str:
    """Return how each task ended: rank, then status or signal."""
    told = []
    for task in value if isinstance(value, list) else []:
        rank, code, number = task
        told.append(f"{rank}: signal {number}" if number else f"{rank}: {code}")
    return ", ".join(told)
