"""The line that `wait` and `sim` keep on a terminal: how far it is, how fast, until when."""

import posix
import time

from ostler.cli.output import Row, cut, rows_of, write_all
from ostler.client.link import Link
from ostler.model.errors import OstlerError
from ostler.model.units import format_duration

EVERY = 1.0  # seconds between looks
_MEASURED = 10  # looks over which the rate is taken


class Pace:
    """How far it is and how fast it has gone of late. total: what there is to do, of which noun."""

    def __init__(self, total: int, noun: str = "ended") -> None:
        self._total = total
        self._noun = noun
        self._looks: list[tuple[float, int]] = []  # when, and how much was done

    def text(self, now: float, done: int) -> str:
        """Note how much is done, and return it in words. now: seconds of a clock that only goes on."""
        self._looks = [*self._looks[-_MEASURED:], (now, done)]
        then, before = self._looks[0]
        rate = (done - before) / (now - then) if now > then else 0.0
        text = f"{done} of {self._total} {self._noun}"
        if rate <= 0:
            return text
        left = format_duration(round((self._total - done) / rate))
        shown = f"{rate:.3g}" if rate < 1000 else f"{rate:.0f}"
        return f"{text}, {shown}/s" + (f", {left} left" if done < self._total else "")


class Line:
    """A line on a terminal that is written over itself."""

    def __init__(self, fd: int = 2) -> None:
        self._fd = fd
        self._shown = 0  # columns of the line that stands there

    def write(self, text: str) -> None:
        """Show this instead of what stood there."""
        try:
            room = posix.get_terminal_size(self._fd).columns or 80
        except OSError:
            return  # it has gone
        # Blanks and a return instead of escape sequences: any terminal knows them.
        text = cut(text, max(room - 1, 1))  # the last column would wrap
        size = len(text)
        write_all(self._fd, f"\r{text}{' ' * (self._shown - size)}".encode())
        self._shown = size

    def clear(self) -> None:
        """Take the line away."""
        if self._shown:
            write_all(self._fd, f"\r{' ' * self._shown}\r".encode())
        self._shown = 0


class Progress:
    """Asks for counts and writes them over one another, on standard error.

    fd: a terminal. refs: what is waited for; at most _MOST of them are looked at.
    """

    _MOST = 20

    def __init__(self, link: Link, refs: list[str], fd: int = 2) -> None:
        self._link = link
        self._refs = refs
        self._line = Line(fd)
        self._pace: Pace | None = None
        self._useful = len(refs) <= self._MOST

    def look(self) -> None:
        """Write the line as it is now; nothing if no array is waited for."""
        if not self._useful:
            return
        try:
            rows = [self._row(ref) for ref in self._refs]
        except OstlerError:
            return  # `wait` itself tells what is wrong
        total = sum(_number(row, "elements") for row in rows)
        if total <= len(rows):
            self._useful = False
            return
        if self._pace is None:
            self._pace = Pace(total)
        ended = sum(_number(row, "elements_done") for row in rows)
        how = self._pace.text(time.monotonic(), ended)
        self._line.write(f"{', '.join(self._refs)}: {_failed(rows)}, {how}")

    def _row(self, ref: str) -> Row:
        answer = self._link.call("read", what="job", ref=ref, options={"brief": True})
        return rows_of(answer, "jobs")[0]

    def clear(self) -> None:
        """Take the line away."""
        self._line.clear()


def _failed(rows: list[Row]) -> str:
    """Return how many did not succeed, by result."""
    counts: dict[str, int] = {}
    for row in rows:
        found = row.get("elements_by_result")
        for result, count in found.items() if isinstance(found, dict) else ():
            if result != "success":
                counts[result] = counts.get(result, 0) + count
    return ", ".join(f"{count} {result}" for result, count in sorted(counts.items())) or "0 failed"


def _number(row: object, key: str) -> int:
    value = row.get(key) if isinstance(row, dict) else None
    return value if isinstance(value, int) else 0
