"""What a foreign resource manager says of its nodes and jobs, and what is asked of it.

A driver translates between these and the resource manager's own words. Facts carry the time as of
which they hold; what is not told is unknown, never gone. Names here are the resource manager's own:
`n1`, `4711`. The machine writes them `slurm/n1` and `slurm/4711`.
"""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from ostler.model.bounded import Amount, Count, Name, Whole
from ostler.model.job import Usage
from ostler.model.limits import (
    MAX_COMMAND,
    MAX_FEATURES,
    MAX_FOREIGN_CPUS,
    MAX_FOREIGN_JOBS,
    MAX_FOREIGN_NODES,
    MAX_SENTENCE,
)

Sentence = Annotated[str, Meta(max_length=MAX_SENTENCE)]
Few = Annotated[int, Meta(ge=0, le=MAX_FOREIGN_CPUS)]  # CPUs of one node, which are all counted out
Text = Annotated[str, Meta(max_length=MAX_COMMAND)]
_ID = r"[A-Za-z0-9_.@+:\[\],-]"
Id = Annotated[str, Meta(min_length=1, max_length=63, pattern=rf"^{_ID}+\Z")]
IdIfAny = Annotated[str, Meta(max_length=63, pattern=rf"^{_ID}*\Z")]
_Some = Meta(max_length=1_000)  # of what a driver says of itself


class Option(StrEnum):
    """What a driver can do beside the four verbs. Nothing that it does not declare is asked of it."""

    SUBMIT = "submit"  # `start` takes jobs that the resource manager does not have yet
    SCHEDULES = "schedules"  # it starts its users' jobs itself: those are not ours to start
    SUSPEND = "suspend"
    RESUME = "resume"
    CHECKPOINT = "checkpoint"
    REQUEUE = "requeue"
    MODIFY = "modify"  # the time limit of what runs
    NODE = "node"  # nodes are asked for one by one, several at a time
    EVENTS = "events"  # it tells when something has happened
    ONCE = "once"  # a job that was forgotten may be started again: what has run ends as it did
    MANY_NODES = "many_nodes"  # one job may have tasks on several nodes


class NodeState(StrEnum):
    """Whether a foreign node takes work."""

    UP = "up"
    DRAINING = "draining"
    DOWN = "down"
    UNKNOWN = "unknown"  # a word that the driver's table does not have


class ForeignState(StrEnum):
    """How far a foreign job has come. One that has ended is an `End`."""

    IDLE = "idle"  # waits in the resource manager
    HELD = "held"
    STARTING = "starting"
    RUNNING = "running"
    SUSPENDED = "suspended"
    ENDING = "ending"
    VACATED = "vacated"  # it ran, has left its nodes, and will wait as idle again
    UNKNOWN = "unknown"  # a word that the driver's table does not have


class ForeignNode(Struct, frozen=True, omit_defaults=True):
    """One node as its resource manager tells it."""

    name: Id
    state: NodeState
    cpus: Few = 1
    memory: Count = 0  # bytes; 0: not told
    gpus: Few = 0
    generic: dict[Name, Count] = {}
    features: Annotated[tuple[Name, ...], Meta(max_length=MAX_FEATURES)] = ()
    used_cpus: Count | None = None  # None: not told
    jobs: tuple[Id, ...] = ()  # that have tasks there, if it tells
    queues: tuple[Name, ...] = ()  # its own partitions or queues
    reason: Sentence = ""  # why it is not up
    native_state: Name = ""  # the word that was translated
    host: Name = ""  # the computer behind it, if it tells: two names of one are found so
    at: Amount = 0.0  # Unix seconds as of which this holds; 0: as of the load


class Share(Struct, frozen=True, omit_defaults=True):
    """What a job has, or is to get, on one node."""

    node: Id
    tasks: Count = 1
    cpus: Count = 1  # all tasks together
    memory: Count = 0  # bytes, all tasks together; 0: no limit
    gpus: Count = 0
    generic: dict[Name, Count] = {}


class ForeignJob(Struct, frozen=True, omit_defaults=True):
    """One job that has not ended, as its resource manager tells it."""

    id: Id
    state: ForeignState
    user: Name
    incarnation: Name = ""  # tells a job from an older one of the same id: its submission, a serial
    token: Name = ""  # of the `Start` that made it, if the resource manager kept it
    name: Name = ""
    project: Name = ""
    queue: Name = ""
    tasks: Count = 1
    cpus: Count = 1  # for each task
    memory: Count = 0  # bytes for each task; 0: not told
    gpus: Count = 0  # for each task
    nodes: Count = 0  # exactly so many; 0: as few as it takes
    features: tuple[Name, ...] = ()  # that its nodes must have
    nodelist: tuple[Id, ...] = ()  # only these
    time_limit: Count = 0  # seconds; 0: none
    priority: Whole = 0  # in its own scale
    submitted_at: Amount = 0.0  # Unix seconds; 0: not told
    not_before: Amount = 0.0
    started_at: Amount | None = None
    shares: tuple[Share, ...] = ()  # where it is, unless it waits
    command: Text = ""
    reason: Sentence = ""  # why it waits, in the resource manager's own words
    native_state: Name = ""
    at: Amount = 0.0  # Unix seconds as of which this holds; 0: as of the load


class End(Struct, frozen=True, omit_defaults=True):
    """The proof that a job has ended, and how."""

    id: Id
    result: Name  # a Result of `model.states`: success, failed, cancelled, timeout, memory, lost
    proof: Sentence  # what says so: `sacct: COMPLETED 0:0`
    incarnation: Name = ""
    token: Name = ""
    user: Name = ""
    exit_status: Whole | None = None
    signal: Count = 0
    started_at: Amount | None = None  # None: it never ran
    ended_at: Amount = 0.0  # Unix seconds; 0: not told
    reason: Sentence = ""
    usage: Usage = Usage()
    unbegun: bool = False  # nothing of it has run, for sure: it may be started elsewhere


class Nodes(Struct, frozen=True, omit_defaults=True):
    """The answer to `list_nodes`. complete: it holds all nodes there are, else absence says nothing."""

    nodes: Annotated[tuple[ForeignNode, ...], Meta(max_length=MAX_FOREIGN_NODES)]
    complete: bool = True
    at: Amount = 0.0  # Unix seconds as of which it holds; 0: when it was asked


class Jobs(Struct, frozen=True, omit_defaults=True):
    """The answer to `list_jobs`: all that have not ended, and proofs of those that have of late.

    complete: it holds all unfinished jobs there are. Even then one that is absent and has no `End`
    is unknown, not gone.
    """

    jobs: Annotated[tuple[ForeignJob, ...], Meta(max_length=MAX_FOREIGN_JOBS)]
    ended: Annotated[tuple[End, ...], Meta(max_length=MAX_FOREIGN_JOBS)] = ()
    complete: bool = True
    at: Amount = 0.0


class Start(Struct, frozen=True, omit_defaults=True):
    """Start this job, now, on exactly these nodes.

    The same token again is the same start: it is answered with the first outcome, and starts nothing
    a second time. With an `id` the resource manager has the job already; without one it is made of
    the other fields, which only drivers that declare `submit` are asked for.
    """

    token: Name
    shares: tuple[Share, ...]
    id: str = ""
    user: Name = ""  # for whom it runs
    uid: Count = 0
    gid: Count = 0
    argv: tuple[bytes, ...] = ()  # the command; with a script, its arguments
    script: bytes = b""
    env: bytes = b""  # KEY=VALUE, NUL after each
    cwd: bytes = b"/"
    umask: Count = 0o022
    name: Name = ""
    project: Name = ""
    queue: Name = ""  # of the resource manager's own; empty: its default
    output: bytes = b"/dev/null"  # path, no pattern
    error: bytes = b""  # path; empty: where the output goes
    input: bytes = b"/dev/null"
    time_limit: Count = 0  # seconds; 0: none
    cpus_per_task: Count = 1
    options: tuple[str, ...] = ()  # for the resource manager alone, as the user typed them
    again: bool = False  # it was taken before, and is not known there any more (`Option.ONCE`)


class Did(StrEnum):
    """What became of an order."""

    DONE = "done"  # of a start: it runs; of another verb: it is so
    ACCEPTED = "accepted"  # it has been taken, and will be seen in a later load
    ALREADY = "already"  # of a cancel: it had ended
    REFUSED = "refused"  # for this cause, which may pass
    NEVER = "never"  # refused, and will be each time
    UNKNOWN = "unknown"  # nobody can tell: ask before trying again


class Outcome(Struct, frozen=True, omit_defaults=True):
    """The answer to an order. id: of the job, as the resource manager calls it."""

    did: Did
    id: IdIfAny = ""
    incarnation: Name = ""
    text: Sentence = ""  # the resource manager's own words, of a refusal above all
    end: End | None = None  # of a start: it was started before, and has ended so


class About(Struct, frozen=True, omit_defaults=True):
    """What is particular to a driver."""

    name: Name
    title: Sentence  # one line
    options: frozenset[Option] = frozenset()
    settings: Annotated[
        dict[Name, Sentence], _Some
    ] = {}  # what it can be told: key -> one sentence, its default last
    job_states: Annotated[
        dict[Name, Name], _Some
    ] = {}  # its own words -> a `ForeignState`, or a Result of an end
    node_states: Annotated[dict[Name, NodeState], _Some] = {}
    oldest: Name = ""  # oldest version of the resource manager that it works with
    limits: Annotated[tuple[Sentence, ...], _Some] = ()  # known ones, one sentence each
