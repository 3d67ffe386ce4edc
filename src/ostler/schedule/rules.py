"""What configures scheduling: policies, weights, limits, licences, reservations, shares.

Plain values, so that they travel with a snapshot and are written down with it: no clock, no
behaviour beyond look-ups. Nothing here is infinite: JSON could not tell it.
"""

from enum import StrEnum

from msgspec import Struct

DAY = 86_400  # seconds


class Preemption(StrEnum):
    """What becomes of an allocation whose place another needs more."""

    OFF = "off"  # nothing: it keeps its place
    SUSPEND = "suspend"  # it keeps nodes and memory, and goes on later
    REQUEUE = "requeue"  # it ends and waits again; only jobs that may run again
    CANCEL = "cancel"


class PartitionRules(Struct, frozen=True, omit_defaults=True):
    """How one partition is scheduled."""

    policy: str = "easy"  # as `schedule.policy` reads it
    factor: float = 0.0  # the partition's part in the order of jobs, 0 to 1
    tier: int = 0  # what waits in a higher tier may preempt what runs in a lower one
    priority_gap: int = 0  # so may a job of so much more priority; 0: tiers alone
    preemption: Preemption = Preemption.OFF  # of what runs in this partition
    least_run: float = 0.0  # seconds an allocation may run before it is preempted
    preempt_grace: int = -1  # seconds from SIGTERM to SIGKILL of the preempted; -1: as asked for
    time_slice: float = 0.0  # seconds; 0: off: what runs stays until it ends


class Weights(Struct, frozen=True, omit_defaults=True):
    """What each factor of 0 to 1 adds to a job's score at most: 0 to 1,000,000.

    As shipped, only what the user said counts.
    """

    priority: int = 100  # what the user said, 0 to 100: as shipped the score is that number
    age: int = 0
    size: int = 0
    share: int = 0
    partition: int = 0
    boost: int = 1_000  # no job has any unless an operator gave it some
    max_age: int = 7 * DAY  # seconds after which age adds no more
    small_first: bool = False  # size favours few CPUs rather than many


class Holder(StrEnum):
    """Who is limited."""

    USER = "user"
    GROUP = "group"  # of the system; ranked ones alone
    PROJECT = "project"
    PARTITION = "partition"  # all of it together


class Limit(Struct, frozen=True, omit_defaults=True):
    """The most that one holder may have at a time; None: as much as there is."""

    holder: Holder
    name: str = ""  # empty: each one without a limit of its own
    partition: str = ""  # counts what is in this partition; empty: on the whole machine
    running: int | None = None  # allocations
    waiting: int | None = None  # jobs
    cpus: int | None = None  # in use; suspended allocations have none
    cpu_minutes: int | None = None  # that running allocations may still use up to their limits
    # Of ranked ones in one place the user's comes first, then those of groups, then the project's,
    # then the one for each user; each of them counts for what those before it leave open.
    ranked: bool = False


class Reservation(Struct, frozen=True, omit_defaults=True):
    """Nodes kept for somebody, or from everybody, for a time that may come again."""

    name: str
    nodes: tuple[str, ...]
    start: float  # Unix seconds of the first window
    duration: float  # seconds
    users: tuple[str, ...] = ()  # who may use the nodes; with no user and no project: nobody
    projects: tuple[str, ...] = ()
    days: tuple[int, ...] = ()  # weekdays on which it comes again, 0 is Monday; empty: once
    until: float | None = None  # Unix seconds; no window begins then or later
    utc_offset: int = 0  # seconds east of UTC when it was made: `start` shows its wall clock by it

    @property
    def maintenance(self) -> bool:
        """Say whether nobody may use the nodes."""
        return not (self.users or self.projects)


class Project(Struct, frozen=True, omit_defaults=True):
    """A node of the share tree: its part of what its parent has, beside its siblings."""

    name: str
    parent: str = ""  # empty: the machine
    shares: int = 1


class Member(Struct, frozen=True, omit_defaults=True):
    """A user's part of what a project has, where it is not 1."""

    project: str
    user: str
    shares: int = 1


class ShareRules(Struct, frozen=True, omit_defaults=True):
    """How use is counted, forgotten and compared."""

    projects: tuple[Project, ...] = ()  # one that is not listed is the machine's child, of 1 share
    members: tuple[Member, ...] = ()
    half_life: float = 14.0 * DAY  # seconds after which use counts half; 0: it is never forgotten
    period: float = 300.0  # seconds for which a ranking is good
    cpu: float = 1.0  # what a second of one CPU costs
    memory: float = 0.0  # what a second of 1 GiB costs
    gpu: float = 0.0  # what a second of one GPU costs


class Rules(Struct, frozen=True, omit_defaults=True):
    """All of it. `Rules()`: EASY, by priority, then age, no limits: one person's machine."""

    default: PartitionRules = PartitionRules()
    partitions: dict[str, PartitionRules] = {}
    weights: Weights = Weights()
    max_cpus_per_user: int = 0  # CPUs one user may hold; 0: no limit
    limits: tuple[Limit, ...] = ()
    members: dict[str, tuple[str, ...]] = {}  # user -> groups with limits that the user is in
    licences: dict[str, int] = {}  # how many there are on the machine
    reservations: tuple[Reservation, ...] = ()
    shares: ShareRules = ShareRules()
    utc_offset: int = 0  # seconds east of UTC now: by it recurring windows keep their wall clock

    @property
    def preempting(self) -> bool:
        """Say whether anything may have to give way at all."""
        every = (self.default, *self.partitions.values())
        return any(each.preemption is not Preemption.OFF for each in every)

    @property
    def slicing(self) -> bool:
        """Say whether any partition has time slices."""
        return any(each.time_slice for each in (self.default, *self.partitions.values()))

    def of(self, partition: str) -> PartitionRules:
        """Return how a partition is scheduled."""
        return self.partitions.get(partition, self.default)
