"""Starts tasks: finds the program, says why one cannot run, and pins before the start."""

import errno
import os

from ostler.agent.output import shown, why_not
from ostler.agent.posix_spawn import Path, Prepared, c_path
from ostler.agent.share import Share

NOT_FOUND = 127
NOT_EXECUTABLE = 126
SHELL = b"/bin/sh"
_DEFAULT_PATH = b"/usr/local/bin:/usr/bin:/bin"


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
        self._pin(share, share.cpus_of(rank))

    def pin_to_all(self, share: Share) -> None:
        """Take all CPUs of the share's tasks."""
        self._pin(share, share.cpus)

    def _pin(self, share: Share, cpus: list[int]) -> None:
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


class Command:
    """What the tasks of a share run: looked up and made ready once, started for each of them.

    env: what all of them have in theirs; `start` adds what each has for itself. session: each of
    them leads one of its own. on_terminal: what becomes 0, 1 and 2 is a terminal for its session.
    """

    __slots__ = (
        "_argv", "_env", "_is_fresh", "_on_terminal", "_path", "_prepared", "_program", "_session",
    )  # fmt: skip

    def __init__(
        self,
        argv: list[bytes],
        env: dict[bytes, bytes],
        *,
        session: bool,
        on_terminal: bool = False,
    ) -> None:
        self._argv = argv
        self._session = session
        self._on_terminal = on_terminal
        self._path = env.get(b"PATH")
        self._env = [b"%s=%s" % pair for pair in env.items()]
        self._prepared = Prepared(argv, self._env, session=session, on_terminal=on_terminal)
        self._program: Path | None = None
        self._is_fresh = False  # looked up for this start

    def beside(self, argv: list[bytes], more: dict[bytes, bytes]) -> "Command":
        """Return another command with the same environment, and with these variables in it."""
        env = {key: value for key, _, value in (pair.partition(b"=") for pair in self._env)}
        return Command(argv, env | more, session=True)

    def start(self, own: list[bytes], three: tuple[int, int, int]) -> int:
        """Start it once more; return the pid.

        own: NAME=VALUE of this start. three: what becomes its 0, 1 and 2; each must be above 2, as
        they are where those are open. Raises `CannotRun`, or OSError when this host cannot start
        any process now.
        """
        prepared = self._prepared
        if three != prepared.three:
            prepared.set_three(three)
        if self._program is None:
            self._program = c_path(find_program(self._argv[0], self._path))
            self._is_fresh = True
        try:
            pid = prepared.start(self._program, own)
        except OSError as error:
            return self._start_otherwise(error, own, three)
        self._is_fresh = False
        return pid

    def _start_otherwise(
        self, error: OSError, own: list[bytes], three: tuple[int, int, int]
    ) -> int:
        """Go on after a start that failed, where that can be: else raise as `start` does."""
        program = self._program.value if self._program is not None else b""
        fresh, self._program = self._is_fresh, None
        if not fresh and error.errno == errno.ENOENT:
            return self.start(own, three)  # it was replaced, perhaps by one elsewhere in PATH
        if error.errno == errno.ENOEXEC and os.path.isfile(program):
            # A text without a first line of #!: a shell's, as execvp has it.
            argv = [SHELL, program, *self._argv[1:]]
            more = {"session": self._session, "on_terminal": self._on_terminal}
            shell = Prepared(argv, self._env, **more)
            shell.set_three(three)
            try:
                return shell.start(c_path(SHELL), own)
            except OSError as other:
                error = other
        raise _told(self._argv[0], program, error) from None


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
