"""The agent's rules for slots: feeds and withdrawals go through, progress is told until heard."""

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from ostler.agent.local import check
from ostler.core.agent import AgentCore
from ostler.core.agent_words import (
    Acked,
    AckProgress,
    Connected,
    Connecting,
    Disconnected,
    DropShare,
    Effect,
    Event,
    FeedShare,
    MakeShare,
    Ordered,
    Phase,
    Recovered,
    SendHello,
    SendReport,
    ShareEnded,
    ShareKept,
    ShareProgress,
    ShareStarted,
    SignalShare,
    WindowClosed,
    WithdrawElements,
)
from ostler.model.errors import UsageError
from ostler.model.job import TaskExit
from ostler.model.orders import (
    LAST_SERIAL,
    Chunk,
    ElementEnd,
    Ended,
    Feed,
    Held,
    Launch,
    Order,
    Progress,
    SignalTasks,
    Started,
    Withdraw,
)
from ostler.model.resources import Placement, Request

NOW = 100.0
MORE = Chunk(((4, 7),), last=False)


def launch(alloc: int = 1) -> Launch:
    place = Placement("n1")
    chunk = Chunk(((0, 3),))
    return Launch(alloc, 12, 0, 1, "ann", 1000, 1000, place, Request(), chunk=chunk)


def ordered(*orders: Order) -> Ordered:
    return Ordered(3, orders)


def end(index: int, tasks: int = 1) -> ElementEnd:
    return ElementEnd(index, 1, 101.0, 102.0, tasks=tuple(TaskExit(r, 0) for r in range(tasks)))


def progress(serial: int, *ends: ElementEnd, alloc: int = 1, left: int = 100) -> Progress:
    return Progress(alloc, serial, ends, left=left)


ACCEPT: list[Event] = [ordered(launch()), ShareKept(1)]
RUN: list[Event] = [*ACCEPT, ShareStarted(1, 101.0), WindowClosed(), Acked(1)]
FEED = Feed(1, MORE, 2)
WITHDRAW = Withdraw(1, ((2, 3),), "cancelled", "ann cancelled it", 5)
DONE = Ended(1, 130.0, 101.0)
ONE, TWO = progress(1, end(0)), progress(2, end(1))
TOLD: list[Event] = [ShareProgress(ONE), ShareProgress(TWO)]


def agent(*events: Event) -> AgentCore:
    core = AgentCore(epoch=3)
    core.handle(NOW, Connected(3))
    for event in events:
        core.handle(NOW, event)
    return core


def play(core: AgentCore, events: Sequence[Event]) -> list[Effect]:
    effects: list[Effect] = []
    for event in events:
        effects += core.handle(NOW, event)
        assert not list(core.violations())
    return effects


@pytest.mark.parametrize(
    ("before", "event", "effects"),
    [
        (RUN, ordered(FEED), [FeedShare(1, MORE, 2)]),
        (
            RUN,
            ordered(WITHDRAW),
            [WithdrawElements(1, ((2, 3),), "cancelled", "ann cancelled it", 5)],
        ),
        (RUN, ordered(SignalTasks(1, 10, 2)), [SignalShare(1, 10, 2)]),
        (
            [ordered(launch(), FEED)],
            ShareKept(1),
            [MakeShare(launch()), FeedShare(1, MORE, 2)],
        ),
        ([], ordered(FEED, WITHDRAW), []),
        ([*RUN, ShareEnded(DONE)], ordered(FEED, WITHDRAW), []),
        ([], ShareProgress(ONE), []),
        ([*RUN, ShareEnded(DONE)], WindowClosed(), [SendReport(2, (DONE,))]),
        ([*RUN, ShareEnded(DONE), ShareProgress(ONE)], WindowClosed(), [SendReport(2, (DONE,))]),
    ],
)
def test_each_order_has_the_listed_effects(
    before: list[Event], event: Event, effects: list[Effect]
) -> None:
    assert play(agent(*before), [event]) == effects


def test_progress_is_told_in_order_with_the_other_facts() -> None:
    core = agent(*ACCEPT)
    facts = [ShareStarted(1, 101.0), *TOLD, ShareEnded(DONE), WindowClosed()]
    assert play(core, facts) == [SendReport(1, (Started(1, 101.0), ONE, TWO, DONE))]


def test_an_acknowledged_progress_is_acknowledged_to_the_starter_once_for_several() -> None:
    core = agent(*RUN, *TOLD, WindowClosed(), ShareProgress(progress(3)), WindowClosed())
    assert play(core, [Acked(2)]) == [AckProgress(1, 2)]
    assert play(core, [Acked(3)]) == [AckProgress(1, 3)]


def test_nothing_is_acknowledged_to_a_starter_whose_share_is_dropped_with_it() -> None:
    core = agent(*RUN, *TOLD, ShareEnded(DONE), WindowClosed())
    assert play(core, [Acked(2)]) == [DropShare(1)]


def test_progress_that_a_starter_repeats_is_not_told_twice() -> None:
    core = agent(*RUN, *TOLD)
    assert play(core, [*TOLD, WindowClosed(), *TOLD, WindowClosed()]) == [SendReport(2, (ONE, TWO))]


def test_progress_that_is_repeated_though_it_is_durable_is_acknowledged_again() -> None:
    core = agent(*RUN, *TOLD, WindowClosed(), Acked(2))
    assert play(core, [ShareProgress(ONE), WindowClosed()]) == [AckProgress(1, 2)]


def test_progress_is_sent_again_at_each_connection_until_acknowledged() -> None:
    core = agent(*RUN, ShareProgress(ONE), WindowClosed(), Disconnected(), ShareProgress(TWO))
    assert play(core, [WindowClosed(), Acked(2)]) == []
    again = [SendReport(2, (ONE,)), SendReport(3, (TWO,))]
    assert play(core, [Connected(3)]) == again


def test_what_may_not_have_come_through_before_an_end_is_told_before_it_by_the_next_agent() -> None:
    last = progress(LAST_SERIAL, end(0), end(1))
    core = AgentCore(epoch=3)
    play(core, [Recovered(launch(), 1, Phase.ENDED, 101.0, DONE, progress=last)])
    hello, report = play(core, [Connecting(), Connected(3), ordered(FEED), *TOLD, WindowClosed()])
    assert hello == SendHello(3, (Held(1, "ended", 101.0),))
    assert report == SendReport(1, (last, DONE))
    assert play(core, [Acked(1)]) == [DropShare(1)]


@pytest.mark.parametrize(
    ("row", "urgent"),
    [
        (progress(1, end(0), end(1), left=3), False),
        (progress(1, end(0), end(1), left=2), True),
        (progress(1, left=0), True),
        (replace(progress(1), running=7), False),
        (replace(progress(1), returned=((5, 6),)), True),
    ],
    ids=["much is left", "soon through", "through", "runs", "given back"],
)
def test_progress_is_urgent_if_somebody_waits_for_it(row: Progress, *, urgent: bool) -> None:
    second: list[Event] = [ordered(launch(2)), ShareKept(2), ShareStarted(2, 101.0)]
    core = agent(*RUN, *second, ShareProgress(row))
    assert core.urgent == urgent
    play(core, [WindowClosed()])
    assert not core.urgent


def test_reports_are_cut_by_what_their_rows_hold() -> None:
    def many(serial: int, count: int) -> Progress:
        return progress(serial, *(end(index) for index in range(count)))

    rows = [many(1, 100), many(2, 100), many(3, 100), many(4, 3000), many(5, 1)]
    core = agent(*RUN, *map(ShareProgress, rows))
    sent = [e.rows for e in play(core, [WindowClosed()]) if isinstance(e, SendReport)]
    assert [[row.serial for row in rows if isinstance(row, Progress)] for rows in sent] == [
        [1, 2],
        [3],
        [4],
        [5],
    ]


def test_what_a_starter_can_mean_is_taken() -> None:
    check(Progress(1, 1, tuple(end(index) for index in range(4000)), returned=((5000, 5095),)))


@pytest.mark.parametrize(
    "row",
    [
        progress(0),
        progress(-1),
        progress(LAST_SERIAL),
        progress(1, *(end(index) for index in range(4097))),
        replace(progress(1), returned=((0, 4096),)),
        replace(progress(1), returned=((7, 6),)),
        replace(progress(1), returned=((0, 0),) * 4097),
    ],
    ids=["0", "below 0", "the last", "ends", "given back", "backwards", "spans"],
)
def test_what_no_starter_can_mean_is_refused(row: Progress) -> None:
    with pytest.raises(UsageError):
        check(row)
