"""What a job has written: its files, read as they grow. For Python and for `ostler logs`."""

import os
import stat
from collections.abc import Iterator

from ostler.model.errors import Missing

LOOK = 0.1  # seconds between looks at files that grow on whatever file system
_CHUNK = 1 << 20  # bytes of one piece


class Output:
    """One output file, read as far as it goes. It may be absent, cut, or put in another's place.

    ident: the job, element or task that writes it first. at: how many bytes of it were read.
    """

    __slots__ = ("_inode", "at", "ident", "path")

    def __init__(self, ident: str, path: bytes, at: int = 0) -> None:
        self.ident = ident
        self.path = path
        self.at = at
        self._inode = 0

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
            if found.st_size < self.at or (self._inode and found.st_ino != self._inode):
                self.at = 0  # it was begun anew: the job was requeued, or somebody moved it away
            self._inode = found.st_ino
            data = os.pread(fd, _CHUNK, self.at)
        finally:
            os.close(fd)
        self.at += len(data)
        return data

    def all(self) -> Iterator[bytes]:
        """Yield all that came since, in pieces."""
        while data := self.more():
            yield data
