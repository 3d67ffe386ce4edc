"""A control group for one handler's program: all that it starts has so much memory together."""

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from glob import glob

from ostler.wire.cgroup import Groups, find_bases, remove

_NAME = "ostler-handler-"  # and the process that made it


@contextmanager
def pen(memory: int) -> Iterator[Groups]:
    """Give the groups that a program is to enter; none where this host limits no memory by them.

    memory: bytes. Whoever calls sees to it that nothing is left in them at the end.
    """
    bases = [base for base in find_bases() if base.memory]
    groups = Groups(bases, f"{_NAME}{os.getpid()}")
    try:
        if not groups.limit(memory):
            groups.remove()
            groups = Groups([], "")
        yield groups
    finally:
        groups.remove()


def sweep() -> None:
    """Remove the groups of attempts that died; what runs in one keeps it."""
    for base in find_bases():
        for path in glob(f"{base.folder}/{_NAME}*"):
            if not os.path.exists(f"/proc/{path.rpartition('-')[2]}"):
                with contextlib.suppress(OSError):
                    remove([path])
