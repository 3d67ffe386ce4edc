"""What typed options mean: from `Given` to the values of a job. Loaded by everyday commands."""

import posix

from ostler.cli.options import Given
from ostler.cli.output import complain, cut
from ostler.client import place
from ostler.client.link import Link
from ostler.model.errors import UsageError
from ostler.model.limits import MAX_ITEMS

TYPE_CHECKING = False  # as in typing, which is not loaded here
if TYPE_CHECKING:
    from typing import Any

Values = dict[str, object]

_KINDS = ("ok", "any", "fail", "each")
_SIGNALS: tuple[str, ...] = (
    "HUP",
    "INT",
    "QUIT",
    "ILL",
    "TRAP",
    "ABRT",
    "BUS",
    "FPE",
    "KILL",
    "USR1",
    "SEGV",
)
_SIGNALS += ("USR2", "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN")
_SIGNALS += ("TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS")
_LAST_SIGNAL = 64  # SIGRTMAX
_WARN_BEFORE = 60  # seconds, when --signal names none
_MOST = 1 << 60
_LONGEST_URL = 4_096  # bytes
_LEAST_BARE = 1 << 20  # bytes: a smaller number without a unit was meant to have one
_HIGHEST_STATUS = 255
_RETRIED = ("failed", "timeout", "memory", "lost")  # results that can be tried again


def state_of(given: Given, *, new: bool = False, system: bool = False) -> str:
    """Return the state folder that is meant. new, system: see `place.find_state`."""
    return place.find_state(given.text("state"), new=new, system=system)


def link_to(given: Given) -> Link:
    """Return a connection to the machine that is meant; raise `NotNow`."""
    return Link(state_of(given))


def call(given: Given, type_: str, **fields: object) -> "Any":
    """Ask the machine that is meant one thing, and return the answer; raise what it tells."""
    link = link_to(given)
    body = link.call(type_, **fields)
    link.close()
    return body


def number(option: str, text: str, most: int = _MOST) -> int:
    """Return a whole number; raise `UsageError`."""
    if not (text.isascii() and text.isdigit()):
        raise UsageError(f"{option} cannot be {cut(text, 40)!r}", expected="a whole number")
    digits = text.lstrip("0") or "0"
    if len(digits) > len(str(most)) or int(digits) > most:
        raise UsageError(f"{option} cannot be {cut(text, 40)!r}", expected=f"{most} at most")
    return int(digits)


def size(option: str, text: str) -> int:
    """Return bytes; raise `UsageError`."""
    from ostler.model.units import parse_size

    try:
        found = parse_size(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from None
    if text.isdigit() and 0 < found < _LEAST_BARE:
        raise UsageError(
            f"{option}: {text} bytes are too few", hint=f"write it as {text}M or {text}G"
        )
    return found


def duration(option: str, text: str) -> int:
    """Return seconds; raise `UsageError`."""
    from ostler.model.units import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from None


def named_numbers(option: str, texts: list[str]) -> dict[str, int]:
    """Return `{"license": 2}` for `license=2`; a bare name counts one."""
    found = {}
    for text in texts:
        for part in text.split(","):
            name, equals, count = part.partition("=")
            if not name:
                raise UsageError(f"{option} cannot be {text!r}", expected="as in license=2")
            found[name] = number(f"{option} {name}", count) if equals else 1
    return found


def words(text: str) -> list[str]:
    """Return the words of a list with commas, each once; none of `none`."""
    found = dict.fromkeys(part.strip() for part in text.split(","))
    return [] if text in ("", "none") else list(found)


def names(text: str) -> list[str]:
    """Return the nodes of `n1,n3` or `n[01-03,7]`; raise `UsageError`."""
    from ostler.model.nodeset import unfold

    return unfold(text)


def dependencies(texts: list[str]) -> list[dict[str, object]]:
    """Return what `12:ok,13` names; `ok` unless told."""
    found: list[dict[str, object]] = []
    for text in texts:
        for part in text.split(","):
            job, colon, kind = part.partition(":")
            if not (job.isascii() and job.isdigit()) or (colon and kind not in _KINDS):
                raise UsageError(
                    f"--after cannot be {text!r}", expected="as in 12, 12:any or 12:fail,13:ok"
                )
            found.append({"job": number("--after", job, 1 << 62), "kind": kind or "ok"})
    return found


def warning(text: str) -> tuple[int, int]:
    """Return (signal, seconds before the limit) for `USR1@60`."""
    name, at, lead = text.partition("@")
    seconds = _WARN_BEFORE
    if at:
        seconds = int(lead) if lead.isdigit() else duration("--signal", lead)
    return signal_number(name), seconds


def retried(text: str) -> list[str]:
    """Return the exit statuses and results of `75,lost`; raise `UsageError`."""
    found = [part.strip() for part in text.split(",") if part.strip()]
    for part in found:
        status = part.isascii() and part.isdigit() and 0 < int(part) <= _HIGHEST_STATUS
        if not status and part not in _RETRIED:
            raise UsageError(
                f"--retry-on cannot be {part!r}", expected=f"1 to 255, or {', '.join(_RETRIED)}"
            )
    return found


def signal_number(name: str) -> int:
    """Return the number of `USR1`, `SIGUSR1` or `10`; raise `UsageError`."""
    bare = name.upper().removeprefix("SIG")
    if bare in _SIGNALS:
        return _SIGNALS.index(bare) + 1
    if name.isascii() and name.isdigit() and 1 <= int(name) <= _LAST_SIGNAL:
        return int(name)
    raise UsageError(f"{name!r} is no signal", expected="as in USR1, SIGTERM or 10")


def array(text: str) -> tuple[list[tuple[int, int]], int | None]:
    """Return the ranges and the cap of `0-99%10`; either may be missing."""
    from ostler.model.ranges import parse_ranges

    spans, percent, cap = text.partition("%")
    most = number("the %N of --array", cap) if percent else None
    if most == 0:
        raise UsageError("the %N of --array cannot be 0", hint="leave it out to run as many as fit")
    if not spans and percent:
        return [], most
    try:
        return parse_ranges(spans), most
    except ValueError as error:
        raise UsageError(f"--array: {error}") from None


def environment(given: Given) -> bytes:
    """Return the environment that is carried: whole, or as --env says."""
    from ostler.client.spec import join_environment, own_environment, split_environment

    if "env" not in given.values:
        return own_environment()
    kept: list[bytes] = []
    added: dict[bytes, bytes] = {}
    whole = True
    for text in given.many("env"):
        key, equals, value = text.partition("=")
        if equals:
            added[place.encode(key)] = place.encode(value)
        else:
            whole = False
            kept += [] if text == "none" else [place.encode(key)]
    found = split_environment(own_environment())
    if not whole:
        found = {key: found[key] for key in kept if key in found}
    return join_environment({**found, **added})


def read_file(name: str, what: str, most: int) -> bytes:
    """Return a file's bytes, `-` being standard input; raise `UsageError`."""
    try:
        with open(0 if name == "-" else place.encode(name), "rb", closefd=name != "-") as file:
            data: bytes = file.read(most + 1)
    except OSError as error:
        raise UsageError(f"{what} {name!r} cannot be read: {error.strerror}") from None
    if len(data) > most:
        raise UsageError(f"{what} {name!r} is too large", expected=f"most: {most} bytes")
    return data


def folder(given: Given) -> bytes:
    """Return the working directory of the job; raise `UsageError`."""
    named = given.text("chdir")
    try:
        here = posix.getcwdb()
        if named is None:
            return here
        path = place.encode(named)
        if not path.startswith(b"/"):
            path = here + b"/" + path
    except FileNotFoundError:
        raise UsageError(
            "this directory was removed", hint="go to another, or use -D DIR"
        ) from None
    return path


def job_values(given: Given) -> Values:
    """Return the values that a command line gives for a job, without the command itself."""
    from ostler.client.spec import own_limits

    values: Values = {"cwd": folder(given), "umask": _umask(given), "env": environment(given)}
    values["rlimits"] = own_limits()
    for name in ("tasks", "cpus", "nodes", "gpus", "priority", "retries", "tasks_per_node"):
        if (text := given.text(name)) is not None:
            values[name] = number(f"--{name.replace('_', '-')}", text)
    for name in (
        "partition",
        "rm",
        "project",
        "work",
        "name",
        "distribution",
        "constraint",
        "reservation",
    ):
        if (text := given.text(name)) is not None:
            values[name] = text
    for name in ("output", "error", "input"):
        if (text := given.text(name)) is not None:
            values[name] = place.encode(text)
    for name in ("nodelist", "exclude"):
        if (text := given.text(name)) is not None:
            values[name] = names(text)
    for name in ("requeue", "hold", "kill_on_bad_exit", "verbose", "exclusive", "spread"):
        if given.flag(name):
            values[name] = True
    _times(given, values)
    if (text := given.text("memory")) is not None:
        values["memory"] = size("--memory", text)
    if texts := given.many("generic"):
        values["generic"] = named_numbers("--generic", texts)
    if (text := given.text("licences")) is not None:
        from ostler.model.licences import parse_licences

        values["licences"] = parse_licences(text, what="--licences")
    if texts := given.many("after"):
        values["after"] = dependencies(texts)
    if (text := given.text("retry_on")) is not None:
        values["retry_on"] = retried(text)
        if "retries" not in values:
            raise UsageError("--retry-on says when to run again", hint="say how often: --retries N")
    _notices(given, values)
    _elements(given, values)
    return values


def _notices(given: Given, values: Values) -> None:
    """Set when and where the user is told; the URL may come from a file: it may hold a secret."""
    if (text := given.text("mail")) is not None:
        values["mail"] = words(text)
    if (text := given.text("mail_to")) is not None:
        values["mail_to"] = text
    if (text := given.text("notify")) is not None:
        if text.startswith("@"):
            text = read_file(text[1:], "the URL of --notify", _LONGEST_URL).decode(errors="replace")
        values["notify"] = text.strip()


def _umask(given: Given) -> int:
    text = given.text("umask")
    if text is None:
        mask = posix.umask(0o077)
        posix.umask(mask)
        return mask
    if not text or any(c not in "01234567" for c in text):
        raise UsageError(f"--umask cannot be {text!r}", expected="octal, as in 027")
    return int(text, 8)


def _times(given: Given, values: Values) -> None:
    if (text := given.text("time")) is not None:
        values["time_limit"] = duration("--time", text)
    if (text := given.text("not_before")) is not None:
        from ostler.cli.when import parse_moment

        values["not_before"] = parse_moment("--not-before", text)
    if (text := given.text("signal")) is not None:
        values["warn_signal"], values["warn_before"] = warning(text)
        if "time_limit" not in values:
            complain("--signal warns before the time limit, and there is none; give one with -t")


def _elements(given: Given, values: Values) -> None:
    """Set the array: from ranges, or one element for each line of a file."""
    spans: list[tuple[int, int]] = []
    if (text := given.text("array")) is not None:
        spans, cap = array(text)
        values["array_cap"] = cap
    if (name := given.text("each")) is not None:
        if spans:
            raise UsageError(
                "--each makes an element for each line, so --array cannot name others",
                expected="--array %N, for at most N at once",
            )
        from ostler.client.spec import count_lines

        data = read_file(name, "the list", MAX_ITEMS)
        lines = count_lines(data)
        if not lines:
            raise UsageError(f"the list {name!r} has no lines, so there is nothing to run")
        values["items"] = data
        spans = [(0, lines - 1)]
    elif text is not None and not spans:
        raise UsageError(f"--array {text} names no elements", expected="as in 0-99%10")
    if spans:
        values["array"] = spans


def command_bytes(words: list[str]) -> list[bytes]:
    """Return a command's words as they came in, whatever bytes they hold."""
    return [place.encode(word) for word in words]


def base_name(path: str) -> str:
    """Return the last part of a path, fit to be a job's name."""
    name = path.rstrip("/").rpartition("/")[2]
    return "".join(c if c.isprintable() and c < "\ud800" else "?" for c in name)[:200]
