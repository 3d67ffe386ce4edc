"""Files that grow, copied to standard output: with headings where the file changes, or with labels.

What is held in memory does not grow with the files, nor with their number.
"""

import os

from ostler.cli.output import complain, say, write_all
from ostler.client.outputs import Output
from ostler.model.errors import Missing

_LONGEST = 1 << 16  # bytes of a line without its end that are kept back to be printed whole
_REMEMBERED = 10_000  # files that were closed: how far they were printed, if they come again


class File(Output):
    """One output file, and what is to be told of it."""

    __slots__ = ("complained", "rest")

    def __init__(self, ident: str, path: bytes, at: int = 0) -> None:
        super().__init__(ident, path, at)
        self.rest = b""  # of a line whose end has not been written yet
        self.complained = False


class Printer:
    """Copies files to standard output.

    headed: a heading wherever the file changes. labelled: each line begins with the element's id,
    and is printed when its end is there.
    """

    def __init__(self, *, headed: bool, labelled: bool) -> None:
        self.printed = False
        self.complained = False
        self._headed = headed
        self._labelled = labelled
        self._last: File | None = None

    def copy(self, file: File) -> bool:
        """Print all that is new of a file; say whether there was anything."""
        before = self.printed, file.at
        while data := self._more(file):
            self._print(file, data)
        return before != (self.printed, file.at)

    def _more(self, file: File) -> bytes:
        """Return what is new of a file; that it cannot be read is told once."""
        try:
            return file.more()
        except (OSError, Missing) as error:
            if not file.complained:
                why = (
                    f"{os.fsdecode(file.path)!r} cannot be read: {error.strerror}"
                    if isinstance(error, OSError)
                    else error.message
                )
                complain(f"{file.ident}: {why}")
            file.complained = self.complained = True
            return b""

    def finish(self, file: File) -> None:
        """Print what is left of a file that grows no further."""
        self.copy(file)
        if file.rest:
            write_all(1, b"%s: %s\n" % (file.ident.encode(), file.rest))
            file.rest = b""

    def _print(self, file: File, data: bytes) -> None:
        self.printed = True
        if self._labelled:
            write_all(1, self._lines(file, data))
            return
        if self._headed and self._last is not file:
            gap = "\n" if self._last is not None else ""
            say(f"{gap}==> {file.ident}: {os.fsdecode(file.path)} <==")
        self._last = file
        write_all(1, data)

    def _lines(self, file: File, data: bytes) -> bytes:
        """Return the whole lines that there are now, each with its label."""
        lines = (file.rest + data).split(b"\n")
        file.rest = lines.pop()
        while len(file.rest) > _LONGEST:
            lines.append(file.rest[:_LONGEST])  # rather cut than kept without end
            file.rest = file.rest[_LONGEST:]
        label = file.ident.encode() + b": "
        return b"".join(label + line + b"\n" for line in lines)


class Files:
    """The files that are open, by path: several elements may share one."""

    def __init__(self) -> None:
        self.open: dict[bytes, File] = {}
        self._closed: dict[bytes, int] = {}  # how far each was read, the last one closed at the end

    def get(self, ident: str, path: bytes) -> File:
        """Return the file; one that was closed before goes on where it was."""
        file = self.open.get(path)
        if file is None:
            file = self.open[path] = File(ident, path, self._closed.pop(path, 0))
        return file

    def new(self, path: bytes) -> bool:
        """Say whether the path was not met before."""
        new = path not in self.open and path not in self._closed
        self.get("", path)
        self.close(path)
        return new

    def close(self, path: bytes) -> None:
        """Forget the file, but not how far it was printed."""
        file = self.open.pop(path, None)
        if file is None:
            return
        self._closed[path] = file.at
        if len(self._closed) > _REMEMBERED:
            del self._closed[next(iter(self._closed))]
