"""How values of the site are typed: in words of a command line, or as TOML has them.

A parser takes either, and returns the value as it is kept; it raises ValueError without a
sentence of its own, for the type says what it expects.
"""

from collections.abc import Callable
from enum import StrEnum
from math import isfinite
from typing import Any

from msgspec import Struct

from ostler.model.errors import OstlerError
from ostler.model.limits import MAX_ARGUMENTS, MAX_NAME, MAX_TEXT
from ostler.model.nodeset import unfold
from ostler.model.shifts import EXPECTED as CALENDAR_EXPECTED
from ostler.model.shifts import parse_calendar
from ostler.model.units import parse_duration, parse_size

OFF = "off"  # instead of a program: none is run
_DAY = 86_400  # seconds
_FAR = 1 << 40  # seconds, and whatever else is counted
_YES = ("true", "yes", "1", "on")
_NO = ("false", "no", "0", "off")
_SIZES = ((1 << 50, "P"), (1 << 40, "T"), (1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K"))
_TIMES = ((86_400, "d"), (3_600, "h"), (60, "m"))


class Type(Struct, frozen=True):
    """One kind of value."""

    parse: Callable[[Any], Any]
    expected: str
    show: Callable[[Any], Any] = lambda value: value  # as it can be typed again, also in TOML


def _program(value: Any) -> str:
    path = _text(value, MAX_TEXT, empty=False)
    if path != OFF and not path.startswith("/"):
        raise ValueError
    return path


def optional(inner: Type) -> Type:
    """Return the type that may also be nothing, typed as none."""

    def parse(value: Any) -> Any:
        return None if value in (None, "", "none") else inner.parse(value)

    def show(value: Any) -> Any:
        return "none" if value is None else inner.show(value)

    return Type(parse, f"{inner.expected}, or none", show)


def choice(kind: type[StrEnum]) -> Type:
    """Return the type of one of a few words."""
    return Type(lambda value: kind(_str(value)), ", ".join(kind), str)


def words(*known: str) -> Type:
    """Return the type of one of these words."""

    def parse(value: Any) -> str:
        if _str(value) not in known:
            raise ValueError
        return str(value)

    return Type(parse, ", ".join(known))


def whole(least: int, most: int) -> Type:
    """Return the type of whole numbers in this range."""

    def parse(value: Any) -> int:
        if isinstance(value, str) and value.isascii() and value.removeprefix("-").isdigit():
            value = int(value[:20])
        if type(value) is not int or not least <= value <= most:
            raise ValueError
        return value

    return Type(parse, f"a whole number from {least} to {most}")


def several(one: Type) -> Type:
    """Return the type of a list: in TOML a list, else words with commas."""

    def parse(value: Any) -> tuple[Any, ...]:
        if isinstance(value, str):
            value = [word.strip() for word in value.split(",")] if value.strip() else []
        if not isinstance(value, list | tuple) or len(value) > MAX_ARGUMENTS:
            raise ValueError
        return tuple(dict.fromkeys(map(one.parse, value)))

    def show(value: Any) -> list[Any]:
        return [one.show(each) for each in value]

    return Type(parse, f"a list with commas, each of {one.expected}", show)


def mapping(one: Type) -> Type:
    """Return the type of values by name."""

    def parse(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict) or len(value) > MAX_ARGUMENTS:
            raise ValueError
        given = {name: each for name, each in value.items() if each is not None}
        return {NAME.parse(name): one.parse(each) for name, each in given.items()}

    return Type(parse, f"a table of names, each with {one.expected}", dict)


def _str(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value


def _text(value: Any, most: int, *, empty: bool) -> str:
    text = _str(value)
    if len(text) > most or not text.isprintable() or not (text or empty):
        raise ValueError
    return text


def _name(value: Any) -> str:
    name = _text(value, MAX_NAME, empty=False)
    if name != name.strip() or any(char in name for char in ",=*/[]'\""):
        raise ValueError
    return name


def _flag(value: Any) -> bool:
    word = str(value).lower() if isinstance(value, str | bool) else ""
    if word not in (*_YES, *_NO):
        raise ValueError
    return word in _YES


def _duration(value: Any) -> int:
    seconds = parse_duration(value, bare=1) if isinstance(value, str) else value
    if type(seconds) is not int or not 0 <= seconds < _FAR:
        raise ValueError
    return seconds


def _span(value: Any) -> int:
    if not 0 < (seconds := _duration(value)) <= _DAY:
        raise ValueError
    return seconds


def _size(value: Any) -> int:
    size = parse_size(value) if isinstance(value, str) else value
    if type(size) is not int or not 0 <= size < 1 << 60:
        raise ValueError
    return size


def _number(value: Any, most: float) -> float:
    found = float(value) if isinstance(value, str | int | float) else -1.0
    if isinstance(value, bool) or not isfinite(found) or not 0 <= found <= most:
        raise ValueError
    return found


def _nodes(value: Any, *, all_of_rm: bool = False) -> str:
    text = _text(value, 16 * MAX_TEXT, empty=False)
    try:
        for name in unfold(text):
            rm, slash, node = name.partition("/")
            _name(rm)
            if slash and not (all_of_rm and node == "*"):
                _name(node)
    except OstlerError:
        raise ValueError from None
    return text


def _share_of_nodes(value: Any) -> str:
    return "*" if value == "*" else _nodes(value, all_of_rm=True)


def _kept_nodes(value: Any) -> str:
    of, sign, name = value.partition(":") if isinstance(value, str) else ("", "", "")
    return f"{of}:{_name(name)}" if sign and of == "partition" else _nodes(value)


def _shown(value: int, units: tuple[tuple[int, str], ...], small: str) -> str:
    """Return a number with the largest unit that leaves nothing over."""
    unit = next(((size, letter) for size, letter in units if value and not value % size), None)
    return f"{value // unit[0]}{unit[1]}" if unit else f"{value}{small}"


NAME = Type(_name, f"a word of at most {MAX_NAME} characters, without , = * / [ ] and quotes")
TEXT = Type(lambda value: _text(value, MAX_TEXT, empty=True), f"at most {MAX_TEXT} characters")
LINE = Type(lambda value: _text(value, MAX_TEXT, empty=False), f"1 to {MAX_TEXT} characters")
FLAG = Type(_flag, "true or false")
DURATION = Type(_duration, "as in 90s, 30m, 2h or 1d", lambda value: _shown(value, _TIMES, "s"))
SPAN = Type(_span, "as in 90s or 30m, from 1s to 1d", DURATION.show)
SIZE = Type(_size, "as in 512M or 4G", lambda value: _shown(value, _SIZES, ""))
FACTOR = Type(lambda value: _number(value, 1.0), "a number from 0 to 1")
MOMENT = Type(lambda value: _number(value, 1e15), "Unix seconds")
NODES = Type(_nodes, "nodes, as in n1,n3 or n[01-03,7]")
PART = Type(
    _share_of_nodes,
    f"{NODES.expected}, or * for all that no other partition names, or slurm/* of an rm",
)
KEPT = Type(_kept_nodes, f"{NODES.expected}, or partition:NAME for all that it has at any time")
PROGRAM = Type(_program, f"{OFF}, or the full path of a program, as in /site/prolog")
COUNT = whole(0, 1_000_000)
PERCENT = whole(0, 100)
OFFSET = whole(-86_400, 86_400)
CALENDAR = Type(lambda value: parse_calendar(_str(value)).text, CALENDAR_EXPECTED)
