"""What the manager and the process that plans for a large machine say to each other.

Frames over two pipes: deltas and requests in, plans and answers out, in the order of the requests
but for answers, which may come late. The process ends when its stdin does.
"""

import sys

import msgspec
from msgspec import Struct

from ostler.model.errors import NotNow, OstlerError, UsageError
from ostler.model.problem import Problem
from ostler.schedule.decisions import Told
from ostler.schedule.question import Asked, Found
from ostler.schedule.snapshot import Plan

MOST = 64 << 20  # bytes of one frame; a delta has far less
ANSWER_SECONDS = 5  # for one explanation
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class PlanNow(Struct, tag="plan"):
    """Plan with all that was told, as of this time."""

    now: float  # Unix seconds


class Ask(Struct, tag="ask"):
    """Answer a question about the queue."""

    id: int
    now: float  # Unix seconds
    question: Asked


class Planned(Struct, tag="planned"):
    """The plan that was asked for."""

    plan: Plan


class Answer(Struct, tag="answer"):
    """What was asked, or why there is no answer."""

    id: int
    found: Found | None = None
    error: Problem | None = None


ToPlanner = Told | PlanNow | Ask
FromPlanner = Planned | Answer

encode = msgspec.msgpack.Encoder().encode
decode_request = msgspec.msgpack.Decoder(ToPlanner).decode
decode_reply = msgspec.msgpack.Decoder(FromPlanner).decode


def command() -> list[str]:
    """Return the command of the process."""
    return [sys.executable, "-I", "-m", "ostler.manager.planner_worker"]


def frame(message: ToPlanner | FromPlanner) -> bytes:
    """Return a message with its length before it; raise `UsageError` if it is too long."""
    return framed(encode(message))


def framed(data: bytes) -> bytes:
    """Return an encoded message with its length before it; raise `UsageError` if it is too long."""
    if len(data) > MOST:
        raise UsageError(f"a message of {len(data)} bytes is too long", expected=f"most: {MOST}")
    return len(data).to_bytes(4, "big") + data


def failure(number: int, error: OstlerError) -> Answer:
    """Return the answer that carries an error."""
    return Answer(number, None, Problem.of(error))


def result(answer: Answer) -> Found:
    """Return what was found, or raise the error that the answer carries."""
    if answer.error is not None:
        raise answer.error.error()
    if answer.found is None:
        raise late()
    return answer.found


def late() -> NotNow:
    """Return the error of a question that took too long."""
    return NotNow(
        f"it could not be worked out in {ANSWER_SECONDS} seconds",
        hint="try again when the machine is less busy",
    )
