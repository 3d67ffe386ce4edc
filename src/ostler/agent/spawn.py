"""Starts one task by posix_spawn: own session, clean signals, three descriptors, pinned."""

import errno
import os
import select
import signal

from ostler.agent.output import shown, why_not
from ostler.agent.share import Share

NOT_FOUND = 127
NOT_EXECUTABLE = 126
SHELL = b"/bin/sh"
_DEFAULT_PATH = b"/usr/local/bin:/usr/bin:/bin"

# Ignored signals pass to tasks: Python ignores SIGPIPE and SIGXFSZ, the zygote SIGINT, and whoever
# started the daemons may ignore any other.
_DEFAULT_SIGNALS = sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})


class CannotRun(Exception):
    """There is no such program, or it is none: the task counts as ended with `code`."""

    def __init__(self, code: int, why: str, more: str = "") -> None:
        super().__init__(why)
        self.code = code
        self.why = why  # becomes the job's reason, which everybody may read
        self.more = more  # for the task's own stderr: it is of the environment


def find_program(name: bytes, path: bytes | None) -> bytes:
    """Return the file that a shell would run for this name; raise `CannotRun`."""
    if not name:
        raise CannotRun(NOT_FOUND, "cannot run '': the command is empty; name a program")
    if b"/" in name:
        return name
    searched = _DEFAULT_PATH if path is None else path
    refused = b""
    for folder in searched.split(b":"):
        candidate = (folder or b".") + b"/" + name
        if os.path.isfile(candidate):
            if os.access(candidate, os.X_OK):
                return candidate
            refused = refused or candidate
    if refused:
        raise CannotRun(
            NOT_EXECUTABLE,
            f"cannot run {shown(name)!r}: {shown(refused)} is not executable; try `chmod +x` on it",
        )
    hint = "check the name, or give its full path"
    if b" " in name:
        hint = "a whole line is for a shell to run: sh -c 'LINE'"
    raise CannotRun(
        NOT_FOUND,
        f"cannot run {shown(name)!r}: not found in the job's PATH; {hint}",
        f" (PATH is {shown(searched)})",
    )


class Pinning:
    """Puts this process on the CPUs of a task before its spawn, so that it is born there."""

    __slots__ = ("_free",)

    def __init__(self) -> None:
        self._free = os.sched_getaffinity(0)  # what this process had at birth

    def pin(self, share: Share, rank: int) -> None:
        """Take the CPUs of a task; where CPUs are only names, just one-CPU tasks are pinned."""
        cpus = share.cpus_of(rank)
        if share.declared or not self._free.issuperset(cpus):
            real = sorted(self._free)
            cpus = [real[cpus[0] % len(real)]] if len(cpus) == 1 else real
        self._set(set(cpus) or self._free)

    def release(self) -> None:
        """Take what this process had at birth."""
        self._set(self._free)

    def _set(self, cpus: set[int]) -> None:
        try:
            os.sched_setaffinity(0, cpus)
        except OSError:
            return  # taken off line meanwhile: the task runs where the kernel lets it


def spawn(argv: list[bytes], env: dict[bytes, bytes], three: tuple[int, int, int]) -> int:
    """Start a command, its program looked up in its own PATH; return the pid.

    three: what becomes its 0, 1 and 2; each must be above 2, as they are where those are open.
    Raises `CannotRun`, or OSError when this host cannot start any process now.
    """
    program = find_program(argv[0], env.get(b"PATH"))
    actions = [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(three)]
    try:
        return _spawn(program, argv, env, actions)
    except OSError as error:
        if error.errno == errno.ENOEXEC and os.path.isfile(program):
            # A text without a first line of #!: a shell's, as execvp has it.
            return _spawn(SHELL, [SHELL, program, *argv[1:]], env, actions)
        raise _told(argv[0], program, error) from None


def _spawn(
    program: bytes,
    argv: list[bytes],
    env: dict[bytes, bytes],
    actions: list[tuple[int, int, int]],
) -> int:
    return os.posix_spawn(
        program,
        argv,
        env,
        file_actions=actions,
        setsid=True,
        setsigmask=(),
        setsigdef=_DEFAULT_SIGNALS,
    )


def _told(name: bytes, program: bytes, error: OSError) -> Exception:
    what = f"cannot run {shown(name)!r}: "
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        if os.path.isfile(program):
            return CannotRun(
                NOT_FOUND,
                f"{what}the interpreter in its first line was not found; correct that line",
            )
        return CannotRun(NOT_FOUND, f"{what}there is no such file; check the path")
    if error.errno in (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE):
        return error
    if error.errno == errno.EACCES:
        if os.path.isdir(program):
            return CannotRun(NOT_EXECUTABLE, f"{what}it is a folder; name a program")
        hint = "is it executable, and is its file system mounted with exec?"
        return CannotRun(NOT_EXECUTABLE, f"{what}{why_not(error)}; {hint}")
    return CannotRun(NOT_EXECUTABLE, f"{what}{why_not(error)}")


def complain(fd: int, sentence: str) -> None:
    """Write a sentence to a task's stderr, unless that would wait for a reader."""
    poller = select.poll()
    poller.register(fd, select.POLLOUT)
    if poller.poll(0):
        try:
            os.write(fd, f"ostler: {sentence}\n".encode("utf-8", "backslashreplace"))
        except OSError:
            return  # nobody reads it any more; the job's reason says the same
