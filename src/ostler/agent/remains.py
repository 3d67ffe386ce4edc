"""What is left of an allocation whose starter died, for the agent that takes its place.

The agent (or the supervisor) is a child subreaper above the starter, so the tasks are now its
children. Everything is found anew at each call, because tasks fork.
"""

import os
import signal
import time

from ostler.agent import proc, tree
from ostler.agent.context import drop_script
from ostler.agent.spool import SpoolState
from ostler.agent.starter_protocol import MARKER_ALLOCATION, MARKER_STATE, SPOOL
from ostler.model.job import Usage
from ostler.wire import cgroup

_ROUNDS = 100
_SETTLE_TRIES = 20
_WAIT = os.WEXITED | os.WNOHANG | os.WNOWAIT


class Exit:
    """A child that has ended and is not reaped yet. signal 0: it exited by itself with `code`."""

    __slots__ = ("code", "pid", "signal")

    def __init__(self, pid: int, code: int, signum: int) -> None:
        self.pid = pid
        self.code = code
        self.signal = signum


def bare_state(path: str, alloc: int, pid: int, start_time: int) -> SpoolState:
    """Return what a starter's spool would have said at least: whose it was, and where to look.

    path: of the spool, which is damaged. pid, start_time: the starter's.
    """
    state = SpoolState(path)
    folder = os.fsencode(os.path.dirname(path)).removesuffix(b"/" + SPOOL.encode())
    state.header = {
        "pid": pid,
        "start_time": start_time,
        "boot_id": proc.boot_id(),
        "state": folder,
        "groups": cgroup.groups_of(pid, start_time),
    }
    state.accepted = {"alloc": alloc}
    return state


def orphans(state: SpoolState) -> list[int]:
    """Return the living processes of the spool's allocation, parents before children.

    Found by control group, as everything was born in it; where there was none by the tasks' pids,
    by their sessions and the starter's, and by the mark in the environment; and what is below those.
    """
    if state.boot_id != proc.boot_id() or state.alloc is None:
        return []
    own = {os.getpid(), state.pid if proc.is_alive(state.pid, state.start_time) else 0}
    found = set(cgroup.members(state.groups))
    if not any(map(os.path.isdir, state.groups)):
        roots = {task.pid for task in state.tasks.values() if task.pid}
        mark = (b"%d" % state.alloc, state.folder)
        mine = set(proc.children(os.getpid()))
        found.update(
            pid
            for pid in proc.all_pids()
            if _is_root(state, pid, roots) or _mark(pid, settle=pid in mine) == mark
        )
    for pid in list(found - own):
        found.update(proc.descendants(pid))
    return [pid for pid in sorted(found - own) if not proc.is_zombie(pid)]


def _is_root(state: SpoolState, pid: int, roots: set[int]) -> bool:
    """Say whether it is a task or in a session of one; the numbers may have been given anew."""
    if pid in roots:
        started = {task.start_time for task in state.tasks.values() if task.pid == pid}
        return proc.start_time(pid) in started
    # While a session has members its number is not given to another process.
    leader = proc.session(pid)
    if not os.path.exists(f"/proc/{leader}"):
        return leader in roots or leader == state.pid
    if leader == state.pid:
        return proc.start_time(leader) == state.start_time
    return leader in roots and _is_root(state, leader, roots)


def _mark(pid: int, *, settle: bool) -> tuple[bytes, bytes]:
    env = proc.environment(pid)
    for _ in range(_SETTLE_TRIES if settle else 0):
        # In the middle of an exec a process shows no environment; ours must not be overlooked.
        if env or proc.is_zombie(pid):
            break
        time.sleep(0.001)
        env = proc.environment(pid)
    return env.get(MARKER_ALLOCATION, b""), env.get(MARKER_STATE, b"")


def signal_all(state: SpoolState, signum: int) -> None:
    """Send a signal to every living process of the allocation."""
    tree.send(orphans(state), signum)


def kill_all(state: SpoolState) -> bool:
    """SIGKILL everything of the allocation; True when nothing of it lives any more.

    When False: call again after the next child has been reaped, or after a moment.
    """
    for _ in range(_ROUNDS):
        cgroup.write_control(state.groups, "cgroup.kill", b"1")
        left = orphans(state)
        if not left:
            return True
        tree.send(left, signal.SIGKILL)
        if all(map(proc.is_dying, left)):
            break  # only time is wanted now
    return not orphans(state)


def freeze(state: SpoolState) -> None:
    """Stop everything of the allocation."""
    if not cgroup.write_control(state.groups, "cgroup.freeze", b"1"):
        met: set[int] = set()
        while new := [pid for pid in orphans(state) if pid not in met]:
            tree.send(new, signal.SIGSTOP)
            met.update(new)


def thaw(state: SpoolState) -> None:
    """Let everything of the allocation go on, however it was stopped."""
    cgroup.write_control(state.groups, "cgroup.freeze", b"0")
    tree.send(orphans(state), signal.SIGCONT)


def next_exit() -> Exit | None:
    """Return a child of this process that has ended, without reaping it; None if there is none."""
    try:
        info = os.waitid(os.P_ALL, 0, _WAIT)
    except ChildProcessError:
        return None
    if info is None:
        return None
    exited = info.si_code == os.CLD_EXITED
    return Exit(info.si_pid, info.si_status if exited else 0, 0 if exited else int(info.si_status))


def reap(pid: int) -> Usage:
    """Reap an ended child and return what the kernel counted for it and what it had reaped.

    Bytes are those that reached or left a disk: blocks of 512, as rusage counts them.
    Raises ChildProcessError.
    """
    _, _, used = os.wait4(pid, 0)
    return Usage(
        used.ru_utime,
        used.ru_stime,
        used.ru_maxrss * 1024,
        used.ru_inblock * 512,
        used.ru_oublock * 512,
    )


def clean(state: SpoolState) -> bool:
    """Remove a dead starter's control groups and script; False while members are left."""
    if state.alloc is not None:
        drop_script(state.folder, state.alloc)
    return state.boot_id != proc.boot_id() or cgroup.remove(state.groups)
