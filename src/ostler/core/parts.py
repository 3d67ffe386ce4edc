"""What follows from partitions and configurations and is not written down: made anew with a start."""

from collections import deque
from datetime import UTC, tzinfo
from math import inf

from ostler.core.effects import Address
from ostler.model.ids import AllocationId
from ostler.model.site import Site
from ostler.model.states import Rule
from ostler.schedule.snapshot import BUILT_IN, Wait


class Parts:
    """Allocations on the wrong side, partitions that are being stopped, and the calendar's next."""

    __slots__ = (
        "awaited", "begins", "closing", "fitting", "foreign", "look_again", "lost", "plans",
        "refused", "shift_at", "stoppers", "strangers", "taking", "told", "wrong", "zone",
    )  # fmt: skip

    def __init__(self) -> None:
        self.zone: tzinfo = UTC  # by which calendars go that name none
        # Allocations of which a node is in another partition now than their job's
        self.strangers: set[AllocationId] = set()
        self.awaited: set[AllocationId] = set()  # of those: to be suspended once they have started
        # Partition that is being stopped -> its allocations that are left
        self.closing: dict[str, set[AllocationId]] = {}
        self.stoppers: dict[Address, str] = {}  # who waits until which of them is down
        # Partition and shape of a request -> configurations in which it fits, while no node changes
        self.fitting: dict[tuple[object, ...], frozenset[str]] = {}
        # Partition with nodes of other resource managers -> the names of those; None: find out
        self.foreign: dict[str, set[str]] | None = None
        self.taking: deque[str] = deque()  # resource managers with loads to go on with, in turn
        self.look_again = False  # nodes are others: what could serve a request may be so, too
        self.begins: dict[str, float] = {}  # configuration -> when its calendar has it begin next
        self.shift_at = inf  # Unix seconds at which calendars are looked at

        self.lost: dict[str, str] = {}  # scheduler that is not built in -> why it cannot plan
        self.plans = 0  # that were carried out since the start
        self.refused: set[str] = set()  # schedulers of whose plan under way a line was refused
        self.wrong: dict[str, str] = {}  # scheduler -> what of its last plan made no sense
        self.told: dict[str, dict[int, Wait]] = {}  # by such a scheduler: why a job of its waits

    def planner_of(self, site: Site, partition: str) -> str:
        """Return the name of the scheduler whose plans are carried out in a partition."""
        found = site.partitions.get(partition)
        name = found.scheduler if found is not None else None
        return name if name and name not in self.lost else BUILT_IN

    def is_ours(self, site: Site, partition: str) -> bool:
        """Say whether the scheduler that is built in plans a partition."""
        return self.planner_of(site, partition) == BUILT_IN

    def reason(self, site: Site, job: int, partition: str, by: str) -> Wait | None:
        """Return why a job is not for this scheduler to start; None if it is."""
        name = self.planner_of(site, partition)
        if name == by:
            return None
        known = self.told.get(name, {}).get(job)
        return known or Wait(Rule.SCHEDULER, {"scheduler": name, "partition": partition})

    def released(self, number: AllocationId) -> None:
        """Forget an allocation that is over."""
        self.strangers.discard(number)
        self.awaited.discard(number)
        for left in self.closing.values():
            left.discard(number)
