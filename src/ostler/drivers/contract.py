"""What a driver is: a class with four verbs, and whatever else it declares.

It runs in worker processes of its own, is called from there, and may block: each call has a
deadline that is kept from outside, by ending the process. So a driver holds nothing that a new one
could not find out anew. It answers with facts (`ostler.model.foreign`); what it cannot know it
leaves out. It is found by an entry point of the group `ostler.drivers`, whose name is its kind.

What it starts ends with it, unless that leads a session of its own. The limit of its address space
is a soft one, and is inherited: what becomes a job is to be given the hard one back.
"""

from collections.abc import Iterator, Mapping
from typing import Protocol, runtime_checkable

from ostler.model.foreign import About, ForeignNode, Jobs, Nodes, Outcome, Start

GROUP = "ostler.drivers"  # of entry points


class Trouble(Exception):
    """The resource manager did not answer, or not sensibly: what was asked stays unknown.

    Its text goes to people: what was asked, and what came instead.
    """


@runtime_checkable
class Driver(Protocol):
    """The four verbs. Each raises `Trouble` where the resource manager gives no sensible answer."""

    about: About

    def __init__(self, settings: Mapping[str, str]) -> None:
        """Begin. settings: as the administrator gave them; raises `ValueError` for a bad one."""

    def list_nodes(self) -> Nodes:
        """Return idle, busy and merely defined nodes."""

    def list_jobs(self) -> Jobs:
        """Return waiting and running jobs, and proofs of those that have ended of late."""

    def start(self, order: Start) -> Outcome:
        """Start a job at once on exactly these nodes, or refuse. Repeated without harm."""

    def cancel(self, job: str, token: str) -> Outcome:
        """End a job at once, whatever its state. By its id; by its start's token where that is ''."""


# What is asked of drivers that declare the option of this name. All take a job's id and its token.


class Halts(Protocol):
    """`suspend` and `resume`."""

    def suspend(self, job: str, token: str) -> Outcome:
        """Let a running job stand still."""

    def resume(self, job: str, token: str) -> Outcome:
        """Let it go on."""


class Requeues(Protocol):
    """`requeue`."""

    def requeue(self, job: str, token: str) -> Outcome:
        """End it, and let it wait again."""


class Checkpoints(Protocol):
    """`checkpoint`."""

    def checkpoint(self, job: str, token: str) -> Outcome:
        """Have it write down how far it is."""


class Modifies(Protocol):
    """`modify`."""

    def modify(self, job: str, token: str, time_limit: int) -> Outcome:
        """Give it another time limit, in seconds from its start; 0: none."""


class TellsNodes(Protocol):
    """`node`. It is called from several threads at once."""

    def node(self, name: str) -> ForeignNode:
        """Return all that is known of one node; `list_nodes` need then only name them."""


class TellsEvents(Protocol):
    """`events`. It is called in a process of its own."""

    def events(self) -> Iterator[str]:
        """Yield a sentence whenever something has happened that a load would show."""
