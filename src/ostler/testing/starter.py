"""Simulated starters: what the agent's effects do to processes, in virtual time.

A starter lives beside the agent, and tells whoever is the agent now. When it dies, its tasks go on,
and what its spool would say is here to be read.
"""

from collections.abc import Callable, Iterator
from enum import Enum

from ostler.core import agent_words as rules
from ostler.core.agent_words import Phase
from ostler.model.job import TaskExit
from ostler.model.orders import NODE_FAULT, Ended, Launch
from ostler.model.states import Result
from ostler.testing.ledger import job_of
from ostler.testing.tasks import Program, Site, Tasks

FULL = "has no room for its spool"


class Proof(Enum):
    """What can be found out about a starter that died."""

    ALL = "all"  # a subreaper above it lives, and will know how its tasks end
    STARTS = "starts"  # its spool can be read, but nobody will know how its tasks end
    NOTHING = "nothing"


class Starter:
    """One share that is no slot."""

    def __init__(self, launch: Launch, site: Site, tell: Callable[[rules.Event], None]) -> None:
        """Take an order; tell: says something to the agent, if there is one that listens."""
        self.launch = launch
        self.phase = Phase.ACCEPTED
        self.row: Ended | None = None
        self.started_at: float | None = None  # Unix seconds
        self.alive = True
        self.tries = 1  # starters that had the share before, and this one
        self._site = site
        self._tell = tell
        self._tasks: Tasks | None = None  # those that run
        self._time_limit = launch.time_limit
        self._begun = launch.start
        self._cause: tuple[str, str] = ("", "")
        self._ending = False
        self._proof = Proof.ALL
        self._gone = False

    # -- orders ----------------------------------------------------------------------------

    def make(self) -> None:
        """Make the context, or tell why this node cannot."""
        site = self._site
        why_not = f"{site.name} {FULL}" if site.fail_contexts else ""
        site.fail_contexts -= bool(why_not)
        site.clock.after(site.rng.uniform(0.001, 0.02), lambda: self._made(why_not))

    def begin(self) -> None:
        """Start the tasks as soon as the context is there."""
        self._begun = True
        if self.phase is Phase.MADE:
            self._start()

    def finish(self, cause: str, why: str, grace: float) -> None:
        """End the share; the first cause is kept."""
        if self.phase is Phase.ENDED:
            return
        if not self._ending:
            self._cause, self._ending = (cause, why), True
        if self._tasks is not None:
            self._tasks.finish(*self._cause, grace)
        else:
            site = self._site
            site.clock.after(site.rng.uniform(0.0, 0.002), self._end_empty)

    def freeze(self) -> None:
        """Suspend the tasks."""
        if self._tasks is not None:
            self._tasks.freeze()

    def thaw(self) -> None:
        """Let the tasks go on."""
        if self._tasks is not None:
            self._tasks.thaw()

    def retime(self, seconds: int) -> None:
        """Replace the time limit; 0: none."""
        self._time_limit = seconds
        if self._tasks is not None:
            self._tasks.retime(seconds)

    # -- what happens to it ----------------------------------------------------------------

    def vanish(self) -> None:
        """Go down with the host."""
        self.alive, self._gone = False, True
        if self._tasks is not None:
            self._tasks.vanish()

    def kill(self, proof: Proof) -> None:
        """SIGKILL: its tasks go on."""
        self.alive = False
        self._proof = proof
        if proof is not Proof.ALL:
            self._site.ledger.unproven.add((job_of(self.launch), self.launch.placement.node))

    def hand_over(self, successor: "Starter") -> None:
        """Let another take the place of this one, which died before anything ran."""
        successor.tries = self.tries + 1
        successor.retime(self._time_limit)
        if self._begun:
            successor.begin()

    def give_up(self, cause: str, why: str) -> None:
        """Let the share of a dead starter be over, of which nothing ever ran."""
        self._end(cause, why)

    def bury(self) -> None:
        """Say what the disk tells of it after its host has come back: the rest is lost."""
        self.vanish()
        if self.row is None:
            at = self._site.clock.now
            why = "this node was started anew; nobody can tell how it ended"
            started = at if self.started_at is None else self.started_at
            self.phase = Phase.ENDED
            self.row = Ended(self.launch.alloc, at, started, Result.LOST, why)

    def judge(self) -> bool:
        """Find out what became of the share of a dead starter; False: nothing of it ever ran."""
        if self.row is not None:
            return True
        if self.started_at is None and self._proof is not Proof.NOTHING:
            return False
        if self._proof is Proof.NOTHING:
            self._cause = (Result.LOST, "its starter died, and its spool cannot be read")
            self._ending = True
            self.finish(*self._cause, 0)
        elif self._tasks is None:
            self._end(*self._cause)
        return True

    def greeting(self) -> Iterator[rules.Event]:
        """Yield what it tells an agent that is new: all that may not be known."""
        alloc = self.launch.alloc
        if self.started_at is not None:
            yield rules.ShareStarted(alloc, self.started_at)
        elif self.phase is Phase.MADE:
            yield rules.ShareMade(alloc)
        if self.row is not None:
            yield rules.ShareEnded(self.row)

    # -- its life --------------------------------------------------------------------------

    def _made(self, why_not: str) -> None:
        if not self.alive or self.phase is not Phase.ACCEPTED or self._ending:
            return
        if why_not:
            self._end("", why_not)
        elif Program.of(self.launch).rejected:
            self._reject(f"{self.launch.user} is not known on {self._site.name}")
        else:
            self.phase = Phase.MADE
            if self.launch.chunk is None:
                self._tell(rules.ShareMade(self.launch.alloc))
            if self._begun:
                self._start()

    def _reject(self, why: str) -> None:
        self._end(Result.REJECTED, why)

    def _start(self) -> None:
        if self.alive and not self._ending:
            self._run(self.launch.element, self.launch.attempt)

    def _run(self, index: int, attempt: int) -> bool:
        """Start the tasks of one element; False: this node could not, and the share is over."""
        site = self._site
        if site.fail_starts:
            site.fail_starts -= 1
            self._end(NODE_FAULT, f"{site.name} {FULL}")
            return False
        now = site.clock.now
        run = site.ledger.begin(self.launch.placement.node, self.launch, index, attempt, now)
        self._tasks = Tasks(site, run, self._time_limit, self._over)
        if self.started_at is None:
            self.phase, self.started_at = Phase.STARTED, now
            self._tell(rules.ShareStarted(self.launch.alloc, now))
        return True

    def _over(self) -> None:
        """The tasks have ended."""
        tasks, self._tasks = self._tasks, None
        if tasks is not None:
            exits, cause = tasks.exits, tasks.cause
            if not self.alive and self._proof is Proof.STARTS:
                exits, cause = (), unknown(cause)
            self._end(*cause, exits)

    def _end_empty(self) -> None:
        """End what was told to end before its tasks ran."""
        if not self._gone and self._tasks is None:
            self._end(*self._cause)

    def _end(self, cause: str, why: str, exits: tuple[TaskExit, ...] = ()) -> None:
        if self.phase is Phase.ENDED or self._gone:
            return
        self.phase = Phase.ENDED
        at = self._site.clock.now
        started = at if self.started_at is None and cause == Result.LOST else self.started_at
        self.row = Ended(self.launch.alloc, at, started, str(cause), why, exits)
        self._tell(rules.ShareEnded(self.row))


def unknown(cause: tuple[str, str]) -> tuple[str, str]:
    """Return the cause of an end of which nobody knows the status."""
    return (
        cause if cause[0] else (Result.LOST, "its starter died, and nobody can tell how it ended")
    )
