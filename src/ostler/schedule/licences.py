"""Licences: what the whole machine has a count of, on whichever node it is used."""

from collections.abc import Iterable, Mapping

from ostler.model.resources import Request
from ostler.schedule.snapshot import RunningView

Counts = dict[str, int]


def free(have: Mapping[str, int], running: Iterable[RunningView]) -> Counts:
    """Return how many nobody holds; below 0 where there are fewer by now than are held."""
    left = dict(have)
    for view in running:
        change(left, view.licences, -1)
    return left


def change(left: Counts, licences: Mapping[str, int], sign: int) -> None:
    """Take these out of what is left (-1), or put them back (1)."""
    for name, count in licences.items():
        left[name] = left.get(name, 0) + sign * count


def lacking(request: Request, left: Mapping[str, int]) -> dict[str, float | int | str]:
    """Return the numbers of the first licence of which too few are left; empty if there is none."""
    for name, asked in sorted(request.licences.items()):
        if asked > left.get(name, 0):
            there = max(left.get(name, 0), 0)
            return {"short": name, "asked_licences": asked, "free_licences": there}
    return {}
