"""What a starter's spool says, record by record: the facts that whoever comes after it goes by."""

Row = list[object]  # an `ElementEnd` of `model.orders`, as a starter tells it


class TaskState:
    """What a spool says of one task that is or was about to start."""

    __slots__ = ("code", "ended_at", "intended_at", "pid", "rank", "signal", "start_time")

    def __init__(self, rank: int) -> None:
        self.rank = rank
        self.intended_at = 0.0  # Unix seconds
        self.pid = 0
        self.start_time = 0  # clock ticks since boot
        self.code = 0
        self.signal = 0
        self.ended_at: float | None = None

    @property
    def phase(self) -> str:
        """Return intended (it may have been spawned), running (it was) or ended."""
        if self.ended_at is not None:
            return "ended"
        return "running" if self.pid else "intended"


class SpoolState:
    """Everything a spool says. `header` is empty when not even that is readable.

    Of a slot, `tasks`, `started_at`, `usage` and `suspended` are those of the element that runs;
    what it did before is in `ends`. A slot between two elements has no tasks and `element` -1.
    """

    __slots__ = (
        "_attempt", "_element", "_ends", "_number", "accepted", "cause", "cut", "damage", "ended",
        "first_start", "header", "path", "share_cause", "share_why", "suspended", "suspended_at",
        "tasks", "time_limit", "usage", "why",
    )  # fmt: skip

    def __init__(self, path: str) -> None:
        self.path = path  # the file that holds the present state, and takes more records
        self.cut = False  # the last record is not whole: its writer died in the write
        self.damage: list[str] = []  # one sentence for each stretch that cannot be read
        self.begin({})

    def begin(self, header: dict[str, object]) -> None:
        """Take the first record of a file in: what there was before does not count."""
        self.header = header
        self.accepted: dict[str, object] | None = None  # the order, without env, script and argv
        self.tasks: dict[int, TaskState] = {}  # by rank; a rank that is missing never started
        self.first_start: float | None = None  # of any element, Unix seconds
        self.cause = ""  # of what runs: its own, else the share's
        self.why = ""
        self.share_cause = ""  # it ends the whole share, not only the element that runs
        self.share_why = ""
        self.suspended_at: float | None = None
        self.suspended = 0.0  # seconds, closed spans only
        self.time_limit = 0  # seconds
        self.usage = [0.0, 0.0, 0, 0, 0]  # cpu_user, cpu_system, max_rss, read, written
        self.ended: dict[str, object] | None = None
        self._element, self._attempt = -1, 0
        self._ends: dict[int, Row] = {}  # by their number in the share
        self._number = 0  # of the last end
        carried = header.pop("carried", None)
        if isinstance(carried, dict):
            self._carry(carried)

    def _carry(self, carried: dict[str, object]) -> None:
        """Take in what a file that is begun anew holds of the share; see `carried`."""
        accepted = carried.get("accepted")
        if isinstance(accepted, dict):
            self.accept(accepted)
        self.time_limit = _int(carried.get("time_limit"))
        self.first_start = _time(carried.get("first_start"))
        self.suspended_at = _time(carried.get("suspended_at"))
        self.blame(carried)
        self.end_of_several(carried)

    # ── the share ────────────────────────────────────────────────────────────────────────────
    @property
    def alloc(self) -> int | None:
        """Return the allocation it tells of, or None."""
        return None if self.accepted is None else _int(self.accepted.get("alloc"))

    @property
    def is_slot(self) -> bool:
        """Say whether the share runs elements of a chunk, one after the other."""
        return self.accepted is not None and self.accepted.get("is_slot") is True

    @property
    def element(self) -> int:
        """Return the element that runs or was about to; -1 when a slot stands between two."""
        if self.is_slot or self.accepted is None:
            return self._element
        return _int(self.accepted.get("element"))

    @property
    def attempt(self) -> int:
        """Return which start of `element` it is, from 1; 0 when there is none."""
        if self.is_slot or self.accepted is None:
            return self._attempt
        return _int(self.accepted.get("attempt"))

    @property
    def ends(self) -> list[Row]:
        """Return how elements of the slot ended, as `ElementEnd` rows, the oldest first.

        Those that the manager is known to hold durably are left out.
        """
        return list(self._ends.values())

    @property
    def pid(self) -> int:
        """Return the starter's pid."""
        return _int(self.header.get("pid"))

    @property
    def start_time(self) -> int:
        """Return the starter's start time."""
        return _int(self.header.get("start_time"))

    @property
    def boot_id(self) -> str:
        """Return the boot in which it was written."""
        return str(self.header.get("boot_id", ""))

    @property
    def folder(self) -> bytes:
        """Return the state folder of the starter's machine."""
        folder = self.header.get("state")
        return folder if isinstance(folder, bytes) else b""

    @property
    def groups(self) -> list[str]:
        """Return the paths of the starter's control groups."""
        groups = self.header.get("groups")
        return [str(path) for path in groups] if isinstance(groups, list) else []

    @property
    def started_at(self) -> float | None:
        """Return when the first task was about to start; None is proof that none did."""
        return min((task.intended_at for task in self.tasks.values()), default=None)

    # ── records, each as its kind is called in `spool` ───────────────────────────────────────
    def accept(self, order: dict[str, object]) -> None:
        self.accepted = order
        self.time_limit = _int(order.get("time_limit"))

    def intend(self, rank: int, element: int, attempt: int, at: float) -> None:
        if (element, attempt) != (self._element, self._attempt):
            self._drop_turn()
            self._element, self._attempt = element, attempt
        if self.first_start is None:
            self.first_start = at
        self._task(rank).intended_at = at

    def spawn(self, rank: int, pid: int, start_time: int) -> None:
        task = self._task(rank)
        task.pid, task.start_time = pid, start_time

    def exit(self, rank: int, code: int, signum: int, at: float) -> None:
        task = self._task(rank)
        task.code, task.signal, task.ended_at = code, signum, at

    def use(self, _rank: int, *usage: float) -> None:
        add_usage(self.usage, usage)

    def blame(self, told: dict[str, object]) -> None:
        cause, why = str(told.get("cause", "")), str(told.get("why", ""))
        if told.get("element") is not True:
            self.share_cause, self.share_why = cause, why
        if not self.cause:  # the first keeps the credit
            self.cause, self.why = cause, why

    def suspend(self, at: float) -> None:
        self.suspended_at = at

    def resume(self, _at: float, suspended: float) -> None:
        self.suspended_at, self.suspended = None, suspended

    def retime(self, time_limit: int) -> None:
        self.time_limit = time_limit

    def end(self, report: dict[str, object]) -> None:
        self.ended = report

    def end_of_turn(self, number: int, at: float, *usage: float) -> None:
        """Nothing is left of the element that ran, and nothing but its tasks ended it."""
        *self.usage, suspended = usage
        if self._element >= 0:
            self._ends[number] = self._row(at, suspended)
        self._number = max(self._number, number)
        self._clear_turn()

    def end_of_several(self, told: dict[str, object]) -> None:
        """Take in rows as they were told; the element that runs is over if it is among them."""
        rows, last = told.get("rows"), _int(told.get("last"))
        kept = [row for row in rows if _is_row(row)] if isinstance(rows, list) else []
        for number, row in enumerate(kept, last - len(kept) + 1):
            self._ends[number] = row
            if row[:2] == [self._element, self._attempt]:
                self._clear_turn()
        self._number = max(self._number, last)

    def hear(self, number: int) -> None:
        """Ends up to this number are durable at the manager."""
        self._ends = {n: row for n, row in self._ends.items() if n > number}

    # ── the element that runs ────────────────────────────────────────────────────────────────
    def _task(self, rank: int) -> TaskState:
        return self.tasks.setdefault(rank, TaskState(rank))

    def _row(self, at: float, suspended: float) -> Row:
        exits = [[t.rank, t.code, t.signal] for t in self.tasks.values() if t.ended_at is not None]
        usage = [*self.usage, suspended]
        return [
            self._element, self._attempt, self.started_at, at, self.cause, self.why, sorted(exits),
            usage,
        ]  # fmt: skip

    def _drop_turn(self) -> None:
        """Another element begins, so the one before it was over; the record of that is damaged."""
        if self._element < 0:
            return
        ends = [task.ended_at for task in self.tasks.values()]
        if None in ends and not self.cause:
            self.cause, self.why = "lost", "the record of how it ended is damaged"
        self._number += 1
        known = [at for at in (self.started_at, *ends) if at is not None]
        self._ends[self._number] = self._row(max(known), self.suspended)
        self._clear_turn()

    def _clear_turn(self) -> None:
        self._element, self._attempt = -1, 0
        self.tasks = {}
        self.cause, self.why = self.share_cause, self.share_why
        self.suspended = 0.0
        self.usage = [0.0, 0.0, 0, 0, 0]


def add_usage(total: list[float], more: tuple[float, ...] | list[float]) -> None:
    """Add one process's usage to a sum of the same shape; of the memory the greater stays."""
    for index, value in enumerate(more):
        total[index] = max(total[index], value) if index == 2 else total[index] + value


def _is_row(row: object) -> bool:
    return isinstance(row, list) and len(row) == 8


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0


def _time(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
