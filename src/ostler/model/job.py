"""Jobs and their elements. A job that is no array has one element, number 0."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from ostler.model.bounded import Amount, Count, Name, Whole
from ostler.model.ids import JobId, job_name
from ostler.model.limits import MAX_COMMAND
from ostler.model.resources import Request
from ostler.model.states import JobState, Result

# What another job has to do first, and how that is written behind its id.
KINDS: Mapping[str, str] = {"ok": "", "any": ":any", "fail": ":fail", "each": ":each"}
ALLOC = "alloc"  # kind of a job that holds its allocation for steps
FOREIGN = "foreign"  # kind of a job that was submitted to another resource manager itself
BY_NAME = -1  # uid of an owner of whom only the name is known
ATTENDED = ("run", ALLOC)  # kinds that end when their client is gone
DISTRIBUTIONS = ("block", "cyclic")  # of ranks over nodes: node after node, or round and round


class Dependency(Struct, frozen=True):
    """Another job that must end first."""

    job: JobId
    # ok: it succeeded; fail: it did not; any: it ended; each: element by element, it succeeded
    kind: str = "ok"


def format_after(after: Sequence[Dependency], names: Mapping[int, str] | None = None) -> str:
    """Return dependencies as `--after` takes them: `12,13:any`. names: of jobs without an id."""
    known = names or {}
    words = [known.get(dep.job, str(dep.job)) + KINDS[dep.kind] for dep in after]
    return ",".join(words)


class Link(Struct, frozen=True, array_like=True):
    """Another job of the same submission that must end first."""

    at: Count  # its place in the submission, from 0
    kind: Name = "ok"


class Streams(Struct, frozen=True, omit_defaults=True):
    """What the relay does that holds a job's standard streams for a client that comes and goes."""

    label: bool = False  # each line begins with the rank of its task
    window: tuple[int, int] | None = None  # rows and columns of the task's terminal; None: pipes


class JobSpec(Struct, frozen=True, omit_defaults=True):
    """What a user asked for. Bytes stay bytes: paths and arguments need not be text."""

    argv: tuple[bytes, ...] = ()  # the command; empty for a script
    script: str = ""  # digest of the script's blob; run as a file of its own
    env: str = ""  # digest of the environment's blob: KEY=VALUE, NUL after each
    cwd: bytes = b"/"
    umask: int = 0o022
    name: str = ""
    project: str = ""
    partition: str = ""  # empty: the one that is the default
    rm_options: tuple[str, ...] = ()  # for the resource manager alone
    rm: str = ""  # only in this resource manager; `native`: in none; empty: wherever it may
    priority: int = 50  # 0 to 100
    boost: int = 0  # 0 to 100, by an administrator
    request: Request = Request()
    time_limit: int = 0  # seconds; 0: none
    warn_signal: int = 0  # sent `warn_before` seconds before the limit
    warn_before: int = 0
    grace: int = -1  # seconds between SIGTERM and SIGKILL; -1: as the machine has it
    output: bytes = b""  # pattern; empty: the default; b"/dev/null" discards
    error: bytes = b""  # pattern; empty: where the output goes
    input: bytes = b""  # path; empty: /dev/null
    array: tuple[tuple[int, int], ...] = ()  # ranges of element numbers; empty: no array
    array_cap: int = 0  # elements at once; 0: as many as fit
    items: str = ""  # digest of the blob of `--each`: one line for each element from 0
    hold: bool = False
    not_before: float = 0.0  # Unix seconds
    after: tuple[Dependency, ...] = ()
    requeue: bool = False  # may run again after it was lost
    retries: int = 0
    retry_on: tuple[str, ...] = ()  # exit statuses and results; empty: any failure
    rlimits: dict[str, int] = {}  # soft limits of the submission, by their names in `limits`
    distribution: str = "block"  # of ranks over the nodes; one of DISTRIBUTIONS
    kill_on_bad_exit: bool = False  # the first task that fails ends the others
    verbose: bool = False  # tasks' places are told on their stderr before they start
    stdio: str = ""  # token of a waiting client's descriptors; empty: files, or a relay
    streams: Streams | None = None  # held by a relay on each node; None: files, or `stdio`
    stdin: str = "first"  # which tasks of a `run` read its input: one of `limits.STDIN`
    work: str = ""  # shell: somebody types at it; empty: as its tasks say
    kind: str = "batch"  # batch; run, alloc: ends when its client is gone
    detach: bool = False  # a `run` that goes on without its client
    mail: tuple[str, ...] = ()  # when its user is mailed: moments of `notify`
    mail_to: str = ""  # an address; empty: its user's
    notify: str = ""  # URL to which its begin and end are posted
    within: JobId = 0  # the allocation's job of which it is a step; 0: it is a job of its own
    immediate: bool = False  # rejected unless the planning pass of its submission starts it
    idle: int = (
        -1
    )  # of an alloc: seconds without a step that end it; 0: never, -1: as the machine has it

    @property
    def tied_to(self) -> tuple[JobId, ...]:
        """Return the arrays whose elements this one's wait for, one by one."""
        return tuple(dep.job for dep in self.after if dep.kind == "each") if self.after else ()

    @property
    def weight(self) -> int:
        """Return about how many bytes of memory its parts of any length take."""
        request = self.request
        words = (
            *self.argv,
            self.notify,
            *self.retry_on,
            *request.nodelist,
            *request.exclude,
            *request.licences,
        )
        return (
            sum(len(word) + 64 for word in words)
            + 256 * (len(self.array) + len(self.after))
            + len(request.constraint)
        )

    @property
    def command(self) -> str:
        """Return the command as a person would read it, at most `MAX_COMMAND` characters."""
        words = [part.decode(errors="replace") for part in self.argv]
        text = " ".join((["(script)"] if self.script else []) + words)
        return text if len(text) <= MAX_COMMAND else text[: MAX_COMMAND - 1] + "…"


class Job(Struct, frozen=True):
    """One request of one user, with its life so far."""

    id: JobId
    spec: JobSpec
    user: str
    uid: int
    gid: int
    request_id: str  # chosen by the client, so that a repeated submission is the same job
    submitted_at: float
    state: JobState = JobState.PENDING
    held_by: str = ""  # who holds it; empty: nobody
    result: Result | None = None
    exit_status: int | None = None
    reason: str = ""  # one sentence
    rule: str = ""  # why it waits; empty when it does not
    priority: int = 50
    started_at: float | None = None  # first start of any element
    ended_at: float | None = None
    requeues: int = 0
    rm: str = ""  # the other resource manager that it is bound to; empty: none
    rest: Result | None = None  # how its elements ended that have no row: they never started
    promised_start: float | None = None  # Unix seconds: the first that was promised; None: none was

    @property
    def name(self) -> str:
        """Return its id as people write it: `12`, or `12.0` for a step."""
        return job_name(self.id)

    @property
    def holds(self) -> bool:
        """Say whether it only holds its allocation, for steps: no node is told of it."""
        return self.spec.kind == ALLOC

    @property
    def is_attended(self) -> bool:
        """Say whether a client waits for it in the queue, and is gone when it is."""
        spec = self.spec
        return spec.kind in ATTENDED and not (spec.detach or spec.within)

    @property
    def is_array(self) -> bool:
        """Say whether it was asked for as an array, even of one element."""
        return bool(self.spec.array)

    def spans(self) -> tuple[tuple[int, int], ...]:
        """Return the element numbers as inclusive ranges."""
        return self.spec.array or ((0, 0),)


class Usage(Struct, frozen=True, array_like=True, gc=False):
    """What the kernel counted for the processes of an element."""

    cpu_user: Amount = 0.0  # seconds
    cpu_system: Amount = 0.0
    max_rss: Count = 0  # bytes
    read_bytes: Count = 0
    written_bytes: Count = 0
    suspended: Amount = 0.0  # seconds, not counted against the time limit

    def __add__(self, other: "Usage") -> "Usage":
        """Return both together; the memory is the greater of the two."""
        return Usage(
            self.cpu_user + other.cpu_user,
            self.cpu_system + other.cpu_system,
            max(self.max_rss, other.max_rss),
            self.read_bytes + other.read_bytes,
            self.written_bytes + other.written_bytes,
            max(self.suspended, other.suspended),
        )


class TaskExit(Struct, frozen=True, array_like=True, gc=False):
    """How one task ended."""

    rank: Count
    code: Whole = 0
    signal: Whole = 0  # the signal that ended it; 0: it exited by itself


class Element(Struct, frozen=True, gc=False):
    """One element that is no longer untouched: it has a row of its own."""

    job: JobId
    index: int
    state: JobState = JobState.PENDING
    attempt: int = 0  # starts so far
    held_by: str = ""
    result: Result | None = None
    exit_status: int | None = None
    reason: str = ""
    node: str = ""  # names joined by commas
    started_at: float | None = None
    ended_at: float | None = None
    usage: Usage = Usage()
    tasks: tuple[TaskExit, ...] = ()
    rm: str = ""  # where it stays, by itself and not with its job; empty: nowhere yet
