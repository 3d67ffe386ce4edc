"""What is kept of foreign nodes and jobs beside the rows that they have as nodes and jobs."""

from enum import StrEnum

from msgspec import Struct

from ostler.model.ids import JobId


class Stage(StrEnum):
    """How far a resource manager and the machine are with a job."""

    WAITS = "waits"  # it is listed, and nobody has asked for its start
    ASKED = "asked"  # its start was asked, and what became of that is not known
    TAKEN = "taken"  # its start was answered; no load has shown it since
    SEEN = "seen"  # loads show it as what it was asked to be
    OVER = "over"


class RmJob(Struct, frozen=True):
    """One job of a resource manager: one attempt of one element."""

    rm: str
    job: JobId
    element: int
    attempt: int
    stage: Stage
    since: float  # Unix seconds: of the stage, or since when it differs from what it should be
    id: str = ""  # as the resource manager calls it; empty: it has not said
    incarnation: str = ""
    token: str = ""  # of its start; empty: nobody has asked for it
    allocation: int = 0  # that it has now; 0: none
    theirs: bool = False  # it was submitted to the resource manager itself
    state: str = ""  # a `ForeignState` as last told; empty: it was not told yet
    native_state: str = ""
    reason: str = ""  # in the resource manager's own words
    missing_since: float | None = None  # since when complete loads lack it, Unix seconds
    differs: str = ""  # how it differs from what it should be, one phrase; empty: it does not
    before: tuple[str, ...] = ()  # tokens of starts that were given up, oldest first

    @property
    def key(self) -> tuple[JobId, int, int]:
        """Return what tells it from others."""
        return self.job, self.element, self.attempt


class RmNode(Struct, frozen=True):
    """What a resource manager says of one node."""

    name: str  # as in the machine
    rm: str
    state: str  # a `NodeState`
    native_state: str = ""
    reason: str = ""
    host: str = ""  # the computer behind it, if told
    missing_since: float | None = None  # since when complete loads lack it, Unix seconds
    over: bool = False  # it has left: the row goes


class Discrepancy(Struct, frozen=True):
    """Something was told that is not as it should be, and what was done about it."""

    serial: int  # of the event that tells of it
    at: float  # Unix seconds
    rm: str
    kind: str  # one word
    object: str  # node or job
    before: str  # as it should be, one phrase
    after: str  # as it was told
    done: str  # one phrase
    over_at: float | None = None  # Unix seconds when it was so no longer
