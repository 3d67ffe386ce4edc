"""What can happen to an agent and what it then does: the words of `core.agent`."""

from enum import StrEnum

from msgspec import Struct

from ostler.model.ids import AllocationId
from ostler.model.orders import Chunk, Ended, Held, Launch, Order, Progress, ReportRow, Spans


class Phase(StrEnum):
    """How far a share has come on this node."""

    ACCEPTED = "accepted"
    MADE = "made"
    STARTED = "started"
    ENDED = "ended"


# -- events ------------------------------------------------------------------------------------


class Ordered(Struct, frozen=True):
    """A manager gives orders in the name of its epoch."""

    epoch: int
    orders: tuple[Order, ...]


class EpochKept(Struct, frozen=True):
    """The epoch is durable here."""

    epoch: int


class ShareKept(Struct, frozen=True):
    """The share is in the journal."""

    alloc: AllocationId


class ShareMade(Struct, frozen=True):
    """The context exists."""

    alloc: AllocationId


class ShareStarted(Struct, frozen=True):
    """The tasks run since `at` (Unix seconds)."""

    alloc: AllocationId
    at: float


class ShareProgress(Struct, frozen=True):
    """A share with a chunk tells of its elements; repeated until `AckProgress`."""

    row: Progress


class ShareEnded(Struct, frozen=True):
    """Nothing of it is left here."""

    row: Ended


class Acked(Struct, frozen=True):
    """Reports up to `seq` are durable at the manager."""

    seq: int


class Connecting(Struct, frozen=True):
    """A connection to a manager is there; it wants a greeting."""


class Connected(Struct, frozen=True):
    """A manager of this epoch has taken us in."""

    epoch: int


class Disconnected(Struct, frozen=True):
    """The connection is gone."""


class WindowClosed(Struct, frozen=True):
    """It is time to send the rows gathered so far."""


class Recovered(Struct, frozen=True):
    """What the journal and the spools tell after a restart; before the first greeting.

    An accepted share without `alive` did not run and is made anew. `progress` is told before
    `ended`: it may not have come through.
    """

    launch: Launch | None  # None: only the starter knows of it
    alloc: AllocationId
    phase: Phase
    started_at: float | None = None
    ended: Ended | None = None
    alive: bool = True
    progress: Progress | None = None


Event = (
    Ordered
    | EpochKept
    | ShareKept
    | ShareMade
    | ShareStarted
    | ShareProgress
    | ShareEnded
    | Acked
    | Connecting
    | Connected
    | Disconnected
    | WindowClosed
    | Recovered
)


# -- effects -----------------------------------------------------------------------------------


class KeepEpoch(Struct, frozen=True):
    """Make it durable, then answer `EpochKept`; if that fails, drop the connection."""

    epoch: int


class RefuseStale(Struct, frozen=True):
    """Say in the log that orders of an older epoch were refused."""

    epoch: int


class Keep(Struct, frozen=True):
    """Put the share into the journal, then answer `ShareKept`, or `ShareEnded` without a start."""

    launch: Launch


class MakeShare(Struct, frozen=True):
    """Hand the share to a starter."""

    launch: Launch


class BeginTasks(Struct, frozen=True):
    """Let its tasks start."""

    alloc: AllocationId


class FinishShare(Struct, frozen=True):
    """End everything of it; `ShareEnded` follows whatever state it is in."""

    alloc: AllocationId
    cause: str
    why: str
    grace: int


class FeedShare(Struct, frozen=True):
    """Hand it more elements; what was told of it up to the serial `heard` is durable."""

    alloc: AllocationId
    chunk: Chunk
    heard: int


class WithdrawElements(Struct, frozen=True):
    """Take elements back that have not begun; with a cause, end one of them that runs."""

    alloc: AllocationId
    elements: Spans
    cause: str
    why: str
    grace: int


class AckProgress(Struct, frozen=True):
    """What it told up to this serial is durable at the manager."""

    alloc: AllocationId
    serial: int


class SignalShare(Struct, frozen=True):
    """Send a signal to its tasks."""

    alloc: AllocationId
    signal: int
    element: int = -1  # only if this one runs; -1: whatever runs


class FreezeShare(Struct, frozen=True):
    """Suspend it."""

    alloc: AllocationId


class ThawShare(Struct, frozen=True):
    """Resume it."""

    alloc: AllocationId


class RetimeShare(Struct, frozen=True):
    """Replace its time limit."""

    alloc: AllocationId
    time_limit: int


class RenewContext(Struct, frozen=True):
    """Its allocation has other nodes: write that where its tasks read it, and send SIGWINCH."""

    launch: Launch


class DropShare(Struct, frozen=True):
    """Its end is durable at the manager: forget it everywhere."""

    alloc: AllocationId


class SendHello(Struct, frozen=True):
    """Greet the manager with what is held here."""

    epoch: int
    holds: tuple[Held, ...]


class SendReport(Struct, frozen=True):
    """Send these rows; sent again at each connection until acknowledged."""

    seq: int
    rows: tuple[ReportRow, ...]


Effect = (
    KeepEpoch
    | RefuseStale
    | Keep
    | MakeShare
    | BeginTasks
    | FinishShare
    | FeedShare
    | WithdrawElements
    | AckProgress
    | SignalShare
    | FreezeShare
    | ThawShare
    | RetimeShare
    | RenewContext
    | DropShare
    | SendHello
    | SendReport
)
