"""Where errands run, and as whom."""

import ctypes
import os
import pwd
import sys
from pathlib import Path
from typing import NamedTuple

from ostler.model.errors import Refused
from ostler.model.limits import UID_MIN

NOBODY = "nobody"
_PR_SET_DUMPABLE = 4  # linux/prctl.h
_prctl = ctypes.CDLL(None).prctl  # while this process may still read all that it loads


class Place(NamedTuple):
    """A machine. system: it serves users who are not its owner."""

    state: str
    system: bool


class Identity(NamedTuple):
    """Somebody on this host. groups None: this process's own, so nothing is to be changed."""

    name: str
    uid: int
    gid: int
    home: str
    groups: tuple[int, ...] | None


def identity(user: str, place: Place, what: str = "a handler") -> Identity:
    """Return as whom a program runs that is no part of Ostler; raise `Refused`.

    user: empty: the owner of a personal machine; nobody, where that is everybody's. what: for
    whoever is refused.
    """
    own = os.geteuid()
    try:
        if not user and not place.system:
            return _identity(pwd.getpwuid(own), own, what)
        return _identity(pwd.getpwnam(user or NOBODY), own, what)
    except KeyError:
        raise Refused(f"there is no user {user or own!r} on this host") from None


def _identity(entry: pwd.struct_passwd, own: int, what: str) -> Identity:
    groups = None
    if entry.pw_uid != own:
        if own != 0:
            raise Refused(f"only root can run {what} as {entry.pw_name}")
        groups = tuple(os.getgrouplist(entry.pw_name, entry.pw_gid))
    return Identity(entry.pw_name, entry.pw_uid, entry.pw_gid, entry.pw_dir, groups)


def become(uid: int, gid: int, place: Place) -> None:
    """Give up what root may, for good: who is told of a job is told by a process of that user.

    On a personal machine all are its owner. Below `UID_MIN` are accounts of services.
    """
    if not place.system or os.geteuid() != 0:
        return
    if uid < UID_MIN:
        nobody = pwd.getpwnam(NOBODY)
        uid, gid = nobody.pw_uid, nobody.pw_gid
    os.setgroups([gid])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    # That user is not to look into this process, which may hold a secret of root's.
    _prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def environment(who: Identity, place: Place) -> dict[str, str]:
    """Return the variables of such a program: `ostler` is in its PATH and means this machine."""
    return {
        "PATH": f"{Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": who.home,
        "USER": who.name,
        "LOGNAME": who.name,
        "LANG": "C.UTF-8",
        "OSTLER_STATE": place.state,
    }
