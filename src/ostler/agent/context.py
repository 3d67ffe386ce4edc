"""What a starter puts on itself before it starts tasks: user, working directory, umask, script."""

import os
import pwd

from ostler.agent import linux
from ostler.agent.output import Rejected, shown, why_not
from ostler.agent.share import Share
from ostler.agent.starter_protocol import SCRIPTS


def become_user(share: Share) -> None:
    """Take the job's user, group and supplementary groups; for good, where root was.

    Raises `Rejected` when this process may not.
    """
    if os.geteuid() == share.uid:
        return
    if os.geteuid() != 0:
        raise Rejected(
            f"this agent runs as {_user_name(os.geteuid())!r} and cannot start tasks of "
            f"{share.user!r}; only an agent of root can"
        )
    try:
        os.initgroups(share.user, share.gid)
        os.setgid(share.gid)
        os.setuid(share.uid)
        linux.forbid_tracing()
    except OSError as error:
        raise Rejected(f"cannot become user {share.user!r}: {why_not(error)}") from None


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def take_place(share: Share) -> None:
    """Go to the job's working directory with its umask; raise `Rejected`."""
    os.umask(share.umask & 0o777)
    try:
        os.chdir(share.cwd)
    except OSError as error:
        raise Rejected(
            f"its working directory {shown(share.cwd)!r} cannot be entered on {share.node}: "
            f"{why_not(error)}; make it, or choose another one with --chdir"
        ) from None


def script_path(state: bytes, alloc: int) -> bytes:
    """Return where the script of an allocation is kept while it runs."""
    return b"%s/%s/%d" % (state, SCRIPTS.encode(), alloc)


def write_script(share: Share, state: bytes) -> bytes:
    """Write the script to a private file of the job's user and return its path.

    To be called before `become_user`, as users may not write in the state folder of a system
    machine. Raises OSError: no space, or no such folder, is the node's fault and not the job's.
    """
    path = script_path(state, share.alloc)
    drop_script(state, share.alloc)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o700)
    try:
        view = memoryview(share.script)
        while view:
            view = view[os.write(fd, view) :]
        os.fchmod(fd, 0o700)
        if share.uid != os.geteuid() == 0:
            os.fchown(fd, share.uid, share.gid)
    except OSError:
        os.unlink(path)
        raise
    finally:
        os.close(fd)
    return path


def drop_script(state: bytes, alloc: int) -> None:
    """Remove an allocation's script if there is one and this process may."""
    try:
        os.unlink(script_path(state, alloc))
    except OSError:
        return  # never written, or in a folder of root's: the agent removes it with the groups
