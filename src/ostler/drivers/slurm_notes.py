"""What jobs of Slurm note themselves (`begun`), against what Slurm says of them.

A slurmctld that was killed goes on with what it had saved. What has ended since is said to run, for
half an hour, keeps its room, and is lost when that is found out: so it is cancelled there once its own
note has told its end. What began since is started again, or forgotten.
Ids are given again: a node that knows one from before refuses to launch the new job, which is then
said to be cancelled, with nodes and a start, but neither a status nor a signal.
"""

import time
from collections.abc import Mapping
from contextlib import suppress
from itertools import islice

from msgspec.structs import replace

from ostler.drivers.begun import KEPT_DAYS, Begun
from ostler.drivers.contract import Trouble
from ostler.drivers.programs import Person, Programs
from ostler.model.foreign import End, ForeignJob, ForeignState, Start
from ostler.model.limits import MAX_FOREIGN_JOBS
from ostler.model.states import Result

SETTLED = 15.0  # seconds for which Slurm may say of a job that it runs, when it has ended
GHOSTS = 100  # jobs that have ended, and are cancelled there, in one load
LOOKED_AT = 2_000  # jobs that run, whose notes are looked for in one load
VISIBLE = 65.0  # seconds after which a note is seen on another host, too: NFS looks once a minute
LAUNCHED = 60.0  # seconds within which a node refuses to launch a job, if it does
DAY = 86_400.0

Run = tuple[str, str, int]  # user, token, and how often Slurm has requeued it


class Notes:
    """The notes of jobs, and what has been learned of them."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        """Begin. settings: the driver's; raises `ValueError`."""
        self._begun = Begun(settings)
        self._over: dict[
            Run, tuple[float, End]
        ] = {}  # said to run -> when its end was found, and it
        self._ghosts: list[str] = []  # ids that Slurm keeps room for, found in this load
        self._looked: set[Run] = set()  # likewise, those who had a turn since all of them had one
        self._tokens: dict[tuple[str, str], tuple[str, str]] = {}  # (id, submission) -> user, token
        self._swept: dict[str, float] = {}  # user -> until when old ones may stay
        self._looks = 0  # left in this load

    def path(self, order: Start) -> str:
        """Return where the notes of a start are to be; empty: nowhere."""
        return self._begun.path(order.user, order.token)

    def before(self, order: Start) -> End | None:
        """Return how a start has ended that was ordered before; None: nothing says that it has."""
        note = self._begun.of(order.user, order.token)
        return note.end(order.token, order.user) if note else None

    def begin_load(self) -> None:
        """Forget what was long ago."""
        if self._looks or len(self._looked) > MAX_FOREIGN_JOBS:
            self._looked.clear()
        self._looks = LOOKED_AT
        self._ghosts.clear()
        self._begun.look_again()
        for key in [*islice(self._over, max(0, len(self._over) - MAX_FOREIGN_JOBS))]:
            del self._over[key]
        for both in [*islice(self._tokens, max(0, len(self._tokens) - MAX_FOREIGN_JOBS))]:
            del self._tokens[both]

    def told(self, fact: ForeignJob | End, run: int) -> ForeignJob | End:
        """Return what Slurm says of a job, unless its own note is a better proof.

        run: how often Slurm has requeued it.
        """
        if not fact.token:
            return fact
        if fact.incarnation:
            self._tokens[fact.id, fact.incarnation] = (fact.user, fact.token)
        if isinstance(fact, End):
            return self._ended(fact, run)
        if fact.state is not ForeignState.RUNNING:
            return fact
        key = fact.user, fact.token, run
        if key not in self._over:
            if not self._looks or key in self._looked:
                return fact
            self._looks -= 1
            self._looked.add(key)
            note = self._begun.of(fact.user, fact.token, run)
            if note is None:
                return fact
            end = note.end(fact.token, fact.user, "slurmctld: RUNNING")
            self._over[key] = time.monotonic(), end
        since, end = self._over[key]
        if time.monotonic() < since + SETTLED:
            return fact
        if end.id == fact.id and len(self._ghosts) < GHOSTS:
            self._ghosts.append(fact.id)
        return replace(end, id=fact.id, incarnation=fact.incarnation)

    def clear(self, programs: Programs) -> None:
        """Free the room that Slurm keeps for what has ended: for half an hour, nothing else would."""
        if self._ghosts:
            with suppress(Trouble):  # the next load tries again
                programs.run(["scancel", "--state=RUNNING", *self._ghosts])

    def _ended(self, end: End, run: int) -> ForeignJob | End:
        refused = (
            end.result == Result.CANCELLED
            and end.exit_status is None
            and not end.signal
            and end.started_at is not None
            and end.ended_at - end.started_at < LAUNCHED
        )
        unsure = refused or end.result == Result.LOST
        stopped = end.result in (Result.CANCELLED, Result.TIMEOUT) and end.started_at is not None
        if not unsure and not stopped:
            return end
        note = self._begun.of(end.user, end.token, run)
        if note is not None:
            before = stopped and note.ended_at + SETTLED / 2 < end.ended_at
            if before or (unsure and not note.signal):
                own = note.end(end.token, end.user, end.proof)
                return replace(own, id=end.id, incarnation=end.incarnation)
        began = self._begun.began(end.user, end.token, run) if refused else None
        if began is None:
            return end
        if began:
            return replace(end, result=str(Result.LOST), reason="Slurm launched it twice")
        if time.time() < end.ended_at + VISIBLE:
            its = (end.id, ForeignState.ENDING, end.user, end.incarnation, end.token)
            return ForeignJob(*its, native_state=end.proof)
        return replace(end, unbegun=True)

    def believed(self, end: End) -> bool:
        """Tell whether a line of the job completion file is believed: anybody can write one.

        A name with newlines does. So a job of ours that leaves notes has to have left one.
        """
        user, token = self._tokens.get((end.id, end.incarnation), ("", ""))
        return not token or user != end.user or not self._begun.began(user, token)

    def sweep(self, programs: Programs, user: str, person: Person) -> None:
        """Remove notes of a user that are too old to matter, once a day."""
        folder, now = self._begun.folder(user), time.monotonic()
        if not folder or now < self._swept.get(user, 0.0):
            return
        self._swept[user] = now + DAY
        old = ["-maxdepth", "1", "-type", "f", "-mtime", f"+{KEPT_DAYS}", "-delete"]
        with suppress(Trouble):
            programs.run(["find", folder, *old], person=person)
