"""The queue of a slot: an element is in one place, however often it is fed, told or taken back."""

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ostler.core.line import Line, spans


def chunk(*elements: int, last: bool = False, **more: Any) -> dict[str, object]:
    return {"elements": [[index, index] for index in elements], "last": last, **more}


def row(index: int, attempt: int = 1) -> list[object]:
    return [index, attempt, 1.0, 2.0, "", "", [], []]


def end(line: Line) -> int:
    """Run the next element to its end; return it."""
    turn = line.next()
    assert turn is not None
    line.ended(row(turn.index, turn.attempt))
    return turn.index


def fed(*elements: int) -> Line:
    line = Line()
    line.feed(chunk(*elements))
    return line


def test_elements_have_their_turn_in_order_with_attempt_and_item() -> None:
    line = Line()
    line.feed({"elements": [[4, 5], [1, 1]], "attempts": [[5, 3]], "items": [b"a", b"b", b"c"]})
    turns = [line.next() for _ in range(4)]
    assert [(t.index, t.attempt, t.item) for t in turns if t] == [
        (4, 1, b"a"), (5, 3, b"b"), (1, 1, b"c")
    ]  # fmt: skip
    assert turns[3] is None
    assert line.last


@pytest.mark.parametrize("until", ["queued", "running", "ended", "told"])
def test_what_is_held_is_not_taken_again(until: str) -> None:
    line = fed(1)
    if until != "queued":
        line.next()
    if until in ("ended", "told"):
        line.ended(row(1))
    if until == "told":
        line.report(9)
    line.feed(chunk(1, 2))
    assert [turn.index for turn in line.queue] == ([1, 2] if until == "queued" else [2])


def test_what_was_heard_may_come_back() -> None:
    line = fed(1)
    end(line)
    serial = line.report(9)["serial"]
    line.feed(chunk(1, attempts=[[1, 2]]), heard=1)
    assert serial == 1
    assert [(turn.index, turn.attempt) for turn in line.queue] == [(1, 2)]


def test_withdrawing_gives_back_what_has_not_begun_and_what_never_came() -> None:
    line = fed(1, 2, 3)
    line.next()
    assert line.withdraw([[1, 2], [7, 7]])
    assert line.report(9)["returned"] == [[2, 2], [7, 7]]
    assert [turn.index for turn in line.queue] == [3]
    assert not line.withdraw([[3, 3]])


def test_what_has_ended_is_not_given_back() -> None:
    line = fed(1)
    end(line)
    assert not line.withdraw([[1, 1]])
    assert line.report(9)["returned"] == []
    assert not line.withdraw([[1, 1]])
    assert not line.untold


def test_messages_are_repeated_until_they_are_acknowledged() -> None:
    line = fed(1, 2, 3)
    messages = []
    for _ in range(3):
        end(line)
        messages.append(line.report(9))
    assert line.repeat() == messages
    assert line.unacknowledged == [row(1), row(2), row(3)]
    assert line.acknowledge(2) == 2
    assert line.repeat() == messages[2:]
    assert line.acknowledge(2) == 0


def test_a_report_tells_of_what_runs() -> None:
    line = fed(1, 2, 3)
    assert line.next() is not None
    line.since = 5.0
    message = line.report(9)
    assert (message["running"], message["since"], message["left"]) == (1, 5.0, 2)
    assert "running" not in fed(1).report(9)


def test_numbers_become_ranges() -> None:
    assert spans([9, 3, 2, 4, 2]) == [[2, 4], [9, 9]]
    assert spans([]) == []


class Books(RuleBasedStateMachine):
    """A manager that feeds, withdraws and hears at random: each element is in one place."""

    def __init__(self) -> None:
        super().__init__()
        self.line = Line()
        self.chunk: set[int] = set()  # what the manager believes to be here
        self.sent: list[dict[str, Any]] = []
        self.heard = 0
        self.ran: list[int] = []

    @rule(elements=st.sets(st.integers(0, 9)))
    def feed(self, elements: set[int]) -> None:
        """As after a greeting: the whole chunk anew."""
        self.chunk |= elements
        self.line.feed(chunk(*sorted(self.chunk)), self.heard)

    @rule(elements=st.sets(st.integers(0, 9)))
    def withdraw(self, elements: set[int]) -> None:
        wanted = elements & self.chunk
        self.line.withdraw([[index, index] for index in wanted])

    @rule()
    def run(self) -> None:
        turn = self.line.next()
        if turn is not None:
            self.ran.append(turn.index)
            self.line.ended(row(turn.index))

    @rule()
    def tell(self) -> None:
        if self.line.untold:
            self.sent.append(self.line.report(9))

    @rule()
    def hear(self) -> None:
        if not self.sent:
            return
        message = self.sent.pop(0)
        self.heard = message["serial"]
        for ended in message["ended"]:
            assert ended[0] in self.chunk
            self.chunk.discard(ended[0])
            self.ran.remove(ended[0])
        for low, high in message["returned"]:
            assert self.chunk.issuperset(range(low, high + 1))
            self.chunk.difference_update(range(low, high + 1))
        self.line.acknowledge(self.heard)

    @invariant()
    def nothing_runs_twice(self) -> None:
        assert len(self.ran) == len(set(self.ran))

    def teardown(self) -> None:
        """In the end the books agree."""
        while self.line.queue:
            self.run()
        self.tell()
        while self.sent:
            self.hear()
        assert self.chunk == set()
        assert self.ran == []


TestBooks = Books.TestCase
TestBooks.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)
