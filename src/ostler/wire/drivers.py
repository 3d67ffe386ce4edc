"""What the manager and the process that runs a foreign resource manager's driver say to each other.

Frames over two pipes. The process forks for the driver's code: `query` lists, `order` starts and
cancels, `events` waits for news, so that none of them holds up another. Long lists come in parts,
none of which takes the manager long to read.
"""

import sys
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from ostler.model.bounded import Amount, Count, Name
from ostler.model.foreign import (
    About,
    End,
    ForeignJob,
    ForeignNode,
    Outcome,
    Sentence,
    Start,
)
from ostler.model.limits import MAX_FRAME
from ostler.wire.frames import frame

MOST = MAX_FRAME  # bytes of one frame
MOST_OF_ANSWER = 128 << 20  # bytes of all parts of one answer
MOST_CPUS = 16_000_000  # of all nodes of one answer: the manager counts them out
PART = 200  # records
PART_BYTES = 1 << 20  # of one part, unless a single record is longer
MEMORY = 1 << 30  # bytes of address space that a driver may take, unless it is told otherwise
LOADING = 30.0  # seconds that a driver may take to be loaded and begin


class Role(StrEnum):
    """What a fork is for."""

    QUERY = "query"
    ORDER = "order"
    EVENTS = "events"


class Fault(StrEnum):
    """How a driver failed."""

    FAILED = "failed"  # it said so, or raised: its process goes on
    GARBAGE = "garbage"  # what it answered has not the form of an answer
    HUNG = "hung"  # no answer by the deadline
    CRASHED = "crashed"  # its process ended
    MEMORY = "memory"  # it took more than it may
    FLOOD = "flood"  # more than anybody can want to know


QUERIES = ("list_nodes", "list_jobs")


class Begin(Struct, tag="begin"):
    """The first frame: whose driver it is."""

    rm: str
    driver: str  # an entry point's name, or MODULE:CLASS, or FILE.py:CLASS
    settings: dict[str, str] = {}
    user: str = ""  # as whom it runs; empty: as whoever runs the manager
    memory: int = MEMORY  # bytes
    workers: int = 32  # nodes that are asked for at a time


class Do(Struct, tag="do"):
    """Call the driver. A fork does one thing at a time, in the order in which they are told."""

    number: int
    verb: str
    seconds: float  # that it may take, from when it begins
    round: float = 0.0  # of list_nodes: that all calls for one node each may take together
    job: str = ""
    token: str = ""
    start: Start | None = None
    time_limit: int = 0


class Up(Struct, tag="up"):
    """The driver is loaded and ready."""

    role: Role
    about: About


class Part(Struct, tag="part"):
    """Some records of an answer."""

    number: int
    nodes: tuple[ForeignNode, ...] = ()
    jobs: tuple[ForeignJob, ...] = ()
    ended: tuple[End, ...] = ()


class Spent(Struct, gc=False):
    """How long calls took."""

    count: Count = 0
    total: Amount = 0.0  # seconds, of all together
    most: Amount = 0.0
    late: Count = 0  # that had no answer by their deadline: they are not counted above
    failed: Count = 0  # that raised, or whose answer was no node


class Done(Struct, tag="done"):
    """A call is over, and all its parts are told. fault: it has no answer, for this reason."""

    number: int
    began: Amount  # Unix seconds
    took: Amount  # seconds
    complete: bool = True
    at: Amount = 0.0
    outcome: Outcome | None = None
    nodes: Spent | None = None  # of calls for one node each
    stuck: bool = False  # a call for one node still hangs: the process is of no more use
    fault: Fault | None = None
    why: Sentence = ""


class Asking(Struct, tag="asking"):
    """The nodes are listed, and now each is asked for: the call takes longer."""

    number: int


class Unable(Struct, tag="unable"):
    """A fork could not load its driver, and ends."""

    why: Sentence


class Hint(Struct, tag="hint"):
    """Something has happened that a load would show."""

    text: Annotated[str, Meta(max_length=200)] = ""


class Lost(Struct, tag="lost"):
    """A fork is over. Another begins after the pause. numbers: of calls that have no answer."""

    role: Role
    fault: Fault
    why: Sentence
    pause: float  # seconds
    numbers: tuple[int, ...] = ()
    verb: Name = ""  # that was under way


ToDriver = Begin | Do
FromDriver = Up | Part | Asking | Done | Unable | Hint | Lost

encode = msgspec.msgpack.Encoder().encode
decode_request = msgspec.msgpack.Decoder(ToDriver).decode
decode_reply = msgspec.msgpack.Decoder(FromDriver).decode


def command() -> list[str]:
    """Return the command of the process."""
    return [sys.executable, "-I", "-m", "ostler.drivers.worker"]


# A thread would reserve 64 MiB of address space, which is limited.
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "MALLOC_ARENA_MAX": "2",
}


def role_of(verb: str) -> Role:
    """Return which fork does it."""
    return Role.QUERY if verb in QUERIES else Role.ORDER


def framed(message: ToDriver | FromDriver) -> bytes:
    """Return a message with its length before it; raise `ValueError` if it is too long."""
    return frame(encode(message), MOST)
