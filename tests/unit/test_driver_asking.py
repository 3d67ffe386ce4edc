"""Nodes that are asked for one by one: how many at a time."""

import threading
import time

from ostler.drivers.asking import Round
from ostler.model.foreign import ForeignNode, NodeState

WORKERS = 50


def test_2_000_nodes_are_asked_for_50_at_a_time_and_never_51() -> None:
    """R-MAU-25: the first calls wait until 50 are under way. How long it takes: `make bench`."""
    lock, full = threading.Lock(), threading.Event()
    under_way = peak = 0

    def ask(name: str) -> ForeignNode:
        nonlocal under_way, peak
        with lock:
            under_way += 1
            peak = max(peak, under_way)
            if under_way == WORKERS:
                full.set()
        full.wait()
        with lock:
            under_way -= 1
        return ForeignNode(name, NodeState.UP)

    names = [f"n{n}" for n in range(2_000)]
    asked = Round(ask, names, 60.0)
    nodes = asked.run(WORKERS, time.monotonic() + 60.0)
    assert [(node.name, node.state) for node in nodes] == [(n, NodeState.UP) for n in names]
    assert (asked.spent.count, asked.spent.late) == (2_000, 0)
    assert peak == WORKERS


def test_calls_that_fail_or_are_under_way_when_time_is_up_are_counted() -> None:
    release = threading.Event()

    def ask(name: str) -> ForeignNode:
        if name == "hangs":
            release.wait()
        if name == "raises":
            raise RuntimeError(name)
        return ForeignNode("good", NodeState.UP)

    asked = Round(ask, ["raises", "other", "good"], 60.0)
    states = [node.state for node in asked.run(3, time.monotonic() + 60.0)]
    assert states == [NodeState.UNKNOWN, NodeState.UNKNOWN, NodeState.UP]
    assert (asked.spent.count, asked.spent.failed, asked.spent.late) == (3, 2, 0)

    asked = Round(ask, ["hangs"], 60.0)
    [node] = asked.run(1, time.monotonic() + 0.5)
    release.set()
    assert node.reason == "did not answer in 60 s"
    assert asked.spent.late == 1
