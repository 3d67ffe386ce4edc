"""What a starter keeps for all shares that it runs, one after the other."""

from ostler.agent.output import Nulls
from ostler.agent.spawn import Pinning
from ostler.agent.spool import Spool
from ostler.wire.cgroup import Groups


class Host:
    """The state folder, the spool, the control groups; what is opened once, at birth."""

    __slots__ = ("groups", "nulls", "pinning", "spool", "state")

    def __init__(self, state: bytes, spooled: Spool, groups: Groups) -> None:
        self.state = state
        self.spool = spooled
        self.groups = groups
        self.nulls = Nulls()
        self.pinning = Pinning()
