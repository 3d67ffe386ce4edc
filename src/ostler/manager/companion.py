"""A process beside the manager, as the manager sees it: frames in, frames out, and its end."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Self

from ostler.model.errors import NotNow


class Companion:
    """One process. Whoever begins it reads from it until it ends."""

    def __init__(self, process: asyncio.subprocess.Process, most: int) -> None:
        self._process = process
        self._most = most

    @classmethod
    async def begin(cls, command: Sequence[str], env: Mapping[str, str], most: int) -> Self:
        """Start it; raise OSError. most: bytes of one frame of its."""
        return cls(
            await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env=env,
                cwd="/",
            ),
            most,
        )

    @property
    def pid(self) -> int:
        """Return its number."""
        return self._process.pid

    @property
    def stdin(self) -> asyncio.StreamWriter:
        """Return where frames go; raise `NotNow` if nobody reads them any more."""
        stdin = self._process.stdin
        if stdin is None or stdin.is_closing():
            raise NotNow("the process has ended")
        return stdin

    async def read(self) -> bytes:
        """Return its next frame; raise EOFError at its end, ValueError if the frame is too long."""
        out = self._process.stdout
        if out is None:
            raise EOFError
        size = int.from_bytes(await out.readexactly(4), "big")
        if size > self._most:
            raise ValueError(f"a message of {size} bytes is too long")
        return await out.readexactly(size)

    def kill(self) -> None:
        """End it at once, if it has not ended."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def end(self, seconds: float = 5.0) -> None:
        """Close its stdin, which it ends by, and wait; kill it if it takes longer than this."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), seconds)
        self.kill()
        await self._process.wait()

    async def status(self) -> int:
        """Return how it ended, once it has."""
        return await self._process.wait()
