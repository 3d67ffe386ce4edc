"""A state folder on a small disk of its own that can be filled, made read-only, and freed again."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.machine_kit import Host, kill_leftovers

ROOM = "24m"
ROOT_ONLY = "needs root and CAP_SYS_ADMIN, to mount a small tmpfs"


def _mount(*words: str) -> bool:
    return subprocess.run(["mount", *words], capture_output=True, check=False).returncode == 0


class SmallDisk:
    """A disk under a folder of a machine's state."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"
        self._covered = False

    def fill(self, *others: Path) -> None:
        """Take every byte that is left, up to the end of the last page of these files too."""
        for path in (self._ballast, *others):
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                for size in (1 << 20, 4096, 1):
                    with contextlib.suppress(OSError):
                        while os.write(fd, b"x" * size) == size:
                            pass
            finally:
                os.close(fd)

    def free(self) -> None:
        """Give the room back."""
        self._ballast.unlink()

    def make_read_only(self) -> None:
        """From now on nothing can be made or opened for writing; what is open stays so."""
        if not self._covered:
            assert _mount("--bind", str(self.folder), str(self.folder))
            self._covered = True
        assert _mount("-o", "remount,bind,ro", str(self.folder))

    def make_writable(self) -> None:
        """Let it be written again."""
        assert _mount("-o", "remount,bind,rw", str(self.folder))


def _mounted(folder: Path) -> SmallDisk:
    if os.geteuid() != 0 or not _mount("-t", "tmpfs", "-o", f"size={ROOM}", "x", str(folder)):
        pytest.skip(ROOT_ONLY)
    return SmallDisk(folder)


def _unmount(folder: Path) -> None:
    command = ["umount", "-l", str(folder)]
    while subprocess.run(command, capture_output=True, check=False).returncode == 0:
        pass  # until nothing is mounted there any more


@contextmanager
def small_disk(folder: Path, cpus: int = 2) -> Iterator[tuple[Host, SmallDisk]]:
    """Give a machine, not yet up, whose state is on a disk of its own; skip where not allowed.

    With a folder FOLDER/log the logs are there, so that what is written to them can be looked at.
    """
    host = Host(folder, "--cpus", str(cpus))
    host.state.mkdir(mode=0o700)
    disk = _mounted(host.state)
    host.state.chmod(0o700)  # of the disk, as `up` does not shut a folder that holds other things
    if (folder / "log").exists():
        (host.state / "log").symlink_to(folder / "log")
    try:
        yield host, disk
    finally:
        kill_leftovers(host.state)
        _unmount(host.state)


@contextmanager
def small_node_disk(folder: Path) -> Iterator[tuple[Host, SmallDisk]]:
    """Give a machine, not yet up, of which only the agent's folder is on a disk of its own."""
    host = Host(folder, "--cpus", "2")
    node = host.state / "node"
    host.state.mkdir(mode=0o700)
    node.mkdir(mode=0o700)
    disk = _mounted(node)
    try:
        yield host, disk
    finally:
        kill_leftovers(host.state)
        _unmount(node)


def log_bytes(host: Host) -> int:
    """Return how much all daemons have logged."""
    return sum(path.stat().st_size for path in (host.state / "log").iterdir())
