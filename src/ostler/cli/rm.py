"""`ostler rm`: other resource managers whose nodes and jobs are part of the machine."""

import time

from ostler.cli.ask import call
from ostler.cli.listing import show
from ostler.cli.main import slow_road
from ostler.cli.options import Given
from ostler.cli.output import (
    Column,
    Row,
    cell,
    fields,
    json_text,
    rows_of,
    say,
    table,
)
from ostler.cli.site import Change, administer, values_of
from ostler.model.errors import Missing, NotNow

RMS: list[Column] = [
    ("name", "NAME"),
    ("driver", "DRIVER"),
    ("state", "STATE"),
    ("nodes", "NODES"),
    ("cpus", "CPUS"),
    ("free_cpus", "FREE"),
    ("jobs", "JOBS"),
    ("age_seconds", "AGE"),
    ("load_seconds", "LOAD"),
    ("why", "WHY"),
]
_VERBS: list[Column] = [
    ("verb", "VERB"),
    ("count", "TIMES"),
    ("failed", "FAILED"),
    ("last_seconds", "LAST"),
    ("mean_seconds", "MEAN"),
    ("max_seconds", "MOST"),
]
_OWN = [
    "driver",
    "enabled",
    "interval",
    "deadline",
    "node-sync",
    "job-sync",
    "node-purge",
    "job-purge",
    "retries",
    "retry",
    "shares-hosts",
    "workers",
]  # what a row has beside what its driver is told
_BELOW = ("settings", "about", "process", "discrepancies", "name")


def main(given: Given) -> int:
    """List the resource managers."""
    document = call(given, "read", what="rms")
    nothing = "no resource managers but our own agents; `ostler rm add` takes one in"
    return show(given, document, "resource_managers", RMS, _shown, nothing=nothing)


def _shown(row: Row) -> Row:
    at, took = row.get("jobs_at"), row.get("load_seconds")
    return {
        **row,
        "age_seconds": max(0.0, time.time() - at) if isinstance(at, float) else None,
        "load_seconds": _short(took) if row.get("loads") else None,
    }


def _short(seconds: object) -> str | None:
    if not isinstance(seconds, int | float):
        return None
    return f"{seconds * 1000:.0f} ms" if seconds < 10 else f"{seconds:.1f} s"


def one(given: Given) -> int:
    """Show a resource manager: how it stands, how long its answers take, what its driver can."""
    try:
        document = call(given, "read", what="rm", ref=given.words[0])
    except (Missing, NotNow):
        if not _driver(given):
            raise
        return 0
    if given.flag("json"):
        say(json_text(document))
        return 0
    for row in rows_of(document, "resource_managers"):
        say(fields({key: value for key, value in row.items() if key not in _BELOW}))
        _below(row)
    return 0


def _driver(given: Given) -> bool:
    """Show a driver by which nothing was taken in; say whether there is one of that name."""
    slow_road()  # drivers need installed packages
    from ostler.drivers.describe import as_dict, as_text
    from ostler.drivers.finding import kinds

    point = kinds().get(given.words[0])
    if point is None:
        return False
    about = point.load().about
    say(
        json_text({"drivers": [as_dict(about)]})
        if given.flag("json")
        else "\n".join(_lines(as_text(about)))
    )
    return True


def _below(row: Row) -> None:
    settings, about, process = (row.get(key) for key in ("settings", "about", "process"))
    if isinstance(settings, dict) and settings:
        say("\nits driver is told")
        say(fields(settings, indent="  "))
    if isinstance(process, dict):
        say("\nits process")
        say(fields({k: v for k, v in process.items() if k not in ("load", "verbs")}, indent="  "))
        timings = [_timed(each) for each in rows_of(process, "verbs")]
        timings += [_timed({**process["load"], "verb": "both, as a load"})]
        say("")
        say(table(timings, _VERBS))
    if isinstance(about, dict):
        say("\nits driver")
        say(described(about))
    discrepancies = row.get("discrepancies")
    for each in discrepancies if isinstance(discrepancies, list) else ():
        say(
            f"\n{each.get('object')}: {each.get('before')} -> {each.get('after')}; {each.get('done')}"
        )


def described(about: Row) -> str:
    """Return what a driver says of itself, as lines that a terminal may show."""
    slow_road()
    from msgspec import convert

    from ostler.drivers.describe import as_text
    from ostler.model.foreign import About

    return "\n".join(f"  {line}" for line in _lines(as_text(convert(about, About))))


def _lines(text: str) -> list[str]:
    """Return them as lines that a terminal may show."""
    return [cell("", line) for line in text.split("\n")]


def _timed(times: Row) -> Row:
    return {key: _short(value) if "seconds" in key else value for key, value in times.items()}


def change(given: Given) -> int:
    """Add, change or remove one; what is no value of its row is told to its driver."""
    word = given.command.name.partition(" ")[2]
    name, *rest = given.words
    one: Change = {"verb": "create" if word == "add" else word, "kind": "rm", "key": [name]}
    values: dict[str, object] = {}
    if word == "add":
        values["driver"], *rest = rest
    settings: dict[str, object] = {}
    for key, value in values_of(rest).items():
        if key.replace("_", "-") in _OWN:
            values[key] = value
        else:
            settings[key] = None if value == "none" else value
    if settings:
        values["settings"] = settings
    return administer(given, [one | ({} if word == "remove" else {"values": values})])
