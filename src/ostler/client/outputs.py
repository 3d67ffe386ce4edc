"""What a job has written: its files, read as they grow."""

import os
import stat
from collections.abc import Iterator

from ostler.model.errors import Missing

LOOK = 0.1  # seconds between looks at files that grow on whatever file system
_CHUNK = 1 << 20  # bytes of one piece


class Output:
    """One output file, read as far as it goes. ident: the job or element that writes it first."""

    __slots__ = ("at", "ident", "path")

    def __init__(self, ident: str, path: bytes) -> None:
        self.ident = ident
        self.path = path
        self.at = 0

    def more(self) -> bytes:
        """Return what came since; empty if nothing, or if the file is not there (yet).

        Raises `Missing` for what is no file to be read again, and OSError where it cannot be read.
        """
        try:  # without waiting: it may be a FIFO that nobody writes to
            fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except FileNotFoundError:
            return b""
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                raise Missing(f"{os.fsdecode(self.path)!r} is no file: nothing of it was kept")
            if found.st_size < self.at:
                self.at = 0  # it was begun anew: the job was requeued
            data = os.pread(fd, _CHUNK, self.at)
        finally:
            os.close(fd)
        self.at += len(data)
        return data

    def all(self) -> Iterator[bytes]:
        """Yield all that came since, in pieces."""
        while data := self.more():
            yield data
