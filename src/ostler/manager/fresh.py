"""How fresh what is known of each node is: in memory, written down without haste.

It changes all the time and matters little, so that reads take it from here, and the database is
given it once a poll, without waiting for the disk.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from ostler.model.record import Moment
from ostler.model.sight import Alive


class Fresh:
    """What is fresher than the database. clock: Unix seconds, which may be set meanwhile."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._updated: dict[str, float] = {}
        self._heard: dict[str, float] = {}  # the same by the loop's clock, which nobody sets
        self._checked: dict[str, float] = {}
        self._agents: dict[str, tuple[int, float]] = {}  # process and start of who answered
        self._dirty: set[str] = set()

    def begin(self, rows: Iterable[dict[str, Any]]) -> None:
        """Take what an earlier manager has written down, for nodes that say nothing now."""
        for row in rows:
            if row["last_update"] is not None:
                self._updated[row["name"]] = row["last_update"]
            if row["checked_at"] is not None:
                self._checked[row["name"]] = row["checked_at"]

    def heard(self, name: str) -> None:
        """Note that the node's agent has said something."""
        self._heard[name] = self._loop.time()
        self._updated[name] = self._clock()
        self._dirty.add(name)

    def checked(self, name: str, alive: Alive | None) -> None:
        """Note that the node was looked at, and what answered there, if anything did."""
        if alive is not None:
            self._agents[name] = alive.pid, alive.started_at
        self._checked[name] = self._clock()
        self._dirty.add(name)

    def heard_since(self, name: str) -> float:
        """Return when it was last heard of by the loop's clock; -inf: not by this manager."""
        return self._heard.get(name, float("-inf"))

    def row(self, name: str) -> dict[str, float | None]:
        """Return what a node's row shows of it, with its age in seconds."""
        updated = self._updated.get(name)
        age = None if updated is None else max(0.0, self._clock() - updated)
        if name in self._heard:
            age = self._loop.time() - self._heard[name]
        return {
            "last_update": updated,
            "checked_at": self._checked.get(name),
            "age_seconds": None if age is None else round(age, 1),
        }

    def moments(self) -> list[Moment]:
        """Return all of it."""
        names = self._updated.keys() | self._checked.keys()
        return [self._moment(name) for name in sorted(names)]

    def take(self) -> list[Moment]:
        """Return what is new since the last time, to be written down."""
        taken = [self._moment(name) for name in sorted(self._dirty)]
        self._dirty.clear()
        return taken

    def _moment(self, name: str) -> Moment:
        agent = self._agents.get(name, (None, None))
        return Moment(name, self._updated.get(name), self._checked.get(name), *agent)
