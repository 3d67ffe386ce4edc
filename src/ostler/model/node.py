"""A node as the machine knows it."""

from msgspec import Struct

from ostler.model.resources import NodeFacts
from ostler.model.states import NodeStatus, NodeWord


class Node(Struct, frozen=True):
    """One computer, or one declared share of it, with one agent."""

    name: str
    facts: NodeFacts
    partition: str = "main"
    status: NodeStatus = NodeStatus.NO_AGENT
    word: NodeWord = NodeWord.IN
    word_by: str = ""
    word_at: float | None = None
    word_reason: str = ""
    boot_id: str = ""
    since: float = 0.0  # when the status last changed
    unknown_since: float | None = None  # set while what runs there cannot be seen
    gone: bool = False  # it left the machine for good; kept so that waiting can be explained
    # What its agent declared, while an administrator has said otherwise; None: `facts` has that.
    own_features: tuple[str, ...] | None = None
    rm: str = ""  # the resource manager whose node it is; empty: the machine's own
