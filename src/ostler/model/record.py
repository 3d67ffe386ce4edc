"""What the core asks the store to write, one transaction for each turn of the manager's loop.

Records that are made by the thousand and cannot be in a cycle are kept from the garbage collector
(`gc=False`): looking at them again and again was an eighth of the manager's work.
"""

from typing import NamedTuple

from msgspec import Struct

from ostler.model.allocation import Allocation
from ostler.model.errand import ErrandKey, ErrandState, Notice, Outcome
from ostler.model.foreign_rows import Discrepancy, RmJob, RmNode
from ostler.model.job import Element, Job, Usage
from ostler.model.node import Node
from ostler.model.site import SHIPPED, Key, Row, Site


class Event(Struct, frozen=True, gc=False):
    """One unalterable record of a change. The serial is given by the core and never repeats."""

    serial: int
    at: float  # Unix seconds
    kind: str  # job/submitted, allocation/granted, node/status, ...
    job: int | None = None
    element: int | None = None
    allocation: int | None = None
    node: str | None = None
    user: str | None = None
    text: str = ""  # one sentence
    object: str | None = None  # what it is about, where that is neither a job nor a node


class Ruled(Struct, frozen=True, gc=False):
    """A job that waits by another rule than before, and is otherwise as it was.

    One plan may tell that of a thousand jobs, and writing a row as a whole costs ten times as much.
    """

    job: Job


class Errand(Struct, frozen=True):
    """What one handler does about one event, or about several alike."""

    first: int  # serial of the first event that it is about
    handler: str  # its name, or one of `CHANNELS`
    event: Event  # the newest that it is about
    events: int = 1  # how many they are
    state: ErrandState = ErrandState.WAITING
    attempt: int = 0  # so far
    due_at: float = 0.0  # Unix seconds before which no attempt begins
    began_at: float | None = None  # of the last attempt
    ended_at: float | None = None
    result: Outcome | None = None  # of the last attempt
    exit_status: int | None = None  # of its program, or 128 + signal
    reason: str = ""  # one sentence
    notice: Notice | None = None

    @property
    def key(self) -> ErrandKey:
        """Return what tells it from others."""
        return self.first, self.handler

    @property
    def lane(self) -> str:
        """Return whose turn it takes: of one lane one errand at a time is under way."""
        return self.handler if self.notice is None else f"{self.handler} {self.notice.target}"


class Accounting(Struct, frozen=True, gc=False):
    """One attempt of one element, closed: appended, never changed."""

    allocation: int
    job: int
    element: int
    attempt: int
    user: str
    project: str
    partition: str
    nodes: str  # names joined by commas
    cpus: int
    memory: int  # bytes granted
    gpus: int
    granted_at: float
    started_at: float | None
    ended_at: float
    result: str
    exit_status: int | None
    usage: Usage
    part: int = 0  # how often the allocation had been resized before


class Setting(Struct, frozen=True):
    """One row of the attributes table; None removes it."""

    key: str
    value: str | None
    by: str = ""
    at: float = 0.0


class SiteRow(Struct, frozen=True):
    """One row of what administrators have set; None removes it."""

    kind: str
    key: Key
    row: Row | None


class Transaction(Struct, frozen=True):
    """Who changed which row of the site or the attributes. before, after: JSON; None: no row."""

    serial: int
    at: float  # Unix seconds
    user: str
    verb: str  # create, set or remove
    kind: str
    name: str
    before: str | None
    after: str | None
    request: int  # serial of the first row that was changed by the same request


class Blob(Struct, frozen=True):
    """Bytes kept once under their digest, readable by their owner only."""

    digest: str
    uid: int
    data: bytes


class Posting(Struct, frozen=True):
    """Which event a request of a user was, so that a repeated one is the same."""

    uid: int
    request_id: str  # chosen by the client
    serial: int


class Dealt(Struct, frozen=True):
    """A person has dealt with an event; the first who says so stays the one."""

    serial: int
    user: str
    at: float
    note: str  # one line; may be empty


class Answered(Struct, frozen=True):
    """What came of a request of a user to change the site, so that a repeated one is told it."""

    uid: int
    request_id: str  # chosen by the client
    at: float  # Unix seconds
    answer: str  # JSON


class Subscriber(Struct, frozen=True):
    """How far somebody has read the events. serial None: nobody reads under that name any more."""

    uid: int
    name: str
    user: str
    serial: int | None  # up to and including this one
    at: float  # Unix seconds of the last acknowledgement


Write = (
    Job
    | Ruled
    | Element
    | Allocation
    | Node
    | Event
    | Accounting
    | Setting
    | Blob
    | Subscriber
    | SiteRow
    | Transaction
    | Errand
    | Dealt
    | Posting
    | RmNode
    | RmJob
    | Discrepancy
    | Answered
)


class Moment(NamedTuple):
    """When a node was last heard of, and last looked at, and its agent; None: never, none seen."""

    node: str
    last_update: float | None  # Unix seconds
    checked_at: float | None
    agent_pid: int | None = None  # as it said when it last answered
    agent_started_at: float | None = None


class EndedElement(NamedTuple):
    """What is needed of an element that has ended."""

    element: int
    result: str
    attempt: int = 1  # starts so far
    rm: str = ""  # as in elements


class Used(Struct, frozen=True, gc=False):
    """What a user has used in a project, of attempts that began and ended in the same hours."""

    project: str
    user: str
    cpu_seconds: float  # CPUs granted x seconds held
    began_at: float  # Unix seconds, on the average
    ended_at: float  # later than that


class Loaded(Struct):
    """Everything the core needs to go on after a restart."""

    jobs: list[Job]  # unfinished
    elements: list[Element]  # rows of unfinished jobs that are not done
    done: dict[int, list[EndedElement]]  # by unfinished job
    allocations: list[Allocation]  # not released
    nodes: list[Node]
    settings: dict[str, str]
    ended: dict[int, str]  # ended job -> result
    next_job: int
    next_allocation: int
    next_event: int
    # Of ended jobs whose elements those of unfinished ones wait for: the elements that succeeded.
    successes: dict[int, list[int]] = {}
    used: list[Used] = []  # where shares count
    subscribers: list[Subscriber] = []
    site: Site = SHIPPED
    next_transaction: int = 1
    errands: list[Errand] = []  # not done
    rm_nodes: list[RmNode] = []
    rm_jobs: list[RmJob] = []  # not over, or of late
    discrepancies: list[Discrepancy] = []  # not over
