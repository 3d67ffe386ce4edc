"""Amounts of resources in words, as the sentences of planner and checks use them."""

from collections.abc import Sequence

from ostler.model.resources import Request
from ostler.model.units import format_size
from ostler.schedule.why import kinds

_SHOWN = 5  # names in a list; more are counted


def amount_of(kind: str, count: int) -> str:
    """Return `4 CPUs`, `1 GPU`, `2G of memory`, `3 of lic`.

    >>> amount_of("cpus", 1), amount_of("memory", 2 << 30)
    ('1 CPU', '2G of memory')
    """
    match kind:
        case "cpus":
            return counted(count, "CPU")
        case "gpus":
            return counted(count, "GPU")
        case "memory":
            return f"{format_size(count)} of memory" if count else "no memory"
        case _:
            return f"{count} of {kind.removeprefix('generic:')}"


def amount_in(kind: str, count: int) -> str:
    """Return the amount where the kind is already named: `4`, `2G`."""
    return format_size(count) if kind == "memory" else str(count)


def asking_for(kind: str, count: int) -> str:
    """Return the options that ask for so much of a kind for each task: `-c 4`, `-m 2G`."""
    match kind:
        case "cpus":
            return f"-c {count}"
        case "gpus":
            return f"--gpus {count}"
        case "memory":
            return f"-m {_rounded_down(count)}"
        case _:
            return f"--generic {kind.removeprefix('generic:')}={count}"


def to_ask(kind: str, count: int) -> str:
    """Return the amount in words, memory rounded down to a size that can be asked for."""
    return f"{_rounded_down(count)} of memory" if kind == "memory" else amount_of(kind, count)


def _rounded_down(size: int) -> str:
    """Return a size that can be asked for: rounded up, as for reading, it would not fit.

    >>> _rounded_down(8 << 30), _rounded_down((8 << 30) - 1)
    ('8G', '8191M')
    """
    for unit, step in (("T", 1 << 40), ("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10)):
        if size >= 10 * step or (size and size % step == 0):
            return f"{size // step}{unit}"
    return str(size)


def counted(count: int, noun: str) -> str:
    """Return `1 node`, `2 nodes`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def task_of(request: Request) -> str:
    """Return what one task asks for: `4 CPUs, 2G of memory and 1 GPU`."""
    return joined([amount_of(kind, count) for kind, _, count in kinds(request)], "and")


def joined(parts: Sequence[str], word: str) -> str:
    """Return `a, b and c`."""
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} {word} {parts[-1]}"


def listed(names: Sequence[str]) -> str:
    """Return the names with commas; the first few of many, and how many more there are."""
    more = len(names) - _SHOWN
    shown = ", ".join(names[:_SHOWN])
    return f"{shown} and {more} more" if more > 0 else shown


def jobs(names: Sequence[str]) -> str:
    """Return `job 12`, `jobs 12, 14 and 3 more`."""
    return f"{'job' if len(names) == 1 else 'jobs'} {listed(names)}"
