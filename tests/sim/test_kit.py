"""The kit itself: its page runs as it stands, its net loses as told, and its judge sees."""

import doctest
import re
from functools import partial
from importlib import import_module
from pathlib import Path
from random import Random

import pytest
from msgspec.structs import replace

from ostler.core.violations import violations
from ostler.model.job import Element
from ostler.model.states import JobState
from ostler.testing import Broken, FakeNet, SimCluster, VirtualClock
from ostler.testing.clock import Process

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "simulate.md"


def test_the_page_on_the_kit_runs_as_it_stands() -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), {})


@pytest.mark.parametrize("module", ["clock", "cluster", "play", "tasks"])
def test_the_examples_of_its_modules_are_true(module: str) -> None:
    failed, tried = doctest.testmod(import_module(f"ostler.testing.{module}"))
    assert (failed, bool(tried)) == (0, True)


class Pair:
    """Two ends of a connection, and what each has heard."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.net = FakeNet(self.clock, Random(1))
        ends = self.net.connect("a", "b")
        assert ends is not None
        self.a, self.b = ends
        self.heard: dict[str, list[object]] = {"a": [], "b": []}
        for end in ends:
            end.on_frame = self.heard[end.name].append
            end.on_close = partial(self.heard[end.name].append, "over")

    def run(self) -> None:
        while self.clock.step():
            pass


def test_frames_of_a_connection_arrive_in_order_and_then_its_end() -> None:
    pair = Pair()
    for number in range(20):
        pair.a.send(number)
    pair.a.close()
    pair.run()
    assert pair.heard["b"] == [*range(20), "over"]


def test_a_frame_lost_in_a_cut_breaks_the_connection_for_both_even_when_it_heals() -> None:
    pair = Pair()
    pair.net.cut("a", "b")
    pair.a.send("lost")
    pair.clock.after(1.0, lambda: pair.net.heal("a", "b"))
    pair.clock.after(1.1, lambda: pair.a.send("lost too"))
    pair.run()
    assert pair.heard == {"a": ["over"], "b": ["over"]}
    assert pair.net.connect("a", "b") is not None


def test_a_cut_that_nothing_met_is_not_noticed() -> None:
    pair = Pair()
    pair.net.cut("a", "b")
    assert pair.net.connect("a", "b") is None
    pair.clock.after(1.0, lambda: pair.net.heal("a", "b"))
    pair.clock.after(2.0, lambda: pair.a.send("here"))
    pair.run()
    assert pair.heard == {"a": [], "b": ["here"]}


def test_a_reset_ends_both_sides_and_what_still_came_is_a_beginning() -> None:
    pair = Pair()
    for number in range(20):
        pair.a.send(number)
    pair.clock.after(0.002, lambda: pair.net.reset("a", "b"))
    pair.run()
    *came, last = pair.heard["b"]
    assert last == "over"
    assert came == list(range(len(came)))


def sim() -> SimCluster:
    made = SimCluster(1, nodes=1)
    job = made.submit(seconds=600, cpus=2)
    made.run_until(lambda: made.started(job) and made.quiet())
    return made


def test_the_judge_sees_a_cpu_in_two_allocations() -> None:
    made = sim()
    node = made.core.nodes["n01"]
    node.books.cpus = {0, 1, 2, 3}
    made.core.marks.nodes.add("n01")
    with pytest.raises(Broken, match="CPU 0 of n01 is in 2 allocations"):
        made.submit(cpus=3)


def test_the_judge_sees_tasks_that_run_on_cpus_of_others() -> None:
    made = sim()
    (run,) = made.ledger.active["n01"]
    other = replace(run.launch, alloc=99, job=99)
    with pytest.raises(Broken, match="CPU 0 of n01 runs allocations 1 and 99 at once"):
        made.ledger.begin("n01", other, 0, 1, made.now)


def test_the_judge_sees_an_element_run_twice() -> None:
    made = sim()
    (run,) = made.ledger.active["n01"]
    place = replace(run.launch.placement, node="n02")
    with pytest.raises(Broken, match="starts on n02 while it runs on n01"):
        made.ledger.begin("n02", replace(run.launch, placement=place), 0, 2, made.now)


def test_the_judge_sees_memory_that_the_database_does_not_have() -> None:
    made = sim()
    made.core.settings["grace-period"] = "1"
    with pytest.raises(Broken, match="settings"):
        made.settle()


def test_the_judge_sees_what_runs_and_nobody_knows() -> None:
    made = sim()
    assert not list(violations(made.core))
    with pytest.raises(Broken, match="still runs on n01, and nobody knows"):
        made.judge.finish(made.core)


def test_the_judge_sees_one_request_become_two_jobs() -> None:
    made = sim()
    spec = made.ledger.promised[1]
    with pytest.raises(Broken, match="became jobs"):
        made.ledger.promise(1001, "request-1", 2, spec)


def slot() -> SimCluster:
    """Return a machine with a slot that runs element 0, and has others behind it."""
    made = SimCluster(1, nodes=1, cpus=2)
    job = made.submit(array=((0, 9),), array_cap=1, seconds=600)
    made.run_until(lambda: made.started(job) and made.quiet())
    return made


def test_the_judge_sees_an_element_that_starts_in_a_slot_that_does_not_have_it() -> None:
    made = slot()
    (run,) = made.ledger.active["n01"]
    made.ledger.end(run, made.now, succeeded=True)
    with pytest.raises(Broken, match="element 1_9 starts in slot 1, which does not have it"):
        made.ledger.begin("n01", run.launch, 9, 1, made.now)


def test_the_judge_sees_two_elements_of_one_slot_at_once() -> None:
    made = slot()
    (run,) = made.ledger.active["n01"]
    with pytest.raises(Broken, match="CPU 0 of n01 runs allocations 1 and 1 at once"):
        made.ledger.begin("n01", run.launch, 1, 1, made.now)


def test_the_judge_sees_more_elements_at_once_than_the_cap() -> None:
    made = slot()
    (run,) = made.ledger.active["n01"]
    place = replace(run.launch.placement, cpus=(1,))
    with pytest.raises(Broken, match="job 1 runs 2 elements at once, and may 1"):
        made.ledger.begin("n01", replace(run.launch, placement=place), 1, 1, made.now)


def test_the_judge_sees_an_element_that_starts_although_it_has_ended() -> None:
    made = slot()
    (run,) = made.ledger.active["n01"]
    made.ledger.end(run, made.now, succeeded=True)
    made.ledger.committed([Element(1, 1, JobState.DONE)])
    with pytest.raises(Broken, match="element 1_1 starts on n01, and has ended"):
        made.ledger.begin("n01", run.launch, 1, 1, made.now)


def test_what_a_frozen_process_missed_happens_in_order_with_what_follows_from_it() -> None:
    process = Process(VirtualClock())
    said: list[str] = []

    def first() -> None:
        process.call(lambda: said.append("third"))
        said.append("first")

    process.freeze()
    process.call(first)
    process.call(lambda: said.append("second"))
    process.thaw()
    assert said == ["first", "second", "third"]
