"""Arrays whose elements wait for those of another array, one by one."""

from typing import Any

import pytest

from ostler.core import ties
from ostler.core.entry import Entry
from ostler.core.events import SubmittedAll
from ostler.core.explain import explain
from ostler.core.load import load
from ostler.core.violations import violations
from ostler.model.errors import Missing, NotNow, Refused, UsageError
from ostler.model.ids import parse_ref
from ostler.model.job import Element, JobSpec, Link
from ostler.model.ranges import without
from ostler.model.record import EndedElement, Loaded
from ostler.model.states import JobState, Result
from tests.unit.core_kit import ANN, Box, after, saved


def pair(box: Box, count: int = 4, **named: Any) -> tuple[int, int]:
    """Submit an array and one that follows it element by element."""
    first = box.submit(array=((0, count - 1),))
    return first, box.submit(array=((0, count - 1),), after=after(first, kind="each"), **named)


def live(box: Box, job: int) -> set[int]:
    return set(box.machine.state.jobs[job].live)


def sound(box: Box) -> bool:
    return list(violations(box.machine.state)) == []


def result(box: Box, job: int, index: int) -> str | None:
    s = box.machine.state
    return (s.jobs.get(job) or s.recent[job]).result_of(index)


@pytest.mark.parametrize(
    ("spans", "others", "left"),
    [
        ([(0, 9)], [], [(0, 9)]),
        ([(0, 9)], [(0, 9)], []),
        ([(0, 9)], [(3, 4), (7, 20)], [(0, 2), (5, 6)]),
        ([(0, 2), (5, 6), (8, 8)], [(2, 5), (8, 9)], [(0, 1), (6, 6)]),
        ([(5, 6)], [(0, 1), (6, 6)], [(5, 5)]),
    ],
)
def test_ranges_without_others(
    spans: list[tuple[int, int]], others: list[tuple[int, int]], left: list[tuple[int, int]]
) -> None:
    assert without(spans, others) == left


def test_an_element_starts_when_its_own_has_succeeded() -> None:
    box = Box(cpus=2)
    first, second = pair(box)
    assert (box.state(second), box.rule(second)) == ("pending", "dependency")
    box.finish(first, 0)
    assert sound(box)
    entry = box.machine.state.jobs[second]
    assert [list(entry.waiting), list(entry.barred)] == [[0], [1, 2, 3]]
    for index in (1, 2, 3):
        box.finish(first, index)
    assert box.state(first) == "success"
    assert live(box, second) >= {0, 1}
    for index in range(4):
        box.finish(second, index)
    assert box.state(second) == "success"
    assert sound(box)


def test_an_element_ends_when_its_own_has_not_succeeded_and_the_others_go_on() -> None:
    box = Box(cpus=4)
    first, second = pair(box)
    third = box.submit(array=((0, 3),), after=after(second, kind="each"))
    box.finish(first, 1, code=3)
    assert [result(box, job, 1) for job in (first, second, third)] == [
        "failed",
        "dependency",
        "dependency",
    ]
    rows = [write for write in saved(box.done) if isinstance(write, Element)]
    reasons = [row.reason for row in rows if row.result is Result.DEPENDENCY]
    assert reasons == [
        f"element {first}_1 ended as failed, and was to succeed first",
        f"element {second}_1 ended as dependency, and was to succeed first",
    ]
    for index in (0, 2, 3):
        box.finish(first, index)
    for index in (0, 2, 3):
        box.finish(second, index)
    assert box.state(second) == "dependency"
    assert box.machine.state.recent[second].job.reason == (
        "1 of 4 elements did not succeed: 1 dependency"
    )
    assert live(box, third) == {0, 2, 3}
    assert sound(box)


def test_explain_names_the_element_that_is_waited_for() -> None:
    box = Box(cpus=2)
    first, second = pair(box)
    told = explain(box.machine.state, box.now, parse_ref(f"{second}_3"))
    assert (told["rule"], told["blockers"]) == ("dependency", [f"{first}_3"])
    assert told["reason"] == f"it waits for element {first}_3 (pending) to succeed"
    told = explain(box.machine.state, box.now, parse_ref(str(second)))
    assert told["reason"] == (
        f"4 elements of it wait one by one for those of job {first} to succeed"
    )
    assert told["blockers"] == [str(first)]


def test_two_arrays_must_both_have_come_so_far() -> None:
    box = Box(cpus=8)
    one, two = box.submit(array=((0, 1),)), box.submit(array=((0, 1),))
    job = box.submit(array=((0, 1),), after=after(one, two, kind="each"))
    box.finish(one, 0)
    box.finish(two, 1)
    assert not live(box, job)
    told = explain(box.machine.state, box.now, parse_ref(f"{job}_0"))
    assert told["blockers"] == [f"{two}_0"]
    box.finish(two, 0)
    assert live(box, job) == {0}


def test_elements_that_are_not_the_same_are_refused_with_both() -> None:
    box = Box()
    first = box.submit(array=((0, 9),))
    with pytest.raises(UsageError, match=r"8 elements \(0-7\), and job 1, .* 10 elements \(0-9\)"):
        box.submit(array=((0, 7),), after=after(first, kind="each"))
    with pytest.raises(UsageError, match="those of job 1, and it is no array"):
        box.submit(after=after(first, kind="each"))
    single = box.submit()
    with pytest.raises(UsageError, match="those of job 2, and job 2 is no array"):
        box.submit(array=((0, 7),), after=after(single, kind="each"))
    with pytest.raises(Missing, match="no job 9"):
        box.submit(array=((0, 7),), after=after(9, kind="each"))
    specs = tuple(JobSpec(argv=(b"x",), name=n, array=((0, ord(n) - 96),)) for n in "ab")
    with pytest.raises(UsageError, match=r"'b': it has 3 elements \(0-2\), and job 'a', which"):
        box.ask(SubmittedAll, ANN, "all", specs, ((), (Link(0, "each"),)), {})


def test_both_may_be_of_one_submission_in_any_order() -> None:
    box = Box(cpus=4)
    specs = tuple(JobSpec(argv=(b"x",), name=n, array=((0, 1),)) for n in "ab")
    box.ask(SubmittedAll, ANN, "all", specs, ((Link(1, "each"),), ()), {})
    assert [live(box, job) for job in (1, 2)] == [set(), {0, 1}]
    box.finish(2, 1)
    assert live(box, 1) == {1}
    assert sound(box)


def test_one_that_had_ended_counts_as_it_ended() -> None:
    box = Box(cpus=4)
    first = box.submit(array=((0, 2),))
    for index in range(3):
        box.finish(first, index, code=index % 2)
    second = box.submit(array=((0, 2),), after=after(first, kind="each"))
    assert live(box, second) == {0, 2}
    assert result(box, second, 1) == "dependency"
    bad = box.submit(array=((0, 0),))
    box.finish(bad, 0, code=1)
    with pytest.raises(Refused, match="no element of job 3 succeeded"):
        box.submit(array=((0, 0),), after=after(bad, kind="each"))
    del box.machine.state.recent[first]
    with pytest.raises(NotNow, match="not at hand"):
        box.submit(array=((0, 2),), after=after(first, kind="each"))


def test_cancelling_elements_ends_those_that_wait_for_them() -> None:
    box = Box(cpus=1)
    first, second = pair(box)
    box.act("cancel", f"{first}_3")
    assert result(box, second, 3) == "dependency"
    box.act("cancel", f"{second}_2")
    assert result(box, second, 2) == "cancelled"
    assert sound(box)
    box.act("cancel", str(second))
    assert box.state(second) == "cancelled"
    assert sound(box)


def test_held_elements_wait_for_their_own_after_their_release() -> None:
    box = Box(cpus=4)
    first, second = pair(box)
    box.act("hold", f"{second}_[0-1]")
    assert sound(box)
    box.finish(first, 0)
    assert not live(box, second)
    box.act("release", f"{second}_[0-1]")
    assert live(box, second) == {0}
    assert list(box.machine.state.jobs[second].barred) == [1, 2, 3]
    box.act("hold", str(second))
    box.finish(first, 1)
    assert live(box, second) == {0}
    box.act("release", str(second))
    assert live(box, second) == {0, 1}
    assert sound(box)


def test_what_runs_again_is_waited_for_again() -> None:
    box = Box(cpus=4)
    first, second = pair(box)
    box.drain("n1")
    box.finish(first, 0)
    assert list(box.machine.state.jobs[second].waiting) == [0]
    box.act("requeue", f"{first}_0")
    assert list(box.machine.state.jobs[second].waiting) == []
    assert list(box.machine.state.jobs[second].barred) == [0, 1, 2, 3]
    assert sound(box)


def test_what_could_not_start_is_not_run_again_before_its_own() -> None:
    box = Box(cpus=4)
    first, second = pair(box, 2)
    box.finish(first, 0, code=1)
    box.finish(first, 1)
    box.finish(second, 1)
    assert box.state(second) == "dependency"
    rows = box.act("requeue", str(second), failed=True)
    assert (rows[0]["ok"], "can run again now" in rows[0]["message"]) == (False, True)
    box.act("requeue", str(first), failed=True)
    rows = box.act("requeue", str(second), failed=True)
    assert rows[0]["ok"]
    assert list(box.machine.state.jobs[second].barred) == [0]
    box.finish(first, 0)
    box.finish(second, 0)
    assert [box.state(job) for job in (first, second)] == ["success", "success"]
    assert sound(box)


def reloaded(box: Box) -> None:
    """Make the machine anew from what was saved, and compare."""
    s = box.machine.state
    rows = {
        (write.job, write.index): write.result
        for write in saved(box.done)
        if isinstance(write, Element) and write.state is JobState.DONE
    }
    done: dict[int, list[EndedElement]] = {}
    for (job, index), result in sorted(rows.items()):
        done.setdefault(job, []).append(EndedElement(index, str(result), 1))
    loaded = Loaded(
        [entry.job for entry in s.jobs.values()],
        [
            e
            for entry in s.jobs.values()
            for e in entry.touched.values()
            if e.index not in entry.live
        ],
        {job: found for job, found in done.items() if job in s.jobs},
        list(s.allocations.values()),
        [node.node for node in s.nodes.values()],
        {},
        {job: str(ended) for job, ended in s.ended.items()},
        s.next_job,
        s.next_allocation,
        s.next_event,
        {
            job: [each.element for each in found if each.result == "success"]
            for job, found in done.items()
            if job in s.ended
        },
    )
    new = load(loaded, 2, box.now)
    assert list(violations(new)) == []
    for job, entry in s.jobs.items():
        assert _seen(new.jobs[job]) == _seen(entry)


def _seen(entry: Entry) -> tuple[object, ...]:
    return (
        entry.waiting.spans,
        entry.barred.spans,
        {result: found.spans for result, found in entry.results.items()},
        {job: found.spans for job, found in entry.tied.items()},
    )


def test_a_restart_changes_nothing() -> None:
    box = Box(cpus=2)
    first, second = pair(box, 6)
    box.submit(array=((0, 5),), after=after(second, kind="each"))
    reloaded(box)
    box.finish(first, 0)
    box.finish(first, 1, code=1)
    reloaded(box)
    box.act("cancel", f"{first}_5")
    box.act("hold", f"{second}_4")
    reloaded(box)
    for index in (2, 3, 4):
        box.finish(first, index)
    assert box.state(first) == "failed"
    reloaded(box)


def test_what_waited_for_elements_that_nobody_needs_can_go_on() -> None:
    box = Box(cpus=2)
    first, second = pair(box, 20)
    box.act("end", str(first))
    entry = box.machine.state.jobs[second]
    assert len(entry.waiting) + len(entry.live) == 20 - len(box.machine.state.jobs[first].live)
    reloaded(box)


def test_a_large_array_ends_without_a_row_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ties, "_ROWS", 3)
    box = Box(cpus=2)
    first, second = pair(box, 20)
    for index in (0, 1):
        box.finish(first, index)
    entry = box.machine.state.jobs[second]
    waits = list(entry.waiting) + list(entry.live)
    rows = len(saved(box.done))
    box.act("cancel", str(first))
    for alloc in list(
        box.machine.state.jobs[first].slots if first in box.machine.state.jobs else ()
    ):
        box.end(alloc, cause="cancelled")
    assert box.state(first) == "cancelled"
    assert sorted(waits) == [0, 1]
    assert len(saved(box.done)) < rows + 30
    assert entry.job.rest == "dependency"
    assert len(entry.results["dependency"]) == 18
    assert sound(box)
    reloaded(box)
    for index in (0, 1):
        box.finish(second, index)
    assert box.state(second) == "dependency"


def test_work_grows_with_the_elements_and_no_faster() -> None:
    """Each element is looked at once, however many others wait."""
    box = Box(cpus=1)
    first, second = pair(box, 100_000)
    other = box.machine.state.jobs[first]
    entry = box.machine.state.jobs[second]
    for index in range(0, 1000, 2):
        other.waiting.discard(index)
        other.ended_as(index, "success", 1)
        assert ties.loosen(box.machine.state, other, entry) == []
    assert len(entry.waiting) == 500
    assert len(entry.tied[first].spans) == 500
