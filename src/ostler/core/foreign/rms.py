"""What the core knows of each resource manager beside its nodes and jobs."""

from collections.abc import Iterable

from ostler.model.foreign import About, Option
from ostler.model.site import ResourceManager


class Rm:
    """One resource manager. All but its row can be forgotten: it is found out anew."""

    __slots__ = (
        "about",
        "down_since",
        "jobs_at",
        "loads",
        "nodes_at",
        "row",
        "took",
        "why",
    )

    def __init__(self, row: ResourceManager, now: float) -> None:
        self.row = row
        self.about: About | None = None  # None: its driver has not told anything yet
        self.down_since: float | None = now  # Unix seconds; None: it answers
        self.why = "it has not been asked yet"  # why it does not answer, one phrase
        self.loads = 0  # that were taken in
        self.nodes_at = self.jobs_at = 0.0  # Unix seconds as of which what is known holds; 0: never
        self.took = 0.0  # seconds, the last load

    def can(self, option: Option) -> bool:
        """Say whether its driver declares this."""
        return self.about is not None and option in self.about.options


def appoint(known: dict[str, Rm], rows: Iterable[ResourceManager], now: float) -> dict[str, Rm]:
    """Return what is known of these, and of no others."""
    found: dict[str, Rm] = {}
    for row in rows:
        rm = found[row.name] = known.get(row.name) or Rm(row, now)
        rm.row = row
    return found
