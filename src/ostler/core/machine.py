"""The machine: every event goes in here, and every effect comes out.

Pure: no clock, no I/O, no randomness. The manager makes the `Save` effects of a turn durable in
one transaction before it carries out the others; if it cannot, it throws the machine away and
loads it anew.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, tzinfo
from typing import Any

from msgspec.structs import replace

from ostler.core import (
    acts,
    administer,
    archive,
    charge,
    delta,
    holds,
    modify,
    moved,
    nodes,
    partitions,
    planning,
    posts,
    roles,
    seen,
    serving,
    shifts,
    steps,
    stopping,
    submit,
    waits,
    workflow,
)
from ostler.core.effects import Effect, Fail
from ostler.core.events import (
    Acted,
    Administered,
    AgentGone,
    AgentGreeted,
    AgentReported,
    Archived,
    Awaited,
    ClientGone,
    ConfigurationUsed,
    DealtWith,
    Event,
    Handled,
    HandlersLost,
    MembersTold,
    Modified,
    NodeSeen,
    NodesWorded,
    NotOrdered,
    PartitionWorded,
    Planned,
    PlannerLost,
    Posted,
    RmAnswered,
    RmLoaded,
    RmMore,
    RmTrouble,
    RmUp,
    SchedulerSeen,
    ShadowDiffered,
    ShutdownAsked,
    Submitted,
    SubmittedAll,
    Subscribed,
    Tick,
)
from ostler.core.foreign import loads
from ostler.core.life import end_for_good
from ostler.core.load import load
from ostler.core.marks import Marks
from ostler.core.moves import end_waiting
from ostler.core.state import NO_JOB, State
from ostler.model.errors import OstlerError
from ostler.model.ids import within
from ostler.model.record import Loaded
from ostler.model.shifts import offset_at
from ostler.model.states import Result
from ostler.schedule.snapshot import Delta, Snapshot


class Machine:
    """The truth about nodes, jobs and allocations, and the rules by which it changes."""

    def __init__(
        self,
        loaded: Loaded,
        *,
        epoch: int,
        now: float,
        home: tzinfo = UTC,
        identity: str = "ostler",
    ) -> None:
        """Take the state from the database.

        home: the zone of the manager's host, by which calendars and recurring windows go.
        identity: by which other resource managers tell its jobs from those of other machines.
        """
        self.state = load(loaded, epoch, now, home)
        self.state.identity = identity

    def handle(self, now: float, event: Event) -> list[Effect]:
        """Apply one event and return what is to be done. now: Unix seconds."""
        s = self.state
        try:
            roles.check_event(s, event)
        except OstlerError as error:
            return [Fail(event.to, error)]  # type: ignore[union-attr] # one that has a caller
        _HANDLERS[type(event)](s, now, event)
        _follow(s, now)
        done, s.effects = s.effects, []
        return done

    @property
    def wants_plan(self) -> bool:
        """Say whether something changed that a scheduler should look at."""
        return self.state.changed and not self.state.stopping

    @property
    def wants_more(self) -> bool:
        """Say whether `RmMore` should come: others' events may come before it."""
        return bool(self.state.parts.taking)

    def snapshot(self, now: float) -> Snapshot:
        """Return what a scheduler may see."""
        return delta.snapshot(self.state, now)

    def deltas(self, now: float, marks: Marks | None = None) -> Iterator[Delta]:
        """Yield what has changed since the last time, in pieces; the first time it is everything.

        Events may be handled between two pieces. What was told makes one machine again when there
        is no piece more. marks: of one who is told for himself, see `delta.delta`.
        """
        if self.state.rank(now):
            self.state.marks.standings = True
        serving.look_again(self.state)
        mine = self.state.marks if marks is None else marks
        while mine.due(now):
            yield delta.delta(self.state, now, marks=mine)

    def begin_plan(self) -> None:
        """Note that a plan is asked for of one who has been told everything."""
        self.state.changed = False

    def next_deadline(self) -> float | None:
        """Return when `Tick` should come next, in Unix seconds."""
        return self.state.next_deadline()


def _follow(s: State, now: float) -> None:
    """Do what has become due by whatever happened."""
    if s.parts.awaited:
        moved.follow(s, now)
    if s.parts.closing:
        partitions.follow(s, now)
    if s.alloc_news:
        steps.follow(s, now)
    if s.stopping:
        stopping.answer(s, now)
    s.desk.begin(s, now)


def _on_awaited(s: State, event: Awaited) -> None:
    try:
        for ref in event.refs:
            entry = s.entry(ref)
            if event.attach:
                roles.check_job(s, event.caller, entry.job, "attach")
                entry.abandoned_at = None
    except OstlerError as error:
        s.effects.append(Fail(event.to, error))
        return
    waits.begin(s, event.to, event.refs, attach=event.attach)


def _on_client_gone(s: State, now: float, event: ClientGone) -> None:
    for to in event.tos:
        waiter = waits.forget(s, to)
        partitions.forget(s, to)
        if to in s.stop_waiters:
            s.stop_waiters.remove(to)
            s.stopping = s.stopping if s.stop_waiters else ""
        for number in sorted(waiter.left) if waiter and waiter.attach else ():
            if s.jobs[number].job.spec.detach:
                continue
            if not any(s.waiters[other].attach for other in s.waited.get(number, ())):
                s.jobs[number].abandoned_at = now
                s.wake(now + s.setting("client-grace"), number)


def _on_tick(s: State, now: float, _: Tick) -> None:
    if (offset := offset_at(s.parts.zone, now)) != s.rules.utc_offset:  # of summer time, say
        s.rules = replace(s.rules, utc_offset=offset)
        s.marks.rules = s.changed = True
    stopping.go_on(s, now)
    for node in s.nodes.values():
        if node.fault and now >= node.try_at:
            node.fault = ""
            s.marks.nodes.add(node.node.name)
            s.changed = True
    shifts.on_time(s, now)
    for number in s.due(now):
        entry = s.jobs.get(number)
        s.changed = s.changed or number == NO_JOB
        if entry is None:
            continue
        s.changed = True
        if entry.job.holds or entry.job.spec.within:
            s.alloc_news.add(within(number))
        if entry.abandoned_at is None:
            continue
        grace = s.setting("client-grace")
        if now < entry.abandoned_at + grace:
            s.wake(entry.abandoned_at + grace, number)
        else:
            why = f"the client of `ostler {entry.job.spec.kind}` was gone for {grace} s"
            for alloc in sorted(entry.slots):
                end_for_good(s, s.allocations[alloc], why)
            end_waiting(s, now, entry, Result.CANCELLED, why)


# What each event does; every kind of event has one.
_HANDLERS: dict[type[Event], Callable[[State, float, Any], None]] = {
    Submitted: submit.on_submitted,
    SubmittedAll: workflow.on_submitted_all,
    Acted: acts.on_acted,
    Modified: modify.on_modified,
    Awaited: lambda s, _, event: _on_awaited(s, event),
    ClientGone: _on_client_gone,
    NodesWorded: nodes.on_worded,
    MembersTold: lambda s, _, event: holds.told(s, event.groups),
    Posted: posts.take,
    DealtWith: posts.take,
    Subscribed: posts.take,
    Administered: administer.on_administered,
    Handled: lambda s, now, event: s.desk.take(s, now, event),
    HandlersLost: lambda s, now, event: s.desk.take(s, now, event),
    ConfigurationUsed: shifts.on_used,
    PartitionWorded: partitions.on_worded,
    ShutdownAsked: stopping.on_shutdown,
    AgentGreeted: nodes.on_greeted,
    AgentReported: nodes.on_reported,
    AgentGone: seen.on_gone,
    NodeSeen: seen.on_seen,
    RmUp: loads.on_up,
    RmLoaded: loads.on_loaded,
    RmMore: lambda s, now, _: loads.on_more(s, now),
    RmAnswered: loads.on_answered,
    RmTrouble: loads.on_trouble,
    NotOrdered: nodes.on_not_ordered,
    Planned: lambda s, now, e: planning.on_planned(s, now, e.plan, e.by, e.piece, e.wrong),
    PlannerLost: lambda s, now, event: planning.on_lost(s, now, event.why),
    SchedulerSeen: charge.on_seen,
    ShadowDiffered: charge.on_differed,
    Archived: archive.on_archived,
    Tick: _on_tick,
}
