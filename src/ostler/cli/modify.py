"""`ostler modify`: change a waiting job, or the time limit or nodes of one that runs."""

from ostler.cli.ask import call, duration, number, size
from ostler.cli.job_values import array
from ostler.cli.options import Given
from ostler.cli.output import cell, json_text, say
from ostler.cli.when import parse_moment
from ostler.client.spec import check
from ostler.model.errors import UsageError
from ostler.model.licences import format_licences, parse_licences


def main(given: Given) -> int:
    """Send what is to be changed."""
    changes = _changes(given)
    if not changes:
        raise UsageError("nothing is to be changed", hint="see `ostler modify --help`")
    if changes.keys() == {"end_tasks"}:
        raise UsageError("--end-tasks alone changes nothing", expected="--nodes N beside it")
    for name, value in changes.items():
        if name != "end_tasks":
            check(name, value)
    document = call(given, "modify", ref=given.words[0], changes=changes)
    if given.flag("json"):
        say(json_text({"jobs": [document["job"]]}))
    elif not given.flag("quiet"):
        told = ", ".join(_told(k, v) for k, v in changes.items() if k != "end_tasks")
        say(f"{document['job'].get('id')}: {told}")
    return 0


def _told(key: str, value: object) -> str:
    """Return a change as a person reads it."""
    if key == "time_limit":
        return f"time_limit {cell('_seconds', value) if value else 'none'}"
    if isinstance(value, dict):
        return f"{key} {format_licences(value) or 'none'}"
    return f"{key} {'none' if value == '' else cell(key, value)}"


def _changes(given: Given) -> dict[str, object]:
    changes: dict[str, object] = {}
    for name, key in (("renamed", "name"), ("rm", "rm"), ("project", "project")):
        if (text := given.text(name)) is not None:
            changes[key] = text
    for name in ("priority", "boost", "tasks", "cpus", "gpus", "nodes", "retries"):
        if (text := given.text(name)) is not None:
            changes[name] = number(f"--{name}", text)
    if given.flag("end_tasks"):
        changes["end_tasks"] = True
    if (text := given.text("time")) is not None:
        none = text in ("0", "none", "unlimited")
        changes["time_limit"] = 0 if none else duration("--time", text)
    if (text := given.text("memory")) is not None:
        changes["memory"] = size("--memory", text)
    for name in ("constraint", "reservation"):
        if (text := given.text(name)) is not None:
            changes[name] = "" if text == "none" else text
    if (text := given.text("licences")) is not None:
        none = text in ("", "none")
        changes["licences"] = {} if none else parse_licences(text, what="--licences")
    if (text := given.text("not_before")) is not None:
        changes["not_before"] = parse_moment("--not-before", text)
    if (text := given.text("array_cap")) is not None:
        spans, cap = array(text if "%" in text else f"%{text}")
        if spans or cap is None:
            raise UsageError(f"--array cannot be {text!r} here", expected="%N: at most N at once")
        changes["array_cap"] = cap
    return changes
