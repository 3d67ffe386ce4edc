"""What is said when a node is looked at from outside: one question to its agent, one answer."""

from msgspec import Struct

from ostler.model.bounded import Amount, Count, Name


class Probe(Struct, tag="probe"):
    """Asks an agent whether it works. Whoever asks has connected to the node, and closes then."""


class Alive(Struct, tag="alive", omit_defaults=True):
    """An agent's answer: what it says of itself, to be held against what is seen of it."""

    node: Name
    boot_id: Name
    incarnation: Name  # as in its greeting
    epoch: Count  # the highest it has obeyed
    connected: bool = False  # a manager has taken it in, as far as it knows
    pid: int = 0
    started_at: Amount = 0.0  # Unix seconds


class Seen(Struct, frozen=True):
    """What one look has found. reached: the host answered; alive: what its agent said, if it did."""

    reached: bool
    alive: Alive | None = None


NOBODY = Seen(reached=False)
NO_AGENT = Seen(reached=True)
