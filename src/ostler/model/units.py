"""Sizes and durations as people write them. Imports nothing: everyday commands load it."""

_SIZES = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40, "P": 1 << 50}
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_CLOCK_PARTS = 3


def parse_size(text: str) -> int:
    """Return bytes for `8G`, `512M`, `100` (bytes), `1.5G`; raise ValueError with a sentence.

    >>> parse_size("1.5K")
    1536
    """
    body = text.strip().upper().removesuffix("B").removesuffix("I")
    factor = _SIZES.get(body[-1:], 1)
    number = body[:-1] if body[-1:] in _SIZES else body
    try:
        value = float(number)
    except ValueError:
        value = -1.0
    if not 0 <= value * factor < 1 << 62:
        msg = f"{text!r} is not a size; write it as 512M, 8G or 1.5T"
        raise ValueError(msg)
    return int(value * factor)


def parse_duration(text: str, *, bare: int = 0) -> int:
    """Return seconds for `90s`, `90m`, `1h30m`, `2d`, `1:30:00`, `1-12:00:00`.

    bare: seconds that a number without a unit counts for; 0 refuses it. Raises ValueError.

    >>> parse_duration("1:30:00"), parse_duration("1h30m")
    (5400, 5400)
    """
    text = text.strip()
    if bare and text.isdigit():
        return int(text) * bare
    total = _clock(text) if ":" in text or "-" in text else _words(text)
    if total is None or total >= 1 << 40:
        what = "has no unit" if text.isdigit() else "is not a duration"
        msg = f"{text!r} {what}; write it as 90s, 90m, 2h, 1d or 1:30:00"
        raise ValueError(msg)
    return total


def _clock(text: str) -> int | None:
    days, dash, clock = text.rpartition("-")
    parts = clock.split(":")
    if (dash and not days.isdigit()) or not all(p.isdigit() for p in parts):
        return None
    if len(parts) > _CLOCK_PARTS:
        return None
    seconds = 0
    if dash:  # days-hours[:minutes[:seconds]], as batch systems write it
        parts += ["0"] * (_CLOCK_PARTS - len(parts))
    for part in parts:
        seconds = seconds * 60 + int(part)
    return seconds + int(days or 0) * 86400


def _words(text: str) -> int | None:
    total, number = 0.0, ""
    for char in text:
        if char.isdigit() or char == ".":
            number += char
        elif char in _SECONDS and number and number.count(".") <= 1 and number != ".":
            total += float(number) * _SECONDS[char]
            number = ""
        else:
            return None
    return None if number or not text else int(total)


def format_duration(seconds: float | None) -> str:
    """Return `2d 3h`, `1h 5m`, `4m 10s`, `3.2s`; `-` for nothing.

    >>> format_duration(3900), format_duration(None)
    ('1h 5m', '-')
    """
    if seconds is None:
        return "-"
    if seconds < 10:
        return f"{max(seconds, 0):.1f}s"
    left, words = int(seconds), []
    for unit in ("w", "d", "h", "m", "s"):
        count, left = divmod(left, _SECONDS[unit])
        if count:
            words.append(f"{count}{unit}")
    return " ".join(words[:2]) or "0s"


def format_size(size: float | None) -> str:
    """Return `1.5G`, `512M`, `100`; `-` for nothing.

    >>> format_size(1536), format_size(8 << 30)
    ('1.5K', '8G')
    """
    if size is None:
        return "-"
    for unit in ("P", "T", "G", "M", "K"):
        if size >= _SIZES[unit]:
            return f"{size / _SIZES[unit]:.3g}{unit}"
    return str(int(size))
