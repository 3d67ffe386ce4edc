"""What a policy is: who of those that wait is promised a start, and who may go before."""

from difflib import get_close_matches
from enum import StrEnum

from msgspec import Struct

from ostler.model.errors import UsageError

MOST_RESERVED = 100_000


class Scan(StrEnum):
    """In which order those that nothing is promised to are tried."""

    RANK = "rank"
    SHORTEST = "shortest"  # by ascending estimate, ties by rank


class Policy(Struct, frozen=True):
    """How a queue is served.

    Jobs start in order of rank until `reserved` of them could not start now. These are promised
    the earliest start that the ones before them leave. The rest may start now, in the order of
    `scan`, where that delays no promise.
    """

    name: str
    reserved: int | None  # 0: nobody passes the first that does not fit; None: all are promised
    scan: Scan = Scan.RANK


FCFS = Policy("fcfs", 0)
EASY = Policy("easy", 1)
EASY_SJBF = Policy("easy-sjbf", 1, Scan.SHORTEST)
CONSERVATIVE = Policy("conservative", None)

POLICIES = {policy.name: policy for policy in (FCFS, EASY, EASY_SJBF, CONSERVATIVE)}
_RESERVED = "reserved-"
_NAMES = (*POLICIES, f"{_RESERVED}K")


def parse_policy(text: str) -> Policy:
    """Return the policy of this name; raise `UsageError` with the nearest one.

    `reserved-K` promises a start to the first K that do not fit.

    >>> parse_policy("reserved-8").reserved
    8
    """
    if text in POLICIES:
        return POLICIES[text]
    if text.startswith(_RESERVED):
        return Policy(text, _count(text.removeprefix(_RESERVED)))
    shown = text if len(text) <= 40 else f"{text[:40]}…"
    near = get_close_matches(text[:40], _NAMES, 1)
    raise UsageError(
        f"no policy is named {shown!r}",
        expected=", ".join(_NAMES),
        hint=f"did you mean {near[0]!r}" if near else "",
    )


def _count(digits: str) -> int:
    count = int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 9 else 0
    if not 1 <= count <= MOST_RESERVED:
        shown = digits if len(digits) <= 40 else f"{digits[:40]}…"
        raise UsageError(
            f"reserved-{shown} promises a start to no sensible number of jobs",
            expected=f"reserved-1 to reserved-{MOST_RESERVED}",
        )
    return count
