"""Taking turns."""

from collections.abc import Mapping
from itertools import pairwise
from random import Random

from msgspec.structs import replace

from ostler.schedule.gang import Newcomer, Sliced, Turn, slice_end, turn


def on(number: int, cpus: Mapping[str, int], *, priority: int = 50) -> Sliced:
    return Sliced(number, priority, cpus, running=True, ran_at=100.0)


def off(number: int, cpus: Mapping[str, int], ran_at: float, *, priority: int = 50) -> Sliced:
    return Sliced(number, priority, cpus, running=False, ran_at=ran_at)


def test_who_has_not_run_for_longest_runs_next() -> None:
    three = [on(1, {"n1": 1}), off(2, {"n1": 1}, 90.0), off(3, {"n1": 1}, 80.0)]
    assert turn(three) == Turn(suspend=(1,), resume=(3,))


def test_nobody_stands_still_for_nobody() -> None:
    assert turn([on(1, {"n1": 1}), on(2, {"n1": 2})]) == Turn()
    assert turn([off(1, {"n1": 1}, 0.0)]) == Turn(resume=(1,))


def test_all_nodes_of_one_turn_together() -> None:
    wide = off(1, {"n1": 1, "n2": 1}, 0.0)
    assert turn([wide, on(2, {"n1": 1}), on(3, {"n2": 1}), on(4, {"n2": 2})]) == Turn((2, 3), (1,))
    higher = on(2, {"n1": 1}, priority=51)
    assert turn([wide, higher, on(3, {"n2": 1})]) == Turn()


def test_a_lower_priority_runs_where_the_higher_ones_leave_cpus() -> None:
    low = [off(3, {"n1": 1}, 0.0, priority=10), off(4, {"n1": 2}, 0.0, priority=10)]
    assert turn([on(1, {"n1": 1}), *low]) == Turn(resume=(4,))


def test_a_newcomer_takes_its_turn_where_it_finds_a_place() -> None:
    def first_free(taken: Mapping[str, int]) -> Mapping[str, int] | None:
        return next(({"n1": bit} for bit in (1, 2) if not taken.get("n1", 0) & bit), None)

    newcomer = Newcomer(9, 50, 50.0, first_free)
    runs = [on(1, {"n1": 1}), on(2, {"n1": 2})]
    assert turn(runs, [newcomer]) == Turn(suspend=(1,), start=(9,))
    assert turn(runs, [newcomer, Newcomer(8, 40, 0.0, first_free)]).start == (9,)
    assert turn(runs, [Newcomer(9, 50, 50.0, lambda _: None)]) == Turn()


def test_slices_lie_on_multiples_of_their_length() -> None:
    assert [slice_end(at, 30.0) for at in (0.0, 29.9, 30.0)] == [30.0, 30.0, 60.0]


def test_no_cpu_has_two_and_everyone_gets_a_turn() -> None:
    chance = Random(1)
    for _ in range(60):
        nodes = ["n1", "n2", "n3"]
        gangs = [
            off(
                number,
                {n: chance.randint(1, 15) for n in chance.sample(nodes, chance.randint(1, 3))},
                float(number),
            )
            for number in range(chance.randint(1, 8))
        ]
        turns = {each.alloc: [0] for each in gangs}
        for now in range(100, 100 + 4 * len(gangs) + 1):
            gangs = [replace(g, ran_at=float(now)) if g.running else g for g in gangs]
            found = turn(gangs)
            assert not set(found.suspend) & set(found.resume)
            for at, each in enumerate(gangs):
                if each.alloc in found.suspend or each.alloc in found.resume:
                    gangs[at] = replace(each, running=not each.running)
                if gangs[at].running:
                    turns[each.alloc].append(now - 99)
            for at, one in enumerate(gangs):
                for other in gangs[:at]:
                    both = one.running and other.running
                    meet = any(mask & other.cpus.get(n, 0) for n, mask in one.cpus.items())
                    assert not (both and meet)
            idle = [each for each in gangs if not each.running]
            used = [each.cpus for each in gangs if each.running]
            for each in idle:  # it stands still only for one that runs
                assert any(mask & cpus.get(n, 0) for n, mask in each.cpus.items() for cpus in used)
        for slices in turns.values():
            gaps = [b - a for a, b in pairwise(slices)]
            assert len(slices) >= 4
            assert max(gaps) <= len(gangs)
