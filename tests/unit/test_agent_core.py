"""The agent's rules: what follows from each order and fact, and what never may."""

from collections.abc import Sequence
from typing import Any

import pytest

from ostler.core.agent import AgentCore
from ostler.core.agent_words import (
    Acked,
    BeginTasks,
    Connected,
    Connecting,
    Disconnected,
    DropShare,
    Effect,
    EpochKept,
    Event,
    FinishShare,
    FreezeShare,
    Keep,
    KeepEpoch,
    MakeShare,
    Ordered,
    Phase,
    Recovered,
    RefuseStale,
    RenewContext,
    RetimeShare,
    SendHello,
    SendReport,
    ShareEnded,
    ShareKept,
    ShareMade,
    ShareStarted,
    SignalShare,
    ThawShare,
    WindowClosed,
)
from ostler.model.orders import (
    Ended,
    EndShare,
    Held,
    Launch,
    Made,
    Order,
    Resized,
    ResumeShare,
    Retime,
    SignalTasks,
    Started,
    StartTasks,
    SuspendShare,
)
from ostler.model.resources import Placement, Request

NOW = 100.0


def launch(alloc: int = 1, *, start: bool = True, **more: Any) -> Launch:
    place = Placement("n1")
    return Launch(alloc, 12, 0, 1, "ann", 1000, 1000, place, Request(), start=start, **more)


def ordered(*orders: Order, epoch: int = 3) -> Ordered:
    return Ordered(epoch, orders)


END = EndShare(1, "cancelled", "ann cancelled it", 5)
FINISH = FinishShare(1, "cancelled", "ann cancelled it", 5)
WIDER = Resized(1, ("n1", "n2"), 2)
NEVER = Ended(1, NOW, None, "cancelled", "ann cancelled it")
DONE = Ended(1, 130.0, 101.0)
ACCEPT: list[Event] = [ordered(launch()), ShareKept(1)]
RUN: list[Event] = [*ACCEPT, ShareStarted(1, 101.0)]


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
        ([], ordered(launch()), [Keep(launch())]),
        ([ordered(launch())], ShareKept(1), [MakeShare(launch())]),
        (ACCEPT, ShareKept(1), []),
        (ACCEPT, ordered(launch()), []),
        (ACCEPT, ordered(END), [FINISH]),
        (RUN, ordered(END), [FINISH]),
        (RUN, ordered(SignalTasks(1, 10)), [SignalShare(1, 10)]),
        (RUN, ordered(SuspendShare(1)), [FreezeShare(1)]),
        (RUN, ordered(ResumeShare(1)), [ThawShare(1)]),
        (RUN, ordered(Retime(1, 60)), [RetimeShare(1, 60)]),
        (RUN, ordered(WIDER), [RenewContext(launch(members=("n1", "n2"), total_tasks=2))]),
        ([*RUN, ordered(WIDER)], ordered(WIDER), []),
        ([*RUN, ShareEnded(DONE)], ordered(SignalTasks(1, 10)), []),
        ([], ordered(SuspendShare(9)), []),
        ([], ordered(StartTasks(9)), []),
        ([ordered(launch(start=False)), ShareKept(1)], ordered(StartTasks(1)), [BeginTasks(1)]),
        (
            [ordered(launch(start=False), StartTasks(1))],
            ShareKept(1),
            [MakeShare(launch(start=False)), BeginTasks(1)],
        ),
        ([], ordered(launch(), epoch=2), [RefuseStale(2)]),
        ([], Connected(2), [RefuseStale(2)]),
    ],
)
def test_each_order_has_the_listed_effects(
    before: list[Event], event: Event, effects: list[Effect]
) -> None:
    assert play(agent(*before), [event]) == effects


@pytest.mark.parametrize(
    ("before", "event", "row"),
    [
        (ACCEPT, ShareMade(1), Made(1)),
        (ACCEPT, ShareStarted(1, 101.0), Started(1, 101.0)),
        (RUN, ShareEnded(DONE), DONE),
        ([*ACCEPT, ShareMade(1), WindowClosed()], ordered(launch()), Made(1)),
        ([*RUN, WindowClosed()], ordered(launch()), Started(1, 101.0)),
        ([*RUN, ShareEnded(DONE), WindowClosed()], ordered(launch()), DONE),
        ([*RUN, ShareEnded(DONE), WindowClosed()], ordered(END), DONE),
        ([], ordered(END), NEVER),
        ([ordered(END), WindowClosed()], ordered(launch()), NEVER),
        ([ordered(launch(), END)], ShareKept(1), NEVER),
    ],
)
def test_each_fact_is_reported_and_a_repeated_order_is_answered_by_what_is_known(
    before: list[Event], event: Event, row: object
) -> None:
    effects = play(agent(*before), [event, WindowClosed()])
    [report] = effects
    assert isinstance(report, SendReport)
    assert row in report.rows


def test_a_launch_after_its_end_was_ordered_does_not_run() -> None:
    core = agent()
    effects = play(core, [ordered(END), ordered(launch()), ShareKept(1)])
    assert not any(isinstance(effect, Keep | MakeShare) for effect in effects)


def test_orders_of_a_new_epoch_wait_until_it_is_durable() -> None:
    core = agent()
    assert play(core, [ordered(launch(), epoch=4)]) == [KeepEpoch(4)]
    assert play(core, [EpochKept(4)]) == [Keep(launch())]
    assert play(core, [ordered(launch(2))]) == [RefuseStale(3)]


def test_an_epoch_that_could_not_be_stored_is_tried_again_at_the_next_connection() -> None:
    core = agent()
    play(core, [ordered(launch(), epoch=4), Disconnected()])
    assert play(core, [EpochKept(3), Connected(4)]) == [KeepEpoch(4)]


def test_reports_are_sent_again_at_each_connection_until_acknowledged() -> None:
    core = agent(*RUN)
    first = play(core, [WindowClosed()])
    assert first == [SendReport(1, (Started(1, 101.0),))]
    play(core, [ShareEnded(DONE), Disconnected(), WindowClosed()])
    again = play(core, [Connected(3)])
    assert again == [*first, SendReport(2, (DONE,))]
    assert play(core, [Acked(2)]) == [DropShare(1)]
    assert play(core, [Disconnected(), Connected(3)]) == []


def test_an_end_is_forgotten_only_when_acknowledged() -> None:
    core = agent(*RUN, ShareEnded(DONE), WindowClosed())
    assert play(core, [Connecting()]) == [SendHello(3, (Held(1, "ended", 101.0),))]
    play(core, [Acked(1)])
    assert play(core, [Connecting()]) == [SendHello(3, ())]


def test_the_greeting_tells_every_share_that_is_held() -> None:
    core = agent(*RUN, ordered(launch(2)), ordered(launch(3)), ShareKept(3), ShareMade(3))
    holds = (Held(1, "started", 101.0), Held(2, "accepted"), Held(3, "made"))
    assert play(core, [Connecting()]) == [SendHello(3, holds)]


@pytest.mark.parametrize(
    ("found", "effects", "hold"),
    [
        (Recovered(launch(), 1, Phase.ACCEPTED, alive=False), [MakeShare(launch())], "accepted"),
        (Recovered(launch(), 1, Phase.ACCEPTED), [], "accepted"),
        (Recovered(launch(), 1, Phase.STARTED, 101.0), [], "started"),
        (Recovered(None, 1, Phase.STARTED, 101.0), [], "started"),
        (Recovered(launch(), 1, Phase.ENDED, 101.0, DONE), [], "ended"),
    ],
)
def test_what_is_found_after_a_restart_is_held_and_only_what_did_not_run_is_made_anew(
    found: Recovered, effects: list[Effect], hold: str
) -> None:
    core = AgentCore(epoch=3)
    assert play(core, [found]) == effects
    [hello] = play(core, [Connecting()])
    assert isinstance(hello, SendHello)
    assert [held.phase for held in hello.holds] == [hold]


def test_rows_are_urgent_while_little_runs_or_somebody_waits_for_nodes_or_cpus() -> None:
    def after(*more: Event) -> bool:
        return agent(*RUN, *more).urgent

    second: list[Event] = [WindowClosed(), ordered(launch(2)), ShareKept(2), ShareStarted(2, 102.0)]
    third: list[Event] = [ordered(launch(3, start=False)), ShareKept(3), ShareMade(3)]
    assert [after(), after(*second), after(*second, *third)] == [True, False, True]
    many = [*second, *third, ShareStarted(3, 103.0), WindowClosed()]
    assert [after(*many), after(*many, ShareEnded(DONE))] == [False, True]
