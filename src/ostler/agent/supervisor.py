"""The small process above manager and agent: starts them, starts them again, reaps orphans.

A plain loop around one `sigtimedwait`, with few imports, so that there is little that could fail.
It decides nothing about jobs. Its lock on STATE/lock makes it the only one of its state folder.
"""

import argparse
import contextlib
import json
import os
import signal
import sys
import time

from ostler.agent.linux import become_subreaper, set_name
from ostler.agent.proc import boot_id
from ostler.agent.reaped import ReapedLog, next_zombie
from ostler.wire.supervise import (
    process_start,
    read_supervisor,
    say_failed,
    say_ready,
    take_lock,
    terminate,
    write_json,
)

_CHILDREN = ("manager", "agent")  # started in this order, stopped in the other
_BACK_OFF_FIRST, _BACK_OFF_MOST = 0.05, 5.0  # seconds
_GOOD_LIFE = 10.0  # seconds after which the back-off begins anew
_PATIENCE = 10.0  # seconds between SIGTERM and SIGKILL of a daemon
_NO_ROOM = 1.0  # seconds between tries to write what there was no room for
_LOG_BOUND = 4 << 20  # bytes of a log, above which the next start begins another
_SIGNALS = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def open_log(state: str, name: str) -> int:
    """Return a descriptor to append to a log; a long one is put aside first."""
    folder = os.path.join(state, "log")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    path = os.path.join(folder, f"{name}.log")
    try:
        if os.stat(path).st_size > _LOG_BOUND:
            os.replace(path, f"{path}.1")
    except FileNotFoundError:
        pass
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def wanted_daemons(state: str) -> list[str]:
    """Return which daemons a state folder has: both, unless its machine.json names one."""
    try:
        with open(os.path.join(state, "machine.json"), encoding="utf-8") as file:
            named = json.load(file).get("daemons", _CHILDREN)
    except (OSError, ValueError, AttributeError):
        return list(_CHILDREN)
    return [name for name in _CHILDREN if name in named]


class Daemon:
    """A child that is started again whenever it ends."""

    def __init__(self, state: str, name: str) -> None:
        self.name = name
        self.pid = 0  # 0: it does not run
        self.start_time = 0
        self.due = 0.0  # monotonic seconds of the next start
        self._state = state
        self._back_off = _BACK_OFF_FIRST
        self._began = 0.0

    def start(self) -> None:
        """Start it, with its own log as output."""
        try:
            log = open_log(self._state, self.name)
        except OSError:
            log = os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)
        argv = [sys.executable, "-I", "-m", f"ostler.{self.name}", "--state", self._state]
        actions = [(os.POSIX_SPAWN_DUP2, log, 1), (os.POSIX_SPAWN_DUP2, log, 2)]
        self._began = time.monotonic()
        self.pid = os.posix_spawn(
            sys.executable,
            argv,
            os.environ,
            file_actions=actions,
            setsid=True,  # a share of the CPUs of its own, beside those of the starters
            setsigmask=(),
            setsigdef=(signal.SIGPIPE, signal.SIGINT),
        )
        self.start_time = process_start(self.pid)
        os.close(log)

    def ended(self) -> None:
        """Note its end and when to start it again."""
        now = time.monotonic()
        if now - self._began >= _GOOD_LIFE:
            self._back_off = _BACK_OFF_FIRST
        self.due = now + self._back_off
        self._back_off = min(2 * self._back_off, _BACK_OFF_MOST)
        self.pid = self.start_time = 0


class Supervisor:
    """The loop. `state` is absolute; the lock is held by the caller."""

    def __init__(self, state: str, old: dict[str, object]) -> None:
        self._state = state
        known = old.get("children") if old.get("boot_id") == boot_id() else None
        self._old: dict[str, object] = known if isinstance(known, dict) else {}
        self._daemons = [Daemon(state, name) for name in wanted_daemons(state)]
        self._log = ReapedLog(os.path.join(state, "node", "spool", "supervisor"))
        self._stopping = False

    def record(self) -> None:
        """Write who is here; a full disk costs the file's freshness, not the machine."""
        value = {
            "pid": os.getpid(),
            "start_time": process_start(os.getpid()),
            "boot_id": boot_id(),
            "children": self._old
            or {d.name: {"pid": d.pid, "start_time": d.start_time} for d in self._daemons if d.pid},
        }
        try:
            write_json(os.path.join(self._state, "supervisor.json"), value)
        except OSError as error:
            say(f"cannot write supervisor.json: {error.strerror}")

    def end_old(self) -> None:
        """End the daemons of a supervisor that died: two agents must not serve one node."""
        for name in reversed(_CHILDREN):
            terminate(self._old.get(name), _PATIENCE)
        self._old = {}

    def run(self) -> None:
        """Keep both daemons running until told to stop."""
        while not self._stopping:
            now = time.monotonic()
            for daemon in self._daemons:
                if not daemon.pid and daemon.due <= now:
                    self._start(daemon)
            waiting = [daemon.due for daemon in self._daemons if not daemon.pid]
            timeout = max(0.0, min(waiting) - time.monotonic()) if waiting else 3600.0
            if not self._log.flush():
                timeout = min(timeout, _NO_ROOM)
            info = signal.sigtimedwait(_SIGNALS, timeout)
            if info is not None and info.si_signo in (signal.SIGTERM, signal.SIGINT):
                self._stopping = True
            self._reap()
        for daemon in reversed(self._daemons):
            self._stop(daemon)
        self._reap()

    def _start(self, daemon: Daemon) -> None:
        try:
            daemon.start()
        except OSError as error:
            say(f"cannot start the {daemon.name}: {error.strerror}")
            daemon.ended()
            return
        say(f"started the {daemon.name}, pid {daemon.pid}")
        self.record()

    def _stop(self, daemon: Daemon) -> None:
        if daemon.pid:
            terminate({"pid": daemon.pid, "start_time": daemon.start_time}, _PATIENCE)
            say(f"stopped the {daemon.name}, pid {daemon.pid}")

    def _reap(self) -> None:
        while pid := next_zombie():
            daemon = next((d for d in self._daemons if d.pid == pid), None)
            one = self._log.reap(pid, record=daemon is None)
            if daemon is None or one is None:
                continue
            how = f"was ended by signal {one.signal}" if one.signal else f"exited with {one.code}"
            say(f"the {daemon.name}, pid {pid}, {how}")
            daemon.ended()


def say(sentence: str) -> None:
    """Write one line of the log."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S")
    try:
        os.write(2, f"{stamp} supervisor {os.getpid()}: {sentence}\n".encode())
    except OSError:
        return


def main(argv: list[str] | None = None) -> int:
    """Run the supervisor of a state folder; return its exit status."""
    parser = argparse.ArgumentParser(prog="ostler.agent.supervisor")
    parser.add_argument("--state", required=True)
    parser.add_argument("--daemon", action="store_true", help="leave the terminal behind")
    parser.add_argument("--ready", type=int, default=-1, help="descriptor to report the start on")
    options = parser.parse_args(argv)
    state: str = os.path.abspath(options.state)
    if options.daemon and os.fork():
        os._exit(0)  # the launcher's child ends here; its child is nobody's but the subreaper's
    try:
        return _serve(state, options.ready, to_log=options.daemon)
    except OSError as error:
        return _fail(options.ready, f"cannot use the state folder {state}: {error}")


def _fail(ready: int, sentence: str) -> int:
    say(sentence)
    if ready >= 0:
        say_failed(ready, sentence)
    return 5


def _close_others(kept: set[int]) -> None:
    """Close what the shell of `up` had open: else every task of every user would have it too."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in kept:
            with contextlib.suppress(OSError):  # the folder's own, closed by now
                os.close(int(name))


def _serve(state: str, ready: int, *, to_log: bool) -> int:
    if to_log:
        log = open_log(state, "supervisor")
        os.dup2(log, 2)
        os.close(log)
    os.chdir("/")
    _close_others({0, 1, 2, ready})
    if ready >= 0:
        os.set_inheritable(ready, False)
    lock = take_lock(os.path.join(state, "lock"))
    old = read_supervisor(state)
    if lock is None:
        return _fail(ready, f"a supervisor holds {state} already, pid {old.get('pid')}")
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    set_name(b"ostler-super")
    become_subreaper()
    supervisor = Supervisor(state, old)
    # Written before the old daemons are told to go, so that they find somebody in charge.
    supervisor.record()
    if ready >= 0:
        say_ready(ready)
    supervisor.end_old()
    supervisor.run()
    os.unlink(os.path.join(state, "supervisor.json"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
