"""What the manager and the process beside a scheduler that is not ours say to each other.

Frames over two pipes. In: what has changed, as the built-in scheduler's process is told, and questions.
Out: plans in pieces. The process keeps the machine, writes it as JSON, and reads what comes back:
with 85,000 jobs that takes half a second, in which the manager serves others.
"""

import sys
from collections import Counter
from collections.abc import Iterator
from itertools import chain

import msgspec
from msgspec import Struct

from ostler.manager.run_as import Place
from ostler.model.site import Scheduler
from ostler.schedule.decisions import Told
from ostler.schedule.snapshot import Line, Piece, Plan, Start, Wait

MOST = 64 << 20  # bytes of one frame; a piece has far less
WORK = 600  # in one piece: the manager needs some milliseconds for it
_LINE, _PLACE, _WAIT = 25, 5, 1  # how much work a line is, each node it names, and a reason to wait


class Serve(Struct, tag="serve"):
    """The first word: ask this scheduler."""

    row: Scheduler
    place: Place


class Show(Struct, tag="show"):
    """Show it what was told before; take from its plan what it decides, and compare the rest later."""

    number: int  # of the snapshot
    now: float  # Unix seconds
    partitions: tuple[str, ...]
    decided: tuple[str, ...]


class Compare(Struct, tag="compare"):
    """Tell what differs from what was granted by who decides, or forget the plan."""

    number: int  # of the snapshot
    granted: tuple[int, int] | None  # allocations, from the first on and before the second


class Began(Struct, tag="began"):
    """Its process runs."""

    pid: int


class Proposed(Struct, tag="proposed"):
    """A piece of what it decides, of which each line made sense when it was shown the machine."""

    number: int
    plan: Plan
    piece: Piece
    seconds: float  # in which it planned
    compared: bool  # there is more, of what it does not decide
    wrong: tuple[str, ...]  # some of what made no sense


class Failed(Struct, tag="failed"):
    """It did not answer, or what it said made no sense; nothing is left of it. why: one sentence."""

    why: str


class Differs(Struct, tag="differs"):
    """How its plan differs from what was done."""

    text: str


ToMediator = Serve | Told | Show | Compare
FromMediator = Began | Proposed | Failed | Differs

encode = msgspec.msgpack.Encoder().encode
decode_request = msgspec.msgpack.Decoder(ToMediator).decode
decode_reply = msgspec.msgpack.Decoder(FromMediator).decode


def command() -> list[str]:
    """Return the command of the process."""
    return [sys.executable, "-I", "-m", "ostler.manager.mediator_worker"]


def framed(message: ToMediator | FromMediator) -> bytes:
    """Return a message with its length before it."""
    data = encode(message)
    return len(data).to_bytes(4, "big") + data


def pieces(plan: Plan, before: dict[int, Wait] | None) -> Iterator[tuple[Plan, Piece]]:
    """Yield a plan in pieces, what starts first.

    before: why jobs waited by the plan before; None: nobody knows.
    """
    known = before or {}
    sheet = _Sheet(plan)
    items: Iterator[Line | tuple[int, Wait] | int] = chain(
        plan.lines,
        [pair for pair in plan.waits.items() if known.get(pair[0]) != pair[1]],
        [job for job in known if job not in plan.waits],
    )
    anew = before is None
    for item in items:
        sheet.add(item)
        if sheet.work >= WORK:
            yield sheet.cut(anew=anew, last=False)
            anew = False
    yield sheet.cut(anew=anew, last=True)


class _Sheet:
    """A piece that is being filled."""

    def __init__(self, plan: Plan) -> None:
        self._number = plan.number
        self._left = Counter(line.job for line in plan.lines if isinstance(line, Start))
        self._begin()

    def _begin(self) -> None:
        self._lines: list[Line] = []
        self._waits: dict[int, Wait] = {}
        self._silent: list[int] = []
        self.work = 0

    def add(self, item: Line | tuple[int, Wait] | int) -> None:
        """Add a line, a job and why it waits, or a job of which nothing is said any more."""
        match item:
            case int():
                self._silent.append(item)
                self.work += _WAIT
            case (job, wait):
                self._waits[job] = wait
                self.work += _WAIT
            case Start():
                self._lines.append(item)
                self._left[item.job] -= 1
                self.work += _LINE + _PLACE * len(item.placements)
            case _:
                self._lines.append(item)
                self.work += _LINE

    def cut(self, *, anew: bool, last: bool) -> tuple[Plan, Piece]:
        """Return it, and begin the next one."""
        named = {line.job for line in self._lines if isinstance(line, Start)}
        follow = {job: self._left[job] for job in named if self._left[job]}
        found = Plan(self._lines, self._waits, number=self._number)
        piece = Piece(follow, tuple(self._silent), anew, last)
        self._begin()
        return found, piece
