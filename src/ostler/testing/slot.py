"""A simulated starter that runs the elements of an array one after the other, as chunks bring them."""

from collections.abc import Callable, Iterator

import msgspec

from ostler.core import agent_words as rules
from ostler.core.agent_words import Phase
from ostler.core.line import Line, Row
from ostler.model.job import TaskExit
from ostler.model.orders import LAST_SERIAL, Chunk, ElementEnd, Launch, Progress, Spans
from ostler.model.states import Result
from ostler.testing.clock import Timer
from ostler.testing.starter import Proof, Starter, unknown
from ostler.testing.tasks import Site

GAP = 0.0002  # seconds between two elements
WINDOW = 0.1  # seconds in which what happened is gathered
LOW = 0.02  # seconds of work in the queue at which more is wanted


class Slot(Starter):
    """A share with a chunk. What it holds is a `Line`, as in a real starter."""

    def __init__(self, launch: Launch, site: Site, tell: Callable[[rules.Event], None]) -> None:
        super().__init__(launch, site, tell)
        self.line = Line()
        self.line.feed(_plain(launch.chunk))
        self._frozen = False
        self._window: Timer | None = None
        self._told_running = -1
        self._asked = False  # the queue was told to be low, and nothing has come since
        self._count = 0  # elements that ran to their end here, and the seconds they took
        self._seconds = 0.0
        self._spooled: list[Row] = []  # ends in its spool; what is acknowledged leaves it late
        self._last: Progress | None = None  # what is told in the place of a dead starter

    # -- orders ----------------------------------------------------------------------------

    def feed(self, chunk: Chunk, heard: int) -> None:
        """Take more elements in."""
        if self.phase is not Phase.ENDED and self.alive and not self._ending:
            self.line.feed(_plain(chunk), heard)
            self._asked = False
            self._next()

    def withdraw(self, elements: Spans, cause: str, why: str, grace: float) -> None:
        """Give back what has not begun, and with a cause end what runs."""
        if self.phase is Phase.ENDED:
            return
        wanted = [list(pair) for pair in elements]
        if not self.alive:
            runs = self.line.running is not None and self._is_among(elements)
        else:
            runs = self.line.withdraw(wanted)
        if runs and cause and self._tasks is not None:
            self._frozen = False
            self._tasks.finish(cause, why, grace)
        if self.alive:
            self._news(at_once=True)
            self._next()

    def acknowledge(self, serial: int) -> None:
        """Forget what is durable."""
        if self.alive:
            self.line.acknowledge(serial)

    def finish(self, cause: str, why: str, grace: float) -> None:
        """End what runs, give up the queue, and end the share."""
        self._frozen = False
        super().finish(cause, why, grace)

    def freeze(self) -> None:
        """Suspend what runs; nothing else begins meanwhile."""
        if self.phase is Phase.STARTED and not self._ending:
            self._frozen = True
            super().freeze()

    def thaw(self) -> None:
        """Go on."""
        self._frozen = False
        super().thaw()
        self._next()

    def _is_among(self, elements: Spans) -> bool:
        running = self.line.running
        return running is not None and any(a <= running.index <= b for a, b in elements)

    # -- what happens to it ----------------------------------------------------------------

    def kill(self, proof: Proof) -> None:
        """SIGKILL: the element that runs goes on, and no other begins."""
        super().kill(proof)
        if self._window is not None:
            self._window.cancel()

    def bury(self) -> None:
        """Say what the disk tells of it; what had ended before is known."""
        if self._last is None:
            self._conclude_rows()
        super().bury()

    def judge(self) -> bool:
        """Find out what became of it; tell the rows of its spool once more."""
        if self.row is not None and self._last is None:
            self._conclude_rows()
        return super().judge()

    def greeting(self) -> Iterator[rules.Event]:
        """Yield what it tells an agent that is new."""
        if self.started_at is not None:
            yield rules.ShareStarted(self.launch.alloc, self.started_at)
        if self.alive:
            for message in self.line.repeat():
                yield rules.ShareProgress(msgspec.convert(message, Progress))
        elif self._last is not None:
            yield rules.ShareProgress(self._last)
        if self.row is not None:
            yield rules.ShareEnded(self.row)

    # -- its life --------------------------------------------------------------------------

    def _start(self) -> None:
        self._next()

    def _next(self) -> None:
        """Start the next element, or end the share when there will be none."""
        made = self.phase in (Phase.MADE, Phase.STARTED)
        if not self.alive or not made or self._tasks or self._frozen or self._ending:
            return
        turn = self.line.next()
        if turn is None:
            if self.line.last:
                self._end("", "")
            return
        self.line.since = self._site.clock.now
        self._spooled = self.line.unacknowledged
        if self._run(turn.index, turn.attempt):
            self._news()

    def _over(self) -> None:
        tasks, self._tasks = self._tasks, None
        turn = self.line.running
        if tasks is None or turn is None:
            return
        now, began = self._site.clock.now, tasks.run.began
        cause, exits = tasks.cause, tasks.exits
        if not self.alive and self._proof is not Proof.ALL:
            cause, exits = unknown(cause), ()
        row = ElementEnd(turn.index, turn.attempt, began, now, *cause, exits)
        self._note_end(row)
        self._count += 1
        self._seconds += now - began
        if not self.alive or self._ending:
            self._end(*self._cause)
            return
        self._news()
        self._site.clock.after(GAP, self._next)

    def _note_end(self, row: ElementEnd) -> None:
        plain: Row = msgspec.to_builtins(row)
        self._spooled.append(plain)
        self.line.ended(plain)

    def _reject(self, why: str) -> None:
        now = self._site.clock.now
        for turn in list(self.line.queue):
            self.line.next()
            row = ElementEnd(turn.index, turn.attempt, None, now, Result.REJECTED, why)
            self._note_end(row)
        super()._reject(why)

    def _end(self, cause: str, why: str, exits: tuple[TaskExit, ...] = ()) -> None:
        if self.phase is Phase.ENDED or self._gone:
            return
        if self.alive:
            self.line.queue.clear()
            self.line.running = None  # if a node could not start it: it is not told of
            if self.line.untold:
                self._report()
        elif self._proof is not Proof.NOTHING:
            self._conclude_rows()
        if self._window is not None:
            self._window.cancel()
        super()._end(cause, why, exits)

    def _conclude_rows(self) -> None:
        rows = msgspec.convert(self._spooled, tuple[ElementEnd, ...])
        if rows:
            self._last = Progress(self.launch.alloc, LAST_SERIAL, rows)
            self._tell(rules.ShareProgress(self._last))

    # -- reports ---------------------------------------------------------------------------

    def _news(self, *, at_once: bool = False) -> None:
        """Tell what has happened, now or when the window closes."""
        mean = self._seconds / self._count if self._count else 0.0
        low = len(self.line.queue) * mean <= LOW and not self._asked
        if self.line.untold and (at_once or low or not self.line.queue):
            self._asked = self._asked or low
            self._report()
        elif self._window is None:
            self._window = self._site.clock.after(WINDOW, self._close_window)

    def _close_window(self) -> None:
        self._window = None
        if self._gone or not self.alive or self.phase is Phase.ENDED:
            return
        running = self.line.running.index if self.line.running is not None else -1
        if self.line.untold or running not in (-1, self._told_running):
            self._report()

    def _report(self) -> None:
        if self._window is not None:
            self._window.cancel()
            self._window = None
        self._told_running = self.line.running.index if self.line.running is not None else -1
        message = self.line.report(self.launch.alloc)
        self._tell(rules.ShareProgress(msgspec.convert(message, Progress)))


def _plain(chunk: Chunk | None) -> dict[str, object]:
    """Return a chunk as it comes over the wire."""
    plain: dict[str, object] = msgspec.to_builtins(chunk, builtin_types=(bytes,))
    return plain
