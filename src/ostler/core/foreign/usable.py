"""Whether something new may start on the nodes of a resource manager, and why not."""

from collections.abc import Iterator

from msgspec.structs import replace

from ostler.core.foreign.intake import sliced
from ostler.core.foreign.rms import Rm
from ostler.core.state import State
from ostler.model.foreign import NodeState
from ostler.schedule.words import counted

_SAME_HOST = 0.5  # microseconds to look whether two are one computer
_LOOK = 12.0  # likewise, to work out whether a node can be used


def look(s: State, rm: Rm) -> None:
    """Work out of each node whether something new may start there, and why not."""
    for _ in looks(s, rm):
        pass


def looks(s: State, rm: Rm) -> Iterator[float]:
    """Work it out step by step."""
    rm.stale = False
    for names in sliced(list(rm.nodes), 100):
        for name in [name for name in names if name in rm.nodes]:
            entry = s.nodes[name]
            silence, connected = _silence(rm, name), rm.down_since is None
            if entry.silence == silence and entry.connected is connected:
                continue
            entry.silence, entry.connected = silence, connected
            since = rm.nodes[name].missing_since if connected else rm.down_since
            # Not saved: after a restart nobody sees it anyhow until there was a load.
            entry.node = replace(entry.node, unknown_since=since)
            s.marks.nodes.add(name)
            s.marks.allocations.update(entry.allocations)  # whether they can be suspended
            s.changed = True
        yield _LOOK * len(names)


def _silence(rm: Rm, name: str) -> str:
    if not rm.row.enabled:
        return f"{rm.name} is disabled"
    if rm.down_since is not None:
        return f"{rm.name} does not answer: {rm.why}"
    known = rm.nodes[name]
    reason = f": {known.reason}" if known.reason else ""
    if known.missing_since is not None:
        return f"{rm.name} does not list it any more"
    if name in rm.twins:
        both = f"`ostler rm set {rm.name} shares-hosts=true` if both are to count"
        return f"it is the computer of node {rm.twins[name]}, and counts there; {both}"
    if known.state == NodeState.DOWN:
        return f"{rm.name} says that it is down{reason}"
    if known.state == NodeState.DRAINING:
        return f"{rm.name} drains it{reason}"
    if known.state == NodeState.UNKNOWN:
        return f"{rm.name} says {known.native_state!r} of it, which its driver does not know"
    conflict = rm.conflicts.get(name)
    if conflict is not None and conflict.lasts and not conflict.settled:
        used = counted(conflict.sure, "CPU")
        return f"jobs use {used} of it, and {rm.name} tells of {conflict.told}"
    return ""


def find_twins(s: State) -> None:
    """Find the nodes that are computers which count already, as others' nodes."""
    for _ in twins(s):
        pass
    for rm in s.rms.values():
        if rm.stale and rm.intake is None:
            look(s, rm)


def twins(s: State) -> Iterator[float]:
    """Find them step by step. Resource managers of which others are found are stale then."""
    counted_as: dict[str, str] = {}  # computer -> its node
    for _, rm in sorted(s.rms.items()):
        found: dict[str, str] = {}
        own: dict[str, str] = {}
        for names in sliced(list(rm.nodes)):
            for known in [rm.nodes[name] for name in names if name in rm.nodes]:
                if not known.host or known.missing_since is not None:
                    continue
                twin = counted_as.get(known.host) or _native(s, known.host)
                if twin and not rm.row.shares_hosts:
                    found[known.name] = twin
                else:
                    own[known.host] = known.name
            yield _SAME_HOST * len(names)
        if found != rm.twins:
            rm.twins, rm.stale = found, True
        counted_as = own | counted_as


def _native(s: State, host: str) -> str:
    found = s.nodes.get(host)
    return host if found is not None and not found.node.rm and not found.node.gone else ""
