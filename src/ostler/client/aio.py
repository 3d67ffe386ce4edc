"""The client for asyncio: the requests of `asks`, awaited."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from ostler.client import asks
from ostler.client.asks import Ask, Event, Following, JobInfo, Ref, Submission, ref_of, refs_of
from ostler.client.async_link import AsyncLink
from ostler.client.link import PATIENCE
from ostler.client.outputs import LOOK
from ostler.client.place import find_state
from ostler.client.values import JobOptions, Word

T = TypeVar("T")


class AsyncJobHandle:
    """One job that was taken.

    >>> async def main() -> None:
    ...     async with ostler.connect_async() as machine:
    ...         job = await machine.submit(["sh", "-c", "printf made"], output="told-%j")
    ...         print((await job.wait()).result)
    ...         print(b"".join([piece async for piece in job.logs()]))
    >>> asyncio.run(main())
    success
    b'made'
    """

    __slots__ = ("_client", "id")

    def __init__(self, client: "AsyncClient", ident: str) -> None:
        self._client = client
        self.id = ident

    async def wait(self) -> JobInfo:
        """Wait until it has ended, and return how."""
        return (await self._client.wait([self]))[0]

    async def cancel(self, reason: str = "") -> None:
        """End it; nothing happens if it has ended."""
        await self._client.cancel(self, reason=reason)

    async def info(self) -> JobInfo:
        """Return how it stands now."""
        return await self._client.job(self)

    async def explain(self) -> dict[str, Any]:
        """Return why it waits: the document of `ostler explain --json`."""
        return await self._client.explain(self)

    def logs(self, *, follow: bool = False, errors: bool = False) -> AsyncIterator[bytes]:
        """Yield what it has written, as `AsyncClient.logs` does."""
        return self._client.logs(self, follow=follow, errors=errors)

    def __repr__(self) -> str:
        return f"<AsyncJobHandle {self.id}>"


class AsyncClient:
    """A connection to one machine, for one event loop; its methods are those of `Client`, awaited.

    Many requests may be under way at once. It outlives the manager: while that is started again,
    requests are repeated, which does no harm.
    """

    def __init__(self, state: str | None = None, *, patience: float = PATIENCE) -> None:
        """Choose the machine as `ostler` does; it connects when it is entered, or first asked."""
        self._link = AsyncLink(find_state(state, os.environb), patience=patience)

    async def __aenter__(self) -> Self:
        """Connect; raise `NotNow` where no machine is up."""
        await self._link.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; jobs go on."""
        self._link.close()

    async def _do(self, ask: Ask[T]) -> T:
        return ask.read(await self._link.call(ask.type, **ask.fields))

    # -- submitting ------------------------------------------------------------------------

    async def submit(
        self,
        argv: Sequence[Word] = (),
        *,
        script: bytes | str | None = None,
        **options: Unpack[JobOptions],
    ) -> AsyncJobHandle:
        """Queue a job, as `Client.submit` does; return when it is taken, raise what refused it."""
        ask = asks.submit(asks.surroundings(), argv, script, options)
        return AsyncJobHandle(self, await self._do(ask))

    async def submit_many(self, jobs: Iterable[Submission]) -> list[AsyncJobHandle]:
        """Queue many jobs without waiting for answers in between; return handles in order.

        Raises the first refusal, when all answers are here.
        """
        here = asks.surroundings()
        found = await asyncio.gather(
            *(
                self._do(
                    asks.submit(
                        here, job.get("argv", ()), job.get("script"), job.get("options", {})
                    )
                )
                for job in jobs
            ),
            return_exceptions=True,
        )
        handles = []
        for ident in found:
            if isinstance(ident, BaseException):
                raise ident
            handles.append(AsyncJobHandle(self, ident))
        return handles

    async def submit_all(self, jobs: Mapping[str, Submission]) -> dict[str, AsyncJobHandle]:
        """Queue jobs by name, all of them or none, as `Client.submit_all` does."""
        ids = await self._do(asks.submit_all(asks.surroundings(), jobs))
        return {name: AsyncJobHandle(self, ident) for name, ident in zip(jobs, ids, strict=True)}

    # -- jobs ------------------------------------------------------------------------------

    async def wait(self, jobs: Iterable[Ref] | Ref) -> list[JobInfo]:
        """Wait until all have ended; return how, in order."""
        return await self._do(asks.wait(jobs))

    async def as_completed(self, jobs: Iterable[Ref] | Ref) -> AsyncIterator[JobInfo]:
        """Yield each job's end as it comes.

        >>> async def main() -> None:
        ...     async with ostler.connect_async() as machine:
        ...         slow = await machine.submit(["sleep", "0.2"], name="slow", output="/dev/null")
        ...         fast = await machine.submit(["true"], name="fast", output="/dev/null")
        ...         async for info in machine.as_completed([slow, fast]):
        ...             print(info.name)
        >>> asyncio.run(main())
        fast
        slow
        """
        left = {asyncio.ensure_future(self.wait(ref)) for ref in refs_of(jobs)}
        try:
            while left:
                done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
                for ended in done:
                    for info in ended.result():
                        yield info
        finally:
            for waiting in left:
                waiting.cancel()

    async def act(
        self, verb: str, jobs: Iterable[Ref] | Ref, *, reason: str = "", **more: Any
    ) -> None:
        """Do one of cancel, hold, release, suspend, resume, requeue; raise the first refusal."""
        await self._do(asks.act(verb, jobs, reason, **more))

    async def cancel(self, *jobs: Ref, reason: str = "") -> None:
        """End jobs; nothing happens to those that have ended."""
        await self.act("cancel", jobs, reason=reason)

    async def signal(self, *jobs: Ref, number: int) -> None:
        """Send a signal to the tasks of running jobs."""
        await self.act("signal", jobs, signal=number)

    async def jobs(
        self,
        *,
        user: str | None = None,
        states: Sequence[str] = (),
        since: float | None = None,
        all: bool = False,  # noqa: A002 - as the option of `ostler jobs`
    ) -> list[JobInfo]:
        """Return one's own unfinished jobs unless asked otherwise. since: Unix seconds."""
        return await self._do(asks.jobs(user=user, states=states, since=since, everything=all))

    async def job(self, job: Ref) -> JobInfo:
        """Return how one job stands."""
        return await self._do(asks.job(job))

    async def logs(
        self, job: Ref, *, follow: bool = False, errors: bool = False
    ) -> AsyncIterator[bytes]:
        """Yield what a job has written, as `Client.logs` does."""
        files = await self._do(asks.outputs(job, errors=errors))
        ended = asyncio.ensure_future(self.wait(job)) if follow else None
        try:
            while ended is not None and not ended.done():
                for file in files:
                    for piece in file.all():
                        yield piece
                await asyncio.wait([ended], timeout=LOOK)
        finally:
            if ended is not None:
                ended.cancel()
        for file in files:
            for piece in file.all():
                yield piece

    async def events(
        self, job: Ref | None = None, *, since: int | None = None
    ) -> AsyncIterator[Event]:
        """Yield what happens, for ever, as `Client.events` does.

        >>> async def main() -> None:
        ...     async with ostler.connect_async() as machine:
        ...         job = await machine.submit(["true"], output="/dev/null")
        ...         async for event in machine.events(job, since=0):
        ...             print(event.kind)
        ...             break
        >>> asyncio.run(main())
        job/submitted
        """
        following = Following(job, since)
        while True:
            ask = following.ask()
            async with aclosing(self._link.news(ask.type, **ask.fields)) as news:
                async for rows in news:
                    for event in following.fresh(rows):
                        yield event

    async def read(self, what: str, ref: str = "", **options: Any) -> dict[str, Any]:
        """Return the document that `ostler WHAT --json` prints."""
        return await self._do(asks.read(what, ref, options))

    async def explain(self, job: Ref) -> dict[str, Any]:
        """Return why a job waits, what is ahead, and when it should start."""
        return await self.read("explain", ref_of(job))

    async def status(self) -> dict[str, Any]:
        """Return what the machine has and does."""
        return await self.read("status")

    async def query(self, sql: str) -> list[dict[str, Any]]:
        """Return the rows of one SQL statement over the tables."""
        return await self._do(asks.query(sql))


def connect_async(state: str | None = None, *, patience: float = PATIENCE) -> AsyncClient:
    """Return a client for asyncio of the machine at `state`, chosen as `connect` does.

    >>> async def main() -> None:
    ...     async with ostler.connect_async() as machine:
    ...         jobs = [await machine.submit(["true"], output="/dev/null") for _ in range(3)]
    ...         print([info.result for info in await machine.wait(jobs)])
    >>> asyncio.run(main())
    ['success', 'success', 'success']
    """
    return AsyncClient(state, patience=patience)
