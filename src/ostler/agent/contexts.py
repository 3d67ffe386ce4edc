"""Contexts on this node: what the tasks of one allocation have to know of one another.

One file each, made before the manager is told that the node is ready and gone before it is told
that nothing is left: only the job's user can read it, for it has the key that all its nodes share.
"""

import contextlib
import errno
import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping

from ostler.agent.starter_protocol import CONTEXTS
from ostler.core.agent import Share
from ostler.core.agent_words import Phase
from ostler.model.ids import AllocationId, job_name, step_id
from ostler.model.orders import Launch
from ostler.wire.messages import ContextRow

log = logging.getLogger("ostler.agent")

_NEW = ".new"  # what a file is called that is to replace another
_LEFT = "left"  # the phase of a file that no share explains


class Contexts:
    """The files, in a folder of their own."""

    def __init__(self, state: str) -> None:
        self._folder = os.path.join(state, CONTEXTS)

    def make(self, launch: Launch) -> None:
        """Write the file of a context that has a key, anew if it is there; raise OSError."""
        if not launch.key:
            return
        self.drop(launch.alloc)
        try:
            fd = self._open(launch.alloc)
        except FileNotFoundError:
            self._make_folder()
            fd = self._open(launch.alloc)
        try:
            _fill(fd, launch)
        except OSError:
            self.drop(launch.alloc)
            raise
        finally:
            os.close(fd)

    def renew(self, launch: Launch) -> None:
        """Replace the file of a context, in one step for whoever reads it; or leave it as it is."""
        if not launch.key:
            return
        path = self._path(launch.alloc)
        new = path + _NEW
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(new)
            fd = _create(new)
            try:
                _fill(fd, launch)
            finally:
                os.close(fd)
            os.rename(new, path)
        except OSError as error:
            told = {"context": launch.alloc, "why": error.strerror}
            log.warning("a context could not be renewed", extra=told)

    def _open(self, alloc: AllocationId) -> int:
        return _create(self._path(alloc))

    def _make_folder(self) -> None:
        os.makedirs(self._folder, exist_ok=True)
        if os.geteuid() == 0:
            for path in (os.path.dirname(self._folder), self._folder):
                os.chmod(path, 0o711)  # noqa: S103 - users read their own files there

    def drop(self, alloc: AllocationId) -> None:
        """Remove the file of a context, if it is there."""
        with contextlib.suppress(OSError):
            os.unlink(self._path(alloc))

    def sweep(self, wanted: Iterable[AllocationId]) -> None:
        """Remove what an agent before this one has left of others than these."""
        for alloc in self._files().difference(wanted):
            self.drop(alloc)
        with contextlib.suppress(OSError):
            for name in os.listdir(self._folder):
                if name.endswith(_NEW):
                    os.unlink(os.path.join(self._folder, name))

    def rows(self, shares: Mapping[AllocationId, Share]) -> Iterator[ContextRow]:
        """Yield what is held here: shares that have not ended, and files that none explains."""
        files = self._files()
        for share in shares.values():
            if share.phase is not Phase.ENDED:
                files.discard(share.alloc)
                yield _row(share)
        for alloc in sorted(files):
            yield ContextRow(alloc, _LEFT)

    def _files(self) -> set[AllocationId]:
        try:
            return {int(name) for name in os.listdir(self._folder) if name.isdigit()}
        except OSError:
            return set()

    def _path(self, alloc: AllocationId) -> str:
        return os.path.join(self._folder, str(alloc))


def _create(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400)


def _fill(fd: int, launch: Launch) -> None:
    """Write the context for its user to read."""
    if launch.uid != os.geteuid():
        os.fchown(fd, launch.uid, launch.gid)
    text = _text(launch)
    if os.write(fd, text) != len(text):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _name(launch: Launch) -> str:
    return job_name(launch.job if launch.step < 0 else step_id(launch.job, launch.step))


def _row(share: Share) -> ContextRow:
    launch = share.launch
    if launch is None:  # only its starter knows
        return ContextRow(share.alloc, share.phase)
    return ContextRow(
        share.alloc, share.phase, _name(launch), launch.user, launch.total_tasks, launch.members
    )


def _text(launch: Launch) -> bytes:
    told = {
        "context": launch.alloc,
        "job": _name(launch),
        "members": launch.members,
        "tasks": launch.total_tasks,
        "key": launch.key,
    }
    return json.dumps(told).encode() + b"\n"
