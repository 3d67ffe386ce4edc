"""The agent's rules: orders and facts in, actions out. The real daemon and simulated nodes obey it.

What must be durable before something else may happen is an effect of its own that is answered by
an event: `KeepEpoch` by `EpochKept`, `Keep` by `ShareKept`. So a crash between the two is a state
that every caller can reach, and "not known here" stays a proof that nothing ran.

    accepted ──made──▶ made ──started──▶ started ──ended──▶ ended ──acknowledged──▶ forgotten
        └───────────────┴───────────────────────────────────▲
"""

from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from ostler.core.agent_outbox import Outbox
from ostler.core.agent_words import (
    Acked,
    AckProgress,
    BeginTasks,
    Connected,
    Connecting,
    Disconnected,
    DropShare,
    Effect,
    EpochKept,
    Event,
    FeedShare,
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
    ShareEnded,
    ShareKept,
    ShareMade,
    ShareProgress,
    ShareStarted,
    SignalShare,
    ThawShare,
    WindowClosed,
    WithdrawElements,
)
from ostler.model.ids import AllocationId
from ostler.model.orders import (
    Ended,
    EndShare,
    Feed,
    Held,
    Launch,
    Made,
    Order,
    Progress,
    ReportRow,
    Resized,
    ResumeShare,
    Retime,
    SignalTasks,
    Started,
    StartTasks,
    SuspendShare,
    Withdraw,
)


class Share(Struct):
    """One allocation's part on this node."""

    alloc: AllocationId
    launch: Launch | None  # None: an end was ordered before anything came, or only a starter knows
    phase: Phase = Phase.ACCEPTED
    kept: bool = False  # it is in the journal, so that it may be handed out
    begun: bool = False  # its tasks may start
    started_at: float | None = None
    end: EndShare | None = None  # the first order to end it
    ended: Ended | None = None
    told: int = 0  # highest serial of its progress that was gathered
    heard: int = 0  # and that was acknowledged
    waiting: list[Order] = []  # orders that came before it was in the journal


class AgentCore:
    """The agent's state and what follows from each event. Starts with the epoch found on disk."""

    def __init__(self, epoch: int = 0) -> None:
        self.epoch = epoch  # highest seen; durable once `kept_epoch` has reached it
        self.kept_epoch = epoch
        self.connected = False
        self.shares: dict[AllocationId, Share] = {}
        self._deferred: list[Ordered] = []  # orders whose epoch is not durable yet
        self._outbox = Outbox()
        self._effects: list[Effect] = []

    @property
    def gathered(self) -> bool:
        """Say whether rows wait for the window to close."""
        return self._outbox.gathered

    @property
    def urgent(self) -> bool:
        """Say whether the rows should not wait: little runs here, or somebody waits for them."""
        if self._outbox.urgent:
            return True
        return sum(1 for share in self.shares.values() if share.phase is not Phase.ENDED) <= 1

    def handle(self, now: float, event: Event) -> list[Effect]:
        """Return what to do, in this order. now: Unix seconds."""
        match event:
            case Ordered():
                self._on_ordered(now, event)
            case EpochKept(epoch):
                self.kept_epoch = max(self.kept_epoch, epoch)
                self._replay(now)
            case ShareKept(alloc):
                self._on_kept(now, alloc)
            case ShareMade(alloc):
                self._on_made(alloc)
            case ShareStarted(alloc, at):
                self._on_started(alloc, at)
            case ShareProgress(row):
                self._on_progress(row)
            case ShareEnded(row):
                self._on_ended(row)
            case Acked(seq):
                self._on_acked(seq)
            case Connecting():
                self._effects.append(SendHello(self.kept_epoch, self._holds()))
            case Connected(epoch):
                self._on_connected(epoch)
            case Disconnected():
                self._on_disconnected()
            case WindowClosed():
                self._send_gathered()
            case Recovered():
                self._on_recovered(event)
        effects, self._effects = self._effects, []
        return effects

    # -- orders ----------------------------------------------------------------------------

    def _on_ordered(self, now: float, event: Ordered) -> None:
        if event.epoch < self.epoch:
            self._effects.append(RefuseStale(event.epoch))
            return
        if event.epoch > self.kept_epoch:
            self._deferred.append(event)
            self._see(event.epoch)
            return
        for order in event.orders:
            self._obey(now, order)

    def _see(self, epoch: int) -> None:
        if epoch > self.epoch:
            self.epoch = epoch
            self._effects.append(KeepEpoch(epoch))

    def _replay(self, now: float) -> None:
        """Obey what waited for its epoch to be durable."""
        deferred, self._deferred = self._deferred, []
        for event in deferred:
            self._on_ordered(now, event)

    def _obey(self, now: float, order: Order) -> None:
        if isinstance(order, Launch):
            self._launch(order)
            return
        share = self.shares.get(order.alloc)
        if isinstance(order, EndShare):
            self._end(now, share, order)
            return
        if share is None or share.phase is Phase.ENDED:
            return  # nothing is here to be moved; the greeting or the report has told so
        if not share.kept:
            share.waiting.append(order)
            return
        match order:
            case StartTasks(alloc):
                if share.phase is Phase.STARTED:
                    self._tell_again(share)
                else:
                    share.begun = True
                    self._effects.append(BeginTasks(alloc))
            case Feed(alloc, chunk, heard):
                self._effects.append(FeedShare(alloc, chunk, heard))
            case Withdraw(alloc, elements, cause, why, grace):
                self._effects.append(WithdrawElements(alloc, elements, cause, why, grace))
            case SignalTasks(alloc, signal, element):
                self._effects.append(SignalShare(alloc, signal, element))
            case SuspendShare(alloc):
                self._effects.append(FreezeShare(alloc))
            case ResumeShare(alloc):
                self._effects.append(ThawShare(alloc))
            case Retime(alloc, time_limit):
                self._effects.append(RetimeShare(alloc, time_limit))
            case Resized(_, members, tasks):
                self._resize(share, members, tasks)

    def _resize(self, share: Share, members: tuple[str, ...], tasks: int) -> None:
        launch = share.launch
        if launch is not None and (launch.members, launch.total_tasks) != (members, tasks):
            share.launch = replace(launch, members=members, total_tasks=tasks)
            self._effects.append(RenewContext(share.launch))

    def _launch(self, launch: Launch) -> None:
        share = self.shares.get(launch.alloc)
        if share is not None:
            self._tell_again(share)
            return
        self.shares[launch.alloc] = Share(launch.alloc, launch, begun=launch.start)
        self._effects.append(Keep(launch))

    def _tell_again(self, share: Share) -> None:
        row = _row(share)
        if row is not None:
            self._outbox.repeat(row)

    def _end(self, now: float, share: Share | None, order: EndShare) -> None:
        if share is None:
            # Remembered until acknowledged, so that a late launch of it finds it ended.
            share = self.shares[order.alloc] = Share(order.alloc, None)
            self._finish(share, Ended(order.alloc, now, None, order.cause, order.why))
        elif share.phase is Phase.ENDED:
            self._tell_again(share)
        else:
            share.end = share.end or order
            if share.kept:
                first = share.end
                self._effects.append(FinishShare(order.alloc, first.cause, first.why, order.grace))

    # -- facts -----------------------------------------------------------------------------

    def _on_kept(self, now: float, alloc: AllocationId) -> None:
        share = self.shares.get(alloc)
        if share is None or share.kept or share.phase is Phase.ENDED or share.launch is None:
            return
        share.kept = True
        if share.end is not None:
            self._finish(share, Ended(alloc, now, None, share.end.cause, share.end.why))
        else:
            self._effects.append(MakeShare(share.launch))
            waiting, share.waiting = share.waiting, []
            for order in waiting:
                self._obey(now, order)

    def _on_made(self, alloc: AllocationId) -> None:
        share = self.shares.get(alloc)
        if share is None or share.phase is not Phase.ACCEPTED:
            return
        share.phase = Phase.MADE
        self._outbox.add(Made(alloc))

    def _on_started(self, alloc: AllocationId, at: float) -> None:
        share = self.shares.get(alloc)
        if share is None or share.phase in (Phase.STARTED, Phase.ENDED):
            return
        share.phase, share.started_at = Phase.STARTED, at
        self._outbox.add(Started(alloc, at))

    def _on_progress(self, row: Progress) -> None:
        """Report it once, however often its starter tells it."""
        share = self.shares.get(row.alloc)
        if share is None or share.phase is Phase.ENDED:
            return  # its end said it all
        if row.serial <= share.heard:
            self._effects.append(AckProgress(row.alloc, share.heard))
        elif row.serial > share.told:
            share.told = row.serial
            self._outbox.add(row)

    def _on_ended(self, row: Ended) -> None:
        share = self.shares.get(row.alloc)
        if share is not None and share.phase is not Phase.ENDED:
            self._finish(share, row)

    def _finish(self, share: Share, row: Ended) -> None:
        share.phase, share.ended, share.started_at = Phase.ENDED, row, row.started_at
        self._outbox.add(row)

    def _on_recovered(self, event: Recovered) -> None:
        share = Share(
            event.alloc,
            event.launch,
            event.phase,
            kept=True,
            begun=event.launch is not None and event.launch.start,
            started_at=event.started_at,
            ended=event.ended,
        )
        self.shares[event.alloc] = share
        if event.progress is not None:
            share.told = event.progress.serial
            self._outbox.add(event.progress)
        self._tell_again(share)
        if not event.alive and event.phase is Phase.ACCEPTED and event.launch is not None:
            self._effects.append(MakeShare(event.launch))

    # -- the manager -----------------------------------------------------------------------

    def _holds(self) -> tuple[Held, ...]:
        return tuple(
            Held(share.alloc, share.phase.value, share.started_at) for share in self.shares.values()
        )

    def _on_connected(self, epoch: int) -> None:
        if epoch < self.epoch:
            self._effects.append(RefuseStale(epoch))
            return
        self._see(epoch)
        self.connected = True
        self._effects += self._outbox.send_again()
        self._send_gathered()

    def _on_disconnected(self) -> None:
        """Forget what was ordered but not begun: the greeting brings it again."""
        self.connected = False
        self._deferred.clear()
        self.epoch = self.kept_epoch

    def _send_gathered(self) -> None:
        if self.connected:
            self._effects += self._outbox.send()

    def _on_acked(self, seq: int) -> None:
        if not self.connected:
            return
        heard: dict[AllocationId, int] = {}
        for row in self._outbox.acknowledged(seq):
            if isinstance(row, Progress):
                heard[row.alloc] = row.serial
            elif isinstance(row, Ended) and row.alloc in self.shares:
                del self.shares[row.alloc]
                self._outbox.forget(row.alloc)
                self._effects.append(DropShare(row.alloc))
        for alloc, serial in heard.items():
            share = self.shares.get(alloc)
            if share is not None:
                share.heard = max(share.heard, serial)
                self._effects.append(AckProgress(alloc, share.heard))

    # -- soundness -------------------------------------------------------------------------

    def violations(self) -> Iterator[str]:
        """Yield one sentence for each broken invariant."""
        waiting = {row.alloc for row in self._outbox.rows}
        for share in self.shares.values():
            name = f"share {share.alloc}"
            if (share.phase is Phase.ENDED) != (share.ended is not None):
                yield f"{name} is {share.phase} and its end is {share.ended}"
            if share.phase is Phase.ENDED and share.alloc not in waiting:
                yield f"{name} has ended and no report of it is on its way"
            if share.phase in (Phase.MADE, Phase.STARTED) and not share.kept:
                yield f"{name} is {share.phase} and not in the journal"
            if share.phase is Phase.STARTED and share.started_at is None:
                yield f"{name} has started at no time"
            if share.heard > share.told:
                yield f"{name} told up to {share.told}, and {share.heard} is acknowledged"
        if self.kept_epoch > self.epoch:
            yield f"epoch {self.kept_epoch} is durable, yet {self.epoch} is the highest seen"
        yield from self._outbox.violations()


def _row(share: Share) -> ReportRow | None:
    """Return what is known of a share, as a report tells it."""
    if share.ended is not None:
        return share.ended
    if share.started_at is not None:
        return Started(share.alloc, share.started_at)
    return Made(share.alloc) if share.phase is Phase.MADE else None
