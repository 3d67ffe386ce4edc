"""Which nodes are looked at when, and what is made of what was found there.

Pure. Times are seconds of a clock that nobody sets, so that a step of the host's own is no node's
outage. Nothing here believes a node that it is well: an open connection, heartbeats and greetings
only tell when to look again. The looks themselves are the manager's; see `manager.probing`.
"""

from collections.abc import Iterable, Mapping
from heapq import heappop, heappush
from typing import Any
from zlib import crc32

from msgspec import Struct

from ostler.model.sight import Alive, Seen
from ostler.model.states import NodeStatus

AT_ONCE = 512  # looks under way; each holds a descriptor
LOSSES = 4  # within `WINDOW`, from which on a node is restless
WINDOW = 10  # intervals
PAUSE_MOST = 10  # intervals without new work, at most
CONTRADICTED = 1  # unanswered looks that are not believed while heartbeats come


class Known(Struct, frozen=True):
    """What is known of a node beside the look: its record, and its agent's connection."""

    status: NodeStatus
    boot_id: str = ""
    incarnation: str = ""  # of the agent that is connected; empty: none is
    epoch: int = 0  # of the manager
    greeted: float = float("-inf")  # when its agent last greeted
    heard: float = float("-inf")  # when its agent was last heard of over its connection


class Finding(Struct, frozen=True):
    """What one look means: the status, a difference that is new, and losses if it is restless."""

    status: NodeStatus
    differs: str = ""
    restless: int = 0


def losses(events: Iterable[Mapping[str, Any]]) -> dict[str, list[float]]:
    """Return when each node was lost, by events of the machine in any order.

    When the machine was stopped its agents were stopped with it, and no node was lost by that.
    """
    found: dict[str, list[float]] = {}
    excused = False
    back: set[str] = set()  # ran again after the stop
    for event in sorted(events, key=lambda event: int(event["serial"])):
        name, text = str(event["node"]), str(event["text"])
        if event["kind"] == "machine/stopping":
            excused = True
            back.clear()
        elif event["kind"] != "node/status":
            continue
        elif text.endswith(f" -> {NodeStatus.RUNNING}"):
            back.add(name)
        elif text.startswith(f"{NodeStatus.RUNNING} -> ") and (not excused or name in back):
            found.setdefault(name, []).append(float(event["at"]))
    return found


class _Node:
    """One node that is watched."""

    __slots__ = (
        "began", "differs", "due", "failed", "hurried", "losses", "pause_until", "restless", "told",
        "under_way", "unsure",
    )  # fmt: skip

    def __init__(self, due: float) -> None:
        self.due = due
        self.began = float("-inf")  # of the last look
        self.under_way = False
        self.hurried = False  # while a look was under way
        self.unsure = 0  # looks in a row that heartbeats contradict
        self.differs = ""  # in the last look
        self.told = ""  # the difference that was told last, while it lasts
        self.failed = False  # in the last look
        self.losses: list[float] = []  # when it stopped running
        self.restless = 0
        self.pause_until = 0.0


class Watch:
    """The nodes that are watched, and when each is due. interval: seconds between two looks."""

    def __init__(self, interval: float) -> None:
        self.interval = interval
        self._nodes: dict[str, _Node] = {}
        self._queue: list[tuple[float, str]] = []
        self._under_way = 0

    def __contains__(self, name: str) -> bool:
        return name in self._nodes

    @property
    def patience(self) -> float:
        """Return the seconds in which a node must answer: with the interval, two at most."""
        return min(max(self.interval, 1.0), 5.0)

    def add(self, name: str, now: float) -> None:
        """Watch a node from now on; first looks are spread over an interval."""
        if name not in self._nodes:
            self._nodes[name] = _Node(now)
            self._put(name, now + _phase(name) * self.interval)

    def recall(self, name: str, losses: Iterable[float], now: float) -> None:
        """Take in when a node was lost before this watch began; a restless one is looked at first.

        losses: by the same clock, so perhaps below 0.
        """
        self.add(name, now)
        node = self._nodes[name]
        node.losses = sorted(at for at in losses if now - WINDOW * self.interval < at <= now)
        if len(node.losses) >= LOSSES:
            self._rests(node, node.losses[-1])
            if now < node.pause_until:
                self._put(name, now)
            else:
                node.restless = 0

    def _rests(self, node: _Node, lost: float) -> None:
        """Let a node have no new work for a while from its last loss on."""
        node.restless = len(node.losses)
        pauses = min(1 << min(node.restless - LOSSES, 8), PAUSE_MOST)
        node.pause_until = lost + pauses * self.interval

    def drop(self, name: str) -> None:
        """Watch it no more."""
        node = self._nodes.pop(name, None)
        if node is not None and node.under_way:
            self._under_way -= 1

    def hurry(self, name: str, now: float) -> None:
        """Bring a node's next look forward to now: something has happened to its connection."""
        self.add(name, now)
        node = self._nodes[name]
        if node.under_way:
            node.hurried = True
        else:
            self._put(name, min(node.due, now))

    def change_interval(self, seconds: float, now: float) -> None:
        """Look so often from now on. Those that would be late are spread over an interval."""
        if seconds == self.interval:
            return
        self.interval = seconds
        for name, node in self._nodes.items():
            if node.under_way or node.due <= now:
                continue
            due = node.began + seconds
            self._put(name, due if due >= now else now + _phase(name) * seconds)

    def next_due(self) -> float | None:
        """Return when `due` has something to give; None: only after an answer."""
        while self._queue and not self._is_true(*self._queue[0]):
            heappop(self._queue)
        full = self._under_way >= AT_ONCE
        return self._queue[0][0] if self._queue and not full else None

    def due(self, now: float, ahead: float = 0.0, most: int = AT_ONCE) -> list[str]:
        """Return the nodes to look at now; each must be `answered`.

        ahead: seconds by which others may be early, so that they go together.
        """
        found: list[str] = []
        while len(found) < most and (at := self.next_due()) is not None and at <= now + ahead:
            _, name = heappop(self._queue)
            node = self._nodes[name]
            node.began, node.under_way, node.hurried = now, True, False
            self._under_way += 1
            found.append(name)
        return found

    def answered(self, name: str, now: float, seen: Seen | None, known: Known) -> Finding | None:
        """Take what a look has found; None if it means nothing, and another is due.

        seen: None if nothing could be found out, as where the manager has no descriptor left.
        """
        node = self._nodes.get(name)
        if node is None or not node.under_way:
            return None
        node.under_way = False
        self._under_way -= 1
        if seen is None:
            self._put(name, max(node.began + self.interval, now))
            return None
        status = _status(seen)
        fails = status is not NodeStatus.RUNNING
        # It greeted after the look began: what it found was over by then. And an agent whose
        # heartbeats come may be slow for once.
        old = fails and known.greeted >= node.began
        slow = fails and known.heard > node.began and node.unsure < CONTRADICTED
        if old or slow:
            node.unsure += slow
            self._put(name, now)
            return None
        node.unsure = 0
        self._put(name, now if node.hurried else max(node.began + self.interval, now))
        self._count(node, now, known, fails=fails)
        if node.restless and not fails:  # so that it is not kept waiting for longer than it must
            self._put(name, min(node.due, node.pause_until))
        differs = difference(name, seen, known, node.began)
        return Finding(status, _differs(node, differs), node.restless)

    def _count(self, node: _Node, now: float, known: Known, *, fails: bool) -> None:
        """Count losses; let a node be restless after several, and calm again after a pause.

        A loss that could not be written down is met again at the next look, and is still one.
        """
        was, node.failed = node.failed, fails
        again = was and known.greeted < node.losses[-1] if node.losses else False
        if fails and known.status is NodeStatus.RUNNING and not again:
            since = now - WINDOW * self.interval
            node.losses = [at for at in node.losses if at > since] + [now]
            if len(node.losses) >= LOSSES:
                self._rests(node, now)
        elif node.restless and not fails and now >= node.pause_until:
            node.restless = 0

    def _put(self, name: str, due: float) -> None:
        self._nodes[name].due = due
        heappush(self._queue, (due, name))

    def _is_true(self, due: float, name: str) -> bool:
        node = self._nodes.get(name)
        return node is not None and not node.under_way and node.due == due


def _phase(name: str) -> float:
    """Return a share of the interval, 0 to 1: the same for a name each time, and all spread evenly."""
    return crc32(name.encode()) / (1 << 32)


def _status(seen: Seen) -> NodeStatus:
    if not seen.reached:
        return NodeStatus.UNREACHABLE
    return NodeStatus.NO_AGENT if seen.alive is None else NodeStatus.RUNNING


def _differs(node: _Node, differs: str) -> str:
    """Return a difference that two looks in a row have found, once: things may be on their way."""
    again = differs == node.differs
    node.differs = differs
    if not differs:
        node.told = ""
    elif again and differs != node.told:
        node.told = differs
        return differs
    return ""


def difference(name: str, seen: Seen, known: Known, began: float) -> str:
    """Return one phrase on how a node's own word differs from what is seen of it; else nothing.

    began: when the look began, by the clock of `known.heard`.
    """
    alive = seen.alive
    if alive is None:
        if known.heard > began:
            what = "does not answer" if seen.reached else "cannot be reached"
            return f"its agent says that it works, and from outside it {what}"
        return ""
    if alive.node != name:
        return f"it answers as {alive.node}"
    if known.boot_id and alive.boot_id != known.boot_id:
        return f"it says that its boot is {alive.boot_id}, and greeted with {known.boot_id}"
    if alive.epoch > known.epoch:
        return f"it has obeyed epoch {alive.epoch}, and this manager's is {known.epoch}"
    return _of_connection(alive, known)


def _of_connection(alive: Alive, known: Known) -> str:
    if alive.connected and not known.incarnation:
        return "it says that it is connected to a manager, and is not to this one"
    if known.incarnation and not alive.connected:
        return "it says that no manager has taken it in, and its connection is open"
    if known.incarnation and alive.incarnation != known.incarnation:
        return "another agent answers there than the one that is connected"
    return ""
