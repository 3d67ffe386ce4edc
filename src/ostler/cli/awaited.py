"""Commands that stop something: for whom they wait, said while they do."""

from collections.abc import Callable
from typing import Any

from ostler.cli.output import complain, moment
from ostler.client.link import Link
from ostler.model.nodeset import in_short

_SOON = 1.0  # seconds in which a stop is over, or says for whom it waits
_LOOK = 5.0  # seconds after which it looks again

Rows = list[dict[str, Any]]  # of nodes: name, status, unknown_since, jobs


def answer_of(link: Link, number: int, look: Callable[[], Rows], way_out: str) -> Any:
    """Return the answer to a request; say meanwhile whom it waits for, and how to wait no longer.

    look: asks which nodes still hold something.
    """
    said: object = None
    link.pump(_SOON)
    while not link.answered(number):
        rows = look()
        silent = [row["name"] for row in rows if row["unknown_since"] is not None]
        if rows and silent != said:  # not for each job that ends
            complain(awaited_text(rows, way_out))
            said = silent
        if not link.answered(number):
            link.pump(_LOOK)
    return link.result(number)


def awaited_text(rows: Rows, way_out: str) -> str:
    """Return for whom a stop waits; of silent nodes since when, and what a person can do."""
    silent = [row for row in rows if row["unknown_since"] is not None]
    parts = []
    if heard := [str(row["name"]) for row in rows if row not in silent]:
        parts.append(f"waits for the jobs on {in_short(heard)}")
    if silent:
        since = moment(min(row["unknown_since"] for row in silent))
        names = in_short(str(row["name"]) for row in silent)
        parts.append(
            f"waits for {names}, silent since {since}: what runs there is unknown; {way_out}"
        )
    return "; ".join(parts)
