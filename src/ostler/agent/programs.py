"""Prolog and epilog: what the machine runs on this node around all tasks of an allocation.

They run as the agent does: as root on a system machine, else as its owner. A failure says why this
node should be drained; the epilog runs after whatever a prolog has begun. It runs once: after a death
of the agent the next one waits for it, and learns how it ended or says that nobody can tell.
"""

import asyncio
import contextlib
import logging
import os
import signal
import stat
from collections.abc import Callable
from typing import Protocol

from ostler.agent import proc
from ostler.agent.journal import Journal, Ran
from ostler.agent.output import why_not
from ostler.agent.reaper import Reaper
from ostler.model.ids import AllocationId
from ostler.model.orders import Launch, Programs

log = logging.getLogger("ostler.agent")

PROLOG, EPILOG = "prolog", "epilog"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LINES = 100  # of the output of one run that the log gets,
_LINE = 500  # with so many bytes of each
_READ = 1 << 16  # bytes of output taken in one turn of the loop
_UNKNOWN = "and nobody can tell how far it came: its agent had died"
_DEFAULT_SIGNALS = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}

Told = Callable[[str], None]  # called with why it failed; empty: it did not


class Office(Protocol):
    """What the runs of all shares need."""

    journal: Journal
    reaper: Reaper


class Around:
    """The programs around one share: the prolog once before it, the epilog once after it."""

    def __init__(self, office: Office, launch: Launch, programs: Programs) -> None:
        self.is_ready = False  # the prolog has succeeded
        self.is_clear = False  # nothing is left to be done after the share
        self.is_busy = False  # the prolog runs
        self.touched = False  # a prolog or a starter had it, so that the epilog has to follow
        self.begun: Ran | None = None  # the epilog that an agent before this one has begun
        self._office = office
        self._launch = launch
        self._programs = programs
        self._clears = False
        self._run: Run | None = None

    def prepare(self, then: Told) -> None:
        """Run the prolog, unless it does."""
        if self.is_busy:
            return
        self.is_busy = self.touched = True
        self._begin(PROLOG, self._programs.prolog, lambda why: self._prepared(why, then))

    def _prepared(self, why: str, then: Told) -> None:
        self.is_busy, self.is_ready = False, not why
        then(why)

    def clear(self, then: Told) -> None:
        """Run the epilog, unless it does; whoever asks first is told."""
        if self._clears:
            return
        self._clears = True
        path = self._programs.epilog if self.touched else ""
        told = lambda why: self._cleared(why, then)  # noqa: E731
        if self.begun is None:
            self._begin(EPILOG, path, told)
        else:
            self._run = Run(self._office, self._launch.alloc, EPILOG, path, self._programs.seconds)
            self._run.go_on(self.begun, told)

    def _cleared(self, why: str, then: Told) -> None:
        self.is_clear = True
        then(why)

    def _begin(self, what: str, path: str, then: Told) -> None:
        if not path:
            then("")
            return
        self._run = Run(self._office, self._launch.alloc, what, path, self._programs.seconds)
        self._run.begin(_environment(self._launch, self._programs, what), then)

    def close(self) -> None:
        """Look no more, as the agent ends; the next one ends what runs."""
        if self._run is not None:
            self._run.close()


class Run:
    """One run of one of them. All of its process group is killed when it takes too long."""

    def __init__(
        self, office: Office, alloc: AllocationId, what: str, path: str, seconds: int
    ) -> None:
        self._office = office
        self._alloc = alloc
        self._what = what
        self._path = path
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._then: Told = lambda _: None
        self._pid = 0
        self._start_time = 0
        self._late = False
        self._left = False  # it was begun by an agent before this one
        self._lines = 0
        self._last = b""  # the last line that says something
        self._rest = b""  # the beginning of a line of which the end is not there yet
        self._output = -1
        self._pidfd = -1
        self._timer: asyncio.TimerHandle | None = None
        self._end: asyncio.Task[None] | None = None

    def begin(self, env: dict[str, str], then: Told) -> None:
        """Start it; `then` is called once, later."""
        self._then = then
        why = unsafe(self._path)
        try:
            if not why:
                self._spawn(env)
        except OSError as error:
            why = why_not(error)
        if why:
            self._loop.call_soon(then, f"{self._what} {self._path} cannot be run: {why}")

    def go_on(self, ran: Ran, then: Told) -> None:
        """Wait for what an agent before this one has begun; `then` is called once, later."""
        self._then, self._left = then, True
        self._pid, self._start_time = ran.pid, ran.start_time
        try:
            self._pidfd = os.pidfd_open(ran.pid) if ran.pid else -1
        except ProcessLookupError:
            self._pidfd = -1
        if self._pidfd >= 0 and proc.is_alive(ran.pid, ran.start_time):
            self._loop.add_reader(self._pidfd, self._ended)
            self._timer = self._loop.call_later(self._seconds, self._is_late)
        elif ran.pid:
            self._end = self._loop.create_task(self._learn())
        else:
            self._loop.call_soon(then, self._sentence("was about to begin, " + _UNKNOWN))

    def _spawn(self, env: dict[str, str]) -> None:
        if self._what == EPILOG:
            self._note(Ran(self._alloc, EPILOG))
        readable, writable = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(readable, False)
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, writable, 1),
            (os.POSIX_SPAWN_DUP2, writable, 2),
        ]
        try:
            self._pid = os.posix_spawn(
                self._path,
                [self._path],
                env,
                file_actions=actions,
                setsid=True,
                setsigmask=(),
                setsigdef=_DEFAULT_SIGNALS,
            )
        except OSError:
            os.close(readable)
            raise
        finally:
            os.close(writable)
        # Nobody reaps it before this turn of the loop is over.
        self._start_time = proc.start_time(self._pid)
        self._output, self._pidfd = readable, os.pidfd_open(self._pid)
        self._note(Ran(self._alloc, self._what, self._pid, self._start_time))
        self._loop.add_reader(self._output, self._read)
        self._loop.add_reader(self._pidfd, self._ended)
        self._timer = self._loop.call_later(self._seconds, self._is_late)

    def _note(self, ran: Ran) -> None:
        with contextlib.suppress(OSError):  # a full disk: only a death of the agent would show it
            self._office.journal.run(ran)

    # -- its output --------------------------------------------------------------------------

    def _read(self) -> bool:
        """Take some of what it says; return whether there may be more."""
        if self._output < 0:  # what it said was for an agent that is gone
            return False
        try:
            data = os.read(self._output, _READ)
        except BlockingIOError:
            return False
        if not data:
            self._loop.remove_reader(self._output)
            return False
        text = self._rest + data
        if self._lines <= _LINES:
            *lines, self._rest = text.split(b"\n")
            for line in lines[: _LINES + 1]:
                self._say(line)
        if self._lines > _LINES:
            self._rest = text  # of the rest only the last line is wanted
        self._rest = self._rest[-_LINE:]
        return True

    def _say(self, line: bytes) -> None:
        if not line.strip():
            return
        self._last = line[:_LINE]
        self._lines += 1
        if self._lines <= _LINES:
            more = {"alloc": self._alloc, "line": self._last.decode(errors="replace")}
            log.info("%s says", self._what, extra=more)
        elif self._lines == _LINES + 1:
            log.info("%s says more, which is left out", self._what, extra={"alloc": self._alloc})

    # -- its end -----------------------------------------------------------------------------

    def _is_late(self) -> None:
        self._late = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._pid, signal.SIGKILL)

    def _ended(self) -> None:
        """Stop the clock, and learn how it ended from whoever reaps it."""
        if self._timer is not None:
            self._timer.cancel()
        self._loop.remove_reader(self._pidfd)
        self._end = self._loop.create_task(self._learn())

    async def _learn(self) -> None:
        found = await self._office.reaper.ending(self._pid, self._start_time)
        for _ in range(_LINES):  # what it said last; others may hold its output open
            if not self._read():
                break
        for line in self._rest.split(b"\n"):
            self._say(line)
        self.close()
        if self._late:
            why = f"did not end within {self._seconds} s"
        elif found is None or (self._left and found.signal == signal.SIGPIPE):
            why = f"ended, {_UNKNOWN}" if self._left else "ended, and nobody can tell how"
        elif found.signal:
            why = f"was ended by {signal.Signals(found.signal).name}"
        elif found.code:
            why = f"exited with status {found.code}"
        else:
            why = ""
        log.info("%s has ended", self._what, extra={"alloc": self._alloc, "why": why})
        self._then(why and self._sentence(why))

    def _sentence(self, why: str) -> str:
        last = self._last.decode(errors="replace").strip()
        said = "".join(c if c.isprintable() else "?" for c in last)
        return f"{self._what} {self._path} {why}" + (f": {said}" if said else "")

    def close(self) -> None:
        """Let go of it."""
        if self._timer is not None:
            self._timer.cancel()
        for fd in (self._output, self._pidfd):
            if fd >= 0:
                self._loop.remove_reader(fd)
                os.close(fd)
        self._output = self._pidfd = -1


def unsafe(path: str) -> str:
    """Return why a program may not be run by root; empty when it may, or we are not root."""
    if os.geteuid() != 0:
        return ""
    for one in (path, os.path.dirname(path)):
        found = os.stat(one)
        if found.st_uid != 0 or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return f"others than root can change {one}; let root own it, and chmod go-w it"
    return ""


def end_left(ran: Ran) -> None:
    """Kill a prolog that an agent before this one has left running, with its process group."""
    if ran.what == PROLOG and proc.is_alive(ran.pid, ran.start_time):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(ran.pid, signal.SIGKILL)


def _environment(launch: Launch, programs: Programs, what: str) -> dict[str, str]:
    """Return what the program finds in its environment: facts of the job, nothing of its user's."""
    place = launch.placement
    env = {
        "PATH": _PATH,
        "OSTLER_PROGRAM": what,
        "OSTLER_NODE": place.node,
        "OSTLER_NODES": ",".join(launch.members),
        "OSTLER_JOB_ID": str(launch.job),
        "OSTLER_JOB_NAME": launch.name.replace("\0", ""),
        "OSTLER_JOB_USER": launch.user,
        "OSTLER_JOB_UID": str(launch.uid),
        "OSTLER_JOB_GID": str(launch.gid),
        "OSTLER_JOB_PARTITION": programs.partition,
        "OSTLER_JOB_CONTEXT": str(launch.alloc),
        "OSTLER_JOB_CPU_LIST": ",".join(map(str, place.cpus)),
        "OSTLER_JOB_MEMORY": str(place.memory),
        "OSTLER_JOB_GPU_LIST": ",".join(map(str, place.gpus)),
    }
    if launch.step >= 0:
        env["OSTLER_STEP_ID"] = str(launch.step)
    return env
