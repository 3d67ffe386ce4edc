"""What the core wants done. The manager makes the writes durable before it does the rest."""

from typing import Any

from msgspec import Struct

from ostler.model import errand
from ostler.model.errors import OstlerError
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


Effect = Save | Send | Acknowledge | Welcomed | Reply | Fail | Handle
