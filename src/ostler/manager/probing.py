"""The machine manager's looks at nodes: when the watch says so, and what they mean to the core."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, Protocol

from ostler.core.events import Event, NodeSeen
from ostler.core.node_entry import NodeEntry
from ostler.core.state import State
from ostler.core.watch import Finding, Known, Watch, losses
from ostler.manager.fresh import Fresh
from ostler.manager.native import Agents
from ostler.model.errors import OstlerError
from ostler.model.settings import in_force
from ostler.model.sight import Seen

MOST = 32  # nodes looked at in one turn of the loop: some milliseconds
BATCH = 0.01  # seconds between two rounds, at least: looks that are due soon go together
RECALLED = 2_000  # events in which losses of before are looked for
INTERVAL = "node-status-poll-interval"


class Looks(Protocol):
    """Who can look at a node."""

    def look(self, name: str, patience: float, then: Callable[[Seen | None], None]) -> None:
        """Look, and tell within so many seconds what was seen."""


class Probing:
    """Looks at every node of the machine, for as long as the manager serves."""

    def __init__(
        self,
        state: Callable[[], State],
        put: Callable[[Event], None],
        agents: Agents,
        eye: Looks,
    ) -> None:
        self._state = state
        self._put = put
        self._agents = agents
        self._fresh: Fresh = agents.fresh
        self._eye = eye
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._at = float("inf")  # when the timer is due
        self.watch = Watch(self._interval())
        agents.news = self.hurry

    def _interval(self) -> float:
        return float(in_force(self._state().settings, INTERVAL)[0])

    @property
    def interval(self) -> float:
        """Return the seconds between two looks at one node."""
        return self.watch.interval

    def begin(self, events: Iterable[Mapping[str, Any]], now: float) -> None:
        """Watch the nodes that are known.

        events: the newest so far, by which nodes that were lost again and again stay restless.
        now: Unix seconds, as of the events.
        """
        here, lost = self._loop.time(), losses(events)
        for name, entry in self._state().nodes.items():
            if not entry.node.rm:  # of others their own resource managers tell
                self.watch.recall(name, [here - (now - at) for at in lost.get(name, ())], here)
        self._schedule()

    def hurry(self, name: str, *, greets: bool = False) -> None:
        """Look at a node at once, for its connection is over; one that greets is watched."""
        now = self._loop.time()
        if greets:
            self.watch.add(name, now)
        else:
            self.watch.hurry(name, now)
        self._schedule()

    def configured(self) -> None:
        """Obey the attributes as they are now."""
        self.watch.change_interval(self._interval(), self._loop.time())
        self._schedule()

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _schedule(self) -> None:
        due = self.watch.next_due()
        at = float("inf") if due is None else max(due, self._loop.time() + BATCH)
        if self._timer is not None:
            if self._at <= at:
                return
            self._timer.cancel()
            self._timer = None
        if due is not None:
            self._at = at
            self._timer = self._loop.call_later(at - self._loop.time(), self._round)

    def _round(self) -> None:
        self._timer = None
        nodes = self._state().nodes
        for name in self.watch.due(self._loop.time(), BATCH, MOST):
            entry = nodes.get(name)
            if entry is None or entry.node.gone:
                self.watch.drop(name)
            else:
                self._look(name)
        self._schedule()

    def _look(self, name: str) -> None:
        self._eye.look(name, self.watch.patience, lambda seen: self._answered(name, seen))

    def _answered(self, name: str, seen: Seen | None) -> None:
        entry = self._state().nodes.get(name)
        if entry is None:  # what was not durable is forgotten
            self.watch.drop(name)
            return
        if seen is not None:
            self._fresh.checked(name, seen.alive)
        found = self.watch.answered(name, self._loop.time(), seen, self._known(name, entry))
        if found is not None and _is_news(found, entry):
            with suppress(OstlerError):  # while nothing can be written: the next look tells it
                self._put(NodeSeen(name, found.status, found.differs, found.restless))
        self._schedule()

    def _known(self, name: str, entry: NodeEntry) -> Known:
        incarnation, greeted = self._agents.contact(name)
        heard = self._fresh.heard_since(name)
        epoch = self._agents.epoch
        return Known(entry.node.status, entry.node.boot_id, incarnation, epoch, greeted, heard)


def _is_news(found: Finding, entry: NodeEntry) -> bool:
    status = found.status is not entry.node.status
    return status or bool(found.differs) or found.restless != entry.restless
