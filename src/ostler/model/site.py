"""The site: everything that administrators have set but for single attributes. Plain values.

`model/site_kinds.py` tells how each kind of row is typed, checked and shown.
"""

from collections.abc import Iterable, Iterator, Mapping
from enum import IntEnum, StrEnum
from typing import Any

from msgspec import Struct, field

from ostler.model.nodeset import unfold

REST = "*"  # instead of nodes: all that no other partition of the configuration names
ANYWHERE = "*"  # instead of a partition: in each of them


class Role(IntEnum):
    """What somebody may do; each may what those below it may."""

    USER = 0
    OPERATOR = 1  # runs the machine day by day: other people's jobs, nodes, partitions
    ADMIN = 2  # decides what holds: all of the site. The owner of the machine and root are this

    @property
    def word(self) -> str:
        """Return its name as people type it."""
        return self.name.lower()


class PartitionKind(StrEnum):
    """What a partition is for."""

    GENERAL = "general"  # any job
    PARALLEL = "parallel"  # jobs of several tasks
    LOGIN = "login"  # takes no jobs
    BATCH = "batch"  # jobs that nobody sits before


class PartitionState(StrEnum):
    """What an administrator has said of a partition."""

    UP = "up"
    DRAINING = "draining"  # what runs goes on, nothing starts
    DOWN = "down"


class Moved(StrEnum):
    """What becomes of jobs on nodes that leave their partition."""

    GO_ON = "go_on"
    DRAIN = "drain"
    SUSPEND = "suspend"


class Holder(StrEnum):
    """Whom a row of `access_controls` is about."""

    USER = "user"
    GROUP = "group"
    PROJECT = "project"
    DEFAULT = "default"  # everybody else


class Work(StrEnum):
    """Kinds of work that a partition can be kept for."""

    PARALLEL = "parallel"  # several tasks
    SERIAL = "serial"  # one task
    SHELL = "shell"  # somebody types at it


class Partition(Struct, frozen=True):
    """A set of nodes with one queue."""

    name: str
    kind: PartitionKind = PartitionKind.GENERAL
    is_default: bool = False
    state: PartitionState = PartitionState.UP
    time_limit: int | None = None  # seconds that a job may ask for
    default_time: int | None = None  # seconds, for a job that asks for none
    min_cpus: int = 0  # that a job must ask for
    memory_limit: int | None = None  # bytes for each CPU
    time_slice: int = 0  # seconds of a turn where jobs take turns; 0: they do not
    tier: int = 0  # what waits in a higher tier may preempt what runs in a lower one
    priority_gap: int = 0  # so may a job of so much more priority; 0: tiers alone
    preemption: str = "off"  # of what runs here: off, suspend, requeue or cancel
    least_run: int = 0  # seconds a job may run before it is preempted
    preempt_grace: int | None = None  # seconds from SIGTERM to SIGKILL of the preempted
    policy: str | None = None  # who may pass whom; None: as the attribute scheduler-policy says
    factor: float = 0.0  # its part in the order of jobs
    scheduler: str | None = None  # who plans it; None: the one that is built in
    shadow: str | None = None  # whose plans are compared with that, and not carried out
    prolog: str | None = None  # full path, or off; None: as the attribute prolog says
    epilog: str | None = None  # full path, or off; None: as the attribute epilog says


class Configuration(Struct, frozen=True):
    """A division of the nodes among partitions; one of them is active."""

    name: str
    active: bool = False
    nodes: dict[str, str] = {}  # partition -> its nodes in node notation, or `REST`
    calendar: str = ""  # when it becomes active by itself; empty: never
    moved: Moved = Moved.GO_ON
    since: float = 0.0  # Unix seconds up to which calendars have had their say; of the active one


class Access(Struct, frozen=True):
    """Who may do what in a partition. None: this row says nothing of it."""

    partition: str  # or `ANYWHERE`
    holder: Holder = field(name="class")
    name: str = ""  # of the user, group or project; empty for `DEFAULT`
    allow: bool | None = None
    kinds: tuple[Work, ...] | None = None  # that may run
    max_cpus: int | None = None  # in use at a time
    max_memory: int | None = None  # bytes for each CPU
    priority: int | None = None  # the highest that may be asked for
    time_limit: int | None = None  # seconds, the longest that may be asked for
    running: int | None = None  # jobs at a time
    waiting: int | None = None  # jobs at a time
    cpu_minutes: int | None = None  # that running jobs may still use up to their time limits


class Project(Struct, frozen=True):
    """Whom work is accounted to, and a node of the tree of shares."""

    name: str
    parent: str = ""  # empty: the machine
    shares: int = 1
    description: str = ""


class User(Struct, frozen=True):
    """What is known of a user beside what the system's own tables say."""

    name: str
    role: str = Role.USER.word
    projects: tuple[str, ...] = ()  # the first is where work goes that names none
    shares: int = 1  # in each of them


class Reservation(Struct, frozen=True):
    """Nodes kept for somebody, or from everybody, for a time that may come again."""

    name: str
    nodes: str  # in node notation, or partition:NAME: all that it has at any time
    start: float = 0.0  # Unix seconds of the first window
    duration: int = 0  # seconds
    users: tuple[str, ...] = ()  # with no user and no project it is maintenance
    projects: tuple[str, ...] = ()
    days: tuple[int, ...] = ()  # weekdays on which it comes again, 0 is Monday; empty: once
    until: float | None = None  # Unix seconds; no window begins then or later
    utc_offset: int = 0  # seconds east of UTC when it was made

    @property
    def partition(self) -> str | None:
        """Return the partition whose nodes it keeps, whichever these are; None: it names nodes."""
        of, sign, name = self.nodes.partition(":")
        return name if sign and of == "partition" else None


class Handler(Struct, frozen=True):
    """A program that is run when something happens."""

    name: str
    command: str  # words as a shell has them, but no shell reads them
    event: str = ""  # CLASS or CLASS/TYPE; empty: any
    object: str = ""  # what the event is about; * and ? mean any signs; empty: anything
    user: str = ""  # as whom; empty: the owner of a personal machine, else nobody
    timeout: int = 60  # seconds
    retries: int = 0  # further attempts when one has failed
    every: bool = False  # a run for each event, even when many alike wait


class ResourceManager(Struct, frozen=True):
    """Another resource manager, whose nodes are part of the machine by its driver."""

    name: str  # before the / of its nodes and jobs
    driver: str  # the name of an entry point, MODULE:CLASS or FILE.py:CLASS
    settings: dict[str, str] = {}  # what the driver is told; anybody may read them
    enabled: bool = True
    interval: int = 30  # seconds from one load of its nodes and jobs to the next
    deadline: int = 10  # seconds that a call of its driver may take
    node_sync: int = 600  # seconds that a node may differ from what should be; then its word counts
    job_sync: int = 600  # the same of a job
    node_purge: int = 86_400  # seconds that a node may be missing before it has left
    job_purge: int = 3_600  # seconds that a job may be missing before it is lost
    retries: int = 10  # further tries to start a job that it refused for a cause that may pass
    retry: int = 15  # seconds until the first of them; twice as many until each other one
    shares_hosts: bool = False  # its nodes count even where others' are the same computers
    workers: int = 32  # nodes that are asked for at a time, where they are asked for one by one


class Pool(Struct, frozen=True):
    """Agents of ours as jobs in another resource manager: more nodes while much waits here."""

    name: str  # of the resource manager
    most: int = 1  # such nodes at a time
    least: int = 0  # kept whether or not there is work for them
    idle: int = 300  # seconds without work after which one is given back
    cpus: int = 1  # of each
    memory: int = 0  # bytes of each; 0: whatever its host has
    time: int = 3_600  # seconds for which one is asked for
    options: tuple[str, ...] = ()  # for the resource manager alone


class Scheduler(Struct, frozen=True):
    """A program, or a class in Python, that plans for partitions which name it."""

    name: str
    command: str  # words as a shell has them: an absolute path; or MODULE:CLASS
    user: str = ""  # whose process it is; empty: the owner's of a personal machine, else nobody's
    deadline: int = 10  # seconds for one plan
    memory: int = 1 << 30  # bytes of address space


Row = (
    Partition
    | Configuration
    | Access
    | Project
    | User
    | Reservation
    | Handler
    | ResourceManager
    | Pool
    | Scheduler
)
Key = tuple[str, ...]  # what tells the rows of one kind apart


class Site(Struct, frozen=True):
    """All rows. Never changed: a change makes another one (`replace`)."""

    partitions: dict[str, Partition] = {}
    configurations: dict[str, Configuration] = {}
    access: dict[tuple[str, str, str], Access] = {}  # by partition, class, name
    projects: dict[str, Project] = {}
    users: dict[str, User] = {}
    reservations: dict[str, Reservation] = {}
    handlers: dict[str, Handler] = {}
    rms: dict[str, ResourceManager] = {}
    pools: dict[str, Pool] = {}
    schedulers: dict[str, Scheduler] = {}

    def rows(self, kind: str) -> dict[Key, Any]:
        """Return the rows of a kind by their whole keys."""
        held: Mapping[Any, Any] = getattr(self, FIELDS[kind])
        return {key if isinstance(key, tuple) else (key,): row for key, row in held.items()}

    @property
    def by_group(self) -> bool:
        """Say whether any rule is about a group of the system."""
        return any(row.holder is Holder.GROUP for row in self.access.values())

    @property
    def closed(self) -> frozenset[str]:
        """Return the partitions into which some are let, so that all others are kept out."""
        return frozenset(row.partition for row in self.access.values() if row.allow)

    @property
    def active(self) -> Configuration:
        """Return the configuration that is in force."""
        return next(c for c in self.configurations.values() if c.active)

    def open(self, partition: str) -> bool:
        """Say whether anything may start in the partition."""
        found = self.partitions.get(partition)
        return found is not None and found.state is PartitionState.UP

    @property
    def default_partition(self) -> str:
        """Return where jobs go that name no partition; empty: nowhere."""
        return next((p.name for p in self.partitions.values() if p.is_default), "")

    def division(self, configuration: str = "") -> "Division":
        """Return which node is in which partition; of the active configuration unless told."""
        found = self.configurations[configuration] if configuration else self.active
        return Division(found.nodes)

    def role(self, user: str) -> Role:
        """Return the role that the users table gives somebody."""
        known = self.users.get(user)
        return Role[known.role.upper()] if known else Role.USER


class Division:
    """The nodes of one configuration, looked up.

    A foreign node, `slurm/n1`, is in the partition that names it, else in that with `slurm/*`, else in
    that of its resource manager's name; what has all the rest has none of those.
    """

    def __init__(self, nodes: Mapping[str, str]) -> None:
        """Take partition -> nodes in node notation. Of a node that two name, the first counts."""
        self._named: dict[str, str] = {}
        self._rest = ""  # the partition of all others; empty: none
        self.twice: list[tuple[str, str, str]] = []  # node, and the partitions that name it
        for partition, text in nodes.items():
            if text == REST:
                self._rest = self._rest or partition
                continue
            for node in unfold(text) if text else ():
                first = self._named.setdefault(node, partition)
                if first != partition:
                    self.twice.append((node, first, partition))

    def of(self, node: str) -> str:
        """Return the partition of a node; empty: it is in none."""
        found = self._named.get(node)
        if found is not None:
            return found
        rm, slash, _ = node.partition("/")
        return self._named.get(f"{rm}/{REST}", rm) if slash else self._rest

    def named(self, partition: str) -> Iterator[str]:
        """Yield the nodes that are named as this partition's, in their order."""
        return (node for node, found in self._named.items() if found == partition)


FIELDS = {
    "partition": "partitions",
    "configuration": "configurations",
    "access": "access",
    "project": "projects",
    "user": "users",
    "reservation": "reservations",
    "handler": "handlers",
    "rm": "rms",
    "pool": "pools",
    "scheduler": "schedulers",
}  # kind -> where `Site` has its rows


def site_of(rows: Iterable[Row]) -> Site:
    """Return the site that consists of these rows."""
    found: dict[str, dict[Any, Any]] = {name: {} for name in FIELDS.values()}
    names = dict(zip(_STRUCTS, FIELDS.values(), strict=True))
    for row in rows:
        held = found[names[type(row)]]
        if isinstance(row, Access):
            held[row.partition, str(row.holder), row.name] = row
        else:
            held[row.name] = row
    return Site(**found)


_STRUCTS: tuple[type, ...] = (
    Partition,
    Configuration,
    Access,
    Project,
    User,
    Reservation,
    Handler,
    ResourceManager,
    Pool,
    Scheduler,
)  # in the order of `FIELDS`

SHIPPED = site_of(
    [
        Partition("main", is_default=True),
        Configuration("default", active=True, nodes={"main": REST}),
    ]
)  # one partition with all nodes, open to everybody
