"""What typed options mean: from `Given` to the values of a job. Loaded by everyday commands."""

import posix

from ostler.cli.ask import duration, named_numbers, names, number, read_file, size, words
from ostler.cli.options import Given
from ostler.cli.output import complain
from ostler.client import place
from ostler.model.errors import UsageError
from ostler.model.limits import MAX_ITEMS

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
_LONGEST_URL = 4_096  # bytes
_HIGHEST_STATUS = 255
_RETRIED = ("failed", "timeout", "memory", "lost")  # results that can be tried again


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
        seconds = int(lead) if lead.isascii() and lead.isdigit() else duration("--signal", lead)
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


def base_name(path: str) -> str:
    """Return the last part of a path, fit to be a job's name."""
    name = path.rstrip("/").rpartition("/")[2]
    return "".join(c if c.isprintable() and c < "\ud800" else "?" for c in name)[:200]
