"""Processes from outside: start one and account for it, add up the CPU of a tree."""

import os
import select
import shutil
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil

PATIENCE = 600.0  # seconds: bounds hanging, never a measure


class Unavailable(Exception):
    """A contender cannot be measured here; the text says why."""


class Timed(NamedTuple):
    """One process, from its start to its end."""

    seconds: float
    cpu_seconds: float  # with all that it waited for


def program(name: str) -> str:
    """Return the path of a program; raise `Unavailable`."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        raise Unavailable(f"there is no {name} here")
    return found


def timed(
    words: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    stdin: str | Path = os.devnull,
    stdout: str | Path = os.devnull,
) -> Timed:
    """Run a program; raise `CalledProcessError` if it fails, or takes longer than `PATIENCE`."""
    write = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, str(stdin), os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(stdout), write, 0o666),
    ]
    argv = [str(word) for word in words]
    began = time.perf_counter()
    pid = os.posix_spawn(argv[0], argv, env or os.environ, file_actions=actions)
    ended = os.pidfd_open(pid)
    if not select.select([ended], [], [], PATIENCE)[0]:
        os.kill(pid, signal.SIGKILL)
    os.close(ended)
    _, status, usage = os.wait4(pid, 0)
    seconds = time.perf_counter() - began
    if status:
        raise Unavailable(
            f"`{' '.join(argv)[:200]}` ended with {os.waitstatus_to_exitcode(status)}"
        )
    return Timed(seconds, usage.ru_utime + usage.ru_stime)


def tree(root: int) -> list[psutil.Process]:
    """Return a process and all below it."""
    process = psutil.Process(root)
    return [process, *process.children(recursive=True)]


def cpu_of_tree(*roots: int) -> float:
    """Return CPU seconds of processes and all below them, with those that they waited for.

    When a process is waited for, its time passes to who waited: so the sum grows by what was
    used, whoever ended meanwhile. The kernel tells each part in steps of 10 ms.
    """
    return sum(sum(times[:4]) for root in roots for times in _times(root))


def _times(root: int) -> Iterator[tuple[float, ...]]:
    for process in tree(root):
        with suppress(psutil.NoSuchProcess):
            yield process.cpu_times()


def cpu_of(pid: int) -> float:
    """Return CPU seconds of one living process alone, to the nanosecond."""
    return _scheduled(pid)[0]


def scheduled(*roots: int) -> tuple[float, int]:
    """Return CPU seconds, and how often they got a CPU, of some processes and the living below.

    Finer than `cpu_of_tree`, but blind to who has ended.
    """
    each = [_scheduled(process.pid) for root in roots for process in tree(root)]
    return sum(seconds for seconds, _ in each), sum(turns for _, turns in each)


def _scheduled(pid: int) -> tuple[float, int]:
    """Return the same of the threads of one process."""
    ran_ns, turns = 0, 0
    for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with suppress(OSError):
            ran, _, times = map(int, path.read_text(encoding="ascii").split())
            ran_ns += ran
            turns += times
    return ran_ns / 1e9, turns


def resident_mb(pid: int) -> float:
    """Return the resident size of one process in MB of a million bytes."""
    return float(psutil.Process(pid).memory_info().rss) / 1e6
