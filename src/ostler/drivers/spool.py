"""The smallest resource manager: a folder, and processes of this host. It knows nothing of Ostler.

Each job has a folder in it. `job` is a note of whoever submitted it; `pid`, what the kernel said of
its process; `exit`, how its command ended; `cancel`, that somebody wants its end. As all stands in
files, whoever calls this may be killed at any moment.
"""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

# Runs in a session of its own. Who links `pid` is the job, so to begin this twice does no harm. It has
# the limits that this host gives, whatever those of its beginner.
WRAPPER = b"""
ulimit -Sv "$(ulimit -Hv)"; ulimit -Sc "$(ulimit -Hc)"
read -r stat </proc/$$/stat && echo "$stat" >.$$ && /bin/ln .$$ pid 2>/dev/null || exit
trap "echo \\$? >'$PWD/exit'" EXIT
cd "$1" && exec <"$2" >>"$3" 2>>"$4" && shift 4 && "$@"
"""


class Record(NamedTuple):
    """One job: its name, its note, and one of queued, running, dying, exited, killed, gone."""

    name: str
    note: bytes
    state: str
    status: int | None = None  # once it has exited


def submit(folder: Path, note: bytes, script: bytes) -> None:
    """Write down a job that does not begin yet. There is one once `job` is there, all of it."""
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / "script").write_bytes(script)
    (folder / "script").chmod(0o700)
    (folder / ".job").write_bytes(note)
    (folder / ".job").rename(folder / "job")


def begin(
    folder: Path,
    argv: Sequence[bytes],
    files: Sequence[bytes],
    env: Mapping[bytes, bytes],
    umask: int,
) -> None:
    """Start it, unless it has been. files: working directory, input, output, errors.

    A file that cannot be had shows in its exit status.
    """
    setsid = (b"/usr/bin/setsid", b"--fork", b"/bin/sh", b"-c", WRAPPER, b"sh")
    # Its output ends when it has its own: by then it is in its session, and outlives whoever began it.
    subprocess.run(
        (*setsid, *files, *argv),
        cwd=folder,
        env=env,
        umask=umask,
        check=True,
        stdout=subprocess.PIPE,
    )


def look(folder: Path) -> Record:
    """Say how far a job has come."""
    note = (folder / "job").read_bytes()
    began = (folder / "pid").read_text() if (folder / "pid").exists() else None
    cancelled = (folder / "cancel").exists()
    if began is None:
        return Record(folder.name, note, "dying" if cancelled else "queued")
    if _alive(began.split()):
        return Record(folder.name, note, "dying" if cancelled else "running")
    if (folder / "exit").exists():
        return Record(folder.name, note, "exited", int((folder / "exit").read_text()))
    return Record(folder.name, note, "killed" if cancelled else "gone")


def kill(folder: Path) -> None:
    """End its session; what has not begun by now never will."""
    (folder / "cancel").touch()
    try:
        (folder / "pid").touch(exist_ok=False)
    except FileExistsError:
        with suppress(ProcessLookupError, IndexError):
            os.killpg(int((folder / "pid").read_text().split()[0]), signal.SIGKILL)


def _alive(began: list[str]) -> bool:
    """Tell whether the process of this line of /proc/PID/stat is still that one."""
    try:
        now = Path("/proc", began[0], "stat").read_text().split()
    except (OSError, IndexError):  # an empty line: it was killed before it began
        return False
    return now[2] != "Z" and now[21] == began[21]
