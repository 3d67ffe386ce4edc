"""What can be asked of a machine: each request once, for the sync and the async client alike."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypedDict, TypeVar

import msgspec
from msgspec import Struct

from ostler.client.link import error_from
from ostler.client.outputs import Output
from ostler.client.spec import join_environment, make_spec, new_request_id, own_limits
from ostler.client.values import JobOptions, Word, listed, values_of
from ostler.client.workflow import After, after_of, make_parts
from ostler.model.errors import Missing, NotNow, UsageError

T = TypeVar("T")


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


class Event(Struct, frozen=True):
    """Something that happened, as `ostler events --json` tells it."""

    serial: int  # grows with each event of the machine
    at: float  # Unix seconds
    kind: str
    text: str = ""
    job: str | None = None
    element: int | None = None
    node: str | None = None
    allocation: int | None = None


class Submission(TypedDict, total=False):
    """What `submit_many` takes for one job: the words of a command or a script, and options."""

    argv: Sequence[Word]
    script: bytes | str
    options: JobOptions


class Handle(Protocol):
    """Something that stands for a job."""

    @property
    def id(self) -> str: ...


Ref = Handle | str | int


@dataclass(frozen=True, slots=True)
class Ask(Generic[T]):
    """One request, and how its answer is read. read: may raise `OstlerError`."""

    type: str
    fields: dict[str, Any]
    read: Callable[[Any], T]


# -- submitting ------------------------------------------------------------------------------


class _Environment:
    """This process's variables as one blob, joined anew only when they have changed."""

    def __init__(self) -> None:
        # What os.environb is made of, where it can be had: that calls three functions a variable.
        self._variables: Mapping[bytes, bytes] = getattr(os.environb, "_data", os.environb)
        self._last: tuple[dict[bytes, bytes], bytes] = ({}, b"")

    def joined(self) -> bytes:
        """Return the blob; raise `UsageError` for a name that cannot be one."""
        variables, blob = self._last
        if variables != self._variables:
            variables = dict(self._variables)
            blob = join_environment(variables)
            self._last = variables, blob
        return blob


_environment = _Environment()


def surroundings() -> dict[str, object]:
    """Return what a job takes over from this process unless its options say otherwise."""
    return {
        "cwd": os.getcwdb(),
        "umask": _umask(),
        "rlimits": own_limits(),
        "env": _environment.joined(),
    }


def submit(
    here: dict[str, object], argv: Sequence[Word], script: bytes | str | None, options: JobOptions
) -> Ask[str]:
    """Queue a job; the answer is its id. Raises `UsageError` for what makes no sense."""
    spec, blobs = make_spec(_values(here, argv, script, options))
    fields = {"request_id": new_request_id(), "spec": spec, "blobs": blobs}
    return Ask("submit", fields, lambda body: str(body["job"]))


def submit_all(here: dict[str, object], jobs: Mapping[str, Submission]) -> Ask[list[str]]:
    """Queue jobs by name, all or none; the answer is their ids in order. Raises `UsageError`."""
    named: dict[str, tuple[dict[str, object], list[After]]] = {}
    for name, job in jobs.items():
        options = job.get("options", {}).copy()
        after = [_after(item) for item in listed(options.pop("after", ()))]
        values = _values(here, job.get("argv", ()), job.get("script"), options)
        named[name] = (values, after)
    parts, blobs = make_parts(named)
    fields = {"request_id": new_request_id(), "jobs": parts, "blobs": blobs}
    return Ask("submit_all", fields, lambda body: [str(row["id"]) for row in body["jobs"]])


def _after(item: object) -> After:
    """Return what a job waits for: a name of the same submission, an id or a handle; and the kind."""
    job, kind = item if isinstance(item, tuple) else (item, "")
    text = str(getattr(job, "id", job))
    return (text, str(kind)) if kind else after_of(text)


def _values(
    here: dict[str, object], argv: Sequence[Word], script: bytes | str | None, options: JobOptions
) -> dict[str, object]:
    values = {**here, **values_of(options)}
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
    return values


# -- jobs ------------------------------------------------------------------------------------


def wait(jobs: Iterable[Ref] | Ref, *, attach: bool = False) -> Ask[list[JobInfo]]:
    """Answer when all have ended, in order. attach: they are to end when this client is gone."""
    fields: dict[str, Any] = {"refs": refs_of(jobs)}
    return Ask("wait", fields | ({"attach": True} if attach else {}), infos)


def act(verb: str, jobs: Iterable[Ref] | Ref, reason: str = "", **more: Any) -> Ask[None]:
    """Do something to jobs; the first refusal is raised."""
    return Ask("act", {"verb": verb, "refs": refs_of(jobs), "reason": reason, **more}, _acted)


def jobs(
    *, user: str | None, states: Sequence[str], since: float | None, everything: bool
) -> Ask[list[JobInfo]]:
    """List jobs."""
    options: dict[str, Any] = {"all": True} if everything else {}
    options |= {"user": user} if user is not None else {}
    options |= {"states": list(states)} if states else {}
    options |= {"since": since} if since is not None else {}
    return Ask("read", {"what": "jobs", "options": options}, infos)


def job(job: Ref) -> Ask[JobInfo]:
    """Look at one job."""
    return Ask("read", {"what": "job", "ref": ref_of(job)}, lambda body: infos(body)[0])


def element(ref: str) -> Ask[JobInfo]:
    """Look at one element of an array, with all that was written down of its end."""
    return Ask(
        "read",
        {"what": "job", "ref": ref},
        lambda body: infos({"jobs": body["jobs"][0]["element_rows"]})[0],
    )


def read(what: str, ref: str = "", options: dict[str, Any] | None = None) -> Ask[dict[str, Any]]:
    """Read the document that `ostler WHAT --json` prints."""
    return Ask("read", {"what": what, "ref": ref, "options": options or {}}, dict)


def query(sql: str) -> Ask[list[dict[str, Any]]]:
    """Run one SQL statement; a row is a dictionary by column."""

    def rows(found: Any) -> list[dict[str, Any]]:
        return [dict(zip(found["columns"], row, strict=True)) for row in found["rows"]]

    return Ask("query", {"sql": sql}, rows)


def outputs(job: Ref, *, errors: bool) -> Ask[list[Output]]:
    """Find the files of a job's elements, each once, in order."""
    ref, key = ref_of(job), "error_path" if errors else "output_path"

    def read_paths(body: Any) -> list[Output]:
        rows = [element for row in body["jobs"] for element in row.get("element_rows") or []]
        paths = {row[key]: str(row["id"]) for row in reversed(rows) if row.get(key)}
        if not paths:
            raise Missing(f"job {ref} writes to no file", hint="it goes to /dev/null, or nowhere")
        return [Output(ident, os.fsencode(path)) for path, ident in reversed(paths.items())]

    return Ask("read", {"what": "job", "ref": ref, "options": {}}, read_paths)


class Following:
    """Events, each once and in order, over as many connections as it takes.

    since: a serial, behind which it begins; None: from now on.
    """

    def __init__(self, job: Ref | None, since: int | None) -> None:
        self._job = "" if job is None else ref_of(job)
        self._last = -1 if since is None else since

    def ask(self) -> Ask[None]:
        """Return the request to send on each new connection."""
        return Ask("follow", {"since": self._last, "job": self._job}, lambda _: None)

    def fresh(self, news: Iterable[Any]) -> list[Event]:
        """Return those of the rows that were not seen before."""
        try:
            found = [e for e in msgspec.convert(list(news), list[Event]) if e.serial > self._last]
        except msgspec.ValidationError as error:
            raise NotNow(f"the manager's news makes no sense: {error}") from None
        self._last = max((event.serial for event in found), default=self._last)
        return found


def ref_of(job: Ref) -> str:
    """Return the id of what stands for a job."""
    return str(job) if isinstance(job, str | int) else job.id


def refs_of(jobs: Iterable[Ref] | Ref) -> list[str]:
    """Return the ids of one or several; raise `UsageError` if there is none."""
    if isinstance(jobs, str | int) or not isinstance(jobs, Iterable):
        return [ref_of(jobs)]  # a word is an id, not a row of letters
    refs = [ref_of(job) for job in jobs]
    if not refs:
        raise UsageError("no job is named")
    return refs


def infos(document: Any) -> list[JobInfo]:
    """Return the rows of an answer."""
    try:
        return msgspec.convert(document["jobs"], list[JobInfo])
    except (msgspec.ValidationError, KeyError, TypeError) as error:
        raise NotNow(f"the manager's answer makes no sense: {error}") from None


def _acted(answer: Any) -> None:
    for row in answer["jobs"]:
        if not row.get("ok"):
            raise error_from(row)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _name(path: bytes) -> str:
    return path.rpartition(b"/")[2].decode(errors="replace")[:200]
