"""The synchronous client: one connection, any number of requests under way."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Self, TypeVar, Unpack

import msgspec

from ostler.client import asks
from ostler.client.asks import Ask, Event, Following, JobInfo, Ref, Submission, ref_of, refs_of
from ostler.client.link import PATIENCE, Link
from ostler.client.outputs import LOOK
from ostler.client.place import find_state
from ostler.client.values import JobOptions, Word
from ostler.model.errors import OstlerError

T = TypeVar("T")


class JobHandle:
    """One submitted job. The submission may still be under way: `id` waits for it.

    >>> job = machine.submit(["sh", "-c", "printf made; exit 3"], output="told", name="three")
    >>> job.wait().exit_status
    3
    >>> b"".join(job.logs())
    b'made'
    """

    __slots__ = ("_ask", "_client", "_id", "_refused", "_request")

    def __init__(self, client: "Client", what: Ask[str] | str) -> None:
        """Send a submission, or stand for the job that has this id."""
        self._client = client
        self._id = what if isinstance(what, str) else ""
        if not isinstance(what, str):
            self._ask = what
            self._request = client.link.send(what.type, **what.fields)
        self._refused: OstlerError | None = None

    @property
    def id(self) -> str:
        """Return the job's id; raise what refused it, each time it is asked for."""
        if self._refused is not None:
            raise self._refused
        if not self._id:
            try:
                self._id = self._ask.read(self._client.link.result(self._request))
            except OstlerError as error:
                self._refused = error
                raise
        return self._id

    def wait(self) -> JobInfo:
        """Wait until it has ended, and return how."""
        return self._client.wait([self])[0]

    def cancel(self, reason: str = "") -> None:
        """End it; nothing happens if it has ended."""
        self._client.act("cancel", [self], reason=reason)

    def info(self) -> JobInfo:
        """Return how it stands now."""
        return self._client.job(self)

    def explain(self) -> dict[str, Any]:
        """Return why it waits: the document of `ostler explain --json`."""
        return self._client.explain(self)

    def logs(self, *, follow: bool = False, errors: bool = False) -> Iterator[bytes]:
        """Yield what it has written, as `Client.logs` does."""
        return self._client.logs(self, follow=follow, errors=errors)

    def __repr__(self) -> str:
        return f"<JobHandle {self._id or 'under way'}>"


class Client:
    """A connection to one machine. Not for several threads at once.

    It outlives the manager: while that is started again, requests are repeated, which does no
    harm. Methods raise `OstlerError`: `Refused`, `Missing`, `NotNow` and their like.
    """

    def __init__(self, state: str | None = None, *, patience: float = PATIENCE) -> None:
        """Connect to the machine at `state`, chosen as `ostler` does; raise `NotNow`.

        patience: seconds to wait for a manager that is being started again.
        """
        self.link = Link(
            find_state(state, os.environb),
            patience=patience,
            packer=msgspec.msgpack.Encoder().encode,
            unpacker=msgspec.msgpack.Decoder().decode,
        )

    def close(self) -> None:
        """Close the connection; jobs go on."""
        self.link.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _do(self, ask: Ask[T]) -> T:
        return ask.read(self.link.call(ask.type, **ask.fields))

    # -- submitting ------------------------------------------------------------------------

    def submit(
        self,
        argv: Sequence[Word] = (),
        *,
        script: bytes | str | None = None,
        **options: Unpack[JobOptions],
    ) -> JobHandle:
        """Send a job and return at once; the handle's `id` waits for the answer.

        argv: the command, or the script's arguments. script: its text, beginning with `#!`.
        options: as for `ostler submit`: cpus=2, memory="4G", time="1h", array="0-99%10",
        each=["a", "b"], after=[job], ...; `ostler.client.JobOptions` lists all with their types.
        Any number may be under way. Raises `UsageError` for what makes no sense.

        >>> first = machine.submit(["true"], time="1m", output="/dev/null")
        >>> second = machine.submit(["true"], after=[first], output="/dev/null")
        >>> [info.result for info in machine.wait([first, second])]
        ['success', 'success']
        """
        return JobHandle(self, asks.submit(asks.surroundings(), argv, script, options))

    def submit_many(self, jobs: Iterable[Submission]) -> list[JobHandle]:
        """Send many jobs without waiting for answers in between; return handles in order.

        They all take this process's environment, folder and limits as they are at the call.

        >>> quiet = {"output": "/dev/null"}
        >>> many = machine.submit_many({"argv": ["test", n], "options": quiet} for n in ("", "1"))
        >>> [info.ok for info in machine.wait(many)]
        [False, True]
        """
        here = asks.surroundings()
        return [
            JobHandle(
                self,
                asks.submit(here, job.get("argv", ()), job.get("script"), job.get("options", {})),
            )
            for job in jobs
        ]

    def submit_all(self, jobs: Mapping[str, Submission]) -> dict[str, JobHandle]:
        """Queue jobs by name, all of them or none; return their handles by name.

        after: names of others among them, beside ids and handles, with a kind as in `name:any`.

        >>> quiet = {"output": "/dev/null"}
        >>> flow = machine.submit_all({
        ...     "use": {"argv": ["true"], "options": {**quiet, "after": ["make", "check:any"]}},
        ...     "make": {"argv": ["true"], "options": quiet},
        ...     "check": {"argv": ["false"], "options": {**quiet, "after": "make"}},
        ... })
        >>> [flow[name].wait().result for name in ("make", "check", "use")]
        ['success', 'failed', 'success']
        """
        ids = self._do(asks.submit_all(asks.surroundings(), jobs))
        return {name: JobHandle(self, ident) for name, ident in zip(jobs, ids, strict=True)}

    # -- jobs ------------------------------------------------------------------------------

    def wait(self, jobs: Iterable[Ref] | Ref) -> list[JobInfo]:
        """Wait until all have ended; return how, in order."""
        return self._do(asks.wait(jobs))

    def as_completed(self, jobs: Iterable[Ref] | Ref) -> Iterator[JobInfo]:
        """Yield each job's end as it comes.

        >>> slow = machine.submit(["sleep", "0.2"], name="slow", output="/dev/null")
        >>> fast = machine.submit(["true"], name="fast", output="/dev/null")
        >>> [info.name for info in machine.as_completed([slow, fast])]
        ['fast', 'slow']
        """
        waiting = [self.link.send("wait", refs=[ref]) for ref in refs_of(jobs)]
        while waiting:
            done = [number for number in waiting if self.link.answered(number)]
            for number in done:
                yield from asks.infos(self.link.result(number))
            waiting = [number for number in waiting if number not in done]
            if waiting and not done:
                self.link.pump(None)

    def act(self, verb: str, jobs: Iterable[Ref] | Ref, *, reason: str = "", **more: Any) -> None:
        """Do one of cancel, hold, release, suspend, resume, requeue; raise the first refusal."""
        self._do(asks.act(verb, jobs, reason, **more))

    def cancel(self, *jobs: Ref, reason: str = "") -> None:
        """End jobs; nothing happens to those that have ended.

        >>> job = machine.submit(["sleep", "1000"], output="/dev/null")
        >>> machine.cancel(job)
        >>> job.wait().result
        'cancelled'
        """
        self.act("cancel", jobs, reason=reason)

    def signal(self, *jobs: Ref, number: int) -> None:
        """Send a signal to the tasks of running jobs."""
        self.act("signal", jobs, signal=number)

    def jobs(
        self,
        *,
        user: str | None = None,
        states: Sequence[str] = (),
        since: float | None = None,
        all: bool = False,  # noqa: A002 - as the option of `ostler jobs`
    ) -> list[JobInfo]:
        """Return one's own unfinished jobs unless asked otherwise. since: Unix seconds.

        >>> held = machine.submit(["true"], hold=True, name="later", output="/dev/null")
        >>> [info.state for info in machine.jobs() if info.id == held.id]
        ['held']
        >>> held.cancel()
        """
        return self._do(asks.jobs(user=user, states=states, since=since, everything=all))

    def job(self, job: Ref) -> JobInfo:
        """Return how one job stands."""
        return self._do(asks.job(job))

    def logs(self, job: Ref, *, follow: bool = False, errors: bool = False) -> Iterator[bytes]:
        """Yield what a job has written to its output files, one file after the other.

        follow: go on until it has ended. errors: the files of standard error instead.
        Raises `Missing` if it writes to no file.
        """
        files = self._do(asks.outputs(job, errors=errors))
        ended = self.link.send("wait", refs=[ref_of(job)]) if follow else None
        while ended is not None and not self.link.answered(ended):
            for file in files:
                yield from file.all()
            self.link.pump(LOOK)
        if ended is not None:
            self.link.result(ended)
        for file in files:
            yield from file.all()

    def events(self, job: Ref | None = None, *, since: int | None = None) -> Iterator[Event]:
        """Yield what happens, for ever: to one job, or to all of the machine.

        since: a serial, behind which it begins; 0 for the beginning, None for now.

        >>> job = machine.submit(["true"], output="/dev/null")
        >>> next(event.kind for event in machine.events(job, since=0))
        'job/submitted'
        """
        following = Following(job, since)
        while True:
            ask, generation = following.ask(), self.link.generation
            request = self.link.send(ask.type, **ask.fields)
            while self.link.generation == generation:
                yield from following.fresh(self.link.news(request))
                if self.link.answered(request):
                    self.link.result(request)  # raises what was refused
                self.link.pump(None)

    def read(self, what: str, ref: str = "", **options: Any) -> dict[str, Any]:
        """Return the document that `ostler WHAT --json` prints."""
        return self._do(asks.read(what, ref, options))

    def explain(self, job: Ref) -> dict[str, Any]:
        """Return why a job waits, what is ahead, and when it should start.

        >>> held = machine.submit(["true"], hold=True, output="/dev/null")
        >>> machine.explain(held)["rule"]
        'hold'
        >>> held.cancel()
        """
        return self.read("explain", ref_of(job))

    def status(self) -> dict[str, Any]:
        """Return what the machine has and does."""
        return self.read("status")

    def query(self, sql: str) -> list[dict[str, Any]]:
        """Return the rows of one SQL statement over the tables.

        >>> machine.query("SELECT 6 * 7 AS answer")
        [{'answer': 42}]
        """
        return self._do(asks.query(sql))


def connect(state: str | None = None, *, patience: float = PATIENCE) -> Client:
    """Return a client of the machine at `state`, else OSTLER_STATE, else one's own.

    Raises `NotNow` where no machine is up.

    >>> with ostler.connect() as machine:
    ...     job = machine.submit(["sort", "--version"], cpus=2, time="1h", output="/dev/null")
    ...     print(job.wait().result)
    success
    """
    return Client(state, patience=patience)
