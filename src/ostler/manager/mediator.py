"""What the manager and the process beside a scheduler that is not ours say to each other.

Frames over two pipes. In: what has changed, as the built-in scheduler's process is told, and questions.
Out: plans in pieces. The process keeps the machine, writes it as JSON, and reads what comes back:
with 85,000 jobs that takes half a second, in which the manager serves others.
"""

import sys

import msgspec
from msgspec import Struct

from ostler.manager.run_as import Place
from ostler.model.site import Scheduler
from ostler.schedule.decisions import Told
from ostler.schedule.snapshot import Piece, Plan

MOST = 64 << 20  # bytes of one frame; a piece has far less


class Serve(Struct, tag="serve"):
    """The first word: ask this scheduler."""

    row: Scheduler
    place: Place


class Show(Struct, tag="show"):
    """Show it what was told before; take from its plan what it decides, and compare the rest later."""

    number: int  # of the snapshot
    now: float  # Unix seconds
    partitions: tuple[str, ...]
    decided: tuple[str, ...]


class Compare(Struct, tag="compare"):
    """Tell what differs from what was granted by who decides, or forget the plan."""

    number: int  # of the snapshot
    granted: tuple[int, int] | None  # allocations, from the first on and before the second


class Began(Struct, tag="began"):
    """Its process runs."""

    pid: int


class Proposed(Struct, tag="proposed"):
    """A piece of what it decides, of which each line made sense when it was shown the machine."""

    number: int
    plan: Plan
    piece: Piece
    seconds: float  # in which it planned
    compared: bool  # there is more, of what it does not decide
    wrong: tuple[str, ...]  # some of what made no sense


class Failed(Struct, tag="failed"):
    """It did not answer, or what it said made no sense; nothing is left of it. why: one sentence."""

    why: str


class Differs(Struct, tag="differs"):
    """How its plan differs from what was done."""

    text: str


ToMediator = Serve | Told | Show | Compare
FromMediator = Began | Proposed | Failed | Differs

encode = msgspec.msgpack.Encoder().encode
decode_request = msgspec.msgpack.Decoder(ToMediator).decode
decode_reply = msgspec.msgpack.Decoder(FromMediator).decode


def command() -> list[str]:
    """Return the command of the process."""
    return [sys.executable, "-I", "-m", "ostler.manager.mediator_worker"]


def framed(message: ToMediator | FromMediator) -> bytes:
    """Return a message with its length before it."""
    data = encode(message)
    return len(data).to_bytes(4, "big") + data
