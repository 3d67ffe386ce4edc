"""`python -I -m ostler.manager.mediator_worker`: between the manager and a scheduler not of ours.

It knows the machine by what it is told, shows it to the scheduler, bounds that, and hands on what
it says. When its stdin ends, so does the scheduler.
"""

import asyncio
import contextlib
import logging
import sys
from asyncio import IncompleteReadError, StreamReader
from collections.abc import Callable

import msgspec

from ostler.manager import heap, mediator
from ostler.manager.outsider import Outsider
from ostler.manager.pieces import pieces
from ostler.manager.shadow import Shadow, parted
from ostler.model.errors import OstlerError
from ostler.schedule.decisions import Told
from ostler.schedule.proposal import Proposal, plan_of, shown_line
from ostler.schedule.snapshot import Snapshot, Wait
from ostler.schedule.views import Views
from ostler.wire.beside import begin, write_all
from ostler.wire.slices import take_usual_slices

_READ = 1 << 20  # bytes of what the manager says that may wait here
_WRONG = 5  # things that made no sense, of which is told
log = logging.getLogger("ostler.mediator")
_decode = msgspec.json.Decoder(Proposal).decode


class Mediator:
    """One scheduler, and the machine as it is shown to it."""

    def __init__(self, say: Callable[[mediator.FromMediator], None]) -> None:
        self._say = say
        self._views = Views()
        self._shadow = Shadow()
        self._before: dict[int, Wait] | None = None  # why jobs wait, as it was told last
        self._told_anew = 0  # how often everything was told anew
        self._decided: tuple[str, ...] = ()
        self._outsider: Outsider | None = None
        self._task: asyncio.Task[None] | None = None

    def take(self, message: mediator.ToMediator) -> None:
        """Learn what has changed, or begin to answer."""
        match message:
            case Told(delta):
                self._views.apply(delta)
                if delta.reset:
                    self._before = None
                    self._told_anew += 1
                    self._shadow.forget()
            case mediator.Show() as asked:
                shot = self._views.part(asked.partitions)
                self._task = asyncio.get_running_loop().create_task(
                    self._plan(asked, shot, self._told_anew)
                )
            case mediator.Compare(number, granted):
                if text := self._shadow.difference(self._views, number, granted):
                    self._say(mediator.Differs(text))
            case mediator.Serve(row, place):
                self._outsider = Outsider(row, place)
        heap.look()

    async def _plan(self, asked: mediator.Show, shot: Snapshot, told_anew: int) -> None:
        """Ask it, with what was known when this was asked, and hand on what it says."""
        if asked.decided != self._decided:
            self._decided, self._before = asked.decided, None
        if (outsider := self._outsider) is None:
            return
        try:
            if outsider.pid is None:
                self._say(mediator.Began(await outsider.start()))
            answer, seconds = await outsider.ask(shown_line(asked.number, asked.now, shot))
            proposal = _proposal(answer, asked.number)
            made = self._made_of(proposal, asked, shot, seconds)
            if told_anew != self._told_anew:
                self._before = None  # the manager passes over what is about the machine before
        except Exception as error:
            if not isinstance(error, OSError | ValueError | EOFError | OstlerError):
                log.exception("a proposal could not be dealt with")
            why = outsider.why(error)
            await outsider.end()
            self._before = None
            self._say(mediator.Failed(why))
            return
        for proposed in made:
            self._say(proposed)

    def _made_of(
        self, proposal: Proposal, asked: mediator.Show, shot: Snapshot, seconds: float
    ) -> list[mediator.Proposed]:
        """Return what the manager is told of it, and keep what will be compared."""
        plan, wrong = plan_of(shot, proposal)
        own, other = parted(plan, shot, frozenset(asked.decided))
        own.number = asked.number
        if other is not None:
            self._shadow.keep(asked.number, shot, other)
        before, self._before = self._before, own.waits
        named = tuple(wrong[:_WRONG])
        return [
            mediator.Proposed(
                asked.number,
                some,
                piece,
                seconds,
                compared=piece.last and other is not None,
                wrong=named if piece.last else (),
            )
            for some, piece in pieces(own, before)
        ]

    async def end(self) -> None:
        """End the scheduler."""
        if self._task is not None:
            self._task.cancel()
        if self._outsider is not None:
            await self._outsider.end()


def _proposal(answer: bytes, number: int) -> Proposal:
    found = _decode(answer)
    if found.number != number:
        raise ValueError(f"it answered {found.number} to snapshot {number}")
    return found


async def serve(out: int) -> None:
    """Go on until nobody gives frames any more."""
    reader = StreamReader(_READ)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    found = Mediator(lambda message: write_all(out, mediator.framed(message)))
    try:
        while True:
            size = int.from_bytes(await reader.readexactly(4), "big")
            found.take(mediator.decode_request(await reader.readexactly(size)))
    except IncompleteReadError:
        pass
    finally:
        await found.end()


def main() -> None:
    """Serve stdin and stdout."""
    _, out = begin()
    take_usual_slices()  # the manager is served first
    heap.look_between()
    with contextlib.suppress(BrokenPipeError):  # nobody is left to hear it
        asyncio.run(serve(out))


if __name__ == "__main__":
    main()
