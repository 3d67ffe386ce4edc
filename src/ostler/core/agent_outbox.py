"""What an agent has to report: kept in the order of the facts until the manager has it durable."""

from collections.abc import Iterator

from ostler.core.agent_words import SendReport
from ostler.model.ids import AllocationId
from ostler.model.orders import Ended, Made, Progress, ReportRow

REPORT_ROWS = 512  # most rows, with elements and tasks, of one report; a longer row goes alone


class Outbox:
    """Rows gathered, and reports sent and not acknowledged."""

    def __init__(self) -> None:
        self.urgent = False  # a row is gathered that should not wait for the window
        self._gathered: list[ReportRow] = []
        self._in_flight: dict[int, tuple[ReportRow, ...]] = {}
        self._seq = 0

    @property
    def gathered(self) -> bool:
        """Say whether rows wait for the window to close."""
        return bool(self._gathered)

    def add(self, row: ReportRow) -> None:
        """Gather a new fact."""
        self._gathered.append(row)
        self.urgent = self.urgent or _hurries(row)

    def repeat(self, row: ReportRow) -> None:
        """Gather a fact that was told before, unless it waits to be told anyway."""
        if row not in self._gathered:
            self.add(row)

    def send(self) -> list[SendReport]:
        """Return reports of everything gathered."""
        sent: list[SendReport] = []
        at = 0
        while at < len(self._gathered):
            end, room = at + 1, REPORT_ROWS - _weight(self._gathered[at])
            while end < len(self._gathered) and _weight(self._gathered[end]) <= room:
                room -= _weight(self._gathered[end])
                end += 1
            self._seq += 1
            self._in_flight[self._seq] = tuple(self._gathered[at:end])
            sent.append(SendReport(self._seq, self._in_flight[self._seq]))
            at = end
        self._gathered.clear()
        self.urgent = False
        return sent

    def send_again(self) -> list[SendReport]:
        """Return the reports that were not acknowledged."""
        return [SendReport(seq, rows) for seq, rows in self._in_flight.items()]

    def acknowledged(self, seq: int) -> list[ReportRow]:
        """Drop the reports up to this one, and return their rows."""
        numbers = [number for number in self._in_flight if number <= seq]
        return [row for number in numbers for row in self._in_flight.pop(number)]

    def forget(self, alloc: AllocationId) -> None:
        """Gather nothing more of an allocation whose end is acknowledged."""
        self._gathered = [row for row in self._gathered if row.alloc != alloc]

    @property
    def rows(self) -> list[ReportRow]:
        """Return all rows that are not acknowledged, in order."""
        sent = [row for rows in self._in_flight.values() for row in rows]
        return sent + self._gathered

    def violations(self) -> Iterator[str]:
        """Yield one sentence for each broken invariant."""
        if list(self._in_flight) != sorted(self._in_flight):
            yield "reports are out of order"
        told: dict[AllocationId, int] = {}
        over: set[AllocationId] = set()
        for row in self.rows:
            if isinstance(row, Ended):
                over.add(row.alloc)
            if isinstance(row, Progress):
                if row.alloc in over:
                    yield f"progress of share {row.alloc} is told after its end"
                if row.serial <= told.get(row.alloc, 0):
                    yield f"progress {row.serial} of share {row.alloc} is told twice or late"
                told[row.alloc] = row.serial


def _weight(row: ReportRow) -> int:
    match row:
        case Progress():
            return 1 + sum(1 + len(end.tasks) for end in row.ended)
        case Ended():
            return 1 + len(row.tasks)
        case _:
            return 1


def _hurries(row: ReportRow) -> bool:
    """Say whether somebody waits: other nodes, a job for these CPUs, a share without more to do."""
    match row:
        case Made() | Ended():
            return True
        case Progress():
            # What it did since its last word tells how soon the rest will be done.
            return bool(row.returned) or row.left <= len(row.ended)
        case _:
            return False
