"""What can happen to the machine. Time comes in with `Machine.handle(now, event)`."""

from typing import Any

from msgspec import Struct

from ostler.core.effects import Address
from ostler.model.caller import Caller
from ostler.model.errand import Ran
from ostler.model.ids import AllocationId, Ref
from ostler.model.job import JobSpec, Link
from ostler.model.orders import Held, ReportRow
from ostler.model.resources import NodeFacts
from ostler.model.site_changes import Change
from ostler.model.states import NodeStatus
from ostler.schedule.snapshot import Plan


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


class Posted(Struct, frozen=True):
    """A user reports something. kind: CLASS/TYPE, as typed."""

    to: Address
    caller: Caller
    kind: str
    object: str
    text: str
    request_id: str = ""


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


class NotOrdered(Struct, frozen=True):
    """A launch could not be put together, and so was not sent. why: one sentence."""

    node: str
    alloc: AllocationId
    why: str


class Planned(Struct, frozen=True):
    """A scheduler proposes. `by` is its name."""

    plan: Plan
    by: str = "backfill"


class PlannerLost(Struct, frozen=True):
    """Whoever planned is gone with all it knew. why: one sentence."""

    why: str


class Archived(Struct, frozen=True):
    """Copies of ended jobs, and of their steps, are durable. before: of their ends, Unix seconds."""

    jobs: tuple[int, ...]
    before: float


class Tick(Struct, frozen=True):
    """A deadline may have come."""

    utc_offset: int | None = None  # of the manager's host, seconds east; None: as before


Event = (
    Submitted
    | SubmittedAll
    | Acted
    | Modified
    | Awaited
    | ClientGone
    | NodesWorded
    | Administered
    | Posted
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
    | NotOrdered
    | Planned
    | PlannerLost
    | Archived
    | Tick
)
