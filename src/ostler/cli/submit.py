"""`ostler submit`: a script with its own options, or a command after `--`."""

import posix

from ostler.cli.ask import (
    Values,
    base_name,
    command_bytes,
    job_values,
    link_to,
    read_file,
)
from ostler.cli.options import Given
from ostler.cli.output import Row, fields, json_text, say
from ostler.client import place
from ostler.client.spec import make_spec, new_request_id
from ostler.model.errors import UsageError
from ostler.model.limits import MAX_SCRIPT


def main(given: Given) -> int:
    """Queue the job and print its id."""
    words = given.words
    if given.text("file") is not None:
        from ostler.cli.main import slow_road

        slow_road()
        from ostler.cli.file import main as submit_file

        return submit_file(given)
    if not words:
        raise UsageError(
            "there is nothing to submit",
            expected="a script, or -- and a command, or --file and a file of jobs",
            hint="see `ostler submit --help`",
        )
    if given.separated:
        values = job_values(given)
        values["argv"] = command_bytes(words)
    else:
        values = _script(given, words)
    values.setdefault("name", "stdin" if words[0] == "-" else base_name(words[0]))
    spec, blobs = make_spec(values)
    link = link_to(given)
    dry = given.flag("dry_run")
    extra = {"dry": True} if dry else {}
    body = link.call("submit", request_id=new_request_id(), spec=spec, blobs=blobs, **extra)
    link.close()
    if dry:
        would = body["would"]
        say(json_text({"would": would}) if given.flag("json") else _would_text(would))
    elif given.flag("json"):
        say(json_text({"jobs": [{"id": str(body["job"])}]}))
    else:
        say(str(body["job"]))
    return 0


def _would_text(would: Row) -> str:
    """Return what would be asked; the id is left out, for it is nobody's yet."""
    shown = {key: value for key, value in would.items() if key != "id"}
    if "starts_now" in shown:
        shown["starts_now"] = shown["starts_now"] if would.get("array") else True
    return fields(shown)


def _script(given: Given, words: list[str]) -> Values:
    """Return the values of a script: its own options, overridden by those of the command line."""
    from ostler.cli.script import with_options

    name = words[0]
    data = read_script(name)
    values = job_values(with_options(given, name, data))
    values["script"] = data
    if len(words) > 1:
        values["argv"] = command_bytes(words[1:])
    return values


def read_script(name: str) -> bytes:
    """Return the script; raise `UsageError` if it is none, with what to type instead."""
    instead = f"to run a command: ostler submit -- {name}"
    if name != "-":
        try:
            posix.stat(place.encode(name))
        except OSError as error:
            why = error.strerror
            raise UsageError(f"there is no script {name!r} here: {why}", hint=instead) from None
    data = read_file(name, "the script", MAX_SCRIPT)
    if not data.startswith(b"#!"):
        raise UsageError(
            f"{name!r} is no script",
            expected="its first line begins with #!, as in #!/bin/sh",
            hint=instead,
        )
    if data.partition(b"\n")[0].endswith(b"\r"):
        raise UsageError(
            f"{name!r} has the line ends of DOS, and no interpreter would be found",
            hint=f"take them out: sed -i 's/\\r$//' {name}",
        )
    return data
