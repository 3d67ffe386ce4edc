"""A lab in a folder of its own, driven by the real command."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ostler.testing.lab import Lab
from tests.e2e.machine_kit import OSTLER, PATIENCE, Host, eventually, kill_leftovers


class InLab(Host):
    """The lab's machine, as `eval "$(ostler lab env)"` makes it the one that is meant."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.lab = Lab(str(folder / "lab"))
        self.state = Path(self.lab.state)

    def verb(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `ostler lab WORDS`; fail the test if it fails and that was not expected."""
        done = subprocess.run(
            [OSTLER, "lab", words[0], "--state", self.lab.folder, *words[1:]],
            env={key: value for key, value in os.environ.items() if key[:6] != "OSTLER"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE * 3,
            check=False,
        )
        assert not check or not done.returncode, f"{words}: {done.stderr}\n{self.logs()}"
        return done

    def nodes(self) -> dict[str, dict[str, Any]]:
        """Return the machine's word on each node."""
        return {row["name"]: row for row in self.json("nodes")["nodes"]}

    def members(self) -> dict[str, dict[str, Any]]:
        """Return the lab's word on each member."""
        rows = json.loads(self.verb("status", "--json").stdout)["members"]
        return {row["name"]: row for row in rows}

    def await_status(self, node: str, status: str) -> dict[str, Any]:
        """Wait until the machine has seen what became of a node."""

        def seen() -> dict[str, Any] | None:
            row = self.nodes()[node]
            return row if row["status"] == status else None

        row: dict[str, Any] = eventually(f"{node} is {status}", seen)
        return row


@contextmanager
def lab(folder: Path, nodes: int, *options: str) -> Iterator[InLab]:
    """Run a lab for a test; nothing of it is left afterwards."""
    found = InLab(folder)
    try:
        found.verb("up", "-n", str(nodes), *options)
        yield found
    finally:
        found.verb("down", check=False)
        kill_leftovers(Path(found.lab.folder))
