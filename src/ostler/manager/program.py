"""A handler's program: bounded in time, output and memory, and ended with all that it started."""

import contextlib
import ctypes
import os
import resource
import select
import signal
import subprocess
import time
from functools import partial

from ostler.manager.found import Found
from ostler.manager.pen import pen
from ostler.manager.run_as import Identity
from ostler.model.errand import Outcome, Program
from ostler.wire.cgroup import Groups

OUTPUT = 1 << 20  # bytes that it may write
SHOWN = 600  # of them the last, for the log
MEMORY = 1 << 30  # bytes of all its processes; without a control group, of data of each of them
_PR_SET_CHILD_SUBREAPER = 36
_ENDING = 5.0  # seconds to end what is left of it
_NAP = 0.01


def run(work: Program, who: Identity, environ: dict[str, str], lifeline: int) -> Found:
    """Run it to its end, or to that of its time. lifeline: readable when nobody wants it any more.

    Whatever it has started ends with it: this process is made their reaper, so that none can leave.
    """
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with pen(MEMORY) as groups:
        found = _run(work, who, environ, lifeline, groups)
        if found.result is Outcome.FAILED and groups.kills():
            found = found._replace(reason=f"it used more than {MEMORY >> 30} GiB of memory")
    return found


def _run(
    work: Program, who: Identity, environ: dict[str, str], lifeline: int, groups: Groups
) -> Found:
    ours, theirs = os.pipe()
    os.set_blocking(ours, False)
    stdin = os.memfd_create("event")
    os.write(stdin, work.stdin.encode())
    os.lseek(stdin, 0, os.SEEK_SET)
    try:
        process = _start(work, who, environ, (stdin, theirs), groups)
    except OSError as error:
        return Found(Outcome.FAILED, 127, f"{work.argv[0]} cannot be run: {error.strerror}")
    os.close(theirs)
    os.close(stdin)
    watch = _Watch(process.pid, ours, lifeline, time.monotonic() + work.timeout)
    why = watch.until_over()
    if why:
        _end_all()
    status = process.wait()  # it has ended by itself, or been killed
    _end_all()
    watch.drain()
    code = status if status >= 0 else 128 - status
    output = watch.tail.decode(errors="replace")
    if why:
        late = Outcome.LATE if why.startswith("it took") else Outcome.FAILED
        return Found(late, 128 + signal.SIGKILL, f"it was killed: {why}", output)
    if status < 0:
        return Found(Outcome.FAILED, code, f"it was ended by signal {-status}", output)
    if status:
        return Found(Outcome.FAILED, code, f"it exited with {status}", output)
    return Found(Outcome.SUCCESS, 0, "", output)


def _start(
    work: Program,
    who: Identity,
    environ: dict[str, str],
    files: tuple[int, int],
    groups: Groups,
) -> "subprocess.Popen[bytes]":
    stdin, stdout = files
    changed = who.groups is not None
    return subprocess.Popen(
        work.argv,
        stdin=stdin,
        stdout=stdout,
        stderr=stdout,
        cwd="/",
        env=environ,
        user=who.uid if changed else None,
        group=who.gid if changed else None,
        extra_groups=who.groups,
        umask=0o077,
        start_new_session=True,
        preexec_fn=partial(_bound, groups),  # noqa: PLW1509 - no thread runs here
    )


def _bound(groups: Groups) -> None:
    """Bound what the program may take; where memory is short, the kernel ends it first.

    Without a group that limits all of it, each process has a limit of its own.
    """
    if not [group for group in groups.all if group.enter()]:
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        most = MEMORY if hard == resource.RLIM_INFINITY else min(MEMORY, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")


class _Watch:
    """Reads what a program writes until it ends, its time is over, or it has written too much."""

    def __init__(self, pid: int, output: int, lifeline: int, until: float) -> None:
        self._pidfd = os.pidfd_open(pid)
        self._output, self._lifeline, self._until = output, lifeline, until
        self._began = time.monotonic()
        self._written = 0
        self.tail = b""

    def until_over(self) -> str:
        """Return why it must be killed; empty: it has ended."""
        poll = select.poll()
        for fd in (self._pidfd, self._output, self._lifeline):
            poll.register(fd, select.POLLIN)
        while True:
            left = self._until - time.monotonic()
            if left <= 0:
                return f"it took more than {self._until - self._began:.0f} s"
            for fd, _ in poll.poll(left * 1000):
                if fd == self._lifeline:
                    return "nobody waits for it any more"
                if fd == self._output and not self._read():
                    poll.unregister(fd)
                if self._written > OUTPUT:
                    return f"it wrote more than {OUTPUT >> 20} MiB"
                if fd == self._pidfd:
                    return ""

    def _read(self) -> bool:
        """Take in some of the output; say whether more may come."""
        try:
            data = os.read(self._output, 1 << 16)
        except BlockingIOError:
            return True
        self._written += len(data)
        self.tail = (self.tail + data)[-SHOWN:]
        return bool(data)

    def drain(self) -> None:
        """Take in what was written before the end."""
        with contextlib.suppress(OSError):
            for _ in range(OUTPUT >> 16):
                data = os.read(self._output, 1 << 16)
                self.tail = (self.tail + data)[-SHOWN:]
                if not data:
                    return


def _end_all() -> None:
    """Kill all descendants of this process, those too that have a session of their own."""
    until = time.monotonic() + _ENDING
    while found := _descendants(os.getpid()):
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > until:
            return
        time.sleep(_NAP)
        _reap()


def _reap() -> None:
    """Take the statuses of all children that have ended."""
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                return
        except ChildProcessError:
            return


def _descendants(root: int) -> list[int]:
    """Return the processes below one, zombies left out."""
    parents: dict[int, int] = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
            if fields[0] not in (b"Z", b"X"):
                parents[int(name)] = int(fields[1])
    found: list[int] = []
    below = {root}
    while below:
        below = {pid for pid, parent in parents.items() if parent in below}
        found += below
    return found
