"""Which nodes are looked at when, and what is made of it: a table of looks, and counted ones."""

from collections import Counter
from itertools import pairwise

import pytest

from ostler.core.watch import AT_ONCE, LOSSES, Finding, Known, Watch, difference, losses
from ostler.model.sight import NO_AGENT, NOBODY, Alive, Seen
from ostler.model.states import NodeStatus

UP = NodeStatus.RUNNING
WELL = Alive("n1", "b1", "first", 7, connected=True)
KNOWN = Known(UP, "b1", "first", 7)


def seen(alive: Alive = WELL) -> Seen:
    return Seen(reached=True, alive=alive)


class Looks:
    """A watch and its clock; each look is answered after `takes` seconds as `what` says."""

    def __init__(self, interval: float, nodes: int = 1) -> None:
        self.watch = Watch(interval)
        self.now = 1000.0
        self.names = [f"n{i}" for i in range(1, nodes + 1)]
        self.status = dict.fromkeys(self.names, UP)
        self.what = {
            name: seen(Alive(name, "b1", "first", 7, connected=True)) for name in self.names
        }
        self.at: dict[str, list[float]] = {name: [] for name in self.names}  # when each was begun
        self.found: list[tuple[float, str, Finding]] = []  # that change the record
        self.under_way: list[tuple[float, str]] = []  # ends of looks
        self.greeted = self.heard = float("-inf")
        for name in self.names:
            self.watch.add(name, self.now)

    def run(self, seconds: float) -> None:
        """Let time pass; who does not answer takes all the patience there is."""
        end = self.now + seconds
        while True:
            due = [
                t for t in (self.watch.next_due(), *(t for t, _ in self.under_way)) if t is not None
            ]
            if not due or min(due) > end:
                break
            self.now = max(self.now, min(due))
            for name in self.watch.due(self.now):
                self.at[name].append(self.now)
                takes = 0.0 if self.what[name].alive else self.watch.patience
                self.under_way.append((self.now + takes, name))
            for at, name in [one for one in self.under_way if one[0] <= self.now]:
                self.under_way.remove((at, name))
                self.answer(name)
        self.now = end

    def answer(self, name: str) -> Finding | None:
        known = Known(self.status[name], "b1", "first", 7, self.greeted, self.heard)
        found = self.watch.answered(name, self.now, self.what[name], known)
        if found is not None and (found.status is not self.status[name] or found.differs):
            self.found.append((self.now, name, found))
            self.status[name] = found.status
        return found

    def steps(self, name: str = "n1") -> list[float]:
        times = self.at[name]
        return [round(b - a, 3) for a, b in pairwise(times)]


def test_each_node_is_looked_at_once_an_interval_and_all_are_spread_over_it() -> None:
    looks = Looks(60.0, nodes=5000)
    looks.run(600.0)
    assert {len(times) for times in looks.at.values()} == {10}
    assert set(looks.steps()) == {60.0}
    a_second = Counter(int(t) for times in looks.at.values() for t in times)
    assert max(a_second.values()) < 2 * 5000 / 60
    assert not looks.found


def test_an_interval_that_is_changed_is_obeyed_from_the_next_look_on() -> None:
    """R-RMS-9 and 10: from 5 to 1 to 60 seconds, seen by counting looks."""
    looks = Looks(5.0)
    looks.run(50.0)
    looks.watch.change_interval(1.0, looks.now)
    looks.run(20.0)
    looks.watch.change_interval(60.0, looks.now)
    looks.run(240.0)
    steps = Counter(looks.steps())
    assert steps[5.0] >= 9
    assert steps[1.0] >= 18
    assert steps[60.0] >= 3
    assert sum(steps.values()) - steps[5.0] - steps[1.0] - steps[60.0] <= 1  # between two of them


@pytest.mark.parametrize("interval", [1.0, 5.0, 60.0])
@pytest.mark.parametrize("what", [NOBODY, NO_AGENT])
def test_a_dead_node_among_many_is_found_within_two_intervals(interval: float, what: Seen) -> None:
    looks = Looks(interval, nodes=200)
    looks.run(3 * interval)
    died = looks.now
    looks.what["n7"] = what
    looks.run(2 * interval)
    [(at, name, finding)] = looks.found
    assert (name, finding.status is UP) == ("n7", False)
    assert at - died <= 2 * interval


def test_a_connection_that_ends_brings_the_look_forward() -> None:
    looks = Looks(60.0)
    looks.run(61.0)
    looks.what["n1"] = NO_AGENT
    looks.watch.hurry("n1", looks.now)
    looks.run(looks.watch.patience)
    assert [found.status for _, _, found in looks.found] == [NodeStatus.NO_AGENT]


def test_what_was_found_before_a_greeting_is_not_believed() -> None:
    looks = Looks(60.0)
    looks.run(60.0)
    looks.what["n1"] = NO_AGENT
    looks.watch.hurry("n1", looks.now)
    assert looks.watch.due(looks.now) == ["n1"]
    looks.now += 0.1
    looks.greeted = looks.now  # meanwhile
    assert looks.answer("n1") is None
    assert looks.watch.next_due() == looks.now  # and it is looked at again at once


def test_one_look_may_be_slow_while_heartbeats_come_and_a_second_may_not() -> None:
    looks = Looks(1.0)
    looks.run(1.0)
    looks.what["n1"], looks.heard = NO_AGENT, float("inf")
    looks.run(2.0)
    assert not looks.found
    looks.run(1.0)
    assert [found.status for _, _, found in looks.found] == [NodeStatus.NO_AGENT]


def test_a_node_that_comes_and_goes_is_restless_and_steady_again_after_a_pause() -> None:
    looks = Looks(1.0)
    told: list[int] = []
    for _ in range(LOSSES):
        for what in (NO_AGENT, seen()):
            looks.what["n1"] = what
            looks.watch.hurry("n1", looks.now)
            assert looks.watch.due(looks.now) == ["n1"]
            finding = looks.answer("n1")
            assert finding is not None
            told.append(finding.restless)
    assert told == [0] * (2 * LOSSES - 2) + [LOSSES] * 2
    assert [found.status for _, _, found in looks.found] == [NodeStatus.NO_AGENT, UP] * LOSSES
    looks.run(0.9)
    assert looks.watch.next_due() == pytest.approx(looks.now + 0.1)
    looks.now += 0.1
    looks.watch.due(looks.now)
    finding = looks.answer("n1")
    assert finding is not None
    assert finding.restless == 0


def test_losses_of_before_are_recalled_and_count_from_the_last_of_them() -> None:
    watch = Watch(10.0)
    watch.recall("calm", [880.0, 985.0, 990.0, 995.0], 1000.0)  # the first is too long ago
    watch.recall("over", [905.0, 906.0, 907.0, 908.0], 1000.0)
    watch.recall("n1", [965.0, 975.0, 985.0, 995.0], 1000.0)
    assert watch.due(1000.0) == ["n1"]  # whoever is restless is looked at first
    finding = watch.answered("n1", 1000.0, seen(), KNOWN)
    assert finding is not None
    assert finding.restless == LOSSES
    assert watch.next_due() is not None
    later = max(1005.0, watch.next_due() or 0.0)
    found = {
        name: watch.answered(name, later + 10, seen(), KNOWN) for name in watch.due(later + 10)
    }
    assert {name: each.restless for name, each in found.items() if each} == dict.fromkeys(found, 0)
    assert set(found) == {"calm", "over", "n1"}


def test_a_machine_that_is_stopped_loses_no_node_by_that() -> None:
    said = [
        ("node/status", "n1", "no_agent -> running"),
        ("node/status", "n1", "running -> no_agent"),  # lost
        ("node/status", "n1", "no_agent -> running"),
        ("machine/stopping", None, "root stops it (refuse)"),
        ("node/status", "n1", "running -> no_agent"),
        ("node/status", "n1", "no_agent -> running"),
        ("node/status", "n2", "running -> no_agent"),  # seen by the next manager only
        ("node/status", "n2", "no_agent -> running"),
        ("node/status", "n2", "running -> down"),  # lost
        ("job/ended", None, "it succeeded"),
    ]
    events = [
        {"serial": n, "at": float(n), "kind": kind, "node": node, "text": text}
        for n, (kind, node, text) in enumerate(said)
    ]
    assert losses(reversed(events)) == {"n1": [1.0], "n2": [8.0]}


def test_a_loss_that_cannot_be_written_down_is_one_loss() -> None:
    looks = Looks(1.0)
    looks.what["n1"] = NOBODY
    for _ in range(3 * LOSSES):
        looks.run(2.0)
        looks.status["n1"] = UP  # as the record goes on to say
    assert {found.restless for _, _, found in looks.found} == {0}
    for _ in range(LOSSES):
        looks.greeted, looks.status["n1"] = looks.now, UP  # it was back, and is lost again
        looks.run(2.1)
    assert looks.found[-1][2].restless == LOSSES


def test_a_slow_start_is_no_loss() -> None:
    looks = Looks(1.0)
    looks.status["n1"] = NodeStatus.UNREACHABLE
    for what in (NOBODY, NOBODY, NO_AGENT, NO_AGENT, NO_AGENT, seen()):
        looks.what["n1"] = what
        looks.run(2.0)
    assert [found.status for _, _, found in looks.found] == [NodeStatus.NO_AGENT, UP]
    assert {found.restless for _, _, found in looks.found} == {0}


@pytest.mark.parametrize(
    ("what", "known", "text"),
    [
        (seen(), KNOWN, ""),
        (NOBODY, KNOWN, ""),
        (NO_AGENT, Known(UP, heard=5.0), "says that it works, and from outside it does not answer"),
        (NOBODY, Known(UP, heard=5.0), "and from outside it cannot be reached"),
        (seen(Alive("n2", "b1", "first", 7)), KNOWN, "it answers as n2"),
        (seen(Alive("n1", "b2", "first", 7)), KNOWN, "its boot is b2, and greeted with b1"),
        (seen(Alive("n1", "b1", "first", 9)), KNOWN, "epoch 9, and this manager's is 7"),
        (seen(), Known(UP, "b1", "", 7), "connected to a manager, and is not to this one"),
        (seen(Alive("n1", "b1", "first", 7)), KNOWN, "no manager has taken it in"),
        (seen(Alive("n1", "b1", "second", 7, connected=True)), KNOWN, "another agent answers"),
    ],
)
def test_what_an_agent_says_is_held_against_what_is_seen(
    what: Seen, known: Known, text: str
) -> None:
    found = difference("n1", what, known, 4.0)
    assert (text in found) if text else not found


def test_a_difference_is_told_when_two_looks_have_found_it_and_once() -> None:
    looks = Looks(1.0)
    looks.what["n1"] = seen(Alive("n2", "b1", "first", 7))
    looks.run(60.0)
    assert len(looks.at["n1"]) == 60
    assert [found.differs for _, _, found in looks.found] == ["it answers as n2"]


def test_no_more_looks_are_under_way_than_descriptors_are_allowed_for() -> None:
    looks = Looks(1.0, nodes=2 * AT_ONCE)
    begun = looks.watch.due(looks.now + 2.0)
    assert len(begun) == AT_ONCE
    assert looks.watch.next_due() is None
    looks.answer(begun[0])
    assert looks.watch.next_due() is not None


def test_nodes_that_are_due_together_can_be_looked_at_some_at_a_time() -> None:
    looks = Looks(1.0, nodes=5)
    rounds = [looks.watch.due(looks.now + 2.0, most=2) for _ in range(4)]
    assert [len(names) for names in rounds] == [2, 2, 1, 0]
    assert len({name for names in rounds for name in names}) == 5


def test_a_look_that_could_not_be_made_changes_nothing() -> None:
    looks = Looks(1.0)
    begun = looks.watch.due(looks.now + 1.0)
    assert looks.watch.answered(begun[0], looks.now + 1.0, None, KNOWN) is None
    assert looks.watch.next_due() is not None
