"""A starter: one process that runs one share at a time and outlives the agent that ordered it."""

import gc
import os
import signal
import time
from math import inf

from ostler.agent import linux, proc
from ostler.agent.guests import Guest
from ostler.agent.host import Host
from ostler.agent.link import Link, dial, peer_uid
from ostler.agent.output import complain, why_not
from ostler.agent.runner import Runner
from ostler.agent.share import MOST, Share, checked_chunk, checked_spans
from ostler.agent.spool import Spool, remove
from ostler.agent.starter_protocol import (
    ENDED,
    IDLE,
    LINGER,
    RETRY_FIRST,
    RETRY_MOST,
    SOCKET,
    SPOOL,
)
from ostler.agent.telling import Message
from ostler.agent.waits import SIGNALS, next_signal
from ostler.wire.cgroup import Base, Groups, name_of

_STDIO = 3  # descriptors 0, 1 and 2


class Starter:
    """The process: its connection, its spool, and the share it runs, if any."""

    def __init__(self, state: bytes, name: str, bases: list[Base]) -> None:
        self._uid = os.geteuid()
        self._name = name
        self._pid = os.getpid()
        self._start_time = proc.start_time(self._pid)
        self._boot_id = proc.boot_id()
        # Held open, so that a job's user and working directory do not matter to finding it.
        self._folder = os.open(state, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._spool_path = b"%s/%s/%s" % (state, SPOOL.encode(), name.encode())
        groups = Groups(bases, name_of(self._pid, self._start_time))
        groups.enter()
        header: Message = {
            "name": name,
            "pid": self._pid,
            "start_time": self._start_time,
            "boot_id": self._boot_id,
            "uid": self._uid,
            "state": state,
            "groups": list(groups.paths),
        }
        try:
            self._host = Host(state, Spool(self._spool_path, header), groups)
        except OSError:
            groups.remove()
            raise
        self._runner: Runner | None = None
        self._link: Link | None = None
        self._watch = -1  # inotify of the state folder while there is no agent
        self._try_at = 0.0  # monotonic seconds of the next try to reach an agent
        self._pause = RETRY_FIRST
        self._alone_since = 0.0

    def run(self) -> None:
        """Serve until there is nothing left to do."""
        self._connect()
        # Asked for only where the answer is not plain: this loop runs for each short task.
        while (self._link is not None and self._link.open) or self._is_wanted():
            runner = self._runner
            due = inf if runner is None else runner.deadline()
            if self._link is None:
                due = min(due, self._try_at)
            signum = next_signal(due)
            if signum == signal.SIGCHLD and runner is not None:
                runner.children_changed()
            is_due = time.monotonic() >= due
            if signum == linux.NEWS:
                self._look_around()
            if is_due:
                self._tick()
        self._leave()

    def _is_wanted(self) -> bool:
        if self._link is not None:
            self._link = None
            if self._runner is not None:
                self._runner.part_guests()  # their clients were the agent's
            self._alone_since = time.monotonic()
            self._try_at, self._pause = 0.0, RETRY_FIRST
        if self._runner is None:
            return False
        alone = time.monotonic() - self._alone_since
        return self._runner.phase != ENDED or alone < LINGER

    def _look_around(self) -> None:
        """Take what came over the connection, or note that an agent may be there."""
        if self._link is not None:
            self._serve(self._link)
        elif self._watch >= 0 and _drain(self._watch):
            self._try_at, self._pause = 0.0, RETRY_FIRST

    def _tick(self) -> None:
        if self._runner is not None:
            self._runner.tick()
            if self._link is None and time.monotonic() >= self._try_at:
                self._connect()

    # ── the agent ────────────────────────────────────────────────────────────────────────────
    def _connect(self) -> None:
        """Try once to reach the agent; on failure say when to try again."""
        try:
            sock = dial(self._folder, SOCKET)
            if peer_uid(sock) not in (0, self._uid):
                sock.close()
                raise PermissionError
        except OSError:
            if self._watch < 0:
                self._watch = _watch(self._folder)
            self._try_at = time.monotonic() + self._pause
            self._pause = min(self._pause * 2, RETRY_MOST)
            return
        if self._watch >= 0:
            os.close(self._watch)
            self._watch = -1
        self._pause = RETRY_FIRST
        linux.signal_when_ready(sock.fileno())  # before a word, which may already find it closed
        self._link = Link(sock)
        self._greet()
        if self._runner is not None:
            self._runner.tell_all()
        self._serve(self._link)  # what came before is not told of by a signal

    def _greet(self) -> None:
        runner = self._runner
        self._tell(
            {
                "type": "starter",
                "name": self._name,
                "pid": self._pid,
                "start_time": self._start_time,
                "boot_id": self._boot_id,
                "uid": os.geteuid(),
                "alloc": None if runner is None else runner.share.alloc,
                "phase": IDLE if runner is None else runner.phase,
            }
        )

    def _tell(self, message: Message) -> None:
        if self._link is not None:
            self._link.send(message)

    def _serve(self, link: Link) -> None:
        link.flush()
        for message in link.receive():
            self._obey(message, link)

    def _obey(self, message: Message, link: Link) -> None:
        kind = message.get("type")
        if kind == "launch":
            self._launch(message, link)
            return
        if kind == "exec":
            self._host_guest(message, link)
            return
        runner = self._runner
        if runner is None and kind == "quit":
            link.close()
        if runner is None or message.get("alloc") != runner.share.alloc:
            return  # meant for a share that is not here any more
        if kind == "start_tasks":
            runner.start_tasks()
        elif kind == "end":
            grace = _number(message, "grace", runner.share.grace)
            runner.end(_words(message, "cause"), _words(message, "why"), grace)
        elif kind == "feed":
            _feed(runner, message)
        elif kind == "withdraw":
            _withdraw(runner, message)
        elif kind == "acked":
            runner.acknowledge(_number(message, "serial", 0))
        elif kind == "signal":
            number = _number(message, "signal", 0)
            if number < signal.NSIG:
                runner.signal(number, _number(message, "element", -1))
        elif kind == "suspend":
            runner.suspend()
        elif kind == "resume":
            runner.resume()
        elif kind == "retime":
            runner.retime(_number(message, "time_limit", 0))
        elif kind == "lease":
            runner.heard_manager()
        elif kind == "guest_signal":
            runner.signal_guest(_number(message, "guest", 0), _number(message, "signal", 0))
        elif kind == "guest_part":
            runner.part_guests(_number(message, "guest", 0))
        elif kind == "forget":
            self._forget(runner)

    def _host_guest(self, order: Message, link: Link) -> None:
        """Start a command of `exec` with the descriptors that came along."""
        stdio = link.take_fds(_STDIO)
        argv, term = order.get("argv"), order.get("term")
        words = [word for word in argv if isinstance(word, bytes)] if isinstance(argv, list) else []
        runner = self._runner
        here = runner is not None and order.get("alloc") == runner.share.alloc
        if runner is not None and here and words and len(stdio) == _STDIO:
            wanted = Guest(words, term if isinstance(term, bytes) else b"")
            number, element = _number(order, "guest", 0), _number(order, "element", -1)
            runner.host_guest(number, element, wanted, stdio)
        else:
            told: Message = {"type": "guest", "alloc": order.get("alloc"), "ran": False}
            self._tell({**told, "guest": order.get("guest"), "why": "it has just ended"})
        for fd in stdio:
            os.close(fd)

    def _launch(self, order: Message, link: Link) -> None:
        stdio = link.take_fds(_STDIO if order.get("stdio") else 0)  # others may have come behind it
        if self._runner is not None:
            for fd in stdio:
                os.close(fd)
            if order.get("alloc") == self._runner.share.alloc:
                self._runner.tell_all()
            return
        try:
            share = Share(order)
        except ValueError as error:
            complain(2, f"starter {self._pid}: {error}")
            link.close()
            return
        self._runner = Runner(share, self._host, self._tell, stdio)
        self._runner.make()

    def _forget(self, runner: Runner) -> None:
        """Drop a share whose end is durable; become as at birth, or go."""
        if runner.phase != ENDED:
            return
        self._runner = None
        if os.geteuid() != self._uid:
            self._close_link()
            return
        try:
            self._host.spool.restart()
        except OSError:
            self._close_link()  # without a spool it must not take another share
            return
        os.chdir("/")
        os.umask(0o077)
        self._host.pinning.release()
        self._host.groups.enter()
        self._greet()

    def _close_link(self) -> None:
        if self._link is not None:
            self._link.close()

    def _leave(self) -> None:
        """Leave nothing behind that nobody needs."""
        if self._runner is not None:
            self._host.spool.sync()
        else:
            self._host.groups.remove()
            try:
                remove(os.fsdecode(self._spool_path))
            except OSError:
                return  # in a folder of root's, and this is a user by now: the agent removes it


def _number(message: Message, key: str, default: int) -> int:
    """Return a number of an order; the default where it is none, or cannot be meant."""
    value = message.get(key, default)
    return value if type(value) is int and min(default, 0) <= value <= MOST else default


def _words(message: Message, key: str) -> str:
    value = message.get(key, "")
    return value if isinstance(value, str) else ""


def _feed(runner: Runner, order: Message) -> None:
    try:
        chunk = checked_chunk(order.get("chunk"))
    except ValueError as error:
        complain(2, f"starter {os.getpid()}: {error}")
        return
    runner.feed(chunk, _number(order, "heard", 0))


def _withdraw(runner: Runner, order: Message) -> None:
    try:
        elements = checked_spans(order.get("elements"))
    except ValueError as error:
        complain(2, f"starter {os.getpid()}: {error}")
        return
    grace = _number(order, "grace", runner.share.grace)
    runner.withdraw(elements, _words(order, "cause"), _words(order, "why"), grace)


def _drain(fd: int) -> bool:
    try:
        return bool(os.read(fd, 65536))
    except BlockingIOError:
        return False


def _watch(folder: int) -> int:
    try:
        fd = linux.watch_folder(b"/proc/self/fd/%d" % folder)
    except OSError:
        return -1  # too many watches of this user: the tries at intervals are enough
    linux.signal_when_ready(fd)
    return fd


def main(state: bytes, name: str, bases: list[Base]) -> None:
    """Be a starter, in a process that was just forked for it."""
    os.setsid()  # one share of the CPUs, for it and the elements of its slot together
    linux.become_subreaper()
    linux.set_name(b"ostler-starter")
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    gc.freeze()
    try:
        starter = Starter(state, name, bases)
    except OSError as error:
        why = why_not(error)
        complain(2, f"starter {name}: cannot keep a spool, so it goes: {why}")
        return
    starter.run()
