"""The jobs that a WIKI scheduler was told of, kept over restarts of the manager.

Maui keeps a job that is no longer listed as it was, and what it holds with it: it must be told the
end also of what ended while no manager was there.
"""

import asyncio
import contextlib
import os

from ostler.manager.wiki_view import View

_MOST = 1 << 20  # bytes that are read


class Shown:
    """A file of ids, one a line."""

    def __init__(self, path: str, view: View) -> None:
        self._path, self._view = path, view
        self._written: list[str] = []
        self._writing = asyncio.Lock()

    async def load(self) -> None:
        """Let the view remember what was told before; a file that is not there is an empty one."""
        with contextlib.suppress(OSError, ValueError):
            self._view.remember(await asyncio.to_thread(self._read))

    async def save(self) -> None:
        """Write down what was told, if it is something else than before."""
        async with self._writing:
            names = sorted(self._view.shown)
            if names != self._written:
                with contextlib.suppress(OSError):  # a full disk: the next time
                    await asyncio.to_thread(self._write, names)
                    self._written = names

    def _read(self) -> list[str]:
        with open(self._path, encoding="ascii") as file:
            return file.read(_MOST).split()

    def _write(self, names: list[str]) -> None:
        draft = f"{self._path}.new"
        with open(draft, "w", encoding="ascii") as file:
            file.write("".join(f"{name}\n" for name in names))
        os.replace(draft, self._path)
