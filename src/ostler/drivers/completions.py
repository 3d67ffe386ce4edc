"""A file to which a resource manager appends a line for each job that has ended, read as it grows."""

import os
import time
from collections import deque

from ostler.drivers.contract import Trouble

MOST = 64 << 20  # bytes read at once: what is older than that is not looked for
KEPT = 600.0  # seconds for which lines are told again: an answer may be lost


class Completions:
    """Its new lines, and those that were new a while ago."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._read: tuple[int, int] = (0, 0)  # inode, and how far it has been read
        self._lines: deque[tuple[float, str]] = deque()  # when read, what

    def lines(self) -> list[str]:
        """Return them; raise `Trouble` if there is a file that cannot be read."""
        now = time.monotonic()
        while self._lines and self._lines[0][0] < now - KEPT:
            self._lines.popleft()
        try:
            self._lines.extend((now, line) for line in self._more())
        except FileNotFoundError:  # none has ended yet
            self._read = (0, 0)
        except OSError as error:
            raise Trouble(f"the job completion file cannot be read: {error}") from None
        return [line for _, line in self._lines]

    def _more(self) -> list[str]:
        with open(self.path, "rb") as file:
            stat = os.fstat(file.fileno())
            inode, done = self._read
            if inode != stat.st_ino or done > stat.st_size:  # another file, or cut off
                done = 0
            first = done == 0
            at = max(done, stat.st_size - MOST)
            file.seek(at)
            whole, newline, _ = file.read(MOST).rpartition(b"\n")
        self._read = (stat.st_ino, at + len(whole) + len(newline))
        lines = whole.decode(errors="replace").split("\n") if newline else []
        return lines[1:] if first and at else lines
