"""What an executor does beside its caller: one thread with a loop, calls out, results in.

Calls go to idle workers, one at a time each, so that a call that has not begun is never bound to a
worker that is busy.
"""

import asyncio
import os
import shutil
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, InvalidStateError
from typing import Any

from ostler.client.asks import JobInfo
from ostler.client.executor.crew import SLOW_END, Crew, Plan, how
from ostler.client.executor.futures import Future, Item, WorkerDied, rebuilt
from ostler.client.executor.parcels import Inbox, Kind, Parcel, Part, wrap
from ostler.wire.address import peer

_NO_ROOM = 0.1  # seconds until the next accept when there is none


class Worker(asyncio.BufferedProtocol):
    """The connection of one worker."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self._inbox = Inbox()
        self._transport: asyncio.Transport
        self.element = -1
        self.item: Item | None = None  # what it runs
        self.doomed = False  # it is being ended, so it gets no more calls
        self.end: JobInfo | None = None  # how its element ended, if that is known first

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let nobody in but our own user."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the type checker
        self._transport = transport
        sock: Any = transport.get_extra_info("socket")
        if peer(sock)[1] != os.geteuid():
            transport.abort()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        """Return where the next bytes go."""
        return self._inbox.space()

    def buffer_updated(self, nbytes: int) -> None:
        """Take in what came."""
        for parcel in self._inbox.received(nbytes):
            self._engine.on_parcel(self, parcel)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Say that it is gone."""
        self._engine.on_gone(self)

    def hang_up(self) -> None:
        """End the connection."""
        self._transport.abort()

    def send(self, kind: Kind, number: int = 0, parts: list[Part] | tuple[Part, ...] = ()) -> None:
        """Send a parcel; never waits."""
        for piece in wrap(kind, number, parts):
            self._transport.write(piece)


class Engine:
    """Runs calls on workers. `submit`, `end`, `close` and `join` are for any thread."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.broken: WorkerDied | None = None
        self.waiting: deque[Item] = deque()
        self._crew = Crew(plan, self)
        self._idle: list[Worker] = []
        self._busy: dict[int, Worker] = {}  # by the number of the call
        self._here: dict[int, Worker] = {}  # by element
        self._dying: dict[int, list[Item]] = {}  # calls by element whose worker is gone
        self._closing = False
        self._woken = False
        self.over = asyncio.Event()  # all is done, or no more can be
        self._ended_all = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=f"ostler-{plan.job}", daemon=True)
        self._thread.start()

    # -- for any thread --------------------------------------------------------------------

    def submit(self, item: Item) -> None:
        """Queue a call."""
        self.waiting.append(item)
        if not self._woken:
            self._woken = True
            self._soon(self._dispatch)
        if self._ended_all:
            self._drop(self._why())

    def end(self, future: Future[Any]) -> bool:
        """Cancel a call that runs, and end its worker; return whether it is cancelled by that."""
        try:
            future.set_exception(CancelledError())
        except InvalidStateError:
            return False
        self._soon(lambda: self._end(future))
        return True

    def cancelled(self) -> None:
        """Note that a call was cancelled that had not begun."""
        if self._closing:
            self._soon(self._look)

    def close(self, *, cancel: bool = False) -> None:
        """Take nothing more; end when all is done. cancel: drop what has not begun."""
        while cancel and self.waiting:
            self.waiting.pop().future.cancel()
        self._closing = True
        self._soon(self._look)

    def abandon(self, why: str) -> None:
        """End all calls, those too that run."""
        self._soon(lambda: self.break_off(why))

    def join(self) -> None:
        """Wait until it has ended."""
        self._thread.join()

    def _soon(self, call: Callable[[], None]) -> bool:
        try:
            self._loop.call_soon_threadsafe(call)
        except RuntimeError:  # it has ended
            return False
        return True

    # -- the loop --------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._main())
        finally:  # whatever happens, nobody is left waiting
            self._ended_all = True
            self._fail_all(self._why())

    def _why(self) -> WorkerDied:
        job = self.plan.job
        return self.broken or WorkerDied(f"job {job}: the executor was shut down", job)

    async def _main(self) -> None:
        accepting = self._loop.create_task(self._accept())
        self._crew.start()
        try:
            await self.over.wait()
            for worker in self._here.values():
                worker.send(Kind.BYE)
            idle = {element for element, worker in self._here.items() if not worker.doomed}
            await self._crew.dismiss(idle, in_order=self.broken is None)
        finally:
            accepting.cancel()
            self.plan.sock.close()
            shutil.rmtree(self.plan.folder, ignore_errors=True)

    async def _accept(self) -> None:
        """Let workers in. Not by asyncio's server, which from Python 3.13 on looks for the file."""
        while True:
            try:
                sock, _ = await self._loop.sock_accept(self.plan.sock)
                await self._loop.connect_accepted_socket(lambda: Worker(self), sock)
            except OSError:  # it hung up, or we are out of descriptors: who waits stays in line
                await asyncio.sleep(_NO_ROOM)

    def _look(self) -> None:
        """End if nothing is left to be done."""
        if not self._closing or self._busy or self._dying:
            return
        if all(item.future.cancelled() for item in self.waiting):
            self.over.set()

    def _dispatch(self) -> None:
        """Give what waits to those who are idle."""
        self._woken = False
        if self.broken is not None:
            self._drop(self.broken)
        while self._idle and self.waiting:
            item = self.waiting.popleft()
            if item.begins():
                worker = self._idle.pop()
                worker.item = item
                self._busy[item.number] = worker
                worker.send(Kind.CALL, item.number, list(item.parts))

    # -- workers ---------------------------------------------------------------------------

    def on_parcel(self, worker: Worker, parcel: Parcel) -> None:
        """Do what a worker's word asks for."""
        match parcel.kind:
            case Kind.HELLO:
                self._greet(worker, bytes(parcel.parts[0]).decode())
                return
            case Kind.READY:
                self._crew.ready(worker.element)
            case Kind.ERROR if worker.item is None:
                self.break_off("its initializer failed", rebuilt(parcel.parts))
                return
            case _ if worker.item is not None:
                item, worker.item = worker.item, None
                del self._busy[item.number]
                (item.returned if parcel.kind == Kind.RESULT else item.raised)(parcel.parts)
        if not worker.doomed:
            self._idle.append(worker)
        self._dispatch()
        self._look()

    def _greet(self, worker: Worker, whose: str) -> None:
        job, _, element = whose.partition(" ")
        if self.over.is_set() or job != self.plan.job or not element.isdecimal():
            worker.send(Kind.BYE)  # too late, or a stranger of our own user
            return
        worker.element = int(element)
        self._here[worker.element] = worker
        worker.send(Kind.SETUP, 0, self.plan.setup)

    def on_gone(self, worker: Worker) -> None:
        """Note that a worker hung up: how it ended is still to be heard."""
        if worker in self._idle:
            self._idle.remove(worker)
        if self._here.get(worker.element) is worker:
            del self._here[worker.element]
        item, worker.item = worker.item, None
        if item is not None:
            del self._busy[item.number]
            if worker.end is not None:
                self._bury(worker.element, worker.end, item)
            else:
                self._dying.setdefault(worker.element, []).append(item)
        if worker.element >= 0 and worker.end is None and not self.over.is_set():
            self._crew.hung_up(worker.element)
        self._dispatch()
        self._look()

    def _bury(self, element: int, info: JobInfo, item: Item) -> None:
        """Run a call again whose worker died, or say how that was."""
        item.tries += 1
        if item.tries <= self.plan.reruns and self.broken is None:
            self.waiting.appendleft(item)
        else:
            ref = f"{self.plan.job}_{element}"
            item.failed(WorkerDied(f"its worker, {ref}, ended as {how(info)}", ref, info))

    def _end(self, future: Future[Any]) -> None:
        for worker in self._busy.values():
            if worker.item is not None and worker.item.future is future:
                worker.doomed = True
                self._crew.cancel(worker.element, "its call was cancelled")

    # -- what the crew tells ---------------------------------------------------------------

    def ended(self, element: int, info: JobInfo) -> None:
        """Settle what a worker ran whose element has ended."""
        worker = self._here.get(element)
        if worker is not None:
            worker.end = info
            # What it sent before is read first. A process that it left may hold its connection.
            self._loop.call_later(SLOW_END, worker.hang_up)
        for item in self._dying.pop(element, []):
            self._bury(element, info, item)
        self._dispatch()
        self._look()

    def break_off(self, why: str, cause: BaseException | None = None) -> None:
        """Fail all calls: no worker can be had any longer."""
        if self.broken is None:
            self.broken = WorkerDied(f"job {self.plan.job}: {why}", self.plan.job)
            self.broken.__cause__ = cause
        self._fail_all(self.broken)
        self.over.set()

    @property
    def alone(self) -> bool:
        """Say whether no worker is connected, or none is needed any longer."""
        return not self._here or self.over.is_set()

    # -- the end ---------------------------------------------------------------------------

    def _fail_all(self, error: WorkerDied) -> None:
        for worker in self._busy.values():
            if worker.item is not None:
                worker.item.failed(error)
                worker.item, worker.doomed = None, True
        for items in self._dying.values():
            for item in items:
                item.failed(error)
        self._busy.clear()
        self._dying.clear()
        self._drop(error)

    def _drop(self, error: WorkerDied) -> None:
        while self.waiting:
            item = self.waiting.popleft()
            if item.begins():
                item.failed(error)


def socket_path(folder: str) -> str:
    """Return where workers find their executor."""
    return f"{folder}/sock"
