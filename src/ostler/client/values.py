"""What a Python program passes to `submit`, as the values of a specification."""

import os
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from operator import index
from typing import Any, SupportsIndex, TypedDict

from ostler.client.spec import join_environment
from ostler.model.errors import UsageError
from ostler.model.job import KINDS
from ostler.model.ranges import normalise, parse_ranges
from ostler.model.units import parse_duration, parse_size

Word = str | bytes | os.PathLike[str]


class JobOptions(TypedDict, total=False):
    """The options of a job. Sizes: bytes or `8G`; durations: seconds or `1h30m`."""

    name: str
    project: str
    partition: str
    rm: str  # only in this resource manager; native: in none
    priority: int  # 0 to 100
    tasks: int
    cpus: int  # of each task
    memory: int | str  # of each task
    gpus: int  # of each task
    generic: Mapping[str, int]  # named resources of each task
    nodes: int
    tasks_per_node: int  # at most; without `tasks` exactly so many
    constraint: str  # on features of the nodes: `a100&!old`, `rack1*2&rack2*1`
    exclusive: bool  # whole nodes
    spread: bool  # over as many nodes as there can be, not as few
    licences: Mapping[str, int]  # of the machine, for all tasks together
    reservation: str
    distribution: str  # of ranks over nodes: block or cyclic
    kill_on_bad_exit: bool  # the first task that fails ends the others
    nodelist: Sequence[str]
    exclude: Sequence[str]
    time: float | str  # the time limit
    cwd: Word  # the caller's unless given
    env: Mapping[str, str]  # the caller's unless given
    umask: int  # the caller's unless given
    output: Word  # pattern
    error: Word  # pattern
    input: Word
    array: str | range | Sequence[int]  # `0-99`, `0-99%10`, range(100), [1, 5, 7]
    array_cap: int  # elements at once
    each: Sequence[str | bytes]  # an element for each line
    after: object  # a job or several: handles or ids, or (job, "ok" | "any" | "fail" | "each")
    not_before: float  # Unix seconds
    hold: bool
    requeue: bool
    retries: int
    retry_on: Sequence[str]
    signal: tuple[int, float]  # signal number, seconds before the limit
    grace: float  # seconds between SIGTERM and SIGKILL
    mail: Sequence[str]  # when its user is mailed: begin, end, fail, element
    mail_to: str  # where to
    notify: str  # URL to which its begin and end are posted


_PATHS = frozenset({"cwd", "output", "error", "input"})


def values_of(options: JobOptions) -> dict[str, object]:
    """Return the values that `spec.make_spec` takes; raise `UsageError` naming the option."""
    values: dict[str, object] = {}
    for name, value in options.items():
        if name not in JobOptions.__annotations__:
            raise _no_option(name)
        if value is None:
            continue
        try:
            values.update(_value(name, value))
        except (ValueError, TypeError, AttributeError) as error:
            raise UsageError(f"{name} cannot be {value!r}: {error}") from None
    if "items" in values and "array" in values and "array" in options:
        raise UsageError("each makes an element for each line; array cannot name others")
    return values


def _no_option(name: str) -> UsageError:
    names = list(JobOptions.__annotations__)
    near = get_close_matches(name, names, 1)
    hint = f"did you mean {near[0]!r}" if near else f"there are {', '.join(names)}"
    return UsageError(f"a job has no option {name!r}", hint=hint)


def _value(name: str, value: Any) -> dict[str, object]:
    if name in _PATHS:
        return {name: os.fsencode(value)}
    match name:
        case "memory":
            return {"memory": parse_size(value) if isinstance(value, str) else int(value)}
        case "time":
            return {"time_limit": _seconds(value)}
        case "grace":
            return {"grace": _seconds(value)}
        case "env":
            pairs = {os.fsencode(k): os.fsencode(v) for k, v in value.items()}
            return {"env": join_environment(pairs)}
        case "array":
            return _array(value)
        case "each":
            return _each(value)
        case "after":
            return {"after": [_dependency(item) for item in listed(value)]}
        case "signal":
            return {"warn_signal": int(value[0]), "warn_before": int(value[1])}
        case "nodelist" | "exclude" | "retry_on" | "mail":
            if isinstance(value, str):
                raise ValueError("it takes a list")
            return {name: [str(item) for item in value]}
        case "generic" | "licences":
            return {name: {str(k): int(v) for k, v in value.items()}}
    return {name: _plain(JobOptions.__annotations__[name], value)}


def _plain(type_: object, value: object) -> object:
    """Return a value that goes as it is; raise ValueError if it is none of its option's type."""
    if type_ is int:
        if not isinstance(value, SupportsIndex):
            raise ValueError("it takes a whole number")
        return index(value)
    if type_ is bool and not isinstance(value, bool):
        raise ValueError("it takes True or False")
    if type_ is str and not isinstance(value, str):
        raise ValueError("it takes one word or text")
    return value


def _seconds(value: float | str) -> int:
    """Return whole seconds, at least 1 for what is more than nothing: 0 would mean no limit."""
    seconds = parse_duration(value) if isinstance(value, str) else value
    return max(1, round(seconds)) if seconds > 0 else 0


def _array(value: str | Iterable[int]) -> dict[str, object]:
    """Return the ranges, and the cap of `0-99%10`."""
    text, percent, cap = value.partition("%") if isinstance(value, str) else ("", "", "")
    if not percent:
        return {"array": _spans(value)}
    if not (cap.isascii() and cap.isdigit() and int(cap)):
        raise ValueError("after % comes how many elements may run at once, at least 1")
    return {"array": _spans(text), "array_cap": int(cap)}


def listed(value: Any) -> Iterable[object]:
    """Return what jobs are named: one may stand alone, and a word is an id, not its letters."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        pair = len(value) == 2 and value[1] in KINDS
        return [value] if pair else value
    return [value] if isinstance(value, str | int) or hasattr(value, "id") else value


def _spans(value: str | Iterable[int]) -> list[tuple[int, int]]:
    if isinstance(value, str):
        return parse_ranges(value)
    if isinstance(value, range) and value.step == 1 and value:
        return [(value.start, value.stop - 1)]
    spans = normalise([(int(n), int(n)) for n in value])
    if not spans or spans[0][0] < 0:
        raise ValueError("it names no elements, or negative ones")
    return spans


def _each(lines: Iterable[str | bytes]) -> dict[str, object]:
    if isinstance(lines, str | bytes):
        raise ValueError("it takes a list of lines")
    items = [os.fsencode(line) for line in lines]
    if not items:
        raise ValueError("there is nothing to run")
    if any(len(item.splitlines()) > 1 or item.endswith((b"\n", b"\r")) for item in items):
        raise ValueError("a line holds a line break")
    return {"items": b"\n".join(items) + b"\n", "array": [(0, len(items) - 1)]}


def _dependency(item: object) -> dict[str, object]:
    job, kind = item if isinstance(item, tuple) else (item, "ok")
    number = int(str(getattr(job, "id", job)))
    if kind not in KINDS:
        raise ValueError(f"a dependency is {', '.join(KINDS)}")
    return {"job": number, "kind": kind}
