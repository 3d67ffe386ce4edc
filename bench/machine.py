"""A machine of ours for measurements, in a folder of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from bench.processes import PATIENCE, Timed, cpu_of, cpu_of_tree, resident_mb, timed

OSTLER = Path(sys.executable).parent / "ostler"


class Cpu(NamedTuple):
    """CPU seconds used since the machine came up."""

    manager: float
    agent: float
    all: float  # of all daemons and starters, and of the tasks that they waited for

    def since(self, before: "Cpu") -> "Cpu":
        """Return what was used between two readings."""
        return Cpu(*(now - then for now, then in zip(self, before, strict=True)))


class Machine:
    """Up while it is entered. up: options of `ostler up`."""

    def __init__(self, folder: Path, *up: str) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.env: Mapping[str, str] = os.environ | {"OSTLER_STATE": str(self.state)}
        self._up = up
        self._pids: dict[str, int] = {}

    def __enter__(self) -> Self:
        self.ask("up", *self._up)
        self._pids = self.json("status")["processes"]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.ask("down", "--kill")

    def ask(self, *words: str) -> str:
        """Run one command and return what it printed; raise `CalledProcessError` if it failed."""
        done = subprocess.run(
            [OSTLER, *words],
            env=self.env,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            timeout=PATIENCE,
            check=True,
        )
        return done.stdout

    def json(self, *words: str) -> Any:
        """Return the document that a command prints."""
        return json.loads(self.ask(*words, "--json"))

    def submit(self, *words: str) -> str:
        """Submit a job and return its id."""
        return self.ask("submit", *words).strip()

    def timed(self, *words: str) -> Timed:
        """Run one command and return what it took."""
        return timed([OSTLER, *words], env=self.env)

    def timed_submit(self, *words: str) -> tuple[Timed, str]:
        """Submit a job; return what the command took, and the job's id."""
        answer = self.folder / "answer"
        took = timed([OSTLER, "submit", *words], env=self.env, stdout=answer)
        return took, answer.read_text(encoding="ascii").strip()

    @property
    def root(self) -> int:
        """Return the process above all others of the machine."""
        return self._pids["supervisor"]

    def cpu(self) -> Cpu:
        """Return what was used until now."""
        manager, agent = cpu_of(self._pids["manager"]), cpu_of(self._pids["agent"])
        return Cpu(manager, agent, cpu_of_tree(self.root))

    def cpu_of_tasks(self, job: str) -> float:
        """Return the CPU seconds that a job's tasks were billed."""
        sql = "SELECT total(cpu_user_seconds + cpu_system_seconds) FROM accounting WHERE job = "
        return float(self.json("query", sql + job)["rows"][0][0])

    def resident_mb(self) -> dict[str, float]:
        """Return the resident size of manager and agent, in MB."""
        return {f"{name} MB": resident_mb(self._pids[name]) for name in ("manager", "agent")}
