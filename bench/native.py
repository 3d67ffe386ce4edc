"""The C programs of this folder, compiled when they are first wanted."""

import os
import select
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.processes import Unavailable, program

HERE = Path(__file__).resolve().parent
LATEST = 60.0  # seconds for a job's body to run


def compiled(name: str, folder: Path) -> Path:
    """Return the program made from NAME.c in a folder; raise `Unavailable` without a compiler."""
    target = folder / name
    if not target.exists():
        words = [program("cc"), "-O2", "-pthread", str(HERE / f"{name}.c"), "-o", str(target)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Unavailable(f"cc could not make {name}: {done.stderr.strip()[-200:]}")
    return target


class Stamp:
    """A program for a job's body, and the FIFO to which it writes when it began."""

    def __init__(self, folder: Path) -> None:
        self._fifo = folder / "stamps"
        os.mkfifo(self._fifo)
        # Open to both sides, so that neither a writer nor this reader waits for the other.
        self._fd = os.open(self._fifo, os.O_RDWR | os.O_CLOEXEC)
        self.argv = [str(compiled("stamp", folder)), str(self._fifo)]
        self.script = folder / "stamp.sh"
        self.script.write_text(f"#!/bin/sh\nexec {' '.join(self.argv)}\n", encoding="utf-8")
        self.script.chmod(0o755)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._fd)

    def read(self) -> int:
        """Wait for the next body and return when it began, in ns of CLOCK_MONOTONIC."""
        if not select.select([self._fd], [], [], LATEST)[0]:
            raise Unavailable(f"the job's body did not run within {LATEST:.0f} s")
        return int.from_bytes(os.read(self._fd, 8), "little")
