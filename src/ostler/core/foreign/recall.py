"""What is known of resource managers after a restart. None of them has answered yet."""

from ostler.core.foreign.usable import look
from ostler.core.state import State
from ostler.model.record import Loaded

_MICRO = 1_000_000


def recall(s: State, loaded: Loaded, now: float) -> None:
    """Take the rows of resource managers in.

    Starts that were not answered are asked again, by the same token, unless a load shows them.
    """
    s.next_call = int(now * _MICRO)  # answers to calls of a manager before this one are not taken
    for node in loaded.rm_nodes:
        if (rm := s.rms.get(node.rm)) is not None and node.name in s.nodes:
            rm.nodes[node.name] = node
    for job in loaded.rm_jobs:
        if (rm := s.rms.get(job.rm)) is not None:
            rm.keep(job)
    for each in loaded.discrepancies:
        if (rm := s.rms.get(each.rm)) is not None:
            rm.odd[each.kind, each.object] = each
    for rm in s.rms.values():
        look(s, rm)
