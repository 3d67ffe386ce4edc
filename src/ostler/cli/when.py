"""Points in time as people type them: `17:30`, `2026-12-24T18:00`, `+30m`, `2h` (ago)."""

import time
from datetime import datetime, timedelta

from ostler.model.errors import UsageError
from ostler.model.units import parse_duration


def parse_moment(option: str, text: str, *, past: bool = False, now: float | None = None) -> float:
    """Return Unix seconds; raise `UsageError`.

    past: a bare duration counts backwards instead of forwards, and an hour is the last one that was
    instead of the next. Times without a zone are this host's.
    """
    now = time.time() if now is None else now
    text = text.strip()
    try:
        if text == "now":
            return now
        if text.startswith(("+", "now+")):
            return now + parse_duration(text.removeprefix("now")[1:])
        if text[-1:].isalpha() and "T" not in text and "-" not in text:
            return now + (-1 if past else 1) * parse_duration(text)
        if len(text) <= len("12:34:56") and ":" in text:
            return _hour(text, now, past=past)
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        ago = "2h (ago), " if past else "+30m, "
        raise UsageError(
            f"{option} cannot be {text!r}", expected=f"as in {ago}17:30 or 2026-12-24T18:00"
        ) from None


def _hour(text: str, now: float, *, past: bool) -> float:
    """Return the next time of day as named; the last one if `past`."""
    parts = [int(part) for part in text.split(":")]
    hour, minute, second = (*parts, 0)[:3]
    here = datetime.fromtimestamp(now).astimezone().replace(tzinfo=None)
    then = here.replace(hour=hour, minute=minute, second=second, microsecond=0)
    if past and then > here:
        then -= timedelta(days=1)
    elif not past and then <= here:
        then += timedelta(days=1)
    return then.timestamp()
