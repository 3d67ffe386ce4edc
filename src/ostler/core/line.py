"""The elements that one slot holds: queued, running, or told of and not yet acknowledged.

Pure, and without imports, for every starter carries it; the simulated starters run the same code.
Messages are maps of plain values: `Chunk`, `Feed`, `Withdraw` and `Progress` of `model.orders`.
"""

from collections import deque

Row = list[object]  # an `ElementEnd`
Spans = list[list[int]]


class Turn:
    """One element whose turn it is."""

    __slots__ = ("attempt", "index", "item")

    def __init__(self, index: int, attempt: int, item: bytes | None) -> None:
        self.index = index
        self.attempt = attempt
        self.item = item


class Line:
    """What was handed to a share and is not known to be durable at the manager."""

    __slots__ = ("_returned", "_rows", "_serial", "_told", "last", "queue", "running", "since")

    def __init__(self) -> None:
        self.queue: deque[Turn] = deque()
        self.running: Turn | None = None
        self.since = 0.0  # when that one started, Unix seconds
        self.last = False  # nothing more will come
        self._rows: list[Row] = []  # ended, not told
        self._returned: list[int] = []  # given back, not told
        self._told: dict[int, dict[str, object]] = {}  # serial -> message, until acknowledged
        self._serial = 0

    # -- orders ----------------------------------------------------------------------------

    def feed(self, chunk: dict[str, object], heard: int = 0) -> None:
        """Take the elements of a chunk in, but for those that are held already."""
        self.acknowledge(heard)
        held = self._held()
        attempts = dict(_pairs(chunk.get("attempts")))
        items = chunk.get("items") or []
        at = 0
        for low, high in _pairs(chunk.get("elements")):
            for index in range(low, high + 1):
                item = items[at] if isinstance(items, list) and at < len(items) else None
                at += 1
                if index not in held:
                    self.queue.append(Turn(index, attempts.get(index, 1), item))
        self.last = chunk.get("last", True) is True

    def withdraw(self, elements: object) -> bool:
        """Give back what has not begun of these; return whether one of them runs."""
        asked = _pairs(elements)
        wanted = {i for low, high in asked for i in range(low, high + 1)}
        known = self._held()
        kept = deque(turn for turn in self.queue if turn.index not in wanted)
        gone = [turn.index for turn in self.queue if turn.index in wanted]
        self.queue = kept
        # One that never came is given back as well: whoever asks believes that it is here.
        self._returned += gone + sorted(wanted - known)
        return self.running is not None and self.running.index in wanted

    def acknowledge(self, serial: int) -> int:
        """Forget what was told up to this serial, as it is durable; return how many rows."""
        gone = [number for number in self._told if number <= serial]
        return sum(len(_rows(self._told.pop(number).get("ended"))) for number in gone)

    def _held(self) -> set[int]:
        held = {turn.index for turn in self.queue}
        if self.running is not None:
            held.add(self.running.index)
        for message in self._told.values():
            held.update(_indices(message.get("ended")))
            for low, high in _pairs(message.get("returned")):
                held.update(range(low, high + 1))
        held.update(_indices(self._rows))
        held.update(self._returned)
        return held

    # -- the turn --------------------------------------------------------------------------

    def next(self) -> Turn | None:
        """Return the element to start now, which then runs; None when there is none."""
        self.running = self.queue.popleft() if self.queue else None
        return self.running

    def ended(self, row: Row) -> None:
        """Note how the running element ended."""
        self._rows.append(row)
        self.running = None

    def give_back(self) -> None:
        """Give back everything that is queued, and the running one if it never started."""
        if self.running is not None:
            self._returned.append(self.running.index)
            self.running = None
        self._returned += [turn.index for turn in self.queue]
        self.queue.clear()

    # -- reports ---------------------------------------------------------------------------

    @property
    def untold(self) -> bool:
        """Say whether something ended or was given back that no message told."""
        return bool(self._rows or self._returned)

    @property
    def unacknowledged(self) -> list[Row]:
        """Return the rows of ended elements that may not be durable at the manager, in order."""
        rows = [row for message in self._told.values() for row in _rows(message.get("ended"))]
        return rows + self._rows

    @property
    def serial(self) -> int:
        """Return the highest serial used."""
        return self._serial

    def report(self, alloc: int) -> dict[str, object]:
        """Return a `Progress` of all that was not told; kept until it is acknowledged."""
        self._serial += 1
        message: dict[str, object] = {
            "type": "progress",
            "alloc": alloc,
            "serial": self._serial,
            "ended": self._rows,
            "returned": spans(self._returned),
            "left": len(self.queue),
        }
        if self.running is not None:
            message["running"] = self.running.index
            message["attempt"] = self.running.attempt
            message["since"] = self.since
        self._rows, self._returned = [], []
        self._told[self._serial] = message
        return message

    def repeat(self) -> list[dict[str, object]]:
        """Return the messages that are not acknowledged, in order: for an agent that is new."""
        return list(self._told.values())


def spans(numbers: list[int]) -> Spans:
    """Return numbers as sorted inclusive ranges.

    >>> spans([4, 1, 2])
    [[1, 2], [4, 4]]
    """
    found: Spans = []
    for number in sorted(set(numbers)):
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return found


def _rows(value: object) -> list[Row]:
    return value if isinstance(value, list) else []


def _indices(rows: object) -> list[int]:
    return [row[0] for row in _rows(rows) if isinstance(row[0], int)]


def _pairs(value: object) -> list[tuple[int, int]]:
    """Return pairs of whole numbers out of what came over the wire."""
    if not isinstance(value, list | tuple):
        return []
    return [(pair[0], pair[1]) for pair in value]
