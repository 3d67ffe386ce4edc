"""What can happen to the machine. Time comes in with `Machine.handle(now, event)`."""

from typing import Any

from msgspec import Struct

from ostler.core.effects import Address
from ostler.model.caller import Caller
from ostler.model.errand import Ran
from ostler.model.foreign import About, Jobs, Nodes, Outcome
from ostler.model.ids import AllocationId, Ref
from ostler.model.job import JobSpec, Link
from ostler.model.orders import Held, ReportRow
from ostler.model.resources import NodeFacts
from ostler.model.site_changes import Change
from ostler.model.states import NodeStatus
from ostler.schedule.snapshot import BUILT_IN, Piece, Plan


class Submitted(Struct, frozen=True):
    """A client asks for a job. `blobs`: digest -> bytes, already checked against each other."""

    to: Address
    caller: Caller
    request_id: str
    spec: JobSpec
    blobs: dict[str, bytes]
    dry: bool = False


class SubmittedAll(Struct, frozen=True):
    """A client asks for several jobs, all or none. links: what each waits for among them."""

    to: Address
    caller: Caller
    request_id: str
    specs: tuple[JobSpec, ...]
    links: tuple[tuple[Link, ...], ...]
    blobs: dict[str, bytes]
    dry: bool = False


class Acted(Struct, frozen=True):
    """A client asks for cancel, end, hold, release, suspend, resume, requeue or signal."""

    to: Address
    caller: Caller
    verb: str
    refs: tuple[Ref, ...]
    signal: int = 0
    failed: bool = False
    reason: str = ""
    status: int = 0  # end: what the command in the allocation exited with


class Modified(Struct, frozen=True):
    """A client asks to change a job."""

    to: Address
    caller: Caller
    ref: Ref
    changes: dict[str, Any]


class Awaited(Struct, frozen=True):
    """A client waits for the end of jobs or elements."""

    to: Address
    caller: Caller
    refs: tuple[Ref, ...]
    attach: bool = False


class ClientGone(Struct, frozen=True):
    """The connection of these requests was closed."""

    tos: tuple[Address, ...]


class NodesWorded(Struct, frozen=True):
    """An administrator drains, undrains, fences or describes nodes."""

    to: Address
    caller: Caller
    verb: str
    nodes: tuple[str, ...]
    reason: str
    features: tuple[str, ...] | None = None  # None: those that they declare themselves


class Administered(Struct, frozen=True):
    """Somebody changes rows of the site, or attributes: all of them, or none."""

    to: Address
    caller: Caller
    changes: tuple[Change, ...]
    dry: bool = False  # only say what would change
    serial: int | None = None  # of the last transaction that the changes know of; None: any
    request_id: str = ""


class MembersTold(Struct, frozen=True):
    """Of which groups of the system users are."""

    groups: dict[str, tuple[str, ...]]


class Posted(Struct, frozen=True):
    """A user reports something. kind: CLASS/TYPE, as typed."""

    to: Address
    caller: Caller
    kind: str
    object: str
    text: str
    request_id: str = ""


class DealtWith(Struct, frozen=True):
    """A person has dealt with an event. note: what was done, one line."""

    to: Address
    caller: Caller
    serial: int
    note: str


class Subscribed(Struct, frozen=True):
    """A client begins to read events under a name, or has read them up to a serial, or ends it."""

    to: Address
    caller: Caller
    name: str
    serial: int | None = None
    forget: bool = False


class Handled(Struct, frozen=True):
    """An attempt at an errand has ended."""

    ran: Ran


class HandlersLost(Struct, frozen=True):
    """The process that ran errands is gone, with all that it ran. why: one sentence."""

    why: str


class ConfigurationUsed(Struct, frozen=True):
    """Somebody switches to another configuration."""

    to: Address
    caller: Caller
    name: str
    dry: bool = False  # only say what would move


class PartitionWorded(Struct, frozen=True):
    """Somebody starts, stops or reloads a partition. how: of a stop: refuse, wait, drain, kill."""

    to: Address
    caller: Caller
    verb: str
    name: str
    how: str = ""


class ShutdownAsked(Struct, frozen=True):
    """The owner wants the machine stopped. how: refuse, wait, kill, leave."""

    to: Address
    caller: Caller
    how: str


class AgentGreeted(Struct, frozen=True):
    """An agent has connected and told what it holds."""

    node: str
    facts: NodeFacts
    boot_id: str
    holds: tuple[Held, ...]


class AgentReported(Struct, frozen=True):
    """An agent reports; acknowledged when durable."""

    node: str
    seq: int
    rows: tuple[ReportRow, ...]


class AgentGone(Struct, frozen=True):
    """The agent's connection is gone or silent. Says nothing about what runs there."""

    node: str


class NodeSeen(Struct, frozen=True):
    """The machine manager has looked at a node from outside, and something is new."""

    node: str
    status: NodeStatus
    differs: str = ""  # how its agent's own word differs from that; told once
    restless: int = 0  # losses of late, for which nothing new is to start there; 0: it is steady


class RmUp(Struct, frozen=True):
    """The driver of a resource manager has started in its processes, and tells what it is."""

    rm: str
    about: About


class RmLoaded(Struct, frozen=True):
    """A resource manager was asked for its nodes and jobs. None: there was no sensible answer.

    Both are taken in together. What was seen is as of `began`; anything that was ordered later may
    not show yet.
    """

    rm: str
    about: About
    nodes: Nodes | None
    jobs: Jobs | None
    began: float  # Unix seconds
    took: float  # seconds
    why: str = ""  # what came instead of an answer, one sentence


class RmMore(Struct, frozen=True):
    """It is time for the next piece of a load that is being taken in, whichever is next."""


class RmAnswered(Struct, frozen=True):
    """What became of a `Call`."""

    rm: str
    call: int
    outcome: Outcome


class RmTrouble(Struct, frozen=True):
    """A process that ran a driver came to grief. A load that this cost comes as `RmLoaded`, too.

    kind: crashed, hung, failed, garbage, flood or memory. calls: those that nobody will answer any
    more, so that what became of them is unknown.
    """

    rm: str
    kind: str
    why: str  # one sentence
    until: float = 0.0  # Unix seconds; the next process starts then
    calls: tuple[int, ...] = ()


class NotOrdered(Struct, frozen=True):
    """A launch could not be put together, and so was not sent. why: one sentence."""

    node: str
    alloc: AllocationId
    why: str


class Planned(Struct, frozen=True):
    """A scheduler proposes. `by` is its name; piece None: all of a plan.

    wrong: the first line that was left out, as it made no sense when the scheduler saw the machine;
    a sentence, empty if there is none.
    """

    plan: Plan
    by: str = BUILT_IN
    piece: Piece | None = None
    wrong: str = ""


class PlannerLost(Struct, frozen=True):
    """Whoever planned is gone with all it knew. why: one sentence."""

    why: str


class SchedulerSeen(Struct, frozen=True):
    """A scheduler that is not built in has been lost, or is back. why: one sentence."""

    name: str
    up: bool
    why: str = ""


class ShadowDiffered(Struct, frozen=True):
    """What a scheduler whose plans are only compared would have done otherwise."""

    name: str
    text: str


class Archived(Struct, frozen=True):
    """Copies of ended jobs, and of their steps, are durable. before: of their ends, Unix seconds."""

    jobs: tuple[int, ...]
    before: float


class Tick(Struct, frozen=True):
    """A deadline may have come."""


Event = (
    Submitted
    | SubmittedAll
    | Acted
    | Modified
    | Awaited
    | ClientGone
    | NodesWorded
    | Administered
    | MembersTold
    | Posted
    | DealtWith
    | Subscribed
    | Handled
    | HandlersLost
    | ConfigurationUsed
    | PartitionWorded
    | ShutdownAsked
    | AgentGreeted
    | AgentReported
    | AgentGone
    | NodeSeen
    | RmUp
    | RmLoaded
    | RmMore
    | RmAnswered
    | RmTrouble
    | NotOrdered
    | Planned
    | PlannerLost
    | SchedulerSeen
    | ShadowDiffered
    | Archived
    | Tick
)
