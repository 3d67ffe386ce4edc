"""The driver of any resource manager that speaks WIKI, the protocol of the Maui scheduler.

Known is what a reply tells of; gone with proof is a record Completed or Removed; what is absent
is unknown. WIKI has no token of a start: a STARTJOB without a clear answer is followed by
a question for that job alone, here or, after that, before it is sent again.
"""

import contextlib
import os
import pwd
import socket
import stat
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

from ostler.drivers.contract import Trouble
from ostler.drivers.wiki_facts import END_WORDS, JOB_STATES, NODE_STATES, end_of, job_of, node_of
from ostler.model.foreign import About, Did, Jobs, Nodes, Option, Outcome, Start
from ostler.wire.wiki import (
    HEADER,
    MAX_REPLY,
    NO_JOB,
    Malformed,
    check_time,
    open_up,
    pack,
    read_key,
    size_of,
)
from ostler.wire.wiki_records import ACTIVE, ENDED, VACATED, Job, parse_job, parse_node
from ostler.wire.wiki_words import (
    CancelJob,
    Fields,
    GetJobs,
    GetNodes,
    Reply,
    Request,
    ResumeJob,
    StartJob,
    SuspendJob,
    format_request,
    is_name,
    parse_reply,
)

R = TypeVar("R")

_READ = 1 << 16  # bytes at a time
_KEPT = 0.4  # of a start's time, for the question that follows one without an answer


class WikiDriver:
    """A client of one WIKI server; a connection for each question, as the protocol wants it."""

    about = About(
        name="wiki",
        title="Any resource manager that serves the WIKI protocol, as for the Maui scheduler",
        options=frozenset({Option.SUSPEND, Option.RESUME, Option.MANY_NODES}),
        settings={
            "host": "Where it listens. Default: 127.0.0.1",
            "port": "The port there. No default.",
            "key-file": "File with the number that both sides know; readable by its owner alone."
            " No default.",
            "auth": "How messages are vouched for: checksum or none. Default: checksum",
            "user": "Whom messages are said to come from. Default: who runs the manager",
            "timeout": "Seconds for each call in all. Default: 8",
            "window": "Seconds by which the clocks may differ. Default: 300",
        },
        job_states={**JOB_STATES, **END_WORDS},
        node_states=NODE_STATES,
        oldest="WIKI interface specification 1.1",
        limits=(
            "It tells no exit status: a job that is Completed counts as a success.",
            "It tells no reason for waiting.",
            "Its checksum keeps out accidents, not attackers: use loopback or a private network.",
        ),
    )

    def __init__(self, settings: Mapping[str, str]) -> None:
        for name in settings:
            if name not in self.about.settings:
                raise ValueError(f"there is no setting {name!r}; known: {_listed(self.about)}")
        self._host = settings.get("host", "127.0.0.1")
        self._port = int(_number("port", settings.get("port", ""), 1, 65_535))
        self._timeout = _number("timeout", settings.get("timeout", "8"), 0.1, 3_600)
        self._window = _number("window", settings.get("window", "300"), 1, 1e9)
        self._user = settings.get("user") or _own_name()
        if not is_name(self._user):
            raise ValueError(f"user {self._user!r} is no name")
        self._key = _key(settings.get("auth", "checksum"), settings.get("key-file", ""))
        # Whether the last listing had a job that had not ended: then none at all is a failure.
        self._unfinished = False
        self._unclear: dict[str, str] = {}  # job -> token of a start that nobody has answered for

    def list_nodes(self) -> Nodes:
        """Return all nodes; one whose name cannot be carried makes the list a partial one."""
        nodes, complete = self._records(GetNodes(), self._end(), parse_node)
        if not nodes:
            raise Trouble("GETNODES: it tells of no node")
        return Nodes(tuple(map(node_of, nodes)), complete=complete)

    def list_jobs(self) -> Jobs:
        """Return all jobs. No record at all is an answer only where nothing was unfinished."""
        jobs, complete = self._records(GetJobs(), self._end(), parse_job)
        if not jobs:
            if self._unfinished:
                raise Trouble("GETJOBS: it tells of no job, and had some that have not ended")
            return Jobs((), complete=False)
        live = tuple(job_of(job) for job in jobs if job.state not in ENDED)
        # Some let what is vacated go without another word.
        self._unfinished = any(job.state not in (VACATED, *ENDED) for job in jobs)
        return Jobs(live, tuple(end_of(job) for job in jobs if job.state in ENDED), complete)

    def start(self, order: Start) -> Outcome:
        """Start a job on these nodes, a task for each time that its share names one."""
        if not order.id:
            return Outcome(Did.NEVER, text="WIKI starts jobs that it has, and takes no others")
        end = self._end()
        if self._unclear.get(order.id) == order.token:
            known = self._started(order, end)
            if known is not None:
                return known
        self._unclear[order.id] = order.token
        try:
            asked_until = end - _KEPT * self._timeout
            reply = self._ask(StartJob(order.id, _tasks(order)), asked_until)
        except Trouble as trouble:
            with contextlib.suppress(Trouble):
                known = self._started(order, end)
                if known is not None:
                    return known
            return Outcome(Did.UNKNOWN, order.id, text=str(trouble)[:1000])
        del self._unclear[order.id]
        if reply.status >= 0:
            return Outcome(Did.ACCEPTED, order.id)
        if (
            reply.status == NO_JOB
        ):  # also said of one that is not idle, which it may be by this start
            with contextlib.suppress(Trouble):
                known = self._started(order, end)
                if known is not None:
                    return known
        return Outcome(Did.REFUSED, order.id, text=_why(reply))

    def cancel(self, job: str, token: str) -> Outcome:  # noqa: ARG002 - WIKI's jobs have their ids
        """End a job; one that has ended already is no failure."""
        return self._act(CancelJob(job), job)

    def suspend(self, job: str, token: str) -> Outcome:  # noqa: ARG002 - same
        """Let a running job stand still."""
        return self._act(SuspendJob(job), job)

    def resume(self, job: str, token: str) -> Outcome:  # noqa: ARG002 - same
        """Let a suspended job go on."""
        return self._act(ResumeJob(job), job)

    def _act(self, request: CancelJob | SuspendJob | ResumeJob, job: str) -> Outcome:
        if not job:
            return Outcome(Did.NEVER, text="WIKI knows jobs by their ids alone")
        end = self._end()
        reply = self._ask(request, end)
        if reply.status >= 0:
            return Outcome(Did.ACCEPTED, job)
        if isinstance(request, CancelJob):
            with contextlib.suppress(Trouble):
                found = self._find(job, end)
                if found is not None and found.state in ENDED:
                    return Outcome(Did.ALREADY, job, text=_why(reply))
        return Outcome(Did.REFUSED, job, text=_why(reply))

    def _started(self, order: Start, end: float) -> Outcome | None:
        """Say whether an earlier order has started it; None: it has not, as far as is known."""
        job, tasks = order.id, _tasks(order)
        found = self._find(job, end)
        if found is None or found.state not in {*ACTIVE, VACATED, *ENDED}:
            return None
        self._unclear.pop(job, None)
        cpus = len(tasks) * found.cpus
        if sorted(found.task_list) != sorted(tasks) or cpus != sum(s.cpus for s in order.shares):
            where = f"{len(found.task_list)} tasks of {found.cpus} CPUs on "
            where += ", ".join(dict.fromkeys(found.task_list))[:500]
            return Outcome(Did.REFUSED, job, text=f"it is {found.state} with {where}")
        return Outcome(Did.ACCEPTED, job, text=f"it is {found.state}")

    def _find(self, job: str, end: float) -> Job | None:
        """Ask for one job alone."""
        reply = self._ask(GetJobs(0, (job,)), end)
        for name, fields in reply.records or ():
            if name == job:
                return _checked("GETJOBS", partial(parse_job, job, fields))
        return None

    def _records(
        self, request: GetNodes | GetJobs, end: float, read: Callable[[str, Fields], R]
    ) -> tuple[list[R], bool]:
        """Return what is told, and whether it is all there is."""
        verb = _verb(request)
        reply = self._ask(request, end)
        if reply.status < 0 or reply.records is None:
            raise Trouble(f"{verb}: {_why(reply)}")
        told = [record for record in reply.records if is_name(record[0])]
        read_all = _checked(verb, lambda: [read(name, fields) for name, fields in told])
        return read_all, len(told) == len(reply.records)

    def _end(self) -> float:
        return time.monotonic() + self._timeout

    def _ask(self, request: Request, end: float) -> Reply:
        """Ask over a connection of its own, all within the time; raise `Trouble`."""
        verb = _verb(request)
        now = time.time()
        frame = _checked(
            verb, lambda: pack(format_request(request), self._key, self._user, int(now))
        )
        try:
            payload = self._exchange(frame, end)
        except TimeoutError:
            raise Trouble(f"{verb}: no whole answer within {self._timeout:g} s") from None
        except (OSError, Malformed) as error:
            raise Trouble(f"{verb}: {error}") from error
        return _checked(verb, lambda: self._read(payload))

    def _read(self, payload: bytes) -> Reply:
        opened = open_up(payload, self._key)
        check_time(opened.at, time.time(), self._window)
        return parse_reply(opened.data)

    def _exchange(self, frame: bytes, end: float) -> bytes:
        """Send a frame, return the payload of the answer. The time is that of all of it."""
        with socket.create_connection((self._host, self._port), timeout=_left(end)) as sock:
            view = memoryview(frame)
            while view:
                sock.settimeout(_left(end))
                view = view[sock.send(view) :]
            header = _receive(sock, HEADER, end)
            return _receive(sock, size_of(header, MAX_REPLY), end)


def _tasks(order: Start) -> tuple[str, ...]:
    """Return a node's name for each task."""
    return tuple(share.node for share in order.shares for _ in range(share.tasks))


def _receive(sock: socket.socket, size: int, end: float) -> bytes:
    data = bytearray()
    while len(data) < size:
        sock.settimeout(_left(end))
        piece = sock.recv(min(_READ, size - len(data)))
        if not piece:
            raise Malformed(f"the answer ends after {len(data)} of {size} bytes")
        data += piece
    return bytes(data)


def _left(end: float) -> float:
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _checked(verb: str, work: Callable[[], R]) -> R:
    try:
        return work()
    except Malformed as error:
        raise Trouble(f"{verb}: {error}") from error


def _verb(request: Request) -> str:
    return type(request).__name__.upper()


def _why(reply: Reply) -> str:
    return f"SC={reply.status}: {reply.text or 'no reason given'}"[:1000]


def _number(name: str, text: str, least: float, most: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = least - 1
    if not least <= value <= most:
        raise ValueError(f"{name} must be a number from {least:g} to {most:g}, not {text!r}")
    return value


def _key(auth: str, path: str) -> int | None:
    if auth == "none":
        if path:
            raise ValueError("auth is none: then there is no key-file")
        return None
    if auth != "checksum":
        raise ValueError(f"auth must be checksum or none, not {auth!r}")
    if not path:
        raise ValueError("key-file is missing: the file with the number that both sides know")
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            if stat.S_IMODE(status.st_mode) & 0o077:
                raise ValueError(f"{path} is open to others; do: chmod 600 {path}")
            return read_key(file.read(4096))
    except OSError as error:
        raise ValueError(f"the key file cannot be read: {error}") from error


def _own_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _listed(about: About) -> str:
    return ", ".join(about.settings)
