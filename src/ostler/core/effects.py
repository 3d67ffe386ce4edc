"""What the core wants done. The manager makes the writes durable before it does the rest."""

from typing import Any

from msgspec import Struct

from ostler.model import errand
from ostler.model.errors import OstlerError
from ostler.model.foreign import Start
from ostler.model.orders import Order
from ostler.model.record import Write

Address = int  # of one request of one client; chosen by the manager


class Save(Struct, frozen=True, gc=False):
    """Put this row into the transaction of the turn."""

    write: Write


class Send(Struct, frozen=True):
    """Give an order to a node's agent. May be dropped when it is away: greetings reconcile.

    blobs: digests of the environment, script and lines of --each that the manager puts into a
    `Launch` on its way, so that the core need not hold them.
    """

    node: str
    order: Order
    blobs: tuple[str, str, str] = ("", "", "")


class Call(Struct, frozen=True):
    """Ask an order of a resource manager's driver; answered by `RmAnswered`, or `RmTrouble`.

    Orders of one resource manager are carried out in their order, one after the other. After a
    restart of the manager those that matter are asked again: a call under way may be forgotten.
    """

    rm: str
    call: int  # never used again
    verb: str  # start, cancel, or a word of `model.foreign.Option`
    job: str = ""  # as the resource manager calls it; empty: known by its token only
    token: str = ""  # of the start that made it, or is to
    start: Start | None = None
    # Of a start: digests of the environment, script and lines of --each, which the manager puts in.
    blobs: tuple[str, str, str] = ("", "", "")
    element: int = -1  # of an array; -1: it is none
    variables: dict[str, str] = {}  # that go into the environment beside what the user has there
    time_limit: int = 0  # of modify: seconds from its start


class TakenIn(Struct, frozen=True, gc=False):
    """A load that took several turns is in."""

    rm: str


class Acknowledge(Struct, frozen=True):
    """Tell an agent that its reports up to `seq` are durable."""

    node: str
    seq: int


class Welcomed(Struct, frozen=True):
    """Tell an agent that it is taken in."""

    node: str


class Reply(Struct, frozen=True):
    """Answer a client."""

    to: Address
    body: Any


class Fail(Struct, frozen=True):
    """Refuse a client's request."""

    to: Address
    error: OstlerError


class Handle(Struct, frozen=True):
    """Begin an attempt at an errand, once it is durable that it was begun."""

    order: errand.Order


Effect = Save | Send | Call | TakenIn | Acknowledge | Welcomed | Reply | Fail | Handle
