"""The pace of a foreign resource manager, in virtual time."""

import heapq
import random
from collections.abc import Callable, Sequence

import pytest

from ostler.core.foreign.pace import NEVER, Backoff, Pace, Timing

Told = list[tuple[str, float]]


def play(
    pace: Pace,
    until: float,
    takes: Callable[[], float],
    events: Sequence[tuple[float, bool]] = (),
) -> Told:
    """Live by the pace; return when loads began and were complete, and when they were taken in.

    takes: seconds for the next load. events: when something happens, and whether what is loaded by
    then shows it.
    """
    told: Told = []
    coming: list[tuple[float, int, str]] = [
        (at, number, "seen" if seen else "news") for number, (at, seen) in enumerate(events)
    ]
    heapq.heapify(coming)
    now = 0.0
    while True:
        now = min(max(pace.due, now), coming[0][0] if coming else NEVER)
        if now > until:
            return told
        if coming and now == coming[0][0]:
            _, _, what = heapq.heappop(coming)
            if what == "complete":
                pace.loaded(now)
                told.append((what, now))
            else:
                pace.happened(seen=what == "seen")
        elif now >= pace.iterate_at:
            pace.iterated(now)
            told.append(("iteration", now))
        elif now >= pace.launch_at:
            pace.launched(now)
            told.append(("launch", now))
            heapq.heappush(coming, (now + takes(), 1_000, "complete"))


def times(told: Told, what: str) -> list[float]:
    return [at for name, at in told if name == what]


def test_a_load_completes_just_before_it_is_due() -> None:
    """R-MAU-27."""
    chance = random.Random(27)
    told = play(Pace(30.0, 0.0), 100 * 30.0 + 1, lambda: chance.uniform(7.5, 8.5))
    launches, complete, iterations = (times(told, w) for w in ("launch", "complete", "iteration"))
    assert len(iterations) == 100
    ahead = [done - began for began, done in zip(launches, iterations, strict=False)]
    assert all(9.0 <= seconds <= 12.0 for seconds in ahead[4:])
    in_time = sum(loaded <= done - 0.5 for loaded, done in zip(complete, iterations, strict=False))
    assert in_time >= 95


def test_a_load_that_takes_longer_from_now_on_is_launched_earlier_within_a_few_iterations() -> None:
    taken = iter([3.0] * 20 + [12.0] * 1_000)
    told = play(Pace(30.0, 0.0), 40 * 30.0, lambda: next(taken))
    late = [
        at
        for at, loaded in zip(times(told, "iteration"), times(told, "complete"), strict=False)
        if loaded == at  # it was waited for
    ]
    assert 1 <= len(late) <= 3
    assert 600.0 < late[0] <= late[-1] < 720.0


@pytest.mark.parametrize(("event", "iteration"), [(1.0, 4.0), (None, 30.0), (10.0, 10.0)])
def test_an_iteration_begins_when_all_is_loaded_and_something_happened_or_the_time_has_come(
    event: float | None, iteration: float
) -> None:
    """R-MAU-28."""
    events = [] if event is None else [(event, True)]
    told = play(Pace(30.0, 0.0), 30.0, lambda: 4.0, events)
    assert times(told, "iteration")[0] == iteration


def test_what_a_load_cannot_show_yet_is_asked_for_anew() -> None:
    told = play(Pace(30.0, 0.0), 20.0, lambda: 2.0, [(5.0, False)])
    assert told == [
        *[("launch", 0.0), ("complete", 2.0)],
        *[("launch", 5.0), ("complete", 7.0), ("iteration", 7.0)],
    ]


def test_news_without_end_neither_hold_iterations_up_nor_bring_load_upon_load() -> None:
    events = [(0.1 * number, False) for number in range(600)]
    told = play(Pace(30.0, 0.0), 60.0, lambda: 2.0, events)
    assert len(times(told, "iteration")) == len(times(told, "complete")) == 15
    launches, complete = times(told, "launch"), times(told, "complete")
    assert all(began >= over + 2.0 for began, over in zip(launches[1:], complete, strict=False))


def test_events_in_one_load_are_one_iteration_and_none_of_them_is_lost() -> None:
    events = [(1.0, True), (1.5, True), (2.5, False)]
    told = play(Pace(30.0, 0.0), 20.0, lambda: 3.0, events)
    assert times(told, "iteration") == [3.0, 9.0]  # the second for what the first did not show


def test_a_resource_manager_that_fails_is_asked_again_after_the_pause() -> None:
    pace = Pace(30.0, 0.0)
    pace.launched(0.0)
    pace.failed(10.0, 4.0)
    assert (pace.launch_at, pace.iterate_at) == (14.0, NEVER)


def test_pauses_double_up_to_a_minute_and_begin_anew_after_calm() -> None:
    """R-MAU-23, the part that is counted."""
    backoff, now = Backoff(), 0.0
    pauses = []
    for _ in range(8):
        pauses.append(backoff.lost(now))
        now += pauses[-1] + 30.0  # it lives for so long
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    assert backoff.lost(now + 120.0) == 1


def test_timings_of_one_kind_of_call() -> None:
    timing = Timing()
    timing.took(2.0)
    timing.took(4.0)
    timing.took_together(100, 10.0, 0.5)
    row = timing.row()
    assert (row["count"], row["total"], row["max"], row["last"]) == (102, 16.0, 4.0, 0.1)
    assert 0.1 < row["average"] < 2.25


def test_while_a_load_is_taken_in_no_other_is_launched_and_then_there_is_time_for_plans() -> None:
    pace = Pace(30.0, 0.0)
    pace.launched(0.0)
    pace.loaded(1.0)
    pace.happened()
    pace.iterated(1.0)
    pace.takes()
    pace.happened(seen=False)
    assert pace.due == NEVER
    pace.taken(5.0)
    assert pace.launch_at == 9.0
    pace.launched(9.0)
    pace.loaded(10.0)
    pace.taken(10.0)  # of one that took a single turn nobody tells
    assert pace.iterate_at <= 10.0
