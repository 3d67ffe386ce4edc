"""What a manager orders of an agent, and what the agent reports back.

Orders name an allocation and can be repeated without harm: an agent that already obeyed answers
with what it knows. Reports are repeated until the manager has acknowledged them as durable.
"""

from msgspec import Struct

from ostler.model.bounded import Amount, Count, Index, Whole
from ostler.model.ids import AllocationId, JobId
from ostler.model.job import Streams, TaskExit, Usage
from ostler.model.resources import Placement, Request

Spans = tuple[tuple[Index, Index], ...]  # element numbers as inclusive ranges


class Chunk(Struct, frozen=True, omit_defaults=True):
    """Elements of one array that one share runs, one after the other, in this order."""

    elements: Spans = ()
    attempts: Spans = ()  # (element, attempt) of those that are not at their first
    items: tuple[bytes, ...] = ()  # their lines of --each, in the same order
    last: bool = True  # the share ends by itself when nothing is left; else it waits for more


class Programs(Struct, frozen=True, omit_defaults=True):
    """What the machine runs on a node before and after all tasks of an allocation."""

    prolog: str = ""  # path; empty: nothing
    epilog: str = ""
    seconds: int = 60  # that each of them may take
    partition: str = ""  # of the job, for them to know


class Launch(Struct, frozen=True, tag="launch", omit_defaults=True):
    """Make the context of an allocation on this node, and start its tasks if `start` is set.

    Self-contained: the agent needs nothing else to run the share, even after its own restart.
    With a chunk, its elements are run and told of by `Progress`; `element`, `attempt` and `item`
    are then those of the first.
    """

    alloc: AllocationId
    job: JobId
    element: int
    attempt: int  # 1 at the first start
    user: str
    uid: int
    gid: int
    placement: Placement  # this node's share
    request: Request
    step: int = -1  # its number in the allocation of `job`; -1: it is no step
    total_tasks: int = 1
    ranks: tuple[int, ...] = ()  # of the tasks here; empty: one after the other from `first_rank`
    kill_on_bad_exit: bool = False
    verbose: bool = False
    members: tuple[str, ...] = ()  # all nodes of the allocation
    start: bool = True  # False: wait for `StartTasks`
    is_array: bool = False
    chunk: Chunk | None = None  # None: only `element`, and `Ended` tells of it
    argv: tuple[bytes, ...] = ()
    script: bytes = b""  # text of the script, run from a private file; then argv are its arguments
    env: bytes = b""  # KEY=VALUE, NUL after each
    item: bytes | None = None  # this element's line of --each
    cwd: bytes = b"/"
    umask: int = 0o022
    name: str = ""
    output: bytes = b""  # pattern; empty: the default of the design
    error: bytes = b""
    input: bytes = b""
    time_limit: int = 0  # seconds; 0: none
    warn_signal: int = 0
    warn_before: int = 0
    grace: int = 30
    rlimits: dict[str, int] = {}  # soft limits for the tasks
    stdio: str = ""  # token under which a client left its descriptors with the agent
    streams: Streams | None = None  # held by a relay on this node
    stdin: str = "first"  # as in `JobSpec`
    detach: bool = False  # as in `JobSpec`
    programs: Programs | None = None  # None: there are none
    key: str = ""  # secret of the context, the same on all its nodes; empty: it has none
    lease: int = 0  # seconds without word from a manager after which the starter ends it; 0: none


class StartTasks(Struct, frozen=True, tag="start_tasks"):
    """All nodes hold the context: start the tasks."""

    alloc: AllocationId


class Feed(Struct, frozen=True, tag="feed"):
    """More elements for a share that has a chunk, behind what it holds.

    Repeated without harm: what the share holds is not taken twice. heard: the highest serial of
    its `Progress` that is durable here, so what was told up to that is not held any more.
    """

    alloc: AllocationId
    chunk: Chunk
    heard: int = 0


class Withdraw(Struct, frozen=True, tag="withdraw", omit_defaults=True):
    """Give elements back that have not begun, told by `Progress.returned`.

    With a cause, one of them that runs is ended as `EndShare` would; the share goes on.
    """

    alloc: AllocationId
    elements: Spans
    cause: str = ""  # a Result, or empty
    why: str = ""  # one sentence
    grace: int = 30


class EndShare(Struct, frozen=True, tag="end_share"):
    """SIGTERM, then after `grace` seconds SIGKILL; answered by `Ended`, also if nothing is here."""

    alloc: AllocationId
    cause: str  # a Result
    why: str  # one sentence
    grace: int = 30


class SignalTasks(Struct, frozen=True, tag="signal_tasks"):
    """Send a signal to the process groups of all tasks. Not repeated."""

    alloc: AllocationId
    signal: int
    element: int = -1  # only if this one runs; -1: whatever runs


class SuspendShare(Struct, frozen=True, tag="suspend_share"):
    """Freeze everything; time and limits stop."""

    alloc: AllocationId


class ResumeShare(Struct, frozen=True, tag="resume_share"):
    """Go on."""

    alloc: AllocationId


class Retime(Struct, frozen=True, tag="retime"):
    """Replace the time limit, in seconds from the start; 0: none."""

    alloc: AllocationId
    time_limit: int


class Resized(Struct, frozen=True, tag="resized"):
    """The allocation has other nodes now: write that into its context, and send SIGWINCH."""

    alloc: AllocationId
    members: tuple[str, ...]
    tasks: int  # on all of them together


Order = (
    Launch
    | StartTasks
    | Feed
    | Withdraw
    | EndShare
    | SignalTasks
    | SuspendShare
    | ResumeShare
    | Retime
    | Resized
)


NODE_FAULT = "node"  # cause of an end without a start: the node could not, whatever the job asks


class Made(Struct, frozen=True, tag="made"):
    """The context exists here; nothing has started."""

    alloc: Count


class Started(Struct, frozen=True, tag="started"):
    """The tasks of this share run since `at` (Unix seconds)."""

    alloc: Count
    at: Amount


class ElementEnd(Struct, frozen=True, array_like=True, gc=False):
    """How one element of a chunk ended; nothing of it is left."""

    index: Index
    attempt: Count
    started_at: Amount | None  # None: no task ran, which is proof
    at: Amount
    cause: str = ""  # as in `Ended`
    why: str = ""
    tasks: tuple[TaskExit, ...] = ()
    usage: Usage = Usage()


LAST_SERIAL = 1 << 53  # of what is told in the place of a share's dead starter


class Progress(Struct, frozen=True, tag="progress", omit_defaults=True):
    """How far a share is with its elements. Serials rise; one that was heard counts for nothing."""

    alloc: Count
    serial: Count
    ended: tuple[ElementEnd, ...] = ()
    returned: Spans = ()  # given back: they have not run here
    running: Whole = -1  # the element that runs; -1: none
    attempt: Count = 1  # of that one
    since: Amount = 0.0  # when it started, Unix seconds
    left: Count = 0  # elements behind it


class Ended(Struct, frozen=True, tag="ended", omit_defaults=True):
    """Nothing of the allocation is left on this node. The last report about it.

    Elements of a chunk that no `Progress` before it told of did not run, unless the cause is lost.
    """

    alloc: Count
    at: Amount
    started_at: Amount | None = None  # None: no task ran here, which is proof
    cause: str = ""  # a Result when something other than the tasks ended it, or NODE_FAULT
    why: str = ""  # one sentence; always set with a cause
    tasks: tuple[TaskExit, ...] = ()
    usage: Usage = Usage()
    drain: str = ""  # why this node should be given no more work, one sentence; empty: it may


ReportRow = Made | Started | Progress | Ended


class Held(Struct, frozen=True, array_like=True):
    """One allocation that an agent holds, told at each greeting."""

    alloc: Count
    phase: str  # made, started, ended
    started_at: Amount | None = None
