"""Plans in pieces: the manager needs some milliseconds for each, and others have their turn between two.

What concerns a plan as a whole comes with the last one.
"""

from collections import Counter
from collections.abc import Iterator
from itertools import chain

from msgspec.structs import replace

from ostler.schedule.snapshot import Line, Piece, Plan, Start, Wait

WORK = 600  # in one piece
_LINE, _PLACE, _WAIT = 25, 5, 1  # how much work a line is, each node it names, and a reason to wait


def pieces(
    plan: Plan, before: dict[int, Wait] | None, work: int = WORK
) -> Iterator[tuple[Plan, Piece]]:
    """Yield a plan in pieces, what starts first.

    before: why jobs waited by the plan before; None: nobody knows. work: in one piece.
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
        if sheet.work >= work:
            yield sheet.cut(anew=anew, last=False)
            anew = False
    rest, piece = sheet.cut(anew=anew, last=True)
    yield replace(plan, lines=rest.lines, waits=rest.waits), piece


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
