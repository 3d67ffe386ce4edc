"""What commands ask of a machine, and what words stand for: numbers, sizes, lists, files.

Loaded by everyday commands; what only makes a job is in `job_values`.
"""

from ostler.cli.options import Given
from ostler.cli.output import cut
from ostler.client import place
from ostler.client.link import Link
from ostler.model.errors import UsageError

TYPE_CHECKING = False  # as in typing, which is not loaded here
if TYPE_CHECKING:
    from typing import Any

_MOST = 1 << 60
_LEAST_BARE = 1 << 20  # bytes: a smaller number without a unit was meant to have one


def state_of(given: Given, *, new: bool = False, system: bool = False) -> str:
    """Return the state folder that is meant. new, system: see `place.find_state`."""
    return place.find_state(given.text("state"), new=new, system=system)


def link_to(given: Given) -> Link:
    """Return a connection to the machine that is meant; raise `NotNow`."""
    return Link(state_of(given))


def call(given: Given, type_: str, **fields: object) -> "Any":
    """Ask the machine that is meant one thing, and return the answer; raise what it tells."""
    link = link_to(given)
    body = link.call(type_, **fields)
    link.close()
    return body


def number(option: str, text: str, most: int = _MOST) -> int:
    """Return a whole number; raise `UsageError`."""
    if not (text.isascii() and text.isdigit()):
        raise UsageError(f"{option} cannot be {cut(text, 40)!r}", expected="a whole number")
    digits = text.lstrip("0") or "0"
    if len(digits) > len(str(most)) or int(digits) > most:
        raise UsageError(f"{option} cannot be {cut(text, 40)!r}", expected=f"{most} at most")
    return int(digits)


def size(option: str, text: str) -> int:
    """Return bytes; raise `UsageError`."""
    from ostler.model.units import parse_size

    try:
        found = parse_size(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from None
    if text.isdigit() and 0 < found < _LEAST_BARE:
        raise UsageError(
            f"{option}: {text} bytes are too few", hint=f"write it as {text}M or {text}G"
        )
    return found


def duration(option: str, text: str) -> int:
    """Return seconds; raise `UsageError`."""
    from ostler.model.units import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from None


def named_numbers(option: str, texts: list[str]) -> dict[str, int]:
    """Return `{"license": 2}` for `license=2`; a bare name counts one."""
    found = {}
    for text in texts:
        for part in text.split(","):
            name, equals, count = part.partition("=")
            if not name:
                raise UsageError(f"{option} cannot be {text!r}", expected="as in license=2")
            found[name] = number(f"{option} {name}", count) if equals else 1
    return found


def words(text: str) -> list[str]:
    """Return the words of a list with commas, each once; none of `none`."""
    found = dict.fromkeys(part.strip() for part in text.split(","))
    return [] if text in ("", "none") else list(found)


def names(text: str) -> list[str]:
    """Return the nodes of `n1,n3` or `n[01-03,7]`; raise `UsageError`."""
    from ostler.model.nodeset import unfold

    return unfold(text)


def read_file(name: str, what: str, most: int) -> bytes:
    """Return a file's bytes, `-` being standard input; raise `UsageError`."""
    try:
        with open(0 if name == "-" else place.encode(name), "rb", closefd=name != "-") as file:
            data: bytes = file.read(most + 1)
    except OSError as error:
        raise UsageError(f"{what} {name!r} cannot be read: {error.strerror}") from None
    if len(data) > most:
        raise UsageError(f"{what} {name!r} is too large", expected=f"most: {most} bytes")
    return data


def command_bytes(words: list[str]) -> list[bytes]:
    """Return a command's words as they came in, whatever bytes they hold."""
    return [place.encode(word) for word in words]
