"""What jobs write down themselves: that they began, and how they ended.

A resource manager that forgets its last seconds starts again what has run, and knows nothing of what
it took last. So each start leaves a note in a folder of its user's, which only one process can make:
who finds it made ends as the first has ended, and runs nothing. Another user can neither make such
notes nor take them away. They are as good as the folder is: what a user writes there is about jobs of
that user's own.
"""

import errno
import os
import pwd
import re
import stat
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

from ostler.drivers.programs import folder_of
from ostler.model.foreign import End
from ostler.model.states import Result

FOLDER = ".local/state/ostler/jobs"  # of a user's home
KEPT_DAYS = 30
TWICE = 45  # as in the text below: the signal by which a second run ends that cannot tell how the first has ended
MOST = 256  # bytes of a note
MOST_STATUS = 255
MOST_SIGNAL = 64

# sh, with `_notes`, the path of its notes but for their ends; `_strict`, whether to run only if that
# is the first time for sure; and `_script`, a file to be removed. Programs are those of the host,
# whatever PATH the job has.
CLAIM = r"""
_sys() ( PATH=/usr/bin:/bin; exec "$@" )
_born() { [ -r "/proc/$1/stat" ] && read -r _line <"/proc/$1/stat" && set -- $_line && echo "${22}"; }
_finish() {
  [ "$2" = 1 ] || exit "$1"
  trap - $(($1 - 128)); ulimit -c 0; kill -$(($1 - 128)) $$
}
_folder=${_notes%/*} _temp=$_notes.$$
[ -d "$_folder" ] || ( umask 077; _sys mkdir -p "$_folder" ) 2>/dev/null
_me="${SLURM_JOB_ID:-0} $$ $(_born $$) $(_sys uname -n)"
if [ -O "$_folder" ] &&
  ( umask 077; echo "$_me" >"$_temp" && _sys ln "$_temp" "$_notes.began" ) 2>/dev/null
then _its=$_me
elif [ -O "$_folder" ] && [ -O "$_notes.began" ]; then _its=; read -r _its <"$_notes.began"
elif [ "$_strict" ]; then _its=unknown
else _folder=
fi
[ -z "$_folder" ] || _sys rm -f "$_temp" 2>/dev/null
if [ "$_folder" ] && [ "$_its" != "$_me" ]; then
  set -- $_its
  while [ ! -e "$_notes.ended" ] && [ "$4" = "$(_sys uname -n)" ] &&
    [ "$3" ] && [ "$(_born "$2")" = "$3" ]
  do _sys sleep 1; done
  [ -O "$_folder" ] && [ -O "$_notes.ended" ] && read -r _status _by <"$_notes.ended" && _finish "$_status" "$_by"
  ulimit -c 0; kill -45 $$
fi
"""
# sh: runs "$@" and notes how it ends. Only a shell's own words tell a signal from a status above 128.
RUN = r"""
[ "$_folder" ] || exec "$@"
trap : HUP INT TERM USR1 USR2
( umask 077; : >"$_temp" )
{ (exec "$@" 2>&3 3>&-); _status=$?; } 3>&2 2>"$_temp"
"""
# The same where a signal is for the batch script alone: it passes it on.
RUN_WITH = r"""
[ "$_folder" ] || exec "$@"
( umask 077; : >"$_temp" )
exec 3>&2 4<&0 2>"$_temp"
(trap - INT QUIT; exec "$@" 2>&3 3>&- <&4 4<&-) &
_child=$!
trap : HUP INT TERM USR1 USR2
trap 'kill -%s $_child' %s
while wait $_child; _status=$?; kill -0 $_child 2>/dev/null; do :; done
exec 2>&3
"""
NOTE = r"""
_by=0; [ "$_status" -gt 128 ] && [ -s "$_temp" ] && _by=1
[ $_by = 1 ] || _sys cat "$_temp" >&2
[ -z "$_script" ] || _sys rm -f "$_script"
echo "$_status $_by" >"$_temp" && _sys mv -f "$_temp" "$_notes.ended"
_finish "$_status" $_by
"""


def noted(path: bytes, before: bytes, *, strict: bool, passes: str = "") -> bytes:
    """Return a script that runs "$@" once, with notes.

    path: of its notes, as a word of sh. before: what sets "$@" if it is to run. strict: it may have run without a
    note that can be seen. passes: a signal that is for the script alone.
    """
    run = RUN_WITH % (passes, passes) if passes else RUN
    head = b"#!/bin/sh\n_notes=%s _strict=%s _script=\n" % (path, b"1" if strict else b"")
    return head + CLAIM.encode() + before + run.encode() + NOTE.encode()


def quoted(word: bytes) -> bytes:
    """Return a word as sh takes it literally."""
    return b"'" + word.replace(b"'", b"'\\''") + b"'"


class Note(NamedTuple):
    """How the first run of a token has ended."""

    job: str  # as its resource manager called it
    status: int
    signal: int
    began_at: float  # Unix seconds, of the file server's clock
    ended_at: float

    def end(self, token: str, user: str, also: str = "") -> End:
        """Return the proof. also: what else is said of the job."""
        how = f"signal {self.signal}" if self.signal else f"status {self.status}"
        failed = self.status or self.signal
        return End(
            id=self.job,
            result=str(Result.FAILED if failed else Result.SUCCESS),
            proof=f"its own note: it ended with {how}{also and '; '}{also}",
            token=token,
            user=user,
            exit_status=None if self.signal else self.status,
            signal=self.signal,
            started_at=self.began_at,
            ended_at=self.ended_at,
        )


class Begun:
    """The notes of all users."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        """Begin. settings: `records` may be a folder for all users; raises `ValueError`."""
        self._shared = folder_of(settings, "records")
        self._users: dict[str, tuple[int, str] | None] = {}

    def look_again(self) -> None:
        """Look once more for users that were not known: whoever knows them may have been away."""
        self._users = {user: whose for user, whose in self._users.items() if whose is not None}

    def path(self, user: str, token: str) -> str:
        """Return the path of a user's notes on a token, but for the number of the run.

        It is empty where they can be nowhere.
        """
        whose = self._whose(user)
        return f"{whose[1]}/{token}" if whose and not token.startswith(".") else ""

    def folder(self, user: str) -> str:
        """Return where a user's notes are; empty: nowhere."""
        whose = self._whose(user)
        return whose[1] if whose else ""

    def of(self, user: str, token: str, run: int = 0) -> Note | None:
        """Return how a run ended, by its own note."""
        whose, path = self._whose(user), self.path(user, token)
        if whose is None or not path:
            return None
        try:
            over = _read(f"{path}.{run}.ended", whose[0])
            began = _read(f"{path}.{run}.began", whose[0])
        except OSError:
            return None
        told = re.fullmatch(r"([0-9]{1,3}) ([01])\n", over[0]) if over else None
        job = re.match(r"([0-9]{1,20}) ", began[0]) if began else None
        if not (over and told and began and job):
            return None
        status, signalled = int(told[1]), told[2] == "1"
        signal = status - 128 if signalled else 0
        if status > MOST_STATUS or not 0 <= signal <= MOST_SIGNAL or (signalled and not signal):
            return None  # no shell has written that
        ended_at = min(max(over[1], 0.0), time.time())  # users can set it to any time
        return Note(job[1], status, signal, min(max(began[1], 0.0), ended_at), ended_at)

    def began(self, user: str, token: str, run: int = 0) -> bool | None:
        """Tell whether a run began, by its own note; None: notes of this user are not to be seen."""
        whose, path = self._whose(user), self.path(user, token)
        if whose is None or not path:
            return None
        try:
            return _read(f"{path}.{run}.began", whose[0]) is not None
        except OSError:
            return None

    def _whose(self, user: str) -> tuple[int, str] | None:
        """Return a user's number and folder."""
        if user not in self._users:
            self._users[user] = None
            with suppress(KeyError):
                known = pwd.getpwnam(user)
                mine = f"{self._shared}/{user}" if self._shared else f"{known.pw_dir}/{FOLDER}"
                self._users[user] = (known.pw_uid, mine) if mine.startswith("/") else None
        return self._users[user]


def _read(path: str, uid: int) -> tuple[str, float] | None:
    """Return a note and when it was written; None: there is none in this user's folder.

    Raises `OSError` where nobody can tell: the folder is not there, or another's, or nothing is to be
    read there, as by root on a file server that takes root for nobody.
    """
    folder, _, name = path.rpartition("/")
    among = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    within = os.open(folder, among)
    try:
        _check_owner(os.fstat(within), uid)
        plainly = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        number = os.open(name, plainly, dir_fd=within)
    except FileNotFoundError:
        return None
    finally:
        os.close(within)
    try:
        found = os.fstat(number)
        _check_owner(found, uid)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "no plain file", path)
        return os.read(number, MOST).decode(errors="replace"), found.st_mtime
    finally:
        os.close(number)


def _check_owner(found: os.stat_result, uid: int) -> None:
    if found.st_uid != uid:
        raise PermissionError(errno.EPERM, f"it is of user {found.st_uid}, not {uid}")
