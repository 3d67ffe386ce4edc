"""An array whose elements write down that they began and ended, and the account of it."""

import signal
import time
from collections import Counter
from pathlib import Path

from lab.kit import Ground, expect

AT_ONCE = 5_000  # rows of one query
SECONDS = 0.05  # of one element, in which harm can come to it
PATIENCE = 3600.0  # seconds without which an array counts as stuck


class Accounted:
    """One such array. again: it may run again when its node was lost."""

    def __init__(self, at: Ground, elements: int, *, again: bool = False) -> None:
        self._at = at
        self._elements = elements
        self._again = again
        self._out = at.folder()
        own = f"{self._out}/$OSTLER_ELEMENT"
        script = f"echo b >>{own}; sleep {SECONDS}; echo e >>{own}"
        options = ["--requeue"] if again else []
        self.id = at.quick(*options, "--array", f"0-{elements - 1}", script=script)

    def ended(self) -> bool:
        """Say whether it is done; a manager that is away has not said so."""
        unfinished = self._at.unfinished()
        return unfinished is not None and self.id not in unfinished

    def await_end(self) -> None:
        """Wait until it is done; fail when it is stuck."""
        deadline = time.monotonic() + PATIENCE
        while not self.ended():
            expect(
                f"array {self.id} goes on", time.monotonic() < deadline, self._at.lab.job(self.id)
            )
            time.sleep(0.2)

    def settle(self) -> Counter[str]:
        """Hold each element's row against what it wrote; return how many ended how."""
        rows = []
        for low in range(0, self._elements, AT_ONCE):
            rows += self._at.sql(
                f"select element, result, attempt, exit_status from elements where job = {self.id}"
                f" and element between {low} and {low + AT_ONCE - 1}"
            )
        expect("each element has a row", len(rows) == self._elements, len(rows))
        for element, *row in rows:
            self._one(self._out / str(element), f"{self.id}_{element}", *row)
        return Counter(result for _, result, *_ in rows)

    def _one(self, path: Path, name: str, result: str, attempt: int, status: int | None) -> None:
        lines = path.read_text().split() if path.exists() else []
        begun, done = lines.count("b"), lines.count("e")
        what = f"{name} ended as {result} at attempt {attempt}; it began {begun} and ended {done} times"
        # Between fork and exec a task looks like its starter, and may be killed in its place.
        hit = result == "failed" and status == 128 + signal.SIGKILL and not begun
        expect(f"the result is one that may be: {what}", hit or result in ("success", "lost"))
        expect(f"none ran too often: {what}", begun <= (attempt if self._again else 1))
        expect(f"none of a success is missing: {what}", result != "success" or done)
        if self._again:
            expect(f"who may run again is not lost: {what}", result != "lost")


def told(counts: Counter[str]) -> str:
    """Return the account in words."""
    return ", ".join(f"{count} {result}" for result, count in sorted(counts.items()))
