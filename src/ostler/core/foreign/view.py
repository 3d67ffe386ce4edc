"""What is known of resource managers, as rows for people."""

from typing import Any

from msgspec import to_builtins

from ostler.core.foreign.rms import Rm
from ostler.core.foreign.spread import rms_of
from ostler.core.state import State
from ostler.model.foreign import About

Row = dict[str, Any]


def rm_rows(s: State) -> list[Row]:
    """Return all resource managers. Cost: a look at all nodes and unfinished jobs, if there are any."""
    rows = {name: _row(rm) for name, rm in sorted(s.rms.items())}
    if not rows:
        return []
    for entry in s.nodes.values():
        row = rows.get(entry.node.rm)
        if row is not None and not entry.node.gone:
            row["nodes"] += 1
            row["cpus"] += len(entry.node.facts.cpus)
            row["free_cpus"] += 0 if entry.unusable else len(entry.books.cpus)
    for job in s.jobs.values():
        for rm in rms_of(s, job):
            rows[rm.name]["jobs"] += 1
    return list(rows.values())


def _row(rm: Rm) -> Row:
    return {
        **to_builtins(rm.row),
        "state": state_of(rm),
        "down_since": rm.down_since,
        "why": rm.lost or rm.why,
        "title": rm.about.title if rm.about else "",
        "loads": rm.loads,
        "nodes_at": rm.nodes_at or None,
        "jobs_at": rm.jobs_at or None,
        "load_seconds": rm.took,
        "nodes": 0,
        "cpus": 0,
        "free_cpus": 0,
        "jobs": 0,
    }


def state_of(rm: Rm) -> str:
    """Return disabled, up or down, in that order."""
    if not rm.row.enabled:
        return "disabled"
    return "up" if rm.down_since is None else "down"


def drivers(s: State) -> Row | None:
    """Return how many drivers answer, our own agents being that of our nodes; None: there is no other.

    Cost: a look at the nodes, until one of ours is found that answers.
    """
    if not s.rms:
        return None
    up = [rm.row.enabled and rm.down_since is None for rm in s.rms.values()]
    own = [e.connected for e in s.nodes.values() if not (e.node.rm or e.node.gone)]
    up += [any(own)] if own else []
    return {"up": sum(up), "down": len(up) - sum(up)}


def about_row(about: About) -> Row:
    """Return what is particular to a driver."""
    found: Row = to_builtins(about)
    return {**found, "options": sorted(about.options)}
