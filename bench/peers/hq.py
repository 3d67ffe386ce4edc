"""HyperQueue from its Python package, which has no `hq` command: server, worker and client."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.peers.daemons import Daemons
from bench.processes import Unavailable

VERSION = "0.27.0"
# An environment of its own: its package must not come into ours.
VENV = Path(__file__).resolve().parents[2] / "build" / "peers" / "hyperqueue"
PYTHON = VENV / "bin" / "python"
SIDE = Path(__file__).resolve().with_name("hq_side.py")


class HyperQueue:
    """One server with one worker of all CPUs, and one client that stays connected."""

    version = VERSION

    def __init__(self, folder: Path) -> None:
        self._daemons = Daemons(folder / "hyperqueue")
        self._server = str(folder / "hyperqueue" / "server")
        self._client: subprocess.Popen[str]

    def __enter__(self) -> Self:
        if not PYTHON.exists():
            raise Unavailable("it is not installed; `make bench-peers` installs it")
        self._daemons.__enter__()
        os.mkdir(self._server)
        self._line(self._start("serve", str(len(os.sched_getaffinity(0)))))
        self._client = self._start("client")
        self._line(self._client)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._daemons.__exit__(kind, error, trace)

    @property
    def roots(self) -> list[int]:
        """Return its daemon, which is server and worker; the client is not counted."""
        return self._daemons.pids[:1]

    def run(self, count: int) -> float:
        """Run /bin/true so often, as one job; return seconds from submission to end."""
        return self._ask("run", str(count))[0]

    def body(self, argv: Sequence[str]) -> int:
        """Submit one task; return CLOCK_MONOTONIC in ns just before."""
        return int(self._ask("body", *argv)[0])

    def submit_words(self) -> list[str]:
        """Return a command that connects, submits one task of /bin/true and ends."""
        return [str(PYTHON), str(SIDE), "submit", self._server]

    def _start(self, verb: str, *words: str) -> subprocess.Popen[str]:
        command = [str(PYTHON), str(SIDE), verb, self._server, *words]
        return self._daemons.start(command, os.environ, heard=True)

    def _ask(self, *words: str) -> list[float]:
        assert self._client.stdin is not None
        self._client.stdin.write("\t".join(words) + "\n")
        self._client.stdin.flush()
        return [float(word) for word in self._line(self._client).split()]

    def _line(self, process: subprocess.Popen[str]) -> str:
        """Return the next answer of the other side; raise `Unavailable` if it ended."""
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("answer "):  # the library prints tables of its own
                return line.removeprefix("answer ")
        raise Unavailable(f"it ended: {self._daemons.said()}")
