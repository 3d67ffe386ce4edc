"""The process of a scheduler that is no part of Ostler: a line in, a line out, within a time."""

import asyncio
import contextlib
import ctypes
import os
import signal
import sys

from ostler.manager.run_as import Place, environment, identity
from ostler.model.scheduler import is_class, words_of
from ostler.model.site import Scheduler
from ostler.model.units import format_size
from ostler.schedule.proposal import MOST

# Bounds itself: not even root may bound another user's process everywhere.
_BOUNDED = ("/bin/sh", "-c", 'ulimit -v "$0" && exec "$@"')
_PDEATHSIG = 1  # linux/prctl.h
_prctl = ctypes.CDLL(None).prctl
_PARTING = 1.0  # seconds from the end of its output until it is killed
_TAIL = 500  # characters of its errors that are told


def _end_with_parent() -> None:
    """Have this process killed when the one that started it is gone, however that went."""
    _prctl(_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


class Outsider:
    """Nothing of it is left when it was ended."""

    def __init__(self, row: Scheduler, place: Place) -> None:
        self._row, self._place = row, place
        self._process: asyncio.subprocess.Process | None = None
        self._errors: asyncio.Task[None] | None = None
        self._tail = b""

    @property
    def pid(self) -> int | None:
        """Return the process, if there is one."""
        return None if self._process is None else self._process.pid

    async def ask(self, question: bytes) -> tuple[bytes, float]:
        """Return its answer, and the seconds it took; raise OSError, EOFError or ValueError."""
        process, loop = self._process, asyncio.get_running_loop()
        began = loop.time()
        async with asyncio.timeout(self._row.deadline):
            if process is None or process.stdin is None or process.stdout is None:
                raise OSError("it has no pipes")
            process.stdin.write(question + b"\n")
            # It may answer before it has read everything: a pipe that is full must not hold us up.
            try:
                asked = process.stdin.drain(), process.stdout.readuntil(b"\n")
                _, answer = await asyncio.gather(*asked)
            except asyncio.IncompleteReadError:
                raise EOFError(f"it ended with status {await self._status(process)}") from None
            except asyncio.LimitOverrunError:
                raise ValueError(f"its answer is longer than {format_size(MOST)}") from None
        return answer, loop.time() - began

    async def _status(self, process: asyncio.subprocess.Process) -> int:
        """Return how it ended; kill it if it only closed its standard output."""
        with contextlib.suppress(TimeoutError):
            return await asyncio.wait_for(process.wait(), _PARTING)
        self.kill()
        return await process.wait()

    async def start(self) -> int:
        """Start it, and return its process; raise OSError or `Refused`."""
        row = self._row
        own = not row.user and not self._place.system
        who = None if own else identity(row.user, self._place, "a scheduler")
        switch = who is not None and who.groups is not None
        worker = [sys.executable, "-I", "-m", "ostler.manager.scheduler_worker"]
        process = self._process = await asyncio.create_subprocess_exec(
            *(*_BOUNDED, str(row.memory >> 10)),
            *([*worker, row.command] if is_class(row) else words_of(row)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=MOST,
            cwd="/",
            env={} if who is None else environment(who, self._place),
            start_new_session=True,
            preexec_fn=_end_with_parent,
            user=who.uid if who is not None and switch else None,
            group=who.gid if who is not None and switch else None,
            extra_groups=who.groups if who is not None and switch else None,
        )
        self._tail = b""
        self._errors = asyncio.get_running_loop().create_task(self._listen(process))
        return process.pid

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        """Keep the end of what it writes to its standard error."""
        while process.stderr is not None and (part := await process.stderr.read(1 << 14)):
            self._tail = (self._tail + part)[-_TAIL:]

    def why(self, error: BaseException) -> str:
        """Return what went wrong as one sentence, with the last line that it wrote of it."""
        if isinstance(error, TimeoutError):
            told = f"it did not answer within {self._row.deadline} s"
        elif isinstance(error, EOFError):
            told = str(error)
        elif isinstance(error, ConnectionError):
            told = "it ended before it had read what it was told"
        else:
            told = f"it could not be asked, or what it said makes no sense: {error}"
        last = self._tail.decode(errors="replace").strip().rpartition("\n")[2]
        return f"{told}; it wrote: {last}" if last else told

    def kill(self) -> None:
        """Kill it with all of its session."""
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)

    async def end(self) -> None:
        """Kill it, and wait until it is gone."""
        self.kill()
        process, self._process = self._process, None
        if process is not None:
            await process.wait()
        if self._errors is not None:
            self._errors.cancel()
            self._errors = None
