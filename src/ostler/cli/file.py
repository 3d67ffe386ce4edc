"""`ostler submit --file`: a TOML file with a table for each job, submitted all or none."""

import tomllib
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from ostler.cli.ask import call, command_bytes, read_file
from ostler.cli.job_values import Values, job_values
from ostler.cli.options import Given, Value
from ostler.cli.output import Column, json_text, rows_of, say, table
from ostler.cli.script import with_options
from ostler.cli.submit import read_script
from ostler.cli.table_options import GENERAL, Command, Option
from ostler.client.spec import new_request_id
from ostler.client.workflow import After, after_of, make_parts
from ostler.model.errors import UsageError
from ostler.model.limits import MAX_JOBS_FILE, MAX_TOGETHER

_NOT_HERE = {"name", "file", "dry_run", *GENERAL}  # options of submit that no job has
_WOULD: list[Column] = [
    ("name", "NAME"),
    ("elements", "ELEMENTS"),
    ("tasks", "TASKS"),
    ("cpus", "CPUS"),
    ("starts_now", "NOW"),
    ("rule", "WAITS"),
    ("after", "AFTER"),
]


def main(given: Given) -> int:
    """Queue all jobs of the file in one transaction and print the name and id of each."""
    if given.words or set(given.values) - {"file", "dry_run", *GENERAL}:
        raise UsageError(
            "--file stands alone: all that a job asks for stands in its table of the file",
            expected="--dry-run, --json, --state or -q beside it",
        )
    parts, blobs = make_parts(dict(jobs_of(given)))
    dry = given.flag("dry_run")
    extra = {"dry": True} if dry else {}
    body = _submitted(given, jobs=parts, blobs=blobs, **extra)
    if given.flag("json"):
        say(json_text({"would": body["would"]} if dry else {"jobs": body["jobs"]}))
    elif dry:
        say(table(rows_of(body, "would"), _WOULD, heading=not given.flag("quiet")))
    else:
        rows = rows_of(body, "jobs")
        size = max(len(str(row["id"])) for row in rows)
        for row in rows:
            say(f"{row['id']!s:>{size}}  {row['name']}")
    return 0


def _submitted(given: Given, **fields: object) -> Any:
    return call(given, "submit_all", request_id=new_request_id(), **fields)


def jobs_of(given: Given) -> Iterator[tuple[str, tuple[Values, list[After]]]]:
    """Yield each job of the file: its name, its values, and what it waits for."""
    name = given.text("file") or ""
    data = read_file(name, "the file of jobs", MAX_JOBS_FILE)
    try:
        document = tomllib.loads(data.decode())
    except UnicodeDecodeError:
        raise UsageError(f"{name}: it is not text", expected="TOML in UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{name}: {error}", hint="see https://toml.io for its rules") from None
    except RecursionError:
        raise UsageError(f"{name}: its lists are nested too deeply") from None
    if not 1 <= len(document) <= MAX_TOGETHER:
        raise UsageError(f"{name} has {len(document)} jobs", expected=f"1 to {MAX_TOGETHER}")
    known = {
        flag.removeprefix("--"): option
        for option in given.command.options
        for flag in option.flags
        if flag.startswith("--") and option.name not in _NOT_HERE
    }
    for job, fields in document.items():
        if not isinstance(fields, dict):
            is_list = isinstance(fields, list) and all(isinstance(item, dict) for item in fields)
            raise UsageError(
                f"{name}: "
                + (f"[[{job}]] makes a list" if is_list else f"{job} stands outside of any job"),
                expected=f"a table for each job, as in [{'NAME' if is_list else job}]",
            )
        try:
            yield job, _job(given.command, known, fields)
        except UsageError as error:
            error.message = f"{name}: job {job!r}: {error.message}"
            raise


def _job(
    command: Command, known: dict[str, Option], fields: dict[str, Any]
) -> tuple[Values, list[After]]:
    values: dict[str, Value] = {}
    words: list[str] = []
    after: list[After] = []
    for key, value in fields.items():
        if key in ("command", "script"):
            words = _words(key, value)
        elif key == "after":
            texts = [value] if isinstance(value, str) else _texts(key, value)
            after = [after_of(part) for text in texts for part in text.split(",")]
        elif key in known:
            _take(values, known[key], key, value)
        else:
            raise _no_key(key, known)
    if ("command" in fields) == ("script" in fields):
        raise UsageError(
            "it has " + ("both command and script" if words else "neither command nor script"),
            expected='one of them, as in command = ["make", "all"]',
        )
    given = Given(command, values, words, separated="command" in fields)
    if "command" in fields:
        return job_values(given) | {"argv": command_bytes(words)}, after
    return _script(given), after


def _script(given: Given) -> Values:
    name, *arguments = given.words
    data = read_script(name)
    found = job_values(with_options(given, name, data))
    found["script"] = data
    if arguments:
        found["argv"] = command_bytes(arguments)
    return found


def _words(key: str, value: object) -> list[str]:
    """Return the command, or the script with its arguments."""
    if key == "script" and isinstance(value, str):
        return [value]
    if isinstance(value, str):
        raise UsageError(
            f"its command {value!r} is one string",
            expected="a list of words",
            hint='for a shell to read it: command = ["sh", "-c", "..."]',
        )
    words = _texts(key, value)
    if not words:
        raise UsageError(f"its {key} is empty", expected="a list of words")
    return words


def _texts(key: str, value: object) -> list[str]:
    """Return a list of texts; numbers may stand among them."""
    parts = value if isinstance(value, list) else []
    if not isinstance(value, list) or not all(_is_plain(part) for part in parts):
        raise UsageError(f"{key} cannot be {value!r}", expected="a list of texts")
    return [str(part) for part in parts]


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _take(values: dict[str, Value], option: Option, key: str, value: object) -> None:
    """Keep what a key says as if it had been typed."""
    if not option.metavar:
        if not isinstance(value, bool):
            raise UsageError(f"{key} cannot be {value!r}", expected="true or false")
        if value:
            values[option.name] = True
    elif option.many:
        values[option.name] = _texts(key, [value] if _is_plain(value) else value)
    elif _is_plain(value):
        values[option.name] = str(value)
    else:
        raise UsageError(f"{key} cannot be {value!r}", expected=f"{option.metavar} as a text")


def _no_key(key: str, known: dict[str, Option]) -> UsageError:
    if key == "name":
        return UsageError("it has a name twice", hint="the name of its table is its name")
    near = get_close_matches(key, [*known, "command", "script", "after"], 1)
    hint = f"did you mean {near[0]!r}" if near else "see `ostler submit --help`: its long options"
    return UsageError(f"there is no option {key!r}", hint=hint)
