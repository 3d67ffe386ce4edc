"""What is kept of a load while it is taken in, job by job."""

from collections.abc import Iterator

from ostler.core.foreign.intake import sliced
from ostler.core.foreign.orders import VERBS
from ostler.core.foreign.rms import Asked, Intake, Key, Rm
from ostler.core.state import State
from ostler.model.allocation import Allocation
from ostler.model.foreign import ForeignJob
from ostler.model.foreign_rows import Stage

_NAME = 0.3  # microseconds to note one


class Look:
    """One load, as it is taken in."""

    __slots__ = ("again", "asked", "asking", "at", "back", "began", "ids", "rm", "s", "seen")

    def __init__(self, s: State, at: Intake, rm: Rm, began: float) -> None:
        self.s, self.at, self.rm = s, at, rm
        self.began = began  # what was ordered later than this may not show
        self.ids: set[str] = set()  # of the jobs that are listed
        self.seen: set[Key] = set()  # jobs that were told of by now
        self.back: set[str] = set()  # ids of jobs that were given up
        self.asked = {asked.key for asked in rm.under_way}  # as it was when this began
        self.again: list[Allocation] = []  # of which the start is asked once more
        self.asking: set[str] = set()  # users with a start of which it is not known what became

    @property
    def now(self) -> float:
        """Return when this is, Unix seconds."""
        return self.at.now

    def begin(self, told: list[ForeignJob]) -> Iterator[float]:
        """Note what all are held against."""
        s, rm = self.s, self.rm
        for some in sliced(told):
            self.ids.update(job.id for job in some)
            yield _NAME * len(some)
        for keys in sliced(list(rm.jobs)):
            for job in [rm.jobs[key] for key in keys if key in rm.jobs]:
                if job.stage is Stage.ASKED and not job.theirs and job.job in s.jobs:
                    self.asking.add(s.jobs[job.job].job.user)
            yield _NAME * len(keys)

    def is_busy(self, key: Key) -> bool:
        """Say whether something is asked of a job, or was when this began."""
        if key in self.asked:
            return True
        return any(Asked(verb, key) in self.rm.under_way for verb in VERBS)
