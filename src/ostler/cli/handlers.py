"""`ostler handlers` and `ostler events handled`: what is done about events."""

from ostler.cli.ask import call, number
from ostler.cli.listing import show
from ostler.cli.options import Given
from ostler.cli.output import Column
from ostler.cli.site import Change, administer, values_of

_HANDLERS: list[Column] = [
    ("name", "NAME"),
    ("event", "EVENT"),
    ("object", "ABOUT"),
    ("user", "USER"),
    ("timeout", "TIMEOUT"),
    ("retries", "RETRIES"),
    ("waiting", "WAITING"),
    ("command", "COMMAND"),
]
_HANDLED: list[Column] = [
    ("event", "EVENT"),
    ("kind", "KIND"),
    ("events", "EVENTS"),
    ("handler", "HANDLER"),
    ("state", "STATE"),
    ("attempt", "ATTEMPT"),
    ("began_at", "BEGAN"),
    ("result", "RESULT"),
    ("exit_status", "STATUS"),
    ("reason", "REASON"),
]
_MOST = 100_000


def main(given: Given) -> int:
    """List the handlers, and how many events wait for each."""
    return _show(given, "handlers", _HANDLERS, "", {})


def handled(given: Given) -> int:
    """List what was done about events, by whom, when, and how it ended."""
    options: dict[str, object] = {}
    if (text := given.text("limit")) is not None:
        options["limit"] = number("--limit", text, _MOST)
    if given.flag("unfinished"):
        options["states"] = ["waiting"]
    if (user := given.text("user")) is not None:
        options["user"] = user
    return _show(given, "handled", _HANDLED, given.words[0] if given.words else "", options)


def _show(
    given: Given, what: str, columns: list[Column], ref: str, options: dict[str, object]
) -> int:
    document = call(given, "read", what=what, ref=ref, options=options)
    nothing = "nothing was handled" if what == "handled" else ""
    return show(given, document, what, columns, nothing=nothing)


def change(given: Given) -> int:
    """Create, change or remove a handler."""
    name, *words = given.words
    verb = given.command.name.partition(" ")[2]
    one: Change = {"verb": verb, "kind": "handler", "key": [name]}
    return administer(given, [one | ({} if verb == "remove" else {"values": values_of(words)})])
