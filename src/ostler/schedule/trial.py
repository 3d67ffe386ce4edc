"""Would a job start if something else were different? A copy of the engine plans it."""

from collections.abc import Callable

from ostler.schedule.engine import Engine
from ostler.schedule.snapshot import Start

Change = Callable[[Engine], None]


class Trial:
    """The machine before it plans, and the job asked about."""

    def __init__(self, engine: Engine, now: float, job: int, starts: int) -> None:
        """Prepare. engine: stays as it is. starts: how many of its elements start anyway."""
        self.engine = engine
        self.now = now
        self._job = job
        self._starts = starts

    def starts(self, change: Change) -> bool:
        """Say whether more of the job starts than now, once this is changed."""
        engine = self.engine.copy()
        engine.be_silent()
        change(engine)
        return len(starts_of(engine, self.now, self._job)) > self._starts


def starts_of(engine: Engine, now: float, job: int) -> list[Start]:
    """Return the starts of a job among all that the engine plans; it looks at everything."""
    engine.picture.all_dirty = True
    lines = engine.plan(now).lines
    return [line for line in lines if isinstance(line, Start) and line.job == job]
