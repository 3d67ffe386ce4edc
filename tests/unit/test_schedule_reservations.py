"""Which nodes are closed to whom, and when."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from itertools import takewhile
from math import inf
from random import Random

import pytest
from msgspec.structs import replace

from ostler.model.states import Rule
from ostler.schedule.engine import Engine
from ostler.schedule.explain import explain
from ostler.schedule.reservations import Calendar, Key, Window, windows
from ostler.schedule.rules import DAY, Reservation, Rules
from ostler.schedule.snapshot import Plan, RunningView, Snapshot, Start, WaitingView, whole
from tests.schedule_kit import job, machine, node, running

HOUR = 3_600.0
MONDAY = datetime(2026, 11, 30, tzinfo=UTC).timestamp()
NOBODY: Key = frozenset()


def calendar(*reservations: Reservation, offset: int = 0) -> Calendar:
    return Calendar(Rules(reservations=reservations, utc_offset=offset))


def within(reservation: Reservation, offset: int, begin: float, end: float) -> list[Window]:
    return list(takewhile(lambda w: w[0] < end, windows(reservation, offset, begin)))


DISKS = Reservation("disks", ("n1", "n2"), 100.0, 50.0)
COURSE = Reservation("course", ("n1",), 300.0, 50.0, users=("ann",), projects=("bio",))


def test_work_must_be_off_a_node_when_its_window_begins() -> None:
    found = calendar(DISKS, COURSE)
    nobody = found.key("bob", "law")
    assert found.until(nobody, 0.0) == {"n1": 100.0, "n2": 100.0}
    assert found.until(nobody, 149.0) == {"n1": 100.0, "n2": 100.0}
    assert found.until(nobody, 150.0) == {"n1": 300.0}
    assert found.until(nobody, 350.0) == {}


def test_whom_it_is_for_may_stay() -> None:
    found = calendar(DISKS, COURSE)
    keys = {found.key("ann", ""), found.key("bob", "bio"), found.key("ann", "bio")}
    assert len(keys) == 1
    key = keys.pop()
    assert key != found.key("bob", "") == NOBODY
    assert found.until(key, 0.0) == {"n1": 100.0, "n2": 100.0}
    assert found.until(key, 150.0) == {}


def test_a_job_that_would_run_into_a_window_is_placed_after_it() -> None:
    found = calendar(DISKS, COURSE)
    assert found.opens("n1", NOBODY, 0.0, 100.0) == 0.0
    assert found.opens("n1", NOBODY, 0.0, 101.0) == 150.0
    assert found.opens("n1", NOBODY, 0.0, 151.0) == 350.0
    assert found.opens("n1", NOBODY, 0.0, inf) == 350.0
    assert found.opens("n3", NOBODY, 0.0, inf) == 0.0
    weekly = calendar(Reservation("night", ("n1",), MONDAY, HOUR, days=(0,)))
    assert weekly.opens("n1", NOBODY, MONDAY, 7 * DAY - HOUR) == MONDAY + HOUR
    assert weekly.opens("n1", NOBODY, MONDAY, 7 * DAY) == inf


def test_the_next_change_is_a_begin_or_an_end() -> None:
    found = calendar(DISKS, COURSE)
    assert [found.change(at) for at in (0.0, 100.0, 150.0, 300.0)] == [100.0, 150.0, 300.0, 350.0]
    assert found.change(350.0) == inf


def test_windows_that_touch_are_one() -> None:
    more = [Reservation(str(at), ("n1",), at, 10.0) for at in (0.0, 5.0, 15.0, 30.0)]
    assert calendar(*more).closed("n1", NOBODY, 1.0, 99.0) == [(0.0, 25.0), (30.0, 40.0)]
    assert calendar(*more).closed("n1", frozenset({"5.0"}), 1.0, 30.0) == [
        (0.0, 10.0),
        (15.0, 25.0),
    ]


def test_a_recurring_window_keeps_its_wall_clock_when_the_clocks_change() -> None:
    two = MONDAY + 2 * HOUR  # at an offset of one hour: 3 in the morning
    night = Reservation("night", ("n1",), two, HOUR, days=tuple(range(7)), utc_offset=3_600)
    assert within(night, 3_600, two, two + 2 * DAY) == [
        (two, two + HOUR),
        (two + DAY, two + DAY + HOUR),
    ]
    summer = within(night, 7_200, two + 200 * DAY - 2 * HOUR, two + 201 * DAY - 2 * HOUR)
    assert summer == [(two + 200 * DAY - HOUR, two + 200 * DAY)]


def test_no_window_begins_at_or_after_the_end() -> None:
    daily = Reservation("d", ("n1",), 0.0, 10.0, days=tuple(range(7)), until=2.0 * DAY)
    assert within(daily, 0, 0.0, inf) == [(0.0, 10.0), (DAY, DAY + 10.0)]
    assert within(Reservation("d", ("n1",), 5.0, 10.0, until=5.0), 0, 0.0, inf) == []
    assert within(Reservation("d", ("n1",), 5.0, 10.0, days=(9,)), 0, 0.0, inf) == []


@pytest.mark.parametrize("seed", range(5))
def test_windows_are_what_a_walk_from_day_to_day_finds(seed: int) -> None:
    chance = Random(seed)
    for _ in range(60):
        offset = chance.choice([0, 3_600, -18_000, 20_700])
        zone = timezone(timedelta(seconds=offset))
        start = MONDAY + chance.randrange(14 * 24) * HOUR
        some = Reservation(
            "some",
            ("n1",),
            start,
            chance.choice([HOUR, 30 * HOUR, 200 * HOUR]),
            days=tuple(day for day in range(7) if chance.random() < 0.4),
            until=chance.choice([None, start + chance.randrange(30 * 24) * HOUR]),
            utc_offset=offset,
        )
        begin = MONDAY + chance.randrange(60 * 24) * HOUR
        end = begin + chance.randrange(20 * 24) * HOUR
        walked = []
        clock = datetime.fromtimestamp(start, zone)
        while clock.timestamp() < end:
            at = clock.timestamp()
            due = clock.weekday() in some.days if some.days else at == start
            if due and at + some.duration > begin and (some.until is None or at < some.until):
                walked.append((at, at + some.duration))
            clock += timedelta(days=1)
        assert within(some, offset, begin, end) == walked
        calendar_of_it = calendar(some, offset=offset)
        for _ in range(20 if end > begin else 0):
            at = chance.uniform(begin, end - HOUR)
            shut = any(first <= at < last for first, last in walked)
            first = calendar_of_it.until(NOBODY, at).get("n1", inf)
            assert (first <= at) == shut
            assert shut or first >= min((w[0] for w in walked if w[0] >= at), default=end)
            free = calendar_of_it.opens("n1", NOBODY, at, HOUR / 2)
            fits = not any(a < at + HOUR / 2 and at < b for a, b in walked)
            assert (free == at) == fits
            assert not any(a < free + HOUR / 2 and free < b for a, b in walked if free < end)
        assert all(
            (first <= at < last) == any(a <= at < b for a, b in walked)
            for first, last in calendar_of_it.closed("n1", NOBODY, begin, end)
            for at in (first, last - 1, last)
        )


def shown(*waiting: WaitingView, runs: Sequence[RunningView] = (), nodes: int = 2) -> Snapshot:
    views = [node(f"n{at + 1}", cpus=1) for at in range(nodes)]
    rules = Rules(reservations=(DISKS, COURSE))
    return replace(machine(views, waiting, runs=runs), rules=rules)


def planned(snapshot: Snapshot, now: float) -> Plan:
    engine = Engine()
    engine.apply(whole(snapshot))
    return engine.plan(now)


def where(plan: Plan) -> list[tuple[int, str]]:
    return [(line.job, line.placements[0].node) for line in plan.lines if isinstance(line, Start)]


def test_a_job_starts_only_where_it_ends_before_the_window() -> None:
    assert where(planned(shown(job(1, limit=100.0, user="bob")), 0.0)) == [(1, "n1")]
    late = planned(shown(job(1, limit=101.0, user="bob")), 0.0)
    assert where(late) == []
    assert late.waits[1].rule is Rule.RESERVED
    assert late.wake == 100.0
    assert where(planned(shown(job(1, limit=101.0, user="bob"), nodes=3), 0.0)) == [(1, "n3")]
    after = shown(job(1, limit=150.0, user="bob"))
    assert where(planned(after, 149.0)) == []
    assert where(planned(after, 150.0)) == [(1, "n1")]
    assert where(planned(after, 151.0)) == [(1, "n2")]


def test_whom_a_window_is_for_may_start_in_it() -> None:
    both = [job(1, limit=200.0, user="bob"), replace(job(2, limit=200.0), project="bio")]
    assert where(planned(shown(*both, nodes=1), 200.0)) == [(2, "n1")]
    late = planned(shown(*both, nodes=1), 200.0)
    assert late.waits[1].rule is Rule.RESERVED


def test_nodes_that_are_busy_and_reserved_are_told_apart() -> None:
    busy = [running(9, [0], 90.0, on="n1"), running(8, [0], 90.0, on="n2")]
    found = planned(shown(job(1, limit=200.0, user="bob"), runs=busy), 10.0)
    assert found.waits[1].rule is Rule.RESERVED
    short = planned(shown(job(1, limit=20.0, user="bob"), runs=busy), 10.0)
    assert short.waits[1].rule is Rule.RESOURCES


def test_an_explanation_names_the_reservation_and_its_end() -> None:
    told = explain(shown(job(1, limit=120.0, user="bob")), 0.0, 1)
    assert told.reason == (
        "nodes that would do are reserved (disks), or will be before it ends; "
        "they are open to it in 2m 30s; it should start in 2m 30s"
    )
    assert told.blockers == ["disks"]


def test_an_engine_looks_again_when_a_window_opens_or_closes() -> None:
    engine = Engine()
    engine.apply(whole(shown(job(1, limit=120.0, user="bob"), nodes=1)))
    assert engine.plan(0.0).wake == 100.0
    assert engine.plan(100.0).wake == 150.0
    assert where(engine.plan(150.0)) == [(1, "n1")]


def test_nothing_is_started_that_would_be_there_in_a_window() -> None:
    chance = Random(7)
    starts = waits = 0
    for _ in range(80):
        names = [f"n{at + 1}" for at in range(4)]
        some = tuple(
            Reservation(
                str(at),
                tuple(chance.sample(names, chance.randint(1, 3))),
                chance.uniform(0, 200),
                chance.uniform(1, 100),
                users=chance.choice([(), (), ("ann",)]),
            )
            for at in range(chance.randint(1, 4))
        )
        jobs = [
            job(
                number,
                tasks=chance.choice([1, 1, 2, 3]),
                limit=chance.choice([5.0, 50.0, 150.0, inf]),
                user=chance.choice(["ann", "bob"]),
            )
            for number in range(8)
        ]
        rules = Rules(reservations=some)
        shot = replace(machine([node(n, cpus=1) for n in names], jobs), rules=rules)
        engine, now = Engine(), chance.uniform(0, 250)
        engine.apply(whole(shot))
        engine.plan(now / 2)
        engine.apply(whole(shot))
        found = engine.plan(now)
        assert found == planned(shot, now)
        for line in found.lines:
            assert isinstance(line, Start)
            starts += 1
            mine = jobs[line.job]
            for each in some:
                if mine.user in each.users or each.start + each.duration <= now:
                    continue
                assert all(
                    p.node not in each.nodes or now + mine.duration <= each.start
                    for p in line.placements
                )
        waits += sum(wait.rule is Rule.RESERVED for wait in found.waits.values())
    assert min(starts, waits) > 100
