"""What all shares of a node have in common, and what is done about the spools of dead starters."""

from typing import TYPE_CHECKING, Protocol

from ostler.agent import inquest, remains, spool
from ostler.agent.contexts import Contexts
from ostler.agent.journal import Journal
from ostler.agent.left import LeftDescriptors
from ostler.agent.reaper import Reaper
from ostler.agent.spool import read_spool
from ostler.agent.starters import Starters
from ostler.core.agent_words import Event
from ostler.model.ids import AllocationId

if TYPE_CHECKING:  # each has the other
    from ostler.agent.hand import Hand


class Office(Protocol):
    """What all hands share."""

    journal: Journal
    contexts: Contexts
    starters: Starters
    left: LeftDescriptors
    reaper: Reaper
    declared: bool
    boot_id: str
    hands: "dict[AllocationId, Hand]"

    def feed(self, event: Event) -> None:
        """Tell the core."""

    def greet_anew(self, why: str) -> None:
        """Have the manager say again what it wants of each share."""


async def inquire(
    office: Office, path: str, alloc: AllocationId, above: tuple[int, int]
) -> inquest.Verdict:
    """Return what became of a share. above: the supervisor that was above its dead starter.

    All its children are accounted for if this agent was above it, or that supervisor lives.
    """
    covered = office.starters.is_ours(path) or (
        above != (0, 0) and above == office.reaper.supervisor()
    )
    return await inquest.inquire(path, alloc, office.reaper, covered=covered)


def remove_spool(path: str) -> None:
    """Remove a dead starter's control groups, script and spool, as far as they are there."""
    try:
        remains.clean(read_spool(path))
        spool.remove(path)
    except OSError:
        return
