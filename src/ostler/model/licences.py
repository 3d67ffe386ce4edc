"""Licences: counts of what the whole machine has, whichever node uses it. `matlab:10,ansys:2`.

Imports no more than everyday commands may.
"""

from ostler.model.errors import UsageError
from ostler.model.limits import MAX_LICENCE, MAX_LICENCES, MAX_NAME

_BEHIND = "_.-+@"  # what a name may hold beside letters and digits


def parse_licences(text: str, *, what: str, least: int = 1) -> dict[str, int]:
    """Return the counts by name, sorted; raise `UsageError`. A name without a count means 1.

    what: the option or attribute they were given to. least: the smallest count that makes sense.

    >>> parse_licences("matlab:10,ansys", what="licences")
    {'ansys': 1, 'matlab': 10}
    """
    found: dict[str, int] = {}
    for part in text.split(","):
        name, colon, count = part.strip().partition(":")
        number = _number(count) if colon else 1
        if not is_licence(name) or not least <= number <= MAX_LICENCE or name in found:
            twice = f"{name!r} is named twice; " if name in found else ""
            raise UsageError(
                f"{what} cannot be {text[:100]!r}",
                expected=f"{twice}NAME:COUNT with commas, as in matlab:2,ansys:1",
            )
        found[name] = number
    if len(found) > MAX_LICENCES:
        raise UsageError(f"{what} names {len(found)} licences", expected=f"most: {MAX_LICENCES}")
    return dict(sorted(found.items()))


def is_licence(name: str) -> bool:
    """Say whether a licence can have this name."""
    if not (name.isascii() and 0 < len(name) <= MAX_NAME):
        return False
    return name[0].isalnum() and all(char.isalnum() or char in _BEHIND for char in name)


def format_licences(counts: dict[str, int]) -> str:
    """Return the counts as they can be typed."""
    return ",".join(f"{name}:{count}" for name, count in sorted(counts.items()))


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1
