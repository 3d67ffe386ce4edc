"""The supervisor as others see it: start one, watch it, and start another when it dies.

Here and not beside the supervisor, because agent, manager and command line all need it.
"""

import contextlib
import errno
import fcntl
import json
import os
import select
import signal
import sys
import time

from ostler.model.errors import NotNow

_JSON_SIZE = 1024  # bytes
_READY = b"ready"
_READY_FD = 3
_START_SECONDS = 20.0  # until a new supervisor must have said something
_ENVIRONMENT = ("PATH", "HOME", "LANG", "OSTLER_LAB_BOOT")  # the last: see agent.proc.boot_id


def write_json(path: str, value: object) -> None:
    """Replace a small file as a whole; raise OSError.

    All have the same size, so that on a full disk the old one can be overwritten in its place.
    """
    data = json.dumps(value).encode().ljust(_JSON_SIZE)
    draft = f"{path}.new"
    try:
        _write_file(draft, os.O_CREAT | os.O_TRUNC, data)
        os.replace(draft, path)
    except OSError:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft)
        _write_file(path, 0, data)


def _write_file(path: str, flags: int, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | flags, 0o600)
    try:
        if os.write(fd, data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    finally:
        os.close(fd)


def read_supervisor(state: str) -> dict[str, object]:
    """Return what the supervisor of a state folder wrote last; empty if there is none."""
    try:
        with open(os.path.join(state, "supervisor.json"), encoding="utf-8") as file:
            value = json.load(file)
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def process_start(pid: int) -> int:
    """Return when a process began, in clock ticks since boot; 0 if it is gone or a zombie."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] in (b"Z", b"X") else int(fields[19])


def open_process(record: object) -> int | None:
    """Return a pidfd of the process that `{"pid", "start_time"}` names; None if it is gone."""
    if not isinstance(record, dict):
        return None
    pid, began = record.get("pid"), record.get("start_time")
    if not isinstance(pid, int) or pid <= 0:
        return None
    try:
        fd = os.pidfd_open(pid)
    except OSError:
        return None
    # Only with the descriptor held can the number no longer pass to another process.
    if not began or process_start(pid) != began:
        os.close(fd)
        return None
    return fd


def watch_supervisor(state: str) -> int | None:
    """Return a pidfd of the living supervisor, readable at its end; None if there is none."""
    return open_process(read_supervisor(state))


def await_end(fd: int, timeout: float) -> bool:
    """Wait for the end of a process by its pidfd; say whether it came."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(timeout * 1000))


def take_lock(path: str) -> int | None:
    """Return the held descriptor of a lock file, or None while another process holds it."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


def launch_supervisor(state: str) -> int:
    """Start a supervisor in the background and return its pid once it holds the state folder.

    It has a session of its own, nothing of our terminal, and a small environment. Raises `NotNow`
    with its own sentence when it cannot start, for instance because there is one already.
    """
    readable, writable = os.pipe()
    try:
        middle = os.posix_spawn(
            sys.executable,
            [
                *(sys.executable, "-I", "-m", "ostler.agent.supervisor", "--daemon"),
                *("--state", os.path.abspath(state), "--ready", str(_READY_FD)),
            ],
            {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, writable, _READY_FD),
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
            ],
            setsid=True,
            setsigmask=(),
            setsigdef=(signal.SIGPIPE, signal.SIGINT),
        )
    except OSError:
        os.close(readable)
        raise
    finally:
        os.close(writable)
    try:
        said = _read_until_end(readable, time.monotonic() + _START_SECONDS)
    finally:
        os.close(readable)
    status = 0
    with contextlib.suppress(ChildProcessError):  # an agent reaps whatever ends below it
        status = os.waitpid(middle, 0)[1]  # it ends as soon as it has forked
    word, _, rest = said.partition(b" ")
    if word == _READY:
        return int(rest)
    sentence = said.decode(errors="replace").strip() or "the supervisor did not start"
    hint = f"see {state}/log/supervisor.log"
    if not said and status:  # it did not come as far as to its log
        hint = (
            f"`{sys.executable} -I -m ostler.agent.supervisor --help` says why; daemons do not find"
            " a package that was installed with --user or --target: use a virtual environment"
        )
    raise NotNow(sentence, hint=hint)


def say_ready(fd: int) -> None:
    """Tell whoever launched this process that it has begun; once. It may have gone meanwhile."""
    _say(fd, b"%s %d" % (_READY, os.getpid()))


def say_failed(fd: int, sentence: str) -> None:
    """Tell whoever launched this process why it cannot begin, if that is still there."""
    _say(fd, sentence.encode())


def _say(fd: int, said: bytes) -> None:
    with contextlib.suppress(BrokenPipeError):
        os.write(fd, said)
    os.close(fd)


def _read_until_end(fd: int, deadline: float) -> bytes:
    said = b""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    while (left := deadline - time.monotonic()) > 0:
        if not poll.poll(left * 1000):
            break
        part = os.read(fd, 4096)
        if not part:
            break
        said += part
    return said


def terminate(record: object, patience: float) -> None:
    """End the process that `{"pid", "start_time"}` names: SIGTERM, then SIGKILL; wait for it."""
    fd = open_process(record)
    if fd is None:
        return
    try:
        for signum, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, 5.0)):
            try:
                signal.pidfd_send_signal(fd, signum)
            except ProcessLookupError:
                return
            if await_end(fd, seconds):
                return
    finally:
        os.close(fd)
