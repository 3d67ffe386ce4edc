"""Daemons of a peer: in the foreground below us, so that they end with the run."""

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from bench.processes import Unavailable

PATIENCE = 60.0  # seconds for a peer to come up
GRACE = 10.0  # seconds between SIGTERM and SIGKILL


class Daemons:
    """Processes started while this is entered; the last one started is the first to be stopped."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pids: list[int] = []
        self._open = ExitStack()

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()
        end_below(self.folder)

    def start(
        self, words: Sequence[str], env: Mapping[str, str], *, heard: bool = False
    ) -> subprocess.Popen[str]:
        """Start one, with a pipe to its stdin.

        heard: and one from its stdout, which somebody reads: a daemon stands still once it is full.
        """
        log = self._open.enter_context((self.folder / "log").open("ab"))
        process = subprocess.Popen(
            words,
            cwd=self.folder,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if heard else log,
            stderr=log,
            text=True,
        )
        self.pids.append(process.pid)
        self._open.callback(_stop, process)
        return process

    def wait(self, what: str, ready: Callable[[], bool]) -> None:
        """Wait until something is so; raise `Unavailable` with the end of the log."""
        deadline = time.monotonic() + PATIENCE
        while not ready():
            if time.monotonic() > deadline:
                raise Unavailable(f"{what}: not within {PATIENCE:.0f} s: {self.said()}")
            time.sleep(0.05)

    def said(self) -> str:
        """Return the end of what the daemons had to say."""
        return (self.folder / "log").read_text(errors="replace")[-300:].strip()


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.communicate(timeout=GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


def end_below(folder: Path) -> None:
    """Kill what still works in a folder of ours, or has a file of it open: nobody else's."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            used = [process.cwd(), *(file.path for file in process.open_files())]
            ours = any(Path(path).is_relative_to(folder) for path in used)
            if ours and process.pid != os.getpid():
                process.kill()
