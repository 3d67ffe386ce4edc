"""The workers as the machine knows them: elements of one array, each started again when it ended.

The machine is asked only how workers end, to start them again, and to end them; while it is away
the workers go on.
"""

import asyncio
import socket
from collections.abc import Container
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

from ostler.client import asks
from ostler.client.asks import Ask, JobInfo
from ostler.client.async_link import AsyncLink
from ostler.client.executor.parcels import Part
from ostler.client.link import PATIENCE
from ostler.model.errors import NotNow, OstlerError

T = TypeVar("T")

SLOW_END = 5.0  # seconds for a worker to end by itself
_AGAIN = 1.0  # seconds between tries to reach a machine that is away
_FRUITLESS = 3  # workers in a row that ended before they were ready


class Plan(NamedTuple):
    """What an executor was made with."""

    state: str  # the machine's folder
    job: str
    workers: int
    folder: str  # the socket's, nobody else's
    sock: socket.socket  # that listens there
    setup: list[Part]
    reruns: int  # of a call whose worker died


class Owner(Protocol):
    """Who gives the workers something to do."""

    over: asyncio.Event  # no worker is needed any longer

    @property
    def alone(self) -> bool: ...
    def ended(self, element: int, info: JobInfo) -> None: ...
    def break_off(self, why: str, cause: BaseException | None = None) -> None: ...


class Crew:
    """Watches the elements of the job. Belongs to one event loop."""

    def __init__(self, plan: Plan, owner: Owner) -> None:
        self._plan = plan
        self._owner = owner
        self._link = AsyncLink(plan.state)
        self._watches: dict[int, asyncio.Task[None]] = {}
        self._attached: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._ours: set[int] = set()  # elements that were cancelled from here
        self._ready: set[int] = set()  # elements whose worker has been ready
        self._hung: set[int] = set()  # elements whose worker hung up, and whose end is unheard
        self._fruitless = 0  # workers in a row that ended before they were ready

    def start(self) -> None:
        """Begin to watch."""
        self._attach()
        for element in range(self._plan.workers):
            self._watches[element] = asyncio.create_task(self._watch(element))

    def ready(self, element: int) -> None:
        """Note that a worker can be given calls."""
        self._fruitless = 0
        self._ready.add(element)

    def hung_up(self, element: int) -> None:
        """Note that a worker is gone, and see that its element ends."""
        self._hung.add(element)
        asyncio.get_running_loop().call_later(SLOW_END, self._hasten, element)

    def _hasten(self, element: int) -> None:
        if element in self._hung:
            self.cancel(element, "it hung up on its executor")

    def cancel(self, element: int, reason: str) -> None:
        """End a worker, which is then started again."""
        self._ours.add(element)
        task = asyncio.create_task(self._try(asks.act("cancel", self._ref(element), reason)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def dismiss(self, idle: Container[int], *, in_order: bool) -> None:
        """See that all end: the idle were told to, the others are cancelled.

        in_order: all calls are done. Then those that wait are not needed, which is no failure, and
        a worker that is just starting is told to end when it comes.
        """
        reason = "the executor was shut down"
        others = [e for e, watch in self._watches.items() if e not in idle and not watch.done()]
        ask = asks.act("end", self._plan.job, reason)
        if others and in_order and await self._last(ask):
            others = [e for e in others if e in self._ready or e in self._hung]
        if others:
            await self._last(asks.act("cancel", map(self._ref, others), reason))
        left = [watch for watch in self._watches.values() if not watch.done()]
        if left and (await asyncio.wait(left, timeout=SLOW_END))[1]:
            await self._last(asks.act("cancel", self._plan.job, reason))
        self._link.close()

    # -- the machine -----------------------------------------------------------------------

    def _ref(self, element: int) -> str:
        return f"{self._plan.job}_{element}"

    async def _ask(self, ask: Ask[T]) -> T:
        """Ask until the machine answers; raise `NotNow` once it is gone and no worker is left."""
        loop = asyncio.get_running_loop()
        since = loop.time()
        while True:
            try:
                return ask.read(await self._link.call(ask.type, **ask.fields))
            except NotNow:
                if self._owner.alone and loop.time() > since + PATIENCE:
                    raise
            await asyncio.sleep(_AGAIN)

    async def _try(self, ask: Ask[T]) -> None:
        try:
            await self._ask(ask)
        except OstlerError:
            return  # what it was to end has ended, or the watch hears why

    async def _last(self, ask: Ask[None]) -> bool:
        """Ask once; return whether it was done. Workers that find no executor end by themselves."""
        try:
            ask.read(await asyncio.wait_for(self._link.call(ask.type, **ask.fields), SLOW_END))
        except (OstlerError, TimeoutError):
            return False
        return True

    def _attach(self) -> None:
        """Let the machine end the job when this process dies."""
        if self._attached is None or self._attached.done():
            ask = asks.wait(self._plan.job, attach=True)
            self._attached = asyncio.create_task(self._try(ask))

    async def _watch(self, element: int) -> None:
        """Hear how a worker ends, and have it started again, until it is no longer wanted."""
        ref = self._ref(element)
        try:
            while True:
                [info] = await self._ask(asks.wait(ref))
                self._hung.discard(element)
                if not info.ok:
                    info = await self._ask(asks.element(ref))  # with exit status and reason
                self._owner.ended(element, info)
                if self._owner.over.is_set() or not self._wanted(element, info):
                    return
                await self._ask(asks.act("requeue", ref))
                self._attach()
        except OstlerError as error:
            self._owner.break_off(f"no more workers can be had: {error}", error)

    def _wanted(self, element: int, info: JobInfo) -> bool:
        """Say whether a worker that has ended is to be started again."""
        ready, ours = element in self._ready, element in self._ours
        self._ready.discard(element)
        self._ours.discard(element)
        if info.result == "cancelled" and not ours:  # by somebody's word: he has the CPUs back
            left = sum(not watch.done() for watch in self._watches.values())
            if left <= 1:
                self._owner.break_off(f"all workers were cancelled; the last one: {info.reason}")
            return False
        if not ready and not ours:
            self._fruitless += 1
        if self._fruitless < _FRUITLESS:
            return True
        told = f"the last one as {how(info)}{self._last_words(element)}"
        self._owner.break_off(f"{_FRUITLESS} workers ended as they began, {told}")
        return False

    def _last_words(self, element: int) -> str:
        """Return the last line that a worker wrote, where we know its file."""
        try:
            text = Path(self._plan.folder, f"{element}.out").read_text(errors="replace")
        except OSError:
            return ""
        last = text.strip().rpartition("\n")[2]
        return f"; it said: {last[-500:]}" if last else ""


def how(info: JobInfo) -> str:
    """Return how a worker ended, in words."""
    status = "" if info.exit_status is None else f"exit status {info.exit_status}"
    return f"{info.result}: {info.reason or status or 'nobody knows why'}"
