"""Which running allocations of the picture give way to a job that waits: with room, with licences."""

from collections.abc import Collection, Iterable

from msgspec import Struct

from ostler.model.resources import Request
from ostler.schedule.freed import Extra, Freed
from ostler.schedule.head import Head
from ostler.schedule.planner import Planner
from ostler.schedule.pledges import Pledge
from ostler.schedule.preempt import Needy, Running, in_order, line, may_preempt, needed, outranks
from ostler.schedule.priority import Key
from ostler.schedule.rules import Preemption
from ostler.schedule.snapshot import Preempt, WaitingView


class Way(Struct):
    """Who gives way to a job."""

    lines: list[Preempt]
    claimed: set[int]  # allocations that stand by already, and whose CPUs the job takes
    seats: tuple[tuple[str, int], ...] = ()  # node, tasks: where it starts then
    later: dict[int, Extra] = {}  # job -> what it leaves of that when a promised start is due


def gives_way(planner: Planner, entry: WaitingView, key: Key, pledges: Iterable[Pledge]) -> Way:
    """Return who is to give way so that the entry starts. Changes nothing.

    key: its place in the queue; the start that EASY promises to one before it is not delayed.
    pledges: room that is kept for others already.
    Cost: a few looks at each that would give way before the last that does, and at its nodes.
    """
    picture, shape = planner.picture, planner.shape(entry)
    rules, table, wanted = picture.rules, planner.table, entry.request.licences.keys()
    before = [head for head in planner.heads_of(entry.partition) if head.key < key]
    freed = Freed(planner, shape, entry, before, pledges)
    line_up = in_order(
        rules,
        picture.givers.below(rules, Needy(entry.job, entry.partition, entry.priority), planner.now),
        lambda node: node in table.rows and table.eligible(table.rows[node], shape),
        lambda each: not wanted.isdisjoint(picture.running[each.alloc].licences),
    )
    found = needed(
        (each for each in line_up if not _comes_back(planner, each, entry, before)), freed
    )
    return Way(
        [line(rules, each, entry.job) for each in found if not each.stands],
        {each.alloc for each in found if each.stands},
        freed.seats() if found else (),
        freed.later() if found else {},
    )


def weaker(planner: Planner, entry: WaitingView) -> bool:
    """Say whether anything runs that has to give way to such a job, wherever that is."""
    needy, rules = Needy(entry.job, entry.partition, entry.priority), planner.picture.rules
    weakest = planner.picture.givers.weakest(rules, planner.now)
    return any(outranks(rules, needy, *weak) for weak in weakest.items())


def _comes_back(
    planner: Planner, each: Running, entry: WaitingView, before: Collection[Head]
) -> bool:
    """Say whether it would go on behind the entry where a start is promised by then.

    Whoever is promised it may take the CPUs back if that is all it needs.
    """
    if not before:
        return False
    rules, hold = planner.picture.rules, planner.table.holds.get(each.alloc)
    stays = each.stands or rules.of(each.partition).preemption is Preemption.SUSPEND
    if not stays or each.leaving or hold is None:
        return False
    rows = {planner.table.rows.get(node) for node in each.nodes}
    for head in before:
        wants = head.view
        if rows.isdisjoint(head.after) or not hold.at <= head.shadow < hold.at + entry.duration:
            continue
        mine = Needy(wants.job, wants.partition, wants.priority)
        if not _only_cpus(wants.request) or not may_preempt(rules, mine, each, planner.now):
            return True
    return False


def _only_cpus(request: Request) -> bool:
    more = request.memory, request.gpus, request.exclusive, request.licences
    return not any(more) and not any(request.generic.values())
