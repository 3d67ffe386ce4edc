"""What every check has: the lab, the commands, and ways to say what was expected."""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ostler.client.link import Link
from ostler.model.errors import NotNow
from tests.e2e.gated import Gated
from tests.e2e.lab.kit import InLab
from tests.e2e.machine_kit import eventually

FAR = 60.0  # seconds: bounds hanging


class Failed(Exception):
    """A check saw something else than it promises."""


class Skipped(Exception):
    """A check cannot be made; the text says why."""


class Ground:
    """The lab in which all checks are made, one after the other."""

    def __init__(self, lab: InLab, rng: random.Random, elements: int) -> None:
        self.lab = lab
        self.rng = rng
        self.elements = elements  # of the long array
        self.nodes = lab.lab.nodes
        self._folders = 0

    def folder(self) -> Path:
        """Return a new, empty folder."""
        self._folders += 1
        path = self.lab.work / f"check-{self._folders}"
        path.mkdir()
        return path

    def gated(self, *options: str, code: int = 0) -> Gated:
        """Return a submitted job that runs until it is let go."""
        self._folders += 1
        return Gated(self.lab, f"gated-{self._folders}", code, *options)

    def quick(self, *options: str, script: str = "true") -> str:
        """Submit a short job without output; return its id."""
        return self.lab.submit("-o", "/dev/null", *options, "--", "sh", "-c", script)

    def status(self, *words: str) -> tuple[int, str]:
        """Return the exit status of a command, and what it said."""
        done = self.lab.ostler(*words, check=False)
        return done.returncode, done.stdout + done.stderr

    def unfinished(self) -> set[str] | None:
        """Return the jobs that have not ended; None while no manager answers.

        Not by a command, which would take longer than what is looked at.
        """
        try:
            link = Link(str(self.lab.state), patience=1.0)
        except NotNow:
            return None
        try:
            return {str(row["id"]) for row in link.call("read", what="jobs")["jobs"]}
        except NotNow:
            return None
        finally:
            link.close()

    def sql(self, statement: str) -> list[list[Any]]:
        """Return the rows of a query."""
        rows: list[list[Any]] = self.lab.json("query", statement)["rows"]
        return rows

    def within(self, seconds: float, what: str, seen: Callable[[], Any]) -> float:
        """Wait until something is seen; return after how long; fail where it took too long."""
        began = time.monotonic()
        eventually(what, seen, FAR)
        took = time.monotonic() - began
        expect(what, took <= seconds, f"after {took:.1f} s, not within {seconds:g} s")
        return took

    def rest(self, seconds: float) -> None:
        """Let the lab go on undisturbed."""
        time.sleep(seconds)

    def tidy(self) -> None:
        """Make the lab whole again: all nodes there and in, nothing queued, no setting."""
        lab = self.lab.lab
        lab.thaw([m.name for m in lab.members()])
        lab.start([m.name for m in lab.members()])
        lab.heal(self.nodes)
        lab.await_running(self.nodes)
        self.lab.ostler("nodes", "undrain", *self.nodes)
        self.lab.ostler("config", "unset", "max-cpus-per-user")
        left = [row["id"] for row in self.lab.json("jobs")["jobs"]]
        if left:
            self.lab.ostler("cancel", *left)
            eventually("cancelled jobs end", lambda: not self.lab.json("jobs")["jobs"], FAR)


def expect(what: str, holds: object, found: object = "") -> None:
    """Fail with a sentence unless it holds."""
    if not holds:
        raise Failed(f"not so: {what}" + (f" ({found})" if found != "" else ""))


def equal(what: str, found: object, wanted: object) -> None:
    """Fail unless both are the same."""
    expect(what, found == wanted, f"{found!r}, expected {wanted!r}")


@dataclass(frozen=True)
class Check:
    """One check: of: where it is asked for; run: makes it, and may return what it measured."""

    name: str
    of: str
    run: Callable[[Ground], str | None]


def all_of(*lists: Sequence[Check]) -> list[Check]:
    """Return the checks of several lists, in order."""
    return [check for some in lists for check in some]
