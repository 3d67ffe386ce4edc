"""Messages between clients, managers and agents; each is one frame holding a map with `type`.

Every request carries `id`, chosen by the sender, and is answered by one `Reply` or `Failure` with
the same id; requests may be pipelined. `Follow` is answered by `Reply` and then any number of
`News`. Unknown fields are ignored, unknown types are a usage error that names them.
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from ostler.model.bounded import Count, Name
from ostler.model.happening import Pattern
from ostler.model.job import JobSpec, Link
from ostler.model.limits import MAX_CHANGES, MAX_DEPENDENCIES, MAX_FEATURES, MAX_TOGETHER
from ostler.model.orders import Held, Order, ReportRow
from ostler.model.resources import NodeFacts
from ostler.model.site_changes import Change
from ostler.model.suppose import Supposed

VERSION = 1  # of this protocol
_FAR = 1e15  # seconds or serials; neither infinity nor what no database holds


class Submit(Struct, tag="submit", omit_defaults=True):
    """Queue a job. Reply: {job: "12"}; dry: {would: {...}}. The same request_id: the same job."""

    id: int
    request_id: str
    spec: JobSpec
    blobs: list[bytes] = []  # what the digests in the spec stand for (SHA-256, hex)
    dry: bool = False


class Part(Struct, omit_defaults=True):
    """One job of a submission of several. links: what it waits for among the others."""

    spec: JobSpec
    links: Annotated[list[Link], Meta(max_length=MAX_DEPENDENCIES)] = []


class SubmitAll(Struct, tag="submit_all", omit_defaults=True):
    """Queue several jobs, all or none, in one transaction. The same request_id: the same jobs.

    Reply: {jobs: [{id, name}]} in order; dry: {would: [{...}]}.
    """

    id: int
    request_id: str
    jobs: Annotated[list[Part], Meta(max_length=MAX_TOGETHER)]
    blobs: list[bytes] = []  # what the digests in the specs stand for, each once
    dry: bool = False


class Act(Struct, tag="act", omit_defaults=True):
    """Do one of cancel, end, hold, release, suspend, resume, requeue, signal to jobs or elements.

    `end` lets an allocation end; of an array it ends what waits as a success, as nobody needs it.
    Reply: {jobs: [{id, ok, message}]}, one for each ref, in order; a refused one has ok false
    and code, expected, hint.
    """

    id: int
    verb: str
    refs: list[str]
    signal: int = 0  # for verb signal
    failed: bool = False  # requeue: only elements that did not succeed
    reason: str = ""
    status: int = 0  # end, of an allocation: the exit status of its command


class Modify(Struct, tag="modify", omit_defaults=True):
    """Change a waiting job, or the time limit of a running one. Reply: {job: row}."""

    id: int
    ref: str
    changes: dict[str, Any]  # name, priority, time_limit, not_before, array_cap, cpus, memory, ...


class Wait(Struct, tag="wait", omit_defaults=True):
    """Answer when all named jobs or elements have ended. Reply: {jobs: [row]}.

    With attach, the requester is the client of a `run` or `alloc`: when it goes away, the job is cancelled.
    """

    id: int
    refs: list[str]
    attach: bool = False


class ReadOptions(Struct, frozen=True, omit_defaults=True):
    """What narrows a `Read`; what does not apply to it is ignored."""

    user: str | None = None
    rm: str | None = None  # jobs, nodes: of this resource manager; native: of none
    all: bool = False  # everybody's, and what has ended
    steps: bool = False  # jobs: those in allocations, too
    states: list[str] = []  # states or results
    # jobs: keys of a row, of `core.listed.LISTED`, and the answer is by column; empty: whole rows
    columns: Annotated[list[str], Meta(max_length=100)] = []
    since: Annotated[float, Meta(ge=-_FAR, le=_FAR)] | None = None  # Unix seconds, or a serial
    until: Annotated[float, Meta(ge=-_FAR, le=_FAR)] | None = None  # Unix seconds
    brief: bool = False  # a job without its elements; of named elements the counts alone
    limit: Annotated[int, Meta(ge=1, le=100_000)] | None = None
    suppose: Supposed | None = None  # explain: as it would be; without a ref: of a new job
    project: str | None = None
    partition: str | None = None
    by: list[str] = []  # usage: user, project, partition; one row for each
    # usage: (name, from, to) of each stretch of time, in Unix seconds; with rows of its own
    spans: Annotated[list[tuple[str, float, float]], Meta(max_length=1_100)] = []


class Read(Struct, tag="read", omit_defaults=True):
    """Look at something. Reply: the document of `--json` for it.

    what: status, jobs, job, nodes, node, contexts, explain, history, events, acct, usage, settings,
    site, partitions, configurations
    """

    id: int
    what: str
    ref: str = ""
    options: ReadOptions = ReadOptions()


class Query(Struct, tag="query", omit_defaults=True):
    """Run one SQL statement in a process of its own. Reply: {columns: [...], rows: [[...]]}."""

    id: int
    sql: str
    archive: str = ""  # read that instead of the database, as in 2026-11


class Follow(Struct, tag="follow", omit_defaults=True):
    """Send `News` with each event from `since` (a serial; -1: from now) on, or job's changes.

    pattern: only events that it matches.
    """

    id: int
    since: Annotated[int, Meta(ge=-(1 << 62), le=1 << 62)] = -1
    job: str = ""
    pattern: Pattern | None = None


class Post(Struct, tag="post", omit_defaults=True):
    """Report something as an event. Reply: {events: [row]}. kind: CLASS/TYPE; user: everybody may.

    The same request_id: the same event.
    """

    id: int
    kind: str
    text: str
    object: str = ""
    request_id: Name = ""  # empty: a repeated request is another event


class Deal(Struct, tag="deal", omit_defaults=True):
    """Say that one has dealt with an event. Reply: {events: [row]}. note: what was done."""

    id: int
    serial: Annotated[int, Meta(ge=0, le=1 << 62)]
    note: str = ""


class Subscribe(Struct, tag="subscribe", omit_defaults=True):
    """Begin to read events under a name, or look how far it was. Reply: {subscribers: [row]}.

    serial: all up to this one was read. forget: nobody reads under that name any more.
    """

    id: int
    name: str
    serial: Annotated[int, Meta(ge=0, le=1 << 62)] | None = None
    forget: bool = False


class NodeWordSet(Struct, tag="node_word", omit_defaults=True):
    """Drain, undrain, fence or describe nodes. Reply: {nodes: [row]}.

    verb: drain, undrain, fence, separate, features.
    """

    id: int
    verb: str
    nodes: list[str]
    reason: str = ""
    features: Annotated[list[Name], Meta(max_length=MAX_FEATURES)] | None = None


class Administer(Struct, tag="administer", omit_defaults=True):
    """Change rows of the site and attributes, all or none.

    Reply: {changes: [{verb, kind, name, before, after, text}], serial}: what is other than it was;
    dry: would be. serial: of the last transaction that the changes know of; another: not now.
    The same request_id: the same answer, and nothing changes again.
    """

    id: int
    changes: Annotated[list[Change], Meta(max_length=MAX_CHANGES)]
    dry: bool = False
    serial: int | None = None
    request_id: Name = ""  # empty: a repeated request is another change


class Introduce(Struct, tag="introduce", omit_defaults=True):
    """First on a connection to a lab: be this one of its test identities. No reply but a refusal."""

    id: int
    user: str


class UseConfiguration(Struct, tag="use_configuration", omit_defaults=True):
    """Switch to a configuration; dry: only say what would move.

    Reply: {configurations: [{name, was, moved, moves: [{from, to, nodes}], nodes_moved, ...}]}.
    """

    id: int
    name: Name
    dry: bool = False


class PartitionWord(Struct, tag="partition_word", omit_defaults=True):
    """Start, stop or reload a partition. Reply: {partitions: [row]}, of a stop once it is over.

    verb: start, stop, reload. how: of a stop: refuse (unless nothing runs), wait, drain, kill.
    """

    id: int
    verb: Name
    name: Name
    how: Name = ""


class Shutdown(Struct, tag="shutdown", omit_defaults=True):
    """Prepare to stop. how: refuse, wait, kill, leave. Reply when nothing stands in the way."""

    id: int
    how: str = "refuse"


class AgentHello(Struct, tag="agent_hello", omit_defaults=True):
    """First message of an agent on a new connection. Reply: `Welcome`."""

    node: Name
    version: int
    facts: NodeFacts
    boot_id: Name
    incarnation: Name  # new with each agent process
    epoch: Count  # highest seen
    holds: list[Held] = []
    shortcomings: list[str] = []  # what this node cannot enforce, and why


class Welcome(Struct, tag="welcome"):
    """The manager has taken the agent in."""

    epoch: int
    heartbeat: float  # seconds between heartbeats


class Heartbeat(Struct, tag="heartbeat", omit_defaults=True):
    """Agent to manager and back: still here."""

    at: float
    load: float = 0.0


class Orders(Struct, tag="orders"):
    """Manager to agent, in order, with the epoch of the role that gave them."""

    epoch: int
    orders: list[Order]


class Report(Struct, tag="report"):
    """Agent to manager. Repeated until acknowledged."""

    seq: int
    rows: list[ReportRow]


class Ack(Struct, tag="ack"):
    """Manager to agent: everything up to and including this report is durable."""

    seq: int


class ContextsAsked(Struct, tag="contexts_asked"):
    """Manager to agent: say which contexts you hold. Answered by `ContextsHeld`."""

    number: int


class ContextRow(Struct, omit_defaults=True):
    """A context as its node has it."""

    context: Count  # the number of the allocation
    phase: Name  # accepted, made, started; left: its file is there, and nothing else of it
    job: Name = ""
    user: Name = ""
    tasks: Count = 0  # on all nodes
    members: tuple[Name, ...] = ()  # all nodes


class ContextsHeld(Struct, tag="contexts_held"):
    """Agent to manager: all contexts that are held here."""

    number: Count  # of the question
    rows: list[ContextRow]


class Reply(Struct, tag="ok"):
    """The answer to a request."""

    id: int
    body: Any


class Failure(Struct, tag="error", omit_defaults=True):
    """A refusal or error: the parts of an OstlerError."""

    id: int
    code: str
    message: str
    expected: str = ""
    hint: str = ""


class News(Struct, tag="news"):
    """Something a follower asked to hear."""

    id: int
    body: Any


Request = (
    Submit
    | SubmitAll
    | Act
    | Modify
    | Wait
    | Read
    | Query
    | Follow
    | Post
    | Deal
    | Subscribe
    | NodeWordSet
    | Administer
    | Introduce
    | UseConfiguration
    | PartitionWord
    | Shutdown
)
FromAgent = AgentHello | Heartbeat | Report | ContextsHeld
ToAgent = Welcome | Heartbeat | Orders | Ack | ContextsAsked | Failure
ToClient = Reply | Failure | News

# What decoding raises at bytes that are no message: also text that is none, and too deep a nest.
NO_MESSAGE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

decode_request = msgspec.msgpack.Decoder(Request | FromAgent).decode
decode_to_agent = msgspec.msgpack.Decoder(ToAgent).decode
encode = msgspec.msgpack.Encoder().encode
