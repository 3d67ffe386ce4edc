"""Allocations that get more nodes, or give some back, while steps run in them: R-MAU-17."""

from typing import Any

import pytest

from ostler.core.events import Modified
from ostler.core.explain import explain
from ostler.core.violations import violations
from ostler.model.errors import NotNow, OstlerError
from ostler.model.ids import Ref
from ostler.model.record import Accounting
from ostler.model.resources import Request
from tests.unit.core_kit import ANN, BOB, saved
from tests.unit.test_core_steps import Held

FOUR = ("n1", "n2", "n3", "n4")


class Sized(Held):
    """Four nodes of four CPUs, and an allocation of two tasks on each of the first two."""

    def __init__(self, **named: Any) -> None:
        super().__init__(nodes=FOUR, request=Request(tasks=4, cpus=2, nodes=2, **named))

    def resize(self, nodes: int) -> None:
        self.ask(Modified, ANN, Ref(self.job), {"nodes": nodes})
        assert list(violations(self.machine.state)) == []

    @property
    def nodes(self) -> list[str]:
        """Return the nodes that it holds."""
        return sorted(self.machine.state.allocations[self.alloc(self.job)].nodes)

    @property
    def free(self) -> dict[str, int]:
        """Return how many CPUs of each node are free."""
        return {name: len(node.books.cpus) for name, node in self.machine.state.nodes.items()}

    def accounts(self) -> list[tuple[str, str, int, float]]:
        """Return what was accounted: nodes, how it ended, CPUs, and for how long."""
        rows = [
            row for row in saved(self.done) if isinstance(row, Accounting) and row.job == self.job
        ]
        return [(r.nodes, r.result, r.cpus, r.ended_at - r.granted_at) for r in rows]


def test_it_has_four_nodes_after_one_pass_and_one_notice_and_gives_three_back_r_mau_17() -> None:
    box = Sized()
    box.later(10)
    box.resize(4)
    assert (box.nodes, box.free) == ([*FOUR], dict.fromkeys(FOUR, 0))
    assert box.events().count("job/resized") == 1
    assert box.state(box.job) == "running"
    wide = box.step(tasks=4, cpus=4)
    assert box.how(wide) == "starting"
    for node in FOUR:
        box.end(box.part(wide), node)
    box.later(10)
    box.resize(1)
    assert (box.nodes, box.free) == (["n1"], {"n1": 0, "n2": 4, "n3": 4, "n4": 4})
    assert box.events().count("job/resized") == 2
    box.later(10)
    box.act("end", str(box.job))
    assert box.free == dict.fromkeys(FOUR, 4)
    assert box.accounts() == [
        ("n1,n2", "resized", 8, 10.0),
        ("n1,n2,n3,n4", "resized", 16, 10.0),
        ("n1", "success", 4, 10.0),
    ]


def test_what_is_not_free_is_waited_for_and_given_up_again() -> None:
    box = Sized()
    other = box.submit(by=BOB, request=Request(cpus=4))
    box.resize(4)
    assert box.nodes == ["n1", "n2"]
    told = explain(box.machine.state, box.now, Ref(box.job))["reason"]
    assert told.endswith("; it waits for 2 more nodes")
    box.start(box.alloc(other), "n3")
    box.end(box.alloc(other), "n3")
    assert box.nodes == [*FOUR]
    box.resize(2)
    box.submit(by=BOB, request=Request(tasks=2, cpus=4))
    box.resize(3)
    box.resize(2)  # no more of it
    assert box.machine.state.jobs[box.job].job.spec.request == Request(tasks=4, cpus=2, nodes=2)
    assert box.nodes == ["n1", "n2"]


def test_nodes_with_steps_stay_and_too_few_are_refused() -> None:
    box = Sized()
    step = box.step(tasks=2, cpus=2, nodelist=("n2",))
    box.resize(1)
    assert box.nodes == ["n2"]
    box.resize(2)
    both = box.step(tasks=1, cpus=2, nodelist=("n1",))
    with pytest.raises(NotNow, match=f"steps run on 2 nodes of job 1 \\({step}, {both}\\)"):
        box.resize(1)


def test_its_time_limit_goes_on_and_the_new_nodes_count_for_limits() -> None:
    box = Held(nodes=FOUR, request=Request(tasks=2, nodes=2), time_limit=100)
    box.later(60)
    box.configure("max-cpus-per-user", "3")
    with pytest.raises(OstlerError, match="it asks for 4 CPUs, and ann may hold 3"):
        box.ask(Modified, ANN, Ref(box.job), {"nodes": 4})
    box.ask(Modified, ANN, Ref(box.job), {"nodes": 3})
    assert box.machine.state.user_cpus == {"ann": 3}
    box.later(41)
    assert box.state(box.job) == "timeout"
