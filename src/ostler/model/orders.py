"""What a manager orders of an agent, and what the agent reports back.

Orders name an allocation and can be repeated without harm: an agent that already obeyed answers
with what it knows. Reports are repeated until the manager has acknowledged them as durable.
"""

from msgspec import Struct

from ostler.model.ids import AllocationId, JobId
from ostler.model.job import TaskExit, Usage
from ostler.model.resources import Placement, Request


class Launch(Struct, frozen=True, tag="launch", omit_defaults=True):
    """Make the context of an allocation on this node, and start its tasks if `start` is set.

    Self-contained: the agent needs nothing else to run the share, even after its own restart.
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
    total_tasks: int = 1
    members: tuple[str, ...] = ()  # all nodes of the allocation
    start: bool = True  # False: wait for `StartTasks`
    is_array: bool = False
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
    lease: int = 0  # seconds without word from a manager after which the starter ends it; 0: none


class StartTasks(Struct, frozen=True, tag="start_tasks"):
    """All nodes hold the context: start the tasks."""

    alloc: AllocationId


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


Order = Launch | StartTasks | EndShare | SignalTasks | SuspendShare | ResumeShare | Retime


NODE_FAULT = "node"  # cause of an end without a start: the node could not, whatever the job asks


class Made(Struct, frozen=True, tag="made"):
    """The context exists here; nothing has started."""

    alloc: AllocationId


class Started(Struct, frozen=True, tag="started"):
    """The tasks of this share run since `at` (Unix seconds)."""

    alloc: AllocationId
    at: float


class Ended(Struct, frozen=True, tag="ended", omit_defaults=True):
    """Nothing of the allocation is left on this node. The last report about it."""

    alloc: AllocationId
    at: float
    started_at: float | None = None  # None: no task ran here, which is proof
    cause: str = ""  # a Result when something other than the tasks ended it, or NODE_FAULT
    why: str = ""  # one sentence; always set with a cause
    tasks: tuple[TaskExit, ...] = ()
    usage: Usage = Usage()


ReportRow = Made | Started | Ended


class Held(Struct, frozen=True, array_like=True):
    """One allocation that an agent holds, told at each greeting."""

    alloc: AllocationId
    phase: str  # made, started, ended
    started_at: float | None = None
