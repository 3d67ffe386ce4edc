"""What follows a pass: who gives way to whom, whose turn it is, and who goes on after all that."""

from math import inf
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from ostler.schedule.planner import Planner
from ostler.schedule.pressure import gives_way, least_run_over
from ostler.schedule.rules import Preemption
from ostler.schedule.slices import turns
from ostler.schedule.snapshot import Resume
from ostler.schedule.standby import go_on_at_last, halt

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
    if rules.preempting and (engine.heads or engine.queue.short):
        everywhere = picture.ways or due.press <= now
        needy = engine.heads.keys() | engine.queue.short.keys()
        pressing = sorted(needy if everywhere else needy & dirty)
        for partition in pressing:
            head, short = engine.heads.get(partition), engine.queue.short.get(partition)
            for job in (None if head is None else head.job, short):
                if job is not None and job in engine.queue.entries:
                    claimed |= _press(engine, planner, partition, job)
        press = least_run_over(planner) if pressing else due.press
    if rules.slicing:
        turned, turn = turns(engine, planner)
    if picture.resumes.all:
        planner.lines += [Resume(n) for n in go_on_at_last(picture, claimed, now)]
    return turned, Due(press, turn)


def _press(engine: "Engine", planner: Planner, partition: str, job: int) -> set[int]:
    """Let running work give way to a job that waits, and start that if it has all it needs then.

    Returns what stands by and must go on standing.
    """
    picture, table = planner.picture, planner.table
    view = engine.queue.entries[job].view
    way = gives_way(planner, view)
    for line in way.lines:
        other = picture.running[line.alloc]
        if line.how is Preemption.SUSPEND:
            halt(picture, other, planner.now)
        else:
            picture.running[line.alloc] = replace(other, leaving=True)
    planner.lines += way.lines
    if not (way.lines or way.claimed):
        return set()
    table.withhold(picture.resumes.kept(way.claimed))
    shape = planner.shape(view)
    seats = table.seats(shape)
    if seats is not None and planner.over(shape, view, seats) is None:
        del engine.heads[partition]  # who lacks licences gets them only when others have ended
        engine.starts(planner, view, shape, seats)
    table.withhold(picture.resumes.kept())
    return way.claimed
