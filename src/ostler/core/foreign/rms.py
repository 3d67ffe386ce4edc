"""What the core knows of each resource manager beside its nodes and jobs in the machine."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from ostler.model.foreign import About, ForeignJob, ForeignNode, Option
from ostler.model.foreign_rows import Discrepancy, RmJob, RmNode, Stage
from ostler.model.ids import JobId
from ostler.model.site import ResourceManager

MOST_TOKENS = 100  # of starts of one attempt that were given up
if TYPE_CHECKING:  # events are of the core, which has this
    from ostler.core.events import RmLoaded

Key = tuple[JobId, int, int]  # job, element and attempt


class Asked(NamedTuple):
    """A call that is under way."""

    verb: str
    key: Key


class Conflict(NamedTuple):
    """A node of which more is known to run than its resource manager tells."""

    since: float  # Unix seconds
    sure: int  # CPUs in use by its jobs
    told: int  # as it says of the node
    lasts: bool = False  # the next load shows it, too: it is no matter of when what was listed
    settled: bool = False  # it has lasted for so long that the word of the resource manager counts


class Denied(NamedTuple):
    """A cancel that was refused, or an order of which its driver does not say what became of it."""

    text: str
    times: int
    until: float  # Unix seconds: before that, no load has it asked again


class Intake:
    """A load that is being taken in, piece by piece."""

    __slots__ = ("changed", "first", "now", "pieces", "steps")

    def __init__(self, now: float) -> None:
        self.first = self.now = now  # Unix seconds, of the first turn and of this one
        self.steps: Iterator[float] = iter(())  # what is left to do
        self.pieces = 0  # that are in
        self.changed = False  # something that a scheduler should look at, once all is in


class Rm:
    """One resource manager. All but rows can be forgotten: it is found out anew."""

    __slots__ = (
        "_tokens",
        "about",
        "asked",
        "busier",
        "by_both",
        "by_id",
        "by_token",
        "conflicts",
        "counted",
        "denied",
        "down_since",
        "ending",
        "following",
        "freed_at",
        "intake",
        "jobs",
        "jobs_at",
        "loads",
        "lost",
        "mixed_until",
        "nodes",
        "nodes_at",
        "odd",
        "row",
        "said",
        "stale",
        "told",
        "took",
        "troubled",
        "turned",
        "twins",
        "unclear",
        "under_way",
        "why",
    )

    def __init__(self, row: ResourceManager, now: float) -> None:
        self.row = row
        self.about: About | None = None  # None: its driver has not told anything yet
        self.counted: frozenset[Option] | None = None  # what it could when jobs were last looked at
        self.down_since: float | None = now  # Unix seconds; None: it answers
        self.why = "it has not been asked yet"  # why it does not answer, one phrase
        self.lost = ""  # why its driver's process is gone; empty: another one is up
        self.troubled = False  # since its driver was up last
        self.stale = True  # whether something may start on its nodes has to be worked out anew
        self.loads = 0  # that were taken in
        self.nodes_at = self.jobs_at = 0.0  # Unix seconds as of which what is known holds; 0: never
        self.took = 0.0  # seconds, the last load
        self.intake: Intake | None = None
        self.following: RmLoaded | None = None  # a newer load, to be taken in after that
        self.mixed_until = -1  # number of the last delta that may have told of a part of a load
        self.nodes: dict[str, RmNode] = {}  # by their names in the machine
        self.told: dict[str, ForeignNode] = {}  # likewise, in the last load
        self.said: dict[Key, ForeignJob] = {}  # as they were told last
        self.jobs: dict[Key, RmJob] = {}  # those over for as long as they may still be listed
        self.by_id: dict[str, Key] = {}  # the newest of each
        self.by_both: dict[tuple[str, str], Key] = {}  # by id and incarnation
        self.by_token: dict[str, Key] = {}  # of all starts of an attempt, also those given up
        self._tokens: dict[Key, list[str]] = {}
        self.asked: dict[int, Asked] = {}  # by number of the call
        self.under_way: set[Asked] = set()
        self.ending: dict[Key, float] = {}  # when a cancel was answered: it has ended, or will
        self.denied: dict[Asked, Denied] = {}  # since something else was answered
        self.turned: dict[Key, float] = {}  # when a suspend or resume was answered
        self.odd: dict[tuple[str, str], Discrepancy] = {}  # that last, by kind and object
        self.conflicts: dict[str, Conflict] = {}  # by node
        self.busier: dict[
            str, int
        ] = {}  # by node: CPUs in use of which no job was known, last time
        self.unclear: dict[
            Key, float
        ] = {}  # since when a state is told that its driver cannot read
        self.freed_at: dict[str, float] = {}  # by node: when something ended there last
        self.twins: dict[str, str] = {}  # node -> the one of another that is the same computer

    @property
    def name(self) -> str:
        """Return its name."""
        return self.row.name

    def can(self, option: Option) -> bool:
        """Say whether its driver declares this."""
        return self.about is not None and option in self.about.options

    def here(self, node: str) -> str:
        """Return what the machine calls a node of it."""
        return f"{self.row.name}/{node}"

    def own(self, node: str) -> str:
        """Return what it calls a node of the machine."""
        return node.removeprefix(f"{self.row.name}/")

    def keep(self, job: RmJob) -> RmJob:
        """Have this as what is known of a job; return it, with the tokens that it had before."""
        key, old = job.key, self.jobs.get(job.key)
        if old is not None and old.token != job.token:
            before = (*old.before, old.token) if old.token else old.before
            job = replace(job, before=before[-MOST_TOKENS:])
        self.jobs[key] = job
        if old is not None and old.id != job.id and self.by_id.get(old.id) == key:
            del self.by_id[old.id]
        if job.id and (old is None or old.id != job.id) and not self._is_older(job):
            self.by_id[job.id] = key
        if old is not None and old.id != job.id and self.by_both.get(_both(old)) == key:
            del self.by_both[_both(old)]
        if job.id and job.incarnation:
            self.by_both[_both(job)] = key
        if job.token and self.by_token.get(job.token) != key:
            self.by_token[job.token] = key
            self._tokens.setdefault(key, []).append(job.token)
        for token in job.before if old is None else ():  # it comes from the database
            if self.by_token.setdefault(token, key) == key:
                self._tokens.setdefault(key, []).append(token)
        return job

    def _is_older(self, job: RmJob) -> bool:
        """Say whether it is over, and another one has its id that is not."""
        holder = self.by_id.get(job.id)
        return (
            job.stage is Stage.OVER
            and holder is not None
            and self.jobs[holder].stage is not Stage.OVER
        )

    def forget(self, key: Key) -> None:
        """Know nothing of a job any more."""
        job = self.jobs.pop(key)
        if self.by_id.get(job.id) == key:
            del self.by_id[job.id]
        if self.by_both.get(_both(job)) == key:
            del self.by_both[_both(job)]
        for token in self._tokens.pop(key, ()):
            if self.by_token.get(token) == key:
                del self.by_token[token]
        self.said.pop(key, None)
        self.ending.pop(key, None)
        for verb in ("start", "cancel"):
            self.denied.pop(Asked(verb, key), None)
        self.turned.pop(key, None)
        self.unclear.pop(key, None)

    def of(self, key: Key, allocation: int) -> RmJob | None:
        """Return the job that runs in an allocation, unless it is over."""
        job = self.jobs.get(key)
        if job is None or job.allocation != allocation or job.stage is Stage.OVER:
            return None
        return job


def _both(job: RmJob) -> tuple[str, str]:
    return job.id, job.incarnation


def appoint(known: dict[str, Rm], rows: Iterable[ResourceManager], now: float) -> dict[str, Rm]:
    """Return what is known of these, and of no others."""
    found: dict[str, Rm] = {}
    for row in rows:
        rm = found[row.name] = known.get(row.name) or Rm(row, now)
        rm.row = row
    return found
