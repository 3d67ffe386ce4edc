"""What is done about events: programs that are run, and users who are told.

An errand is one row of the table `handled`. It is written down together with the event that it is
about, so neither is ever there without the other; and again before and after each attempt.
"""

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct

from ostler.model.bounded import Count, Name, Whole

MAIL, HOOK = "mail", "webhook"  # who does it, where no program of a handler does
CHANNELS = (MAIL, HOOK)
BY_HAND = "by-hand"  # the handler of events that a person has dealt with


class ErrandState(StrEnum):
    """Where an errand stands."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"


LEGAL_ERRAND: Mapping[ErrandState, frozenset[ErrandState]] = {
    # done: it was left out, as its handler is gone
    ErrandState.WAITING: frozenset({ErrandState.RUNNING, ErrandState.DONE}),
    # waiting: another attempt is to come
    ErrandState.RUNNING: frozenset({ErrandState.WAITING, ErrandState.DONE}),
    ErrandState.DONE: frozenset(),
}


class Outcome(StrEnum):
    """How an attempt, or all of an errand, ended."""

    SUCCESS = "success"
    FAILED = "failed"  # it may go well another time
    LATE = "late"  # it was killed when its time was over
    HOPELESS = "hopeless"  # another time it would end alike
    DROPPED = "dropped"  # nothing was done, as there is nobody who would


class Notice(Struct, frozen=True, omit_defaults=True):
    """What a user is told of a job, and where. `target` and `lines` are nobody else's business."""

    user: str
    uid: int
    gid: int
    target: str  # an address of mail, or a URL
    subject: str
    lines: tuple[str, ...]
    moment: str = "end"  # begin, end or element
    result: str = ""  # of the job; empty before its end
    also: tuple[str, ...] = ()  # subjects of others that are told along with it


ErrandKey = tuple[int, str]  # of an errand: serial of its first event, and who does it


class Program(Struct, frozen=True, tag="program"):
    """Run a program. stdin: what it can read. user: empty: the manager's own."""

    argv: tuple[str, ...]
    stdin: str
    timeout: float  # seconds
    user: str = ""


class Mail(Struct, frozen=True, tag="mail"):
    """Send a mail, by SMTP if a host is given, else through a program that reads it."""

    uid: int
    gid: int
    to: str
    subject: str
    body: str
    ident: str  # the same at each attempt
    sender: str  # empty: user@host
    host: str  # HOST[:PORT] of SMTP
    command: str
    security: str = ""  # of SMTP: plain, starttls or tls; empty: starttls if there is a login
    login: str = ""
    password_file: str = ""  # whoever sends the mail reads it: no password is in an order
    ca: str = ""  # file with the certificates that are trusted; empty: the host's own


class Hook(Struct, frozen=True, tag="webhook"):
    """Post JSON to a URL. reach: which addresses it may have."""

    uid: int
    gid: int
    url: str
    body: str
    ident: str
    reach: str


class Order(Struct, frozen=True, tag="order"):
    """What the process that runs errands is to do now."""

    first: Count
    handler: Name
    attempt: Count
    work: Program | Mail | Hook


class Ran(Struct, frozen=True, tag="ran"):
    """How an attempt ended."""

    first: Count
    handler: Name
    attempt: Count
    result: Outcome
    exit_status: Whole | None = None
    reason: str = ""
