"""What follows a pass: who gives way to whom, whose turn it is, and who goes on after all that."""

from math import inf
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from ostler.schedule.booking import asks
from ostler.schedule.planner import Planner
from ostler.schedule.preempt import Needy, Running, may_preempt
from ostler.schedule.pressure import gives_way, least_run_over
from ostler.schedule.promises import Promises
from ostler.schedule.rules import Preemption
from ostler.schedule.slices import turns
from ostler.schedule.snapshot import Resume, WaitingView
from ostler.schedule.standby import go_on_at_last, halt
from ostler.schedule.table import Shape

if TYPE_CHECKING:
    from ostler.schedule.engine import Engine


class Due(Struct, frozen=True):
    """When time alone changes who gives way or has a turn; inf: it does not."""

    press: float = inf  # something has run long enough to be preempted
    turn: float = inf  # a slice ends

    @property
    def at(self) -> float:
        """Return the first of these times."""
        return min(self.press, self.turn)


def give(
    engine: "Engine", planner: Planner, dirty: set[str], due: Due
) -> tuple[tuple[str, ...], Due]:
    """Complete a plan; return the partitions in which a slice ended, and when to look again.

    dirty: partitions that were looked at; in others nobody else gives way than before, unless it is
    due. Costs nothing but a look at the rules where they have neither preemption nor slices and
    nothing stands by.
    """
    picture, rules, now = planner.picture, planner.picture.rules, planner.now
    claimed: set[int] = set()
    turned: tuple[str, ...] = ()
    press = turn = inf
    queue = engine.queue
    if rules.preempting and (engine.heads or queue.short or queue.held_up):
        everywhere = picture.ways or due.press <= now
        needy = engine.heads.keys() | queue.short.keys() | queue.held_up.keys()
        pressing = sorted(needy if everywhere else needy & dirty)
        for partition in pressing:
            head = engine.heads.get(partition)
            first = queue.held_up.get(partition) if head is None else head.job
            for job in (first, queue.short.get(partition)):
                if job is not None and _may_press(engine, planner, partition, job):
                    claimed |= _press(engine, planner, partition, job)
        press = least_run_over(planner) if pressing else due.press
    if rules.slicing:
        turned, turn = turns(engine, planner)
    if picture.resumes.all:
        planner.lines += [Resume(n) for n in go_on_at_last(picture, claimed, now)]
    return turned, Due(press, turn)


def _may_press(engine: "Engine", planner: Planner, partition: str, job: int) -> bool:
    """Say whether others may have to give way to a job that waits.

    Where more than one start is promised they have to if nothing is promised to any job before it
    in the queue that it would still be there for.
    """
    entries = engine.queue.entries
    if job not in entries:
        return False
    if (book := engine.books.get(partition)) is None:
        return True
    mine, until = entries[job].key, planner.now + entries[job].view.duration
    before = (other for other in book.jobs if other in entries and entries[other].key < mine)
    return not any((book.start_of(other) or inf) < until for other in before)


def _press(engine: "Engine", planner: Planner, partition: str, job: int) -> set[int]:
    """Let running work give way to a job that waits, and start that if it has all it needs then.

    Returns what stands by and must go on standing. What is promised to others is laid anew behind
    it by the next pass.
    """
    picture, table = planner.picture, planner.table
    entry = engine.queue.entries[job]
    view = entry.view
    way = gives_way(planner, view)
    for line in way.lines:
        other = picture.running[line.alloc]
        if line.how is Preemption.SUSPEND:
            halt(picture, other, planner.now)
        else:
            picture.running[line.alloc] = replace(other, leaving=True)
    planner.lines += way.lines
    shape, book = planner.shape(view), engine.books.get(partition)
    if not (
        way.lines or way.claimed or (book and _comes_first(planner, view, shape, book, engine))
    ):
        return set()
    table.withhold(picture.resumes.kept(way.claimed))
    seats = table.seats(shape)
    if seats is not None and planner.over(shape, view, seats) is None:
        engine.heads.pop(partition, None)  # who lacks licences gets them when others have ended
        engine.starts(planner, view, shape, seats)
        if book is not None:
            book.taken(job)
    elif book is not None:
        book.press(asks(planner, entry))
        engine.look_again(partition)
    table.withhold(picture.resumes.kept())
    return way.claimed


def _comes_first(
    planner: Planner, view: WaitingView, shape: Shape, book: Promises, engine: "Engine"
) -> bool:
    """Say whether a job has room now but for promises to jobs that would have to give way to it.

    What it could take from them if they ran is not kept for them while they wait.
    """
    seats = planner.table.seats(shape)
    if seats is None or planner.over(shape, view, seats) is not None:
        return False
    if planner.is_promised(shape, view, seats):
        return False
    nodes = {planner.table.views[row].name for row, _ in seats}
    rules, me = planner.picture.rules, Needy(view.job, view.partition, view.priority)
    for _, job in book.within(nodes, planner.now + view.duration):
        other = engine.queue.entries.get(job)
        if other is None or job == view.job:
            continue
        ran = Running(0, view.partition, other.view.priority, -inf, frozenset(), stands=True)
        if not may_preempt(rules, me, ran, planner.now):
            return False
    return True
