"""Where the tasks of a request go, and what they get there."""

import pytest

from ostler.model.resources import Request
from ostler.schedule.fit import placements, seats
from ostler.schedule.room import Room
from tests.schedule_kit import G, node

N1, N2, N3 = node("n1", 4), node("n2", 2), node("n3", 4, memory=2 * G, gpus=2, generic={"lic": 3})


def rooms() -> list[Room]:
    return [Room.whole(view.name, view.facts) for view in (N1, N2, N3)]


@pytest.mark.parametrize(
    ("request_", "where"),
    [
        (Request(), {"n2": 1}),  # the fullest that will do
        (Request(cpus=3), {"n1": 1}),
        (Request(tasks=4), {"n1": 4}),  # one node is fewer than two
        (Request(tasks=6), {"n1": 4, "n2": 2}),
        (Request(tasks=7), {"n1": 4, "n3": 3}),
        (Request(tasks=10), {"n1": 4, "n2": 2, "n3": 4}),
        (Request(tasks=11), None),
        (Request(tasks=2, cpus=3), {"n1": 1, "n3": 1}),
        (Request(tasks=3, cpus=3), None),
        (Request(cpus=5), None),
        (Request(tasks=2, nodes=2), {"n2": 1, "n1": 1}),
        (Request(tasks=6, nodes=2), {"n1": 3, "n3": 3}),
        (Request(tasks=6, nodes=3), {"n1": 2, "n2": 2, "n3": 2}),
        (Request(tasks=8, nodes=3), {"n1": 3, "n2": 2, "n3": 3}),
        (Request(tasks=2, nodes=3), None),
        (Request(tasks=4, nodes=4), None),
        (Request(memory=3 * G, nodelist=("n3",)), None),
        (Request(tasks=3, memory=G, nodelist=("n1", "n3")), {"n1": 3}),
        (Request(exclude=("n2",)), {"n1": 1}),
        (Request(exclude=("n1", "n2", "n3")), None),
        (Request(gpus=1), {"n3": 1}),
        (Request(tasks=3, gpus=1), None),
        (Request(generic={"lic": 2}), {"n3": 1}),
        (Request(tasks=2, generic={"lic": 2}), None),
        (Request(generic={"dongle": 1}), None),
        (Request(tasks=3, memory=G, gpus=1), None),
    ],
)
def test_tasks_go_where_they_fit_on_as_few_nodes_as_it_takes(
    request_: Request, where: dict[str, int] | None
) -> None:
    found = seats(rooms(), request_)
    assert (found and {rooms()[at].node: tasks for at, tasks in found}) == where


def test_a_placement_names_cpus_and_gpus_and_gives_ranks_in_order_of_nodes() -> None:
    request = Request(tasks=3, cpus=2, memory=G, gpus=0, generic={"lic": 1})
    all_rooms = [Room.whole("n1", N3.facts), Room.whole("n2", N3.facts)]
    found = seats(all_rooms, request)
    assert found is not None
    first, second = placements(all_rooms, request, found)
    assert (first.node, first.tasks, first.first_rank, first.cpus) == ("n1", 2, 0, (0, 1, 2, 3))
    assert (first.memory, first.generic) == (2 * G, {"lic": 2})
    assert (second.node, second.tasks, second.first_rank, second.cpus) == ("n2", 1, 2, (0, 1))
    assert (second.memory, second.generic) == (G, {"lic": 1})


def test_cpus_and_gpus_that_others_need_are_taken_last() -> None:
    request = Request(cpus=2, gpus=1)
    room = Room("n1", cpus=0b1111, memory=0, gpus=0b11, generic={})
    keep = Room("n1", cpus=0b0111, memory=0, gpus=0b01, generic={})
    place = room.place(request, 1, 0, keep)
    assert (place.cpus, place.gpus) == ((0, 3), (1,))


def test_numbers_that_cannot_be_cpus_are_no_room() -> None:
    assert Room("n1", 0, -5, 0, {}).capacity(Request(cpus=1)) == 0
    assert Room("n1", 1, -5, 0, {}).capacity(Request(memory=1)) == 0
