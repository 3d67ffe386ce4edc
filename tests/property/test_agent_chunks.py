"""Whatever connections and agents do: each element's end is told, in order, before its slot's."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from ostler.core.agent import AgentCore
from ostler.core.agent_words import (
    Acked,
    AckProgress,
    Connected,
    Connecting,
    Disconnected,
    DropShare,
    Event,
    FeedShare,
    Keep,
    Ordered,
    Phase,
    Recovered,
    SendReport,
    ShareEnded,
    ShareKept,
    ShareProgress,
    ShareStarted,
    WindowClosed,
)
from ostler.model.orders import (
    LAST_SERIAL,
    Chunk,
    ElementEnd,
    Ended,
    Feed,
    Launch,
    Progress,
    ReportRow,
)
from ostler.model.resources import Placement, Request

ALLOCS = (1, 2)
AN_ALLOC = st.sampled_from(ALLOCS)


class Slot:
    """A starter with one share, which outlives the agent."""

    def __init__(self, launch: Launch) -> None:
        self.launch = launch
        self.serial = 0
        self.told: dict[int, Progress] = {}  # not acknowledged
        self.ended: Ended | None = None
        self.last: Progress | None = None  # as the agent's journal keeps it with the end
        self.alone = False  # its agent is new and has not heard it yet


class ChunkMachine(RuleBasedStateMachine):
    """Two slots, an agent that dies, and a manager behind a line that breaks."""

    def __init__(self) -> None:
        super().__init__()
        self.core = AgentCore()
        self.slots: dict[int, Slot] = {}
        self.line: list[SendReport] = []  # on their way to the manager
        self.taken = 0  # highest report of this agent that the manager has
        self.heard: dict[int, int] = {}  # serials at the manager
        self.known: dict[int, set[int]] = {}  # elements at the manager
        self.over: set[int] = set()  # slots that are over for the manager
        self.dropped: set[int] = set()

    def feed(self, event: Event) -> None:
        for effect in self.core.handle(1.0, event):
            match effect:
                case Keep(launch):
                    self.slots[launch.alloc] = Slot(launch)
                    self.feed(ShareKept(launch.alloc))
                case SendReport():
                    assert self.core.connected
                    self.line.append(effect)
                case FeedShare(alloc):
                    assert self.slots[alloc].ended is None, "fed though it is over"
                case AckProgress(alloc, serial):
                    assert serial <= self.heard[alloc], "acknowledged before it was taken in"
                    slot = self.slots[alloc]
                    slot.told = {n: row for n, row in slot.told.items() if n > serial}
                case DropShare(alloc):
                    assert alloc in self.over, "forgotten before its end was known"
                    self.dropped.add(alloc)
        assert not list(self.core.violations())

    # -- the node --------------------------------------------------------------------------

    @initialize()
    def launch(self) -> None:
        for alloc in ALLOCS:
            place, chunk = Placement("n"), Chunk(((0, 1),), last=False)
            order = Launch(alloc, 1, 0, 1, "u", 1, 1, place, Request(), chunk=chunk)
            self.feed(Ordered(0, (order,)))
            self.feed(ShareStarted(alloc, 2.0))

    @rule(alloc=AN_ALLOC)
    def is_fed(self, alloc: int) -> None:
        self.feed(Ordered(0, (Feed(alloc, Chunk(((5, 6),))),)))

    @rule(alloc=AN_ALLOC, left=st.integers(0, 2))
    def starter_tells(self, alloc: int, left: int) -> None:
        slot = self.slots[alloc]
        if slot.ended is not None:
            return
        self.starter_repeats(alloc)
        slot.serial += 1
        ends = (ElementEnd(slot.serial, 1, 2.0, 3.0),)
        slot.told[slot.serial] = Progress(alloc, slot.serial, ends, left=left)
        self.feed(ShareProgress(slot.told[slot.serial]))

    @rule(alloc=AN_ALLOC)
    def starter_repeats(self, alloc: int) -> None:
        """It connects anew: to this agent, or to one that it has not met."""
        self.slots[alloc].alone = False
        for row in list(self.slots[alloc].told.values()):
            self.feed(ShareProgress(row))

    @rule(alloc=AN_ALLOC, ran=st.booleans())
    def share_ends(self, alloc: int, ran: bool) -> None:  # noqa: FBT001
        slot = self.slots[alloc]
        if slot.ended is not None:
            return
        slot.ended = Ended(alloc, 4.0, 2.0 if ran else None)
        ends = tuple(end for row in slot.told.values() for end in row.ended)
        slot.last = Progress(alloc, LAST_SERIAL, ends) if ends else None
        if slot.alone and slot.last is not None:  # its starter is dead: its spool tells the rest
            self.feed(ShareProgress(slot.last))
        self.feed(ShareEnded(slot.ended))

    @rule()
    def agent_dies(self) -> None:
        self.core, self.taken = AgentCore(), 0
        self.line.clear()
        for alloc, slot in self.slots.items():
            if alloc not in self.dropped:
                slot.alone = slot.ended is None
                phase = Phase.STARTED if slot.ended is None else Phase.ENDED
                found = Recovered(slot.launch, alloc, phase, 2.0, slot.ended, progress=slot.last)
                self.feed(found)

    # -- the line and the manager ----------------------------------------------------------

    @rule()
    def connect(self) -> None:
        self.line.clear()
        self.feed(Connecting())
        self.feed(Connected(0))

    @rule()
    def disconnect(self) -> None:
        self.line.clear()
        self.feed(Disconnected())

    @rule()
    def close_window(self) -> None:
        self.feed(WindowClosed())

    @precondition(lambda self: self.line)
    @rule()
    def manager_takes_one(self) -> None:
        report = self.line.pop(0)
        self.taken = max(self.taken, report.seq)
        for row in report.rows:
            self.take_in(row)

    def take_in(self, row: ReportRow) -> None:
        alloc = row.alloc
        if isinstance(row, Ended) and alloc not in self.over:
            told = set(range(1, self.slots[alloc].serial + 1))
            assert self.known.get(alloc, set()) == told, "the end came before its elements'"
            self.over.add(alloc)
        if isinstance(row, Progress) and row.serial > self.heard.get(alloc, 0):
            assert alloc not in self.over
            heard = self.heard.get(alloc, 0)
            assert row.serial in (heard + 1, LAST_SERIAL), "one was left out"
            self.heard[alloc] = row.serial
            self.known.setdefault(alloc, set()).update(end.index for end in row.ended)

    @rule()
    def manager_acknowledges(self) -> None:
        if self.core.connected:
            self.feed(Acked(self.taken))

    def teardown(self) -> None:
        """With a line that holds, everything is told and forgotten in the end."""
        for alloc in ALLOCS:
            self.starter_repeats(alloc)
            self.share_ends(alloc, ran=True)
        self.connect()
        self.close_window()
        while self.line:
            self.manager_takes_one()
        self.manager_acknowledges()
        assert self.dropped == set(ALLOCS)
        assert not self.core.shares


TestChunkMachine = ChunkMachine.TestCase
