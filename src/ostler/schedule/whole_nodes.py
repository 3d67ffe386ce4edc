"""Whole nodes within limits on CPUs: where nodes are not alike, which ones decides how many count."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ostler.schedule.choose import Seats
from ostler.schedule.snapshot import WaitingView
from ostler.schedule.table import Shape

if TYPE_CHECKING:
    from ostler.schedule.planner import Planner


def within(
    planner: "Planner",
    shape: Shape,
    entry: WaitingView,
    find: Callable[[Shape], Seats | None],
    allows: Callable[[Seats], bool],
) -> Seats | None:
    """Return whole nodes that limits allow, if any are found.

    Where those that are chosen among all count for too many CPUs, they are chosen again among the
    nodes that have fewer than the largest of them. That finds the node of a job of one node; of
    several it may miss a mixture of large and small ones: it is not the smallest sum that is found.
    """
    seats = find(shape)
    while seats is not None and not allows(seats):
        shape = _smaller(planner, shape, entry, seats)
        seats = find(shape)
    return seats


def could_be_within(planner: "Planner", shape: Shape, entry: WaitingView) -> bool:
    """Say whether limits allow it to start on idle nodes, beside what counts under them now.

    Then it does not wait for its limits, though the nodes that have room now count for too much.
    """
    if not shape.request.exclusive or planner.over(shape, entry) is not None:
        return False
    found = within(
        planner,
        shape,
        entry,
        lambda smaller: planner.table.idle_seats(smaller, usable=True),
        lambda seats: planner.over(shape, entry, seats) is None,
    )
    return found is not None


def _smaller(planner: "Planner", shape: Shape, entry: WaitingView, seats: Seats) -> Shape:
    """Return the shape on nodes with fewer CPUs than the largest of these."""
    views, request = planner.table.views, shape.request
    most = max(len(views[row].facts.cpus) for row, _ in seats)
    large = {
        view.name
        for view in views
        if view.partition == shape.partition and len(view.facts.cpus) >= most
    }
    exclude = *request.exclude, *sorted(large.difference(request.exclude))
    return planner.shape_on(entry, replace(request, exclude=exclude))
