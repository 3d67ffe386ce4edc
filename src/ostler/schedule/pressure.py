"""Which running allocations of the picture give way to the job that waits first."""

from collections.abc import Sequence

from msgspec.structs import replace

from ostler.schedule.fit import allowed, seats
from ostler.schedule.planner import Planner
from ostler.schedule.preempt import Fits, Needy, Running, preempt
from ostler.schedule.rules import Preemption
from ostler.schedule.snapshot import Preempt, RunningView, WaitingView


def gives_way(planner: Planner, entry: WaitingView) -> list[Preempt]:
    """Return who is to give way so that the entry starts, and take note that they leave.

    Cost: a look at each running allocation of the machine, and where some may be preempted about
    log2 of them times a look at the nodes for each that is.
    """
    picture = planner.picture
    rooms = [
        room
        for room in planner.rooms(entry.partition)
        if allowed(room.node, room.features, entry.request)
    ]
    names = frozenset(room.node for room in rooms)
    views = {
        view.alloc: view
        for view in picture.running.values()
        if any(place.node in names for place in view.placements)
    }
    needy = Needy(entry.job, entry.partition, entry.priority)
    running = [_running(planner, view) for view in views.values()]
    lines = preempt(picture.rules, needy, running, names, _fits(planner, entry, views), planner.now)
    for line in lines:
        picture.running[line.alloc] = replace(views[line.alloc], leaving=True)
    return lines


def _running(planner: Planner, view: RunningView) -> Running:
    node = planner.picture.nodes.get(view.placements[0].node)
    return Running(
        view.alloc,
        node.partition if node is not None else "",
        view.priority,
        view.started_at,
        frozenset(place.node for place in view.placements),
        view.again,
        view.suspended,
        view.leaving,
    )


def _fits(planner: Planner, entry: WaitingView, views: dict[int, RunningView]) -> Fits:
    """Return what says whether the entry fits when some give back what they hold."""
    rooms = planner.rooms(entry.partition)
    at = {room.node: number for number, room in enumerate(rooms)}
    rules = planner.picture.rules

    def fits(gone: Sequence[Running]) -> bool:
        found = rooms.copy()
        for each in gone:
            view = views[each.alloc]
            stays = rules.of(each.partition).preemption is Preemption.SUSPEND and not each.leaving
            masks = planner.picture.gives_back(view)[1]
            for place, mask in zip(view.placements, masks, strict=True):
                number = at.get(place.node)
                if number is None:
                    continue
                if found[number] is rooms[number]:
                    found[number] = rooms[number].copy()
                if stays:
                    found[number].cpus |= mask
                else:
                    found[number].give(mask, place)
        return seats(found, entry.request) is not None

    return fits
