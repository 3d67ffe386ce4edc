"""What commands print: lines, tables that fit the terminal, and JSON, without loading a library."""

import posix
import time

from ostler.model.errors import UsageError

TYPE_CHECKING = False  # as in typing, which is not loaded here
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Row = dict[str, object]
Column = tuple[str, str]  # key of the row, heading

_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_ESCAPES |= {"\b": "\\b", "\f": "\\f"}
_NARROWEST = 8  # columns are cut no further than this
_DAY = 86_400
_NUMBERS = {int, float}


def say(text: str) -> None:
    """Write one or more lines to standard output; bytes that came in come out the same."""
    _write(1, text)


def complain(text: str, *, bare: bool = False) -> None:
    """Write a line to standard error, in our name unless `bare`."""
    try:
        _write(2, text if bare else f"ostler: {text}")
    except OSError:
        return  # nobody is there to read it


def _write(fd: int, text: str) -> None:
    write_all(fd, f"{text}\n".encode("utf-8", "surrogateescape"))


def quoted(word: str) -> str:
    """Return a word as it must be typed to a shell."""
    safe = word and all(c.isalnum() or c in "%+,-./:=@_" for c in word)
    return word if safe else "'" + word.replace("'", "'\"'\"'") + "'"


def write_all(fd: int, data: bytes) -> None:
    """Write all of the bytes; raise OSError."""
    while data:
        data = data[posix.write(fd, data) :]


def json_text(value: object) -> str:
    """Return what `json.dumps` returns, but null for numbers that JSON has no word for.

    Bytes that are not text become lone surrogates, as in Python's own file names.
    """
    out: list[str] = []
    _encode(value, out)
    return "".join(out)


def _encode(value: object, out: list[str]) -> None:
    if value is None:
        out.append("null")
    elif value is True or value is False:
        out.append("true" if value else "false")
    elif isinstance(value, str):
        out.append(_quote(value))
    elif isinstance(value, bytes):
        out.append(_quote(value.decode("utf-8", "surrogateescape")))
    elif isinstance(value, float):
        out.append(repr(value) if value - value == 0 else "null")
    elif isinstance(value, dict):
        mark = "{"
        for key, item in value.items():
            out.append(f"{mark}{_quote(str(key))}: ")
            _encode(item, out)
            mark = ", "
        out.append("{}" if mark == "{" else "}")
    elif isinstance(value, list | tuple):
        mark = "["
        for item in value:
            out.append(mark)
            _encode(item, out)
            mark = ", "
        out.append("[]" if mark == "[" else "]")
    else:
        out.append(str(value))


def _quote(text: str) -> str:
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    out = ['"']
    for char in text:
        code = ord(char)
        if char in _ESCAPES:
            out.append(_ESCAPES[char])
        elif 0x20 <= code < 0x7F:
            out.append(char)
        elif code < 0x10000:
            out.append(f"\\u{code:04x}")
        else:
            code -= 0x10000
            out.append(f"\\u{0xD800 | code >> 10:04x}\\u{0xDC00 | code & 0x3FF:04x}")
    out.append('"')
    return "".join(out)


def width() -> int:
    """Return the columns of the terminal; 0 if there is none, and nothing need be cut."""
    try:
        return posix.get_terminal_size(1).columns
    except OSError:
        return 0


def table(
    rows: list[Row], columns: list[Column], *, room: int | None = None, heading: bool = True
) -> str:
    """Return the rows under headings; on a terminal what is longest is cut until they fit.

    Columns that no row has are left out; numbers stand to the right.
    """
    columns = [c for c in columns if any(c[0] in row for row in rows)] if rows else columns
    values: dict[str, list[object]] = {key: [row.get(key) for row in rows] for key, _ in columns}
    return laid_out(values, columns, room=room, heading=heading)


def laid_out(
    values: "Mapping[str, Sequence[object]]",
    columns: list[Column],
    *,
    room: int | None = None,
    heading: bool = True,
) -> str:
    """Return the table whose values are given by column, which is where most are the same."""
    texts, right = [], []
    for key, title in columns:
        kinds = {*map(type, values[key])}
        cells = _cells(key, values[key], kinds)
        texts.append([title, *cells] if heading else cells)
        right.append(bool(kinds) and kinds <= _NUMBERS)
    sizes = [max(map(_room, column), default=0) for column in texts]
    painted = room is None and paints(1)
    room = width() if room is None else room
    if room >= _NARROWEST:
        sizes = _fitting(sizes, room)
    texts = [*map(_aligned, texts, sizes, right)]
    if not painted and (room < _NARROWEST or sum(sizes) + 2 * len(sizes) - 2 <= room):
        return "\n".join(["  ".join(line).rstrip() for line in zip(*texts, strict=True)])
    lines = []
    for number, line in enumerate(zip(*texts, strict=True)):
        cells = _within(line, room) if room >= _NARROWEST else [*line]
        cells[-1:] = [cells[-1].rstrip()] if cells else []
        if painted and number >= heading:
            cells = [_paint(key, text) for (key, _), text in zip(columns, cells, strict=False)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _cells(key: str, values: "Sequence[object]", kinds: set[type]) -> list[str]:
    """Return `cell` of each value; kinds: their types."""
    first = values[0] if values else None
    if len(kinds) == 1 and values.count(first) == len(values):
        return [cell(key, first)] * len(values)
    if kinds == {str}:
        texts = [*map(str, values)]
        if "".join(texts).isprintable():
            return [text or "-" for text in texts]
    if kinds and kinds <= _NUMBERS:
        return [*map(_number(key), values)]
    return [cell(key, value) for value in values]


def _aligned(column: list[str], size: int, right: bool) -> list[str]:  # noqa: FBT001 - for map
    """Return the texts in so many columns of a terminal each."""
    if max(map(len, column), default=0) <= size and "".join(column).isascii():  # as nearly always
        pad = str.rjust if right else str.ljust
        return [pad(text, size) for text in column]
    return [_padded(text, size, right=right) for text in column]


def _within(cells: tuple[str, ...], room: int) -> list[str]:
    """Return the cells that there is room for; the last one is cut."""
    kept = []
    for each in cells:
        if room < 1:
            break
        kept.append(cut(each, room))
        room -= _room(each) + 2
    return kept


def cut(text: str, room: int) -> str:
    """Return the text in so many columns of a terminal at most."""
    return text if _room(text) <= room else _padded(text, room, right=False)


_STATES = ("state", "result", "status", "word")
_PAINT: dict[str, str] = {
    # The word says all; its colour only makes it easier to find.
    "running": "32",
    "success": "32",
    "pending": "33",
    "held": "33",
    "suspended": "33",
    "draining": "33",
    "failed": "31",
    "timeout": "31",
    "memory": "31",
    "lost": "31",
    "rejected": "31",
    "dependency": "31",
    "cancelled": "35",
    "no_agent": "31",
    "unreachable": "31",
}


def paints(fd: int) -> bool:
    """Say whether colours may be written there: on a terminal, unless NO_COLOR forbids it."""
    if not posix.isatty(fd) or posix.environ.get(b"NO_COLOR"):
        return False
    return posix.environ.get(b"TERM", b"dumb") != b"dumb"


def _paint(key: str, text: str) -> str:
    colour = _PAINT.get(text.strip()) if key in _STATES else None
    return f"\x1b[{colour}m{text}\x1b[0m" if colour else text


def _fitting(sizes: list[int], room: int) -> list[int]:
    """Return the sizes with the widest columns made narrower until all fit, or none can be."""
    sizes = list(sizes)
    while (over := sum(sizes) + 2 * (len(sizes) - 1) - room) > 0:
        most = max(sizes)
        if most <= _NARROWEST:
            break
        at = sizes.index(most)
        second = max([*sizes[:at], *sizes[at + 1 :], _NARROWEST])
        sizes[at] = max(most - over, min(second, most - 1), _NARROWEST)
    return sizes


def _padded(text: str, size: int, *, right: bool) -> str:
    """Return the text in so many columns of a terminal, cut if it takes more."""
    if text.isascii() and len(text) <= size:  # as nearly always
        return text.rjust(size) if right else text.ljust(size)
    taken = _room(text)
    if taken > size:
        text = text[:size]
        while _room(text) > size - 1:
            text = text[:-1]
        text += "…"
        taken = _room(text)
    blank = " " * (size - taken)
    return blank + text if right else text + blank


def _room(text: str) -> int:
    """Return the columns that a text takes on a terminal: some signs take two, some none."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def chosen(rows: list[Row], keys: str, known: "Sequence[str]", *, heading: bool = True) -> str:
    """Return a table of the columns that --format names; raise `UsageError`.

    known: the columns that such rows may have, whether or not there are any.
    """
    columns = [(key.strip(), key.strip().upper()) for key in keys.split(",")]
    for key, _ in columns:
        if key not in known and not any(key in row for row in rows):
            raise UsageError(f"there is no column {key[:100]!r}", expected=", ".join(known))
    # A column that no row has stays: who splits the lines counts on it.
    whole = [{key: row.get(key) for key, _ in columns} for row in rows]
    return table(whole, columns, heading=heading)


def cell(key: str, value: object) -> str:
    """Return a value as a person reads it; the key's name tells times, sizes and durations."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return _number(key)(value)
    if isinstance(value, list | tuple):
        return ",".join(cell("", item) for item in value) or "-"
    if isinstance(value, dict):
        pairs = [f"{k}={cell(str(k), v)}" for k, v in value.items()]
        return " ".join(pairs) or "-"
    if isinstance(value, bytes):
        value = value.decode("utf-8", "surrogateescape")
    text = str(value)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or "\udc80" <= c <= "\udcff" else "?" for c in text)


_MOMENTS = ("since", "at", "shadow", "last_update")
_DURATIONS = ("elapsed", "time_limit", "default_time", "timeout")


def _number(key: str) -> "Callable[..., str]":
    """Return what writes numbers of this name."""
    from ostler.model.units import format_duration, format_size

    if key.endswith(("_at", "_since", "_start", "not_before")) or key in _MOMENTS:
        return moment
    if key.endswith("_seconds") or key in _DURATIONS:
        return format_duration
    if "memory" in key or key.endswith("_bytes") or key == "max_rss":
        return lambda value: format_size(value) if value else "-"
    return _plain


def _plain(value: float) -> str:
    return str(int(value)) if value == int(value) else _decimal(value)


def _decimal(value: float) -> str:
    """Return six digits; of large numbers all before the point, and six after it."""
    return f"{value:.6f}".rstrip("0") if abs(value) >= 1 else f"{value:.6g}"


def moment(at: float) -> str:
    """Return a time as `14:05:09` today, else as `2026-11-21 14:05`."""
    then = time.localtime(at)
    near = abs(at - time.time()) < _DAY and then.tm_yday == time.localtime().tm_yday
    return time.strftime("%H:%M:%S" if near else "%Y-%m-%d %H:%M", then)


def fields(row: Row, *, indent: str = "") -> str:
    """Return one object as lines of key and value, without what is empty."""
    shown = [(k, cell(k, v)) for k, v in row.items()]
    shown = [(k, text) for k, text in shown if text != "-"]
    size = max((len(k) for k, _ in shown), default=0)
    return "\n".join(f"{indent}{k:<{size}}  {text}" for k, text in shown)


def rows_of(document: object, noun: str) -> list[Row]:
    """Return the rows that a document holds under a plural noun."""
    found = document.get(noun) if isinstance(document, dict) else None
    return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []
