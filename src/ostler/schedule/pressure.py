"""Which running allocations of the picture give way to a job that waits: with room, with licences."""

from collections.abc import Collection, Iterable, Iterator
from functools import cache
from math import inf

from msgspec import Struct
from msgspec.structs import replace

from ostler.model.resources import Request
from ostler.schedule.after import After, Extra
from ostler.schedule.head import Head
from ostler.schedule.planner import Planner
from ostler.schedule.pledges import Pledge
from ostler.schedule.preempt import (
    Needy,
    Running,
    can_give_way,
    line,
    may_preempt,
    outranks,
    preempt,
)
from ostler.schedule.priority import Key
from ostler.schedule.rules import Preemption
from ostler.schedule.snapshot import Preempt, RunningView, WaitingView


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
    Cost: a look at each running allocation of the machine, and at those that might give way.
    """
    picture, shape = planner.picture, planner.shape(entry)
    before = [head for head in planner.heads_of(entry.partition) if head.key < key]
    after = After(planner, shape, entry, before, pledges)
    names, wanted = after.useful, entry.request.licences.keys()
    rules, needy = picture.rules, Needy(entry.job, entry.partition, entry.priority)
    weaker = cache(lambda partition, priority: outranks(rules, needy, partition, priority))
    running = []
    for each in _all(planner):
        if not (each.leaving or weaker(each.partition, each.priority)):
            continue
        if wanted and wanted & picture.running[each.alloc].licences.keys():
            each = replace(each, licensed=True)  # noqa: PLW2901
        near = each.licensed or not names.isdisjoint(each.nodes)
        if near and not (before and _comes_back(planner, each, entry, before)):
            running.append(each)
    found = preempt(rules, needy, running, names, after, planner.now)
    return Way(
        [line(rules, each, entry.job) for each in found if not each.stands],
        {each.alloc for each in found if each.stands},
        after.seats() if found else (),
        after.later() if found else {},
    )


def weakest(planner: Planner) -> dict[str, int]:
    """Return the lowest priority of what may be preempted now, by the partition it runs in."""
    found: dict[str, int] = {}
    rules = planner.picture.rules
    for each in _all(planner):
        lower = each.priority < found.get(each.partition, inf)
        if lower and can_give_way(rules, each, planner.now):
            found[each.partition] = each.priority
    return found


def weaker(planner: Planner, entry: WaitingView) -> bool:
    """Say whether anything runs that has to give way to such a job, wherever that is."""
    needy = Needy(entry.job, entry.partition, entry.priority)
    rules = planner.picture.rules
    return any(outranks(rules, needy, *weak) for weak in weakest(planner).items())


def least_run_over(planner: Planner) -> float:
    """Return when the next allocation has run long enough to be preempted; inf if none is to."""
    return min(run_long_enough(planner), default=inf)


def run_long_enough(planner: Planner) -> list[float]:
    """Return when allocations will have run long enough to be preempted, in order."""
    rules = planner.picture.rules
    if not any(each.least_run for each in (rules.default, *rules.partitions.values())):
        return []
    times = set()
    for each in _all(planner):
        its = rules.of(each.partition)
        if its.preemption is not Preemption.OFF and its.least_run:
            times.add(each.started_at + its.least_run)
    return sorted(at for at in times if at > planner.now)


def _all(planner: Planner) -> Iterator[Running]:
    """Yield what runs; it is made again only of what has changed, or whose node has."""
    picture = planner.picture
    nodes, known = picture.nodes, picture.known
    if len(known) > 2 * len(picture.running):  # most have ended
        known.clear()
    for alloc, view in picture.running.items():
        node = nodes.get(view.placements[0].node)
        kept = known.get(alloc)
        if kept is None or kept[0] is not view or kept[1] is not node:
            kept = known[alloc] = view, node, _running(view, "" if node is None else node.partition)
        yield kept[2]


def _running(view: RunningView, partition: str) -> Running:
    stands = view.halted_at is not None
    return Running(
        view.alloc,
        partition,
        view.priority,
        view.started_at,
        frozenset(place.node for place in view.placements),
        view.again,
        view.suspended and not stands,
        view.leaving,
        view.halts,
        stands,
    )


def _comes_back(
    planner: Planner, each: Running, entry: WaitingView, before: Collection[Head]
) -> bool:
    """Say whether it would go on behind the entry where a start is promised by then.

    Whoever is promised it may take the CPUs back if that is all it needs.
    """
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
