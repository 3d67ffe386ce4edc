"""Programs of a resource manager, run by its drivers: bounded in time, in a known language.

Nobody but the administrator says which program that is, and no user's word reaches a shell.
"""

import os
import pwd
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ostler.drivers.contract import Trouble

PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"


@dataclass(frozen=True)
class Answer:
    """What a program has written, and its exit status."""

    status: int
    out: str
    error: str

    @property
    def complaint(self) -> str:
        """Return its words in one line, those of errors first."""
        return " ".join((self.error.strip() or self.out.strip()).split())


@dataclass(frozen=True)
class Person:
    """For whom a program runs, where that is another than ourselves."""

    uid: int
    gid: int

    @property
    def groups(self) -> list[int]:
        """Return all its groups; raise `KeyError` if nobody knows the user."""
        return os.getgrouplist(pwd.getpwuid(self.uid).pw_name, self.gid)


class Programs:
    """Runs programs that are found in a folder or on a path, each within some seconds."""

    def __init__(
        self, folder: str, env: Mapping[str, str], seconds: float, needs: str = ""
    ) -> None:
        """Begin. folder: where they are; empty: where programs are looked for anyway.

        needs: path of what must be there, or they would try for a minute; empty: nothing.
        """
        self._path = folder or os.pathsep.join(filter(None, [os.environ.get("PATH"), PATH]))
        self._env = {"PATH": self._path, "LC_ALL": "C", "HOME": "/", **env}
        self._seconds = seconds
        self._needs = needs

    def find(self, name: str) -> str:
        """Return where a program is; raise `Trouble`."""
        found = shutil.which(name, path=self._path)
        if found is None:
            raise Trouble(f"there is no {name} in {self._path}")
        return found

    def run(
        self,
        words: Sequence[str | bytes],
        *,
        files: Sequence[bytes] = (),
        person: Person | None = None,
        umask: int = -1,
        env: Mapping[str, str] = {},
        cwd: bytes = b"/",
    ) -> Answer:
        """Run one to its end. files: it can read each by the descriptor that `FILES` stands for.

        Raises `Trouble` if it cannot be started or takes too long: then it has been killed, and
        nobody knows what it has done.
        """
        name = os.fsdecode(words[0])
        if self._needs and not Path(self._needs).exists():
            raise Trouble(f"{self._needs} is not there any more")
        other = person if person and person.uid != os.geteuid() else None
        with ExitStack() as opened:
            command = [self.find(name), *words[1:]]
            fds = [_memory(opened, data) for data in files]
            for stand_in, number in zip(FILES, fds, strict=False):
                command = [_with(word, stand_in, str(number)) for word in command]
            try:
                done = subprocess.run(
                    command,
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    cwd=cwd,
                    env={**self._env, **env},
                    timeout=self._seconds,
                    check=False,
                    pass_fds=fds,
                    umask=umask,
                    user=other.uid if other else None,
                    group=other.gid if other else None,
                    extra_groups=other.groups if other else None,
                )
            except subprocess.TimeoutExpired:
                raise Trouble(f"{name} did not answer within {self._seconds:g} s") from None
            except (OSError, KeyError, ValueError, subprocess.SubprocessError) as error:
                raise Trouble(f"{name} cannot be started: {error}") from None
        out, said = (each.decode(errors="replace") for each in (done.stdout, done.stderr))
        return Answer(done.returncode, out, said)

    def ask(self, words: Sequence[str], env: Mapping[str, str] = {}) -> str:
        """Return what one writes; raise `Trouble`, in its own words, if it fails."""
        answer = self.run(words, env=env)
        if answer.status:
            raise Trouble(f"{words[0]}: {answer.complaint or f'it ended with {answer.status}'}")
        return answer.out


# Stand in a command for the numbers of the files that are given with it.
FILES = ("FIRST-FILE", "SECOND-FILE")


def _memory(opened: ExitStack, data: bytes) -> int:
    """Return a descriptor of a file in memory, which a process of another user can open, too."""
    number = os.memfd_create("file")
    opened.callback(os.close, number)
    with open(number, "wb", closefd=False) as file:
        file.write(data)
    os.lseek(number, 0, os.SEEK_SET)
    return number


def _with(word: str | bytes, stand_in: str, number: str) -> str | bytes:
    return word.replace(stand_in, number) if isinstance(word, str) else word


def local_time(text: str) -> float | None:
    """Return Unix seconds of a time as programs write it, in the zone of this host."""
    try:
        return datetime.fromisoformat(text).astimezone().timestamp()
    except ValueError:
        return None


def seconds_of(settings: Mapping[str, str], key: str, usual: float) -> float:
    """Return a setting that is a number of seconds above 0; raise `ValueError`."""
    text = settings.get(key, "")
    try:
        value = float(text) if text else usual
    except ValueError:
        value = 0.0
    if not 0 < value < 1e9:
        raise ValueError(f"{key}={text}: expected a number of seconds above 0, as in {key}=10")
    return value


def folder_of(settings: Mapping[str, str], key: str) -> str:
    """Return a setting that is an absolute path, or empty; raise `ValueError`."""
    text = settings.get(key, "")
    if text and not Path(text).is_absolute():
        raise ValueError(f"{key}={text}: expected an absolute path")
    return text


def place_of(settings: Mapping[str, str], key: str) -> str:
    """Return a setting that is the path of what is there, or empty; raise `ValueError`."""
    text = folder_of(settings, key)
    if text and not Path(text).exists():
        raise ValueError(f"{key}={text}: there is no such file or folder")
    return text


def known(settings: Mapping[str, str], names: Mapping[str, str]) -> None:
    """Raise `ValueError` if there is a setting that the driver does not have."""
    for key in settings:
        if key not in names:
            raise ValueError(f"there is no setting {key!r}; expected one of {', '.join(names)}")
