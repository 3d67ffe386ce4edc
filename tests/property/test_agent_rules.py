"""Any order of events, repeated or late, leaves the agent sound and runs nothing twice."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ostler.core.agent import AgentCore
from ostler.core.agent_words import (
    Acked,
    Connected,
    Connecting,
    Disconnected,
    DropShare,
    EpochKept,
    Event,
    Keep,
    KeepEpoch,
    MakeShare,
    Ordered,
    SendReport,
    ShareEnded,
    ShareKept,
    ShareMade,
    ShareStarted,
    WindowClosed,
)
from ostler.model.orders import Ended, EndShare, Launch, StartTasks
from ostler.model.resources import Placement, Request

ALLOCS = st.integers(1, 4)


class AgentMachine(RuleBasedStateMachine):
    """A world of four allocations; what is durable survives, messages repeat and come late."""

    def __init__(self) -> None:
        super().__init__()
        self.core = AgentCore()
        self.disk_epoch = 0
        self.journal: set[int] = set()
        self.made: dict[int, int] = {}
        self.refused: set[int] = set()  # told as ended without a start
        self.sent: list[SendReport] = []
        self.told_ended: set[int] = set()

    def feed(self, event: Event) -> None:
        for effect in self.core.handle(1.0, event):
            match effect:
                case KeepEpoch(epoch):
                    assert epoch > self.disk_epoch
                    self.disk_epoch = epoch
                    self.feed(EpochKept(epoch))
                case Keep(launch):
                    assert self.core.epoch == self.disk_epoch, "obeyed before the epoch was kept"
                    self.journal.add(launch.alloc)
                    self.feed(ShareKept(launch.alloc))
                case MakeShare(launch):
                    assert launch.alloc in self.journal
                    assert launch.alloc not in self.refused
                    self.made[launch.alloc] = self.made.get(launch.alloc, 0) + 1
                case SendReport():
                    assert self.core.connected
                    self.sent.append(effect)
                    self.refused |= {
                        row.alloc
                        for row in effect.rows
                        if isinstance(row, Ended) and row.alloc not in self.made
                    }
                case DropShare(alloc):
                    assert any(
                        isinstance(row, Ended) and row.alloc == alloc
                        for report in self.sent
                        for row in report.rows
                    ), "forgotten before it was told"
                    self.told_ended.add(alloc)

    @rule(alloc=ALLOCS, epoch=st.integers(0, 3), start=st.booleans())
    def launch(self, alloc: int, epoch: int, start: bool) -> None:  # noqa: FBT001
        if alloc in self.told_ended:
            return  # an allocation's number is never used again
        order = Launch(alloc, 1, 0, 1, "u", 1, 1, Placement("n"), Request(), start=start)
        self.feed(Ordered(epoch, (order, StartTasks(alloc))))

    @rule(alloc=ALLOCS, epoch=st.integers(0, 3))
    def end(self, alloc: int, epoch: int) -> None:
        self.feed(Ordered(epoch, (EndShare(alloc, "cancelled", "why"),)))

    @rule(alloc=ALLOCS)
    def starter_speaks(self, alloc: int) -> None:
        if alloc in self.made:
            self.feed(ShareMade(alloc))
            self.feed(ShareStarted(alloc, 2.0))

    @rule(alloc=ALLOCS, ran=st.booleans())
    def share_ends(self, alloc: int, ran: bool) -> None:  # noqa: FBT001
        if alloc in self.made:
            self.feed(ShareEnded(Ended(alloc, 3.0, 2.0 if ran else None)))

    @rule(epoch=st.integers(0, 3))
    def connect(self, epoch: int) -> None:
        self.feed(Connecting())
        self.feed(Connected(epoch))

    @rule()
    def disconnect(self) -> None:
        self.feed(Disconnected())

    @rule()
    def close_window(self) -> None:
        self.feed(WindowClosed())

    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        if self.sent:
            self.feed(Acked(data.draw(st.sampled_from(self.sent)).seq))

    @invariant()
    def is_sound(self) -> None:
        assert not list(self.core.violations())

    @invariant()
    def nothing_was_handed_out_twice(self) -> None:
        assert all(count == 1 for count in self.made.values())


TestAgentMachine = AgentMachine.TestCase
