"""Writes down what the scheduler is told, asked and plans: `ostler sim --replay` reads it.

A thread does it: the loop hands over bytes, and never waits for the disk. The file has a limit of
size; at half of it, it becomes the older one of two, and the next begins with all that is known.
"""

import contextlib
import logging
import os
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

from ostler.schedule import decisions

NAME = "decisions"
OLDER = "decisions.1"
BACKLOG = 64 << 20  # bytes that may wait for the disk; then recording stops until it is set anew
_MIB = 1 << 20

log = logging.getLogger("ostler.manager")


class Recorder:
    """The files of one machine. Of the loop, but for the thread that writes."""

    def __init__(self, folder: Path) -> None:
        self._path, self._older = folder / NAME, folder / OLDER
        self._limit = 0  # MiB, as it was told last
        self._size = 0  # bytes of the present file
        self._on = False
        self._queue: SimpleQueue[bytes | None] = SimpleQueue()
        self._given = 0  # bytes that were put into the queue
        self._written = 0  # of them; only the thread changes it
        self._thread: Thread | None = None

    def begins(self, limit: int) -> bool:
        """Take note of the limit, in MiB, 0: nothing is written; say if all must be told anew."""
        changed, self._limit = limit != self._limit, limit
        if not limit:
            self._on = False
            return False
        full = self._size > limit * _MIB // 2
        if not changed and not (self._on and full):
            return False
        self._on, self._size = True, 0
        if self._thread is None:
            self._thread = Thread(target=self._serve, name="recorder", daemon=True)
            self._thread.start()
        self._queue.put(b"")
        return True

    @property
    def on(self) -> bool:
        """Say whether anything is written."""
        return self._on

    def put(self, data: bytes) -> None:
        """Write a record that is already encoded."""
        if not self._on:
            return
        if self._given - self._written > BACKLOG:
            self._on = False
            log.error("decisions are no longer written: the disk is too slow")
            return
        record = decisions.framed(data)
        self._size += len(record)
        self._given += len(record)
        self._queue.put(record)

    def write(self, record: decisions.Record) -> None:
        """Write a record."""
        if self._on:
            self.put(decisions.encode(record))

    def close(self) -> None:
        """Write what waits, and end."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    # -- the thread ----------------------------------------------------------------------------

    def _serve(self) -> None:
        fd, broken = -1, False
        while (data := self._queue.get()) is not None:
            try:
                if not data:
                    fd, broken = self._renew(fd), False
                elif not broken:
                    _write(fd, data)
            except OSError as error:
                broken = True
                log.error("decisions are not written", extra={"error": str(error)})  # noqa: TRY400
            self._written += len(data)
        if fd >= 0:
            os.close(fd)

    def _renew(self, fd: int) -> int:
        """Begin another file."""
        if fd >= 0:
            os.close(fd)
        with contextlib.suppress(FileNotFoundError):
            os.replace(self._path, self._older)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        fd = os.open(self._path, flags, 0o600)
        _write(fd, decisions.HEADER)
        return fd


def _write(fd: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(fd, left) :]
