"""The synchronous client: one connection, any number of requests under way."""

import os
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Self, TypedDict, Unpack

import msgspec
from msgspec import Struct

from ostler.client.link import PATIENCE, Link, error_from
from ostler.client.place import find_state
from ostler.client.spec import join_environment, make_spec, new_request_id, own_limits
from ostler.client.values import JobOptions, Word, values_of
from ostler.model.errors import NotNow, OstlerError, UsageError


class JobInfo(Struct, frozen=True):
    """How a job stands: the columns of `ostler jobs --json` that programs need most."""

    id: str
    state: str
    result: str | None = None
    exit_status: int | None = None
    reason: str = ""
    rule: str = ""
    name: str = ""
    user: str = ""
    submitted_at: float | None = None  # Unix seconds
    started_at: float | None = None
    ended_at: float | None = None
    elements: int = 1
    elements_done: int = 0

    @property
    def ok(self) -> bool:
        """Say whether it has ended and succeeded."""
        return self.result == "success"


class Submission(TypedDict, total=False):
    """What `submit_many` takes for one job: the words of a command or a script, and options."""

    argv: Sequence[Word]
    script: bytes | str
    options: JobOptions


class JobHandle:
    """One submitted job. The submission may still be under way: `id` waits for it."""

    __slots__ = ("_client", "_id", "_refused", "_request")

    def __init__(self, client: "Client", request: int) -> None:
        self._client = client
        self._request = request
        self._id = ""
        self._refused: OstlerError | None = None

    @property
    def id(self) -> str:
        """Return the job's id; raise what refused it, each time it is asked for."""
        if self._refused is not None:
            raise self._refused
        if not self._id:
            try:
                self._id = str(self._client.link.result(self._request)["job"])
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

    def __repr__(self) -> str:
        return f"<JobHandle {self._id or 'under way'}>"


Ref = JobHandle | str | int


def _surroundings() -> dict[str, object]:
    """Return what a job takes over from this process unless its options say otherwise."""
    return {
        "cwd": os.getcwdb(),
        "umask": _umask(),
        "rlimits": own_limits(),
        "env": join_environment(os.environb),
    }


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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

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
        """
        return self._send(_surroundings(), argv, script, options)

    def _send(
        self,
        surroundings: dict[str, object],
        argv: Sequence[Word],
        script: bytes | str | None,
        options: JobOptions,
    ) -> JobHandle:
        values = {**surroundings, **values_of(options)}
        if script is not None:
            text = script.encode() if isinstance(script, str) else script
            if not text.startswith(b"#!"):
                raise UsageError("the script's first line does not begin with #!")
            values["script"] = text
        elif not argv:
            raise UsageError("there is nothing to run", expected="argv or script")
        if isinstance(argv, str | bytes):
            raise UsageError("argv is one string", expected="a list of words")
        if argv:
            values["argv"] = [os.fsencode(word) for word in argv]
            values.setdefault("name", _name(os.fsencode(argv[0])))
        spec, blobs = make_spec(values)
        request = self.link.send("submit", request_id=new_request_id(), spec=spec, blobs=blobs)
        return JobHandle(self, request)

    def submit_many(self, jobs: Iterable[Submission]) -> list[JobHandle]:
        """Send many jobs without waiting for answers in between; return handles in order.

        They all take this process's environment, folder and limits as they are at the call.
        """
        here = _surroundings()
        return [
            self._send(here, job.get("argv", ()), job.get("script"), job.get("options", {}))
            for job in jobs
        ]

    # -- jobs ------------------------------------------------------------------------------

    def wait(self, jobs: Iterable[Ref] | Ref) -> list[JobInfo]:
        """Wait until all have ended; return how, in order."""
        return _infos(self.link.call("wait", refs=_refs(jobs)))

    def as_completed(self, jobs: Iterable[Ref] | Ref) -> Iterator[JobInfo]:
        """Yield each job's end as it comes."""
        waiting = [self.link.send("wait", refs=[ref]) for ref in _refs(jobs)]
        while waiting:
            done = [number for number in waiting if self.link.answered(number)]
            for number in done:
                yield from _infos(self.link.result(number))
            waiting = [number for number in waiting if number not in done]
            if waiting and not done:
                self.link.pump(None)

    def act(self, verb: str, jobs: Iterable[Ref] | Ref, *, reason: str = "", **more: Any) -> None:
        """Do one of cancel, hold, release, suspend, resume, requeue; raise the first refusal."""
        answer = self.link.call("act", verb=verb, refs=_refs(jobs), reason=reason, **more)
        for row in answer["jobs"]:
            if not row.get("ok"):
                raise error_from(row)

    def cancel(self, *jobs: Ref, reason: str = "") -> None:
        """End jobs; nothing happens to those that have ended."""
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
        """Return one's own unfinished jobs unless asked otherwise. since: Unix seconds."""
        options: dict[str, Any] = {"all": all} if all else {}
        options |= {"user": user} if user is not None else {}
        options |= {"states": list(states)} if states else {}
        options |= {"since": since} if since is not None else {}
        return _infos(self.link.call("read", what="jobs", options=options))

    def job(self, job: Ref) -> JobInfo:
        """Return how one job stands."""
        return _infos(self.link.call("read", what="job", ref=_ref(job)))[0]

    def read(self, what: str, ref: str = "", **options: Any) -> dict[str, Any]:
        """Return the document that `ostler WHAT --json` prints."""
        document: dict[str, Any] = self.link.call("read", what=what, ref=ref, options=options)
        return document

    def explain(self, job: Ref) -> dict[str, Any]:
        """Return why a job waits, what is ahead, and when it should start."""
        return self.read("explain", _ref(job))

    def status(self) -> dict[str, Any]:
        """Return what the machine has and does."""
        return self.read("status")

    def query(self, sql: str) -> list[dict[str, Any]]:
        """Return the rows of one SQL statement over the tables."""
        found = self.link.call("query", sql=sql)
        return [dict(zip(found["columns"], row, strict=True)) for row in found["rows"]]


def connect(state: str | None = None, *, patience: float = PATIENCE) -> Client:
    """Return a client of the machine at `state`, else OSTLER_STATE, else one's own.

    Raises `NotNow` where no machine is up.

    with ostler.connect() as machine:
        job = machine.submit(["make", "-j2"], cpus=2, time="1h")
        print(job.wait().result)
    """
    return Client(state, patience=patience)


def _ref(job: Ref) -> str:
    return job.id if isinstance(job, JobHandle) else str(job)


def _refs(jobs: Iterable[Ref] | Ref) -> list[str]:
    if isinstance(jobs, str | int | JobHandle):
        return [_ref(jobs)]  # a word is an id, not a row of letters
    refs = [_ref(job) for job in jobs]
    if not refs:
        raise UsageError("no job is named")
    return refs


def _infos(document: Any) -> list[JobInfo]:
    try:
        return msgspec.convert(document["jobs"], list[JobInfo])
    except (msgspec.ValidationError, KeyError, TypeError) as error:
        raise NotNow(f"the manager's answer makes no sense: {error}") from None


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _name(path: bytes) -> str:
    return path.rpartition(b"/")[2].decode(errors="replace")[:200]
