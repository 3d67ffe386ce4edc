"""What is read of resource managers: rows of the core, with how their processes do."""

from collections.abc import Callable
from typing import Any

from ostler.core.entry import Entry
from ostler.core.foreign.spread import rms_of, spreads
from ostler.core.foreign.view import about_row, rm_rows
from ostler.core.state import State
from ostler.core.view import nodes_of
from ostler.manager.foreign import Foreign
from ostler.model.errors import Missing
from ostler.model.features import NATIVE

Row = dict[str, Any]
Elsewhere = list[tuple[int, str, int]]
_SECONDS = {"total": "total_seconds", "max": "max_seconds", "average": "mean_seconds"}
_SECONDS |= {"last": "last_seconds"}


def _is_in(s: State, job: Row | Entry, name: str) -> bool:
    """Say whether a resource manager has a job, or elements of it."""
    if isinstance(job, Entry) and spreads(s, job):
        here = any(s.nodes[node].node.rm == "" for node in nodes_of(s, job))
        names = [rm.name for rm in rms_of(s, job)]
        return name in names or (name == NATIVE and (here or not names))
    return ((job["rm"] if isinstance(job, dict) else job.job.rm) or NATIVE) == name


def narrowed(
    s: State, found: dict[int, Row | Entry], name: str, rms: Callable[[list[int]], Elsewhere]
) -> dict[int, Row | Entry]:
    """Return the jobs of which a resource manager has something, or had.

    rms: tells of ended ones who has had elements of them, and how many.
    """
    spread = {
        number: int(one["elements"])
        for number, one in found.items()
        if isinstance(one, dict) and one["array"] and not one["rm"]
    }
    there: dict[int, set[str]] = {}
    for number, rm, count in rms(list(spread)) if spread else ():
        there.setdefault(number, set()).add(rm)
        spread[number] -= count
    own = {number for number, left in spread.items() if left > 0}
    return {
        number: one
        for number, one in found.items()
        if (
            name in there[number] or (name == NATIVE and number in own)
            if number in there
            else _is_in(s, one, name)
        )
    }


def list_rms(s: State) -> Row:
    """Return all resource managers."""
    return {"resource_managers": rm_rows(s)}


def one_rm(s: State, name: str, foreign: Foreign) -> Row:
    """Return one, with what its driver can and how long it takes; raise `Missing`."""
    _check_known(s, name)
    found = next(row for row in rm_rows(s) if row["name"] == name)
    about = s.rms[name].about
    process = foreign.read().get(name)
    if process is not None:
        process |= {"load": _timed(process["load"])}
        process["verbs"] = [{"verb": v, **_timed(t)} for v, t in process["verbs"].items()]
    return {
        "resource_managers": [
            found | {"about": about and about_row(about), "process": process},
        ]
    }


def _check_known(s: State, name: str) -> None:
    if name not in s.rms:
        known = ", ".join(sorted(s.rms)) or "none"
        raise Missing(f"there is no resource manager {name!r}", expected=f"known: {known}")


def trace(s: State, name: str, foreign: Foreign) -> Row:
    """Return the last iterations, of one resource manager or of all, oldest first; raise `Missing`."""
    if name:
        _check_known(s, name)
    rows = [
        row
        for each, runner in foreign.runners.items()
        if name in ("", each)
        for row in runner.trace
    ]
    return {"iterations": sorted(rows, key=lambda row: float(row["began_at"]))}


def _timed(row: Row) -> Row:
    return {_SECONDS.get(key, key): value for key, value in row.items()}
