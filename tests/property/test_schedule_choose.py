"""The choice of nodes, against all choices there are: on machines small enough to try them all."""

from itertools import combinations, permutations

from hypothesis import given
from hypothesis import strategies as st

from ostler.model.constraint import parse
from ostler.model.resources import Request
from ostler.schedule.choose import Found, Seats, choose

ROOMS = st.lists(st.integers(0, 4), max_size=6)
SPREAD = st.integers(0, 1)


def found_in(rooms: list[int]) -> Found:
    return [(room, at) for at, room in enumerate(rooms) if room]


def right(rooms: list[int], chosen: Seats, tasks: int) -> bool:
    """Say whether each node has room for what it gets, and gets at least one task."""
    each = all(1 <= here <= rooms[at] for at, here in chosen)
    return each and chosen == sorted(dict(chosen).items()) and sum(n for _, n in chosen) == tasks


def most_even(rooms: list[int], chosen: Seats) -> bool:
    """Say whether no node could take one from another and both be nearer to each other."""
    least = min(here for at, here in chosen if here < rooms[at]) if _spare(rooms, chosen) else None
    return least is None or max(here for _, here in chosen) <= least + 1


def _spare(rooms: list[int], chosen: Seats) -> bool:
    return any(here < rooms[at] for at, here in chosen)


@given(ROOMS, st.integers(1, 14))
def test_packed_tasks_take_as_few_nodes_as_there_is_a_way_to(rooms: list[int], tasks: int) -> None:
    chosen = choose(found_in(rooms), Request(tasks=tasks))
    counts = [n for n in range(1, 7) for c in combinations(rooms, n) if sum(c) >= tasks]
    assert (chosen is None) == (not counts)
    if chosen is not None:
        assert right(rooms, chosen, tasks)
        assert len(chosen) == min(counts)


@given(ROOMS, st.integers(1, 14))
def test_spread_tasks_take_as_many_nodes_as_they_can(rooms: list[int], tasks: int) -> None:
    chosen = choose(found_in(rooms), Request(tasks=tasks, spread=True))
    assert (chosen is None) == (sum(rooms) < tasks)
    if chosen is not None:
        assert right(rooms, chosen, tasks)
        assert len(chosen) == min(tasks, sum(1 for room in rooms if room))
        assert most_even(rooms, chosen)
        left_out = [room for at, room in enumerate(rooms) if at not in dict(chosen)]
        assert max(left_out, default=0) <= min(rooms[at] for at, _ in chosen)


@given(ROOMS, st.integers(1, 14), st.integers(1, 6), SPREAD)
def test_an_exact_number_of_nodes_is_found_if_there_is_a_way(
    rooms: list[int], tasks: int, nodes: int, spread: int
) -> None:
    chosen = choose(found_in(rooms), Request(tasks=tasks, nodes=nodes, spread=bool(spread)))
    most = sum(sorted(rooms, reverse=True)[:nodes])
    possible = tasks >= nodes <= len(found_in(rooms)) and most >= tasks
    assert (chosen is not None) == possible
    if chosen is not None:
        assert right(rooms, chosen, tasks)
        assert len(chosen) == nodes
        assert most_even(rooms, chosen)


FEATURES = st.lists(st.sets(st.sampled_from("abc")), min_size=6, max_size=6)
CONSTRAINTS = st.sampled_from(
    ["a*1", "a*2", "a*1&b*1", "a*1&b*2&c*1", "(a|b)*2&b*1", "a*1&!a*2", "(a&b)*1&a*1&c*2"]
)


def serves(names: list[set[str]], constraint: str) -> bool:
    """Say whether these nodes can be dealt out to the groups, each to one: by trying all ways."""
    known = parse(constraint)
    wanted = [at for at, group in enumerate(known.groups) for _ in range(group.count)]
    return any(
        all(known.member(one) >> group & 1 for one, group in zip(order, wanted, strict=True))
        for order in permutations(names, len(wanted))
    )


@given(ROOMS, FEATURES, CONSTRAINTS, st.integers(0, 2), st.integers(0, 6), SPREAD)
def test_groups_are_served_whenever_there_is_a_way(
    rooms: list[int],
    features: list[set[str]],
    constraint: str,
    beside: int,
    more: int,
    spread: int,
) -> None:
    nodes = parse(constraint).nodes + beside
    tasks = nodes + more
    request = Request(tasks=tasks, nodes=nodes, constraint=constraint, spread=bool(spread))
    members = [parse(constraint).member(names) for names in features]
    found = found_in(rooms)
    possible = any(
        sum(room for room, _ in some) >= tasks
        and serves([features[at] for _, at in some], constraint)
        for some in combinations(found, nodes)
    )
    chosen = choose(list(found), request, members)
    assert (chosen is not None) == possible
    if chosen is not None:
        assert right(rooms, chosen, tasks)
        assert len(chosen) == nodes
        assert serves([features[at] for at, _ in chosen], constraint)
        assert chosen == choose(list(reversed(found)), request, members)
