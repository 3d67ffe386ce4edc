"""A load is taken in in pieces: so much in one turn that nobody who asks has to wait for it.

What is there of a resource manager in between belongs to no moment: nothing starts there until all
is in, and only then is anything decided of what a load lacks. Pieces are harmless one by one. A
manager that ends between two of them begins anew with the next load, which tells everything again.
"""

from collections.abc import Callable, Collection, Iterator
from typing import TypeVar

from ostler.core.effects import TakenIn
from ostler.core.events import RmLoaded
from ostler.core.foreign.rms import Intake, Rm
from ostler.core.state import State
from ostler.model.errors import Refused
from ostler.schedule.snapshot import Line, Start

PIECE = 4_000.0  # microseconds of work in one turn, as it is estimated
_ROW = 15.0  # microseconds: a row that is to be written, here and in the writer
_SLICE = 1_000  # things of which only the names are taken at a time

Thing = TypeVar("Thing")
# Begins to take a load in: yields what each step has cost in microseconds, beside rows.
Begin = Callable[[State, Rm, Intake, RmLoaded], Iterator[float]]


def sliced(things: list[Thing], size: int = _SLICE) -> Iterator[list[Thing]]:
    """Yield them some at a time."""
    for first in range(0, len(things), size):
        yield things[first : first + size]


def emptied(things: list[Thing]) -> Iterator[Thing]:
    """Yield them, and let go of each: all at once would take as long as a turn."""
    things.reverse()
    while things:
        yield things.pop()


def begin(s: State, now: float, rm: Rm, load: RmLoaded, steps: Begin) -> None:
    """Take the first piece of a load in, which may be all of it."""
    intake = rm.intake = Intake(now)
    intake.steps = steps(s, rm, intake, load)
    go_on(s, now, rm, intake)


def go_on(s: State, now: float, rm: Rm, intake: Intake) -> None:
    """Take the next piece in. A plan is asked for when all is in, not before."""
    asked, s.changed = s.changed, False
    intake.now = now
    spent, rows = 0.0, len(s.effects)
    for cost in intake.steps:
        spent += cost
        if spent + _ROW * (len(s.effects) - rows) >= PIECE:
            intake.pieces += 1
            intake.changed = intake.changed or s.changed
            s.changed = asked
            s.parts.taking.append(rm.name)
            return
    rm.intake = None
    s.changed = s.changed or intake.changed or asked
    if rm.following is not None:
        s.parts.taking.append(rm.name)
    if intake.pieces:
        _is_over(s, rm)


def drop(s: State, rm: Rm) -> None:
    """Leave it at the pieces that are in: the resource manager was disabled."""
    intake, rm.intake, rm.following = rm.intake, None, None
    if intake is not None:
        s.changed = True
        _is_over(s, rm)


def _is_over(s: State, rm: Rm) -> None:
    rm.mixed_until = s.marks.number
    s.marks.turned = True  # so that the next plan is made from another delta
    s.effects.append(TakenIn(rm.name))


def mixed(s: State, number: int) -> Collection[str]:
    """Return the resource managers of which a plan need not have seen one whole load.

    number: of the delta that it was made from; 0: it was made in this turn.
    """
    return [
        rm.name for rm in s.rms.values() if rm.intake is not None or 0 < number <= rm.mixed_until
    ]


def is_at(s: State, line: Line, names: Collection[str]) -> bool:
    """Say whether a line is about one of these resource managers; if so, it will be planned again."""
    if isinstance(line, Start):
        places = line.placements
    else:
        alloc = s.allocations.get(line.alloc)
        places = () if alloc is None else alloc.placements
    for name in {s.nodes[p.node].node.rm for p in places if p.node in s.nodes}:
        if name in names:
            intake = s.rms[name].intake
            if intake is None:
                s.changed = True
            else:
                intake.changed = True
            return True
    return False


def check_whole(s: State, line: Line) -> None:
    """Raise `Refused` if a line is about a resource manager whose load is being taken in."""
    names = [rm.name for rm in s.rms.values() if rm.intake is not None]
    if names and is_at(s, line, names):
        told = ", ".join(names)
        raise Refused(
            f"what {told} has told is being taken in: nobody starts or halts there meanwhile"
        )
