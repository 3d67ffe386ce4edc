"""The states of nodes, jobs and allocations, and their legal moves.

These tables are the specification: the core looks moves up here, the reference draws them from
here, and a move that is not listed raises `IllegalEvent`.
"""

from collections.abc import Mapping
from enum import StrEnum


class JobState(StrEnum):
    """Where a job, or one element of an array, stands."""

    HELD = "held"
    PENDING = "pending"
    STARTING = "starting"  # granted; the agents are making its context
    RUNNING = "running"
    SUSPENDED = "suspended"
    FINISHING = "finishing"  # told to end; its processes are not all gone
    DONE = "done"


class Result(StrEnum):
    """How a job or element ended."""

    SUCCESS = "success"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMEOUT = "timeout"
    MEMORY = "memory"
    LOST = "lost"  # it may have run; nobody is left who could tell how it ended
    REJECTED = "rejected"  # the node could not start it
    DEPENDENCY = "dependency"  # what it waited for can no longer happen


class AllocationState(StrEnum):
    """Where an allocation stands."""

    GRANTED = "granted"  # durable, ordered, not yet acknowledged by every node
    READY = "ready"  # every node holds the context; tasks run
    SUSPENDED = "suspended"
    RELEASING = "releasing"
    RELEASED = "released"


class Suspender(StrEnum):
    """Who has suspended an allocation, and so who may let it go on."""

    USER = "user"  # its owner
    ADMIN = "admin"  # somebody who may act on others' jobs: its owner cannot resume it
    CONFIGURATION = "configuration"  # its nodes are in another partition: it goes on by itself
    SCHEDULER = "scheduler"  # it gave way, or another has its turn: it goes on by itself
    ALLOCATION = "allocation"  # of a step: what it is a step of stands still, and goes on with it


class NodeStatus(StrEnum):
    """What the machine manager sees of a node from outside."""

    UNREACHABLE = "unreachable"
    NO_AGENT = "no_agent"
    RUNNING = "running"


class NodeWord(StrEnum):
    """What an administrator has said about a node."""

    IN = "in"
    DRAINING = "draining"
    OUT = "out"


_J = JobState
LEGAL_JOB: Mapping[JobState, frozenset[JobState]] = {
    _J.HELD: frozenset({_J.PENDING, _J.DONE}),
    _J.PENDING: frozenset({_J.HELD, _J.STARTING, _J.DONE}),
    _J.STARTING: frozenset({_J.PENDING, _J.HELD, _J.RUNNING, _J.FINISHING, _J.DONE}),
    _J.RUNNING: frozenset({_J.SUSPENDED, _J.FINISHING, _J.PENDING, _J.HELD, _J.DONE}),
    _J.SUSPENDED: frozenset({_J.RUNNING, _J.FINISHING, _J.PENDING, _J.HELD, _J.DONE}),
    _J.FINISHING: frozenset({_J.PENDING, _J.DONE}),
    _J.DONE: frozenset({_J.PENDING}),  # only by `requeue`
}

_A = AllocationState
LEGAL_ALLOCATION: Mapping[AllocationState, frozenset[AllocationState]] = {
    _A.GRANTED: frozenset({_A.READY, _A.RELEASING, _A.RELEASED}),
    _A.READY: frozenset({_A.SUSPENDED, _A.RELEASING, _A.RELEASED}),
    _A.SUSPENDED: frozenset({_A.READY, _A.RELEASING, _A.RELEASED}),
    _A.RELEASING: frozenset({_A.RELEASED}),
    _A.RELEASED: frozenset(),
}

# Of an element that holds an allocation.
JOB_STATE_OF: Mapping[AllocationState, JobState] = {
    _A.GRANTED: _J.STARTING,
    _A.READY: _J.RUNNING,
    _A.SUSPENDED: _J.SUSPENDED,
    _A.RELEASING: _J.FINISHING,
}

_S = NodeStatus
LEGAL_NODE: Mapping[NodeStatus, frozenset[NodeStatus]] = {
    _S.UNREACHABLE: frozenset({_S.NO_AGENT, _S.RUNNING}),
    _S.NO_AGENT: frozenset({_S.UNREACHABLE, _S.RUNNING}),
    _S.RUNNING: frozenset({_S.NO_AGENT, _S.UNREACHABLE}),
}

_W = NodeWord
LEGAL_WORD: Mapping[NodeWord, frozenset[NodeWord]] = {
    _W.IN: frozenset({_W.DRAINING, _W.OUT}),
    _W.DRAINING: frozenset({_W.IN, _W.OUT}),
    _W.OUT: frozenset({_W.IN, _W.DRAINING}),
}


class Rule(StrEnum):
    """Why something waits: a closed list, one for each waiting job."""

    NEW = "new"  # no planning pass has looked at it yet
    HOLD = "hold"
    NOT_BEFORE = "not_before"
    DEPENDENCY = "dependency"
    LIMIT = "limit"
    PARTITION = "partition"  # it is stopped
    SCHEDULER = "scheduler"  # another scheduler plans its partition, and has not started it
    CONFIGURATION = "configuration"  # nodes that would do are in its partition in another one
    LICENCES = "licences"  # the machine has enough of them, and others hold them
    ARRAY_CAP = "array_cap"
    CHUNK = "chunk"  # handed to a node, behind other elements of its array
    RESOURCES = "resources"  # CPUs, memory, GPUs or a named resource are busy
    NODES = "nodes"  # enough are configured, too few are up and in
    RESERVED = "reserved"  # nodes that would do are, or will be before it could end
    QUEUE = "queue"  # jobs that ask for the same are ahead of it
    BEHIND = "behind"  # it would fit now, but would delay what is ahead
    NODE_LEFT = "node_left"  # no node that is left is large enough
    FOREIGN = "foreign"  # in another resource manager, which starts it by itself
    RETRY = "retry"  # waits a moment before another try
