"""`ostler submit`: a script with its own options, or a command after `--`."""

import posix

from ostler.cli.ask import call, command_bytes, read_file
from ostler.cli.job_values import Values, base_name, job_values
from ostler.cli.options import Given
from ostler.cli.output import Row, complain, fields, json_text, quoted, say
from ostler.client import place
from ostler.client.spec import make_spec, new_request_id
from ostler.model.errors import UsageError
from ostler.model.limits import MAX_SCRIPT

TYPE_CHECKING = False  # as in typing, which is not loaded here
if TYPE_CHECKING:
    from collections.abc import Sequence


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
    _warn_of_folders(values)
    spec, blobs = make_spec(values)
    dry = given.flag("dry_run")
    extra = {"dry": True} if dry else {}
    body = call(given, "submit", request_id=new_request_id(), spec=spec, blobs=blobs, **extra)
    if dry:
        would = body["would"]
        say(json_text({"would": would}) if given.flag("json") else _would_text(would))
    elif given.flag("json"):
        say(json_text({"jobs": [{"id": str(body["job"])}]}))
    else:
        say(str(body["job"]))
    return 0


def _warn_of_folders(values: Values) -> None:
    """Tell of a folder for output that is not here: it may be there when the job starts.

    Not of one whose name depends on the job or its element.
    """
    for name in ("output", "error"):
        path, cwd = values.get(name), values.get("cwd")
        if not (isinstance(path, bytes) and isinstance(cwd, bytes)) or b"/" not in path:
            continue
        folder = path.rpartition(b"/")[0] or b"/"
        if b"%" in folder:
            continue
        try:
            posix.stat(folder if folder.startswith(b"/") else cwd + b"/" + folder)
        except OSError:
            where = place.decode(folder)
            complain(f"--{name}: there is no folder {where!r} now; a job needs it when it starts")


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
    data = read_script(name, words[1:])
    _warn_of_options(given, words[1:])
    values = job_values(with_options(given, name, data))
    values["script"] = data
    if len(words) > 1:
        values["argv"] = command_bytes(words[1:])
    return values


def _warn_of_options(given: Given, words: list[str]) -> None:
    """Tell a person at a terminal that what looks like our option goes to the script."""
    flags = {flag for option in given.command.options for flag in option.flags}
    found = next((word for word in words if word.partition("=")[0] in flags), None)
    if found is not None and posix.isatty(2) and not given.flag("quiet"):
        complain(f"{found} goes to the script; options of submit stand before its name")


def read_script(name: str, words: "Sequence[str]" = ()) -> bytes:
    """Return the script; raise `UsageError` if it is none, with what to type instead.

    words: what stood after its name.
    """
    line = " ".join(quoted(word) for word in (name, *words))
    instead = f"to run a command: ostler submit -- {line}"
    if name != "-":
        try:
            posix.stat(place.encode(name))
        except OSError as error:
            why = error.strerror
            raise UsageError(f"there is no script {name!r} here: {why}", hint=instead) from None
    data = read_file(name, "the script", MAX_SCRIPT)
    if name == "-" and not data:
        raise UsageError("standard input is empty, and the script was to come from there")
    if not data.startswith(b"#!"):
        raise UsageError(
            f"{name!r} is no script",
            expected="its first line begins with #!, as in #!/bin/sh",
            hint=f"or name what is to read it: ostler submit -- sh {line}",
        )
    if data.partition(b"\n")[0].endswith(b"\r"):
        raise UsageError(
            f"{name!r} has the line ends of DOS, and no interpreter would be found",
            hint=f"take them out: sed -i 's/\\r$//' {name}",
        )
    return data
