"""What WIKI messages say: requests, replies, and the records of nodes and jobs in these.

No I/O here. `Malformed` is all that bad text raises, and time is linear in it.
"""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ostler.wire.wiki import BAD_REQUEST, Malformed

MAX_NAME = 63  # bytes of a node's, job's or user's name: Maui holds no more
MAX_RECORDS = 200_000
MAX_FIELDS = 200  # of one record

Fields = Mapping[str, str]

_NAME = re.compile(r"[A-Za-z0-9._@+/\[\],-]{1,63}")
_UNSAFE = re.compile(r"[^A-Za-z0-9 .,_()/+@-]")
_MARKS = re.compile(r'\\.|["#;]', re.DOTALL)
_ESCAPED = re.compile(r"\\([#;:])")
_REPLY = re.compile(r"SC=(-?[0-9]{1,9})(?: |$)")
_COUNT = re.compile(r"ARG=([0-9]{1,9})(?:#|$)")


class GetNodes(NamedTuple):
    """Nodes that have changed since then, or these; since 0: whatever they have done."""

    since: int = 0
    names: tuple[str, ...] = ()  # empty: all


class GetJobs(NamedTuple):
    """Jobs that have changed since then, or these."""

    since: int = 0
    names: tuple[str, ...] = ()  # empty: all


class StartJob(NamedTuple):
    """Start it now, one task for each name of a node."""

    job: str
    tasks: tuple[str, ...]


class CancelJob(NamedTuple):
    """End it, because somebody wants it or as its time is over."""

    job: str
    overdue: bool = False


class SuspendJob(NamedTuple):
    job: str


class ResumeJob(NamedTuple):
    job: str


Request = GetNodes | GetJobs | StartJob | CancelJob | SuspendJob | ResumeJob


class Reply(NamedTuple):
    """status: 0 and more is success. records: None where the reply lists nothing."""

    status: int
    text: str = ""
    records: tuple[tuple[str, dict[str, str]], ...] | None = None


def format_request(request: Request) -> str:
    """Return the text of a request; raise `Malformed` for a name that it cannot carry."""
    match request:
        case GetNodes(since, names) | GetJobs(since, names):
            verb = "GETNODES" if isinstance(request, GetNodes) else "GETJOBS"
            return f"CMD={verb} ARG={since}:{_joined(names) or 'ALL'}"
        case StartJob(job, tasks):
            if not tasks:
                raise Malformed(f"job {job} is to start without a task")
            return f"CMD=STARTJOB ARG={check_name(job)} TASKLIST={_joined(tasks)}"
        case CancelJob(job, overdue):
            kind = "WALLCLOCK" if overdue else "ADMIN"
            return f"CMD=CANCELJOB ARG={check_name(job)} TYPE={kind}"
        case SuspendJob(job):
            return f"CMD=SUSPENDJOB ARG={check_name(job)}"
        case ResumeJob(job):
            return f"CMD=RESUMEJOB ARG={check_name(job)}"


def parse_request(data: str) -> Request:
    """Return what is asked."""
    words = dict(word.split("=", 1) for word in data.split(" ") if "=" in word)
    verb, arg = words.get("CMD", ""), words.get("ARG", "")
    match verb:
        case "GETNODES":
            return GetNodes(*_since(arg))
        case "GETJOBS":
            return GetJobs(*_since(arg))
        case "STARTJOB":
            return StartJob(check_name(arg), _names(words.get("TASKLIST", "")))
        case "CANCELJOB":
            return CancelJob(check_name(arg), words.get("TYPE") in {"WALLCLOCK", "TIMEOUT"})
        case "SUSPENDJOB":
            return SuspendJob(check_name(arg))
        case "RESUMEJOB":
            return ResumeJob(check_name(arg))
        case _:
            raise Malformed(f"there is no command {verb[:40]!r} here", BAD_REQUEST)


def format_reply(reply: Reply) -> str:
    """Return the text of a reply.

    Maui shows what follows RSP=, the specification names RESPONSE=: both are there. It finds
    both, and SC= and ARG=, by their first occurrence, so a text bears no equals sign.
    """
    if reply.records is not None:
        told = "#".join(map(_record, reply.records))
        return f"SC={reply.status} ARG={len(reply.records)}#{told}"
    text = plain(reply.text) or "done"
    return f"SC={reply.status} RESPONSE={text} RSP={text}"


def parse_reply(data: str) -> Reply:
    """Return what was answered. A record too few, too many or torn makes all of it worthless."""
    found = _REPLY.match(data)
    if found is None:
        raise Malformed("the reply does not begin with SC=")
    status, rest = int(found[1]), data[found.end() :]
    count = _COUNT.match(rest)
    if count is None or status < 0:
        return Reply(status, _response(rest))
    parts = _split(rest[count.end() :], "#")
    if parts and not parts[-1].strip():
        parts.pop()
    told = int(count[1])
    if len(parts) != told or told > MAX_RECORDS:
        raise Malformed(f"the reply announces {told} records and has {len(parts)}")
    records = tuple(map(_parse_record, parts))
    if len({name for name, _ in records}) != told:
        raise Malformed("the reply tells of one name twice")
    return Reply(status, "", records)


def check_name(name: str) -> str:
    """Return it; raise if it is none that a request or a record can carry."""
    if not _NAME.fullmatch(name):
        raise Malformed(f"{name[:80]!r} is no name: letters, digits and ._-/+@, at most 63")
    return name


def is_name(name: str) -> bool:
    """Say whether it can stand in a request or as the name of a record."""
    return _NAME.fullmatch(name) is not None


def plain(text: str) -> str:
    """Return a text for people without anything that a WIKI reader would take for its own."""
    return " ".join(_UNSAFE.sub(" ", text).split())[:500]


def escape(value: str) -> str:
    """Return a value with its separators escaped; quotes and backslashes cannot be carried."""
    for mark in ('"', "\\", "\n", "\0"):
        value = value.replace(mark, "")
    return re.sub(r"([#;:])", r"\\\1", value)


def _record(record: tuple[str, Mapping[str, str]]) -> str:
    """Return one record. Empty values are left out: Maui reads past the end of such."""
    name, fields = record
    told = "".join(f"{key}={value};" for key, value in fields.items() if value)
    return f"{escape(name)}:{told}"


def _parse_record(text: str) -> tuple[str, dict[str, str]]:
    name, found, rest = _head(text)
    if not found or not name:
        raise Malformed(f"a record without a name: {text[:60]!r}")
    parts = _split(rest, ";")
    if parts.pop().strip():
        raise Malformed(f"the record of {name[:60]!r} ends within a field")
    if len(parts) > MAX_FIELDS:
        raise Malformed(f"the record of {name[:60]!r} has {len(parts)} fields")
    fields: dict[str, str] = {}
    for part in parts:
        key, equals, value = part.partition("=")
        if not equals:
            raise Malformed(f"the record of {name[:60]!r} has a field without a value")
        fields.setdefault(key.strip(), _value(value))
    return name, fields


def _head(text: str) -> tuple[str, bool, str]:
    """Return the name before the first colon that is not escaped, and what follows."""
    at = text.find(":")
    while at > 0 and text[at - 1] == "\\":
        at = text.find(":", at + 1)
    return (_unescape(text[:at]), True, text[at + 1 :]) if at >= 0 else ("", False, "")


def _value(text: str) -> str:
    if len(text) > 1 and text[0] == text[-1] == '"':
        return text[1:-1]
    return _unescape(text)


def _unescape(text: str) -> str:
    return _ESCAPED.sub(r"\1", text) if "\\" in text else text


def _split(text: str, separator: str) -> list[str]:
    """Return the parts between separators that are neither escaped nor quoted."""
    if "\\" not in text and '"' not in text:
        return text.split(separator)
    parts: list[str] = []
    start, quoted = 0, False
    for found in _MARKS.finditer(text):
        mark = found.group()
        if mark == '"':
            quoted = not quoted
        elif mark == separator and not quoted:
            parts.append(text[start : found.start()])
            start = found.end()
    if quoted:
        raise Malformed("a quotation does not end")
    parts.append(text[start:])
    return parts


def _response(text: str) -> str:
    for key in ("RSP=", "RESPONSE="):
        at = text.find(key)
        if at >= 0:
            return " ".join(text[at + len(key) :].partition(" RSP=")[0].split())[:1000]
    return ""


def _since(arg: str) -> tuple[int, tuple[str, ...]]:
    since, _, names = arg.partition(":")
    if not since.isascii() or not since.isdigit() or len(since) > 12:
        raise Malformed(f"{arg[:40]!r} is not TIME:ALL, nor TIME:NAME:NAME")
    return int(since), () if names == "ALL" else _names(names)


def _names(text: str) -> tuple[str, ...]:
    return tuple(map(check_name, text.split(":")))


def _joined(names: Iterable[str]) -> str:
    return ":".join(map(check_name, names))
