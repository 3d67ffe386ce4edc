"""What a scheduler sees: nodes with what is free, what runs, what waits. Nothing here acts."""

from msgspec import Struct
from msgspec.structs import replace

from ostler.model.resources import NodeFacts, Placement, Request
from ostler.model.states import Rule
from ostler.schedule.rules import Preemption, Rules

BUILT_IN = "backfill"  # the name of the scheduler that is part of Ostler


class NodeView(Struct):
    """One node and what is free on it now."""

    name: str
    facts: NodeFacts
    partition: str
    usable: bool  # up, in, and seen: new work may start here
    gone: bool  # it left the machine
    why_not: str  # one phrase when it is not usable: draining: new disk
    free_cpus: tuple[int, ...]
    free_memory: int
    free_gpus: tuple[int, ...]
    free_generic: dict[str, int]


class Rank(Struct, frozen=True):
    """Where an array whose slots go on stands in the queue, and what each of its elements asks for."""

    priority: int
    submitted_at: float
    partition: str
    request: Request
    duration: float  # seconds an element may take; inf without a limit
    project: str = ""
    boost: int = 0


class RunningView(Struct):
    """One allocation that holds resources."""

    alloc: int
    job: int
    element: int | None  # None when the job is no array
    user: str
    placements: tuple[Placement, ...]
    ends_at: float  # Unix seconds at which its limit ends it; inf without a limit
    suspended: bool = False  # holds nodes and memory, not CPUs
    goes_on: Rank | None = None  # a slot: it will take element after element, unless it must yield
    draining: bool = False  # a slot that will take no more
    licences: dict[str, int] = {}  # that it holds
    project: str = ""
    partition: str = ""  # for which it was asked
    priority: int = 50
    started_at: float = 0.0  # Unix seconds
    again: bool = False  # its job may run again
    leaving: bool = False  # it has been told to end
    halts: bool = False  # a scheduler may suspend it
    halted_at: float | None = None  # Unix seconds since when a scheduler has it suspended


class Wait(Struct, frozen=True):
    """Why something waits: a rule, the numbers behind it, and when it should start."""

    rule: Rule
    numbers: dict[str, float | int | str] = {}
    expected_start: float | None = None  # Unix seconds; None: nobody can tell


class WaitingView(Struct):
    """One job with elements that wait. Elements of an array are alike and count as one entry."""

    job: int
    elements: int  # how many of them could start now, if there were room: at least 1
    request: Request
    partition: str
    user: str
    priority: int
    submitted_at: float
    duration: float  # seconds it may take; inf without a limit
    blocked: Wait | None = None  # the core already knows why it cannot start
    head: bool = False  # returned by a failed start: goes before its equals
    known: tuple[Request, tuple[object, ...]] | None = None  # a request and its shape, made once
    project: str = ""
    boost: int = 0  # 0 to 100, by an operator

    @property
    def shape(self) -> tuple[object, ...]:
        """Return a key that entries have in common which fit in the same places."""
        known = self.known
        if known is not None and known[0] is self.request:
            return self.partition, known[1]
        return self.partition, self.request.shape


class ResumeView(Struct):
    """A suspended allocation that is to go on, on the very CPUs it had."""

    alloc: int
    job: int
    placements: tuple[Placement, ...]
    duration: float  # seconds left; inf without a limit
    yields: bool = False  # a scheduler suspended it: what made it give way goes before it


class Standing(Struct, frozen=True, array_like=True, gc=False):
    """How a user in a project stands by its share; who is not listed has used nothing."""

    project: str
    user: str
    factor: float  # 0 to 1


class Snapshot(Struct):
    """The machine at one moment."""

    nodes: list[NodeView]
    running: list[RunningView]
    waiting: list[WaitingView]  # in no order
    resuming: list[ResumeView]
    user_cpus: dict[str, int]  # CPUs held now by each user
    max_cpus_per_user: int = 0  # 0: no limit
    known_ever: tuple[NodeFacts, ...] = ()  # nodes that left: tells `node_left` from refusal
    licences: dict[str, int] = {}  # how many there are on the machine
    rules: Rules = Rules()  # but for the two that stand above
    standings: tuple[Standing, ...] = ()
    turned: dict[str, float] = {}  # partition -> Unix seconds at which its slice last ended
    elsewhere: list[ResumeView] = []  # what is to go on where other schedulers plan


class Delta(Struct):
    """What changed since the delta before: the new state of each thing, never a difference.

    Applying one twice does no harm. An entry that is in `waiting` is told its rule anew by the next
    plan, whether it changed or not.
    """

    number: int = 0  # the plan made from it carries it
    nodes: list[NodeView] = []  # changed or new ones
    running: list[RunningView] = []  # changed or new allocations
    over: list[int] = []  # allocations that are no more
    waiting: list[WaitingView] = []  # changed or new entries
    gone: list[int] = []  # jobs of which nothing waits any more
    resuming: list[ResumeView] | None = None  # the whole list, if it changed
    known_ever: tuple[NodeFacts, ...] | None = None  # likewise
    rules: Rules | None = None  # likewise
    standings: tuple[Standing, ...] | None = None  # likewise
    turned: dict[str, float] | None = None  # likewise
    elsewhere: list[ResumeView] | None = None  # likewise
    reset: bool = False  # forget everything before


def is_alike(old: RunningView, view: RunningView) -> bool:
    """Say whether an allocation holds what it held."""
    return (
        old.placements == view.placements
        and old.suspended == view.suspended
        and old.user == view.user
        and old.licences == view.licences
    )


def whole(snapshot: Snapshot, number: int = 0) -> Delta:
    """Return the delta that makes this snapshot of whatever was before."""
    return Delta(
        number,
        snapshot.nodes,
        snapshot.running,
        [],
        snapshot.waiting,
        [],
        snapshot.resuming,
        snapshot.known_ever,
        replace(
            snapshot.rules,
            max_cpus_per_user=snapshot.max_cpus_per_user,
            licences=snapshot.licences,
        ),
        snapshot.standings,
        snapshot.turned,
        snapshot.elsewhere,
        reset=True,
    )


class Start(Struct, frozen=True, tag="start"):
    """Plan line: give an element of this job these places. element: None: the next that waits."""

    job: int
    placements: tuple[Placement, ...]
    element: int | None = None


class Resume(Struct, frozen=True, tag="resume"):
    """Plan line: let this suspended allocation go on."""

    alloc: int


class Suspend(Struct, frozen=True, tag="suspend"):
    """Plan line: this allocation stands still while others have their turn on its CPUs."""

    alloc: int


class Preempt(Struct, frozen=True, tag="preempt"):
    """Plan line: this allocation gives way to a job."""

    alloc: int
    how: Preemption
    job: int  # for which
    grace: int  # seconds from SIGTERM to SIGKILL; -1: as the allocation's job asks


Line = Start | Resume | Suspend | Preempt


class Plan(Struct):
    """What a scheduler proposes. The core checks each line and may refuse it."""

    lines: list[Line]
    waits: dict[int, Wait]  # job -> why its remaining elements wait; of an engine: what is new
    yields: frozenset[int] = frozenset()  # slots that are to take no more elements
    number: int = 0  # of the last delta it was made from
    wake: float | None = None  # Unix seconds at which time alone changes something; None: never
    turned: tuple[str, ...] = ()  # partitions in which a time slice has ended
    promised: dict[int, float] = {}  # job -> Unix seconds; of an engine: where it promised none yet


class Piece(Struct, frozen=True, omit_defaults=True):
    """What makes a plan one piece of a longer one: others have their turn between two of them.

    It tells why jobs wait where that is another reason than in the plan before.
    """

    follow: dict[int, int] = {}  # job named here -> starts of it in later pieces
    silent: tuple[int, ...] = ()  # jobs of which nothing is said any more
    anew: bool = False  # of no other job anything is said any more: forget what was
    last: bool = False


class Passed(Struct, frozen=True, omit_defaults=True):
    """How many nodes pass one filter of a request."""

    filter: str
    asks: str  # what it asks for, in words that follow the number of nodes
    nodes: int
    tasks: int = 0  # of the last one: how many tasks have room there


class Explanation(Struct):
    """The long answer for one waiting job."""

    rule: Rule
    reason: str  # one sentence with numbers
    numbers: dict[str, float | int | str]
    expected_start: float | None
    blockers: list[str]  # what it waits for: ids of jobs, names of nodes, limits
    ahead: list[str]  # ids of jobs that come first in the queue
    to_start_now: str  # what would let it start now, as one sentence; empty: nothing would
    assumption: str = ""  # what the expected start rests on, or why there is none
    expected_nodes: list[str] = []  # where it should start
    filters: list[Passed] = []  # see `funnel`
    starts_now: int = 0  # how many of its elements the next planning pass starts
