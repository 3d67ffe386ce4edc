"""The zygote and the starters that it forks: a stock of idle ones, so that no job waits for a fork.

A starter's end is noticed by its pidfd, not by its connection: the kernel closes sockets before
it hands the children over to the next reaper.
"""

import asyncio
import logging
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec
from msgspec import structs

from ostler.agent import proc
from ostler.agent.rlimits import own_limits
from ostler.agent.starter_protocol import SPOOL
from ostler.model.orders import Launch
from ostler.wire.conn import Connection
from ostler.wire.descriptors import first_limit
from ostler.wire.pack import pack, unpack

log = logging.getLogger("ostler.agent")

STOCK = 2  # idle starters to have
_KEEP = 6  # idle starters above which one more is sent away
_REFILL = 0.01  # seconds after one was taken, so that the fork does not compete with the job
_RETRY_FIRST, _RETRY_MOST = 0.05, 5.0  # seconds between zygotes
_BIRTH_SECONDS = 10.0  # in which a starter must have connected
_STILLBORN = "it ended before it came; it cannot keep a spool, perhaps"
_PACKET = 4096
_UNKNOWN: Mapping[str, int] = {}
_encode = msgspec.msgpack.Encoder().encode


class Holder(Protocol):
    """Who has a starter work for it."""

    def starter_back(self) -> None:
        """Its connection is there again."""

    def starter_died(self) -> None:
        """It is gone; its children have been handed over."""


class Starter:
    """One starter, connected or not, idle or not."""

    __slots__ = ("above", "holder", "limits", "link", "name", "pid", "pidfd", "start_time")

    def __init__(
        self, name: str, pid: int, start_time: int, limits: Mapping[str, int] = _UNKNOWN
    ) -> None:
        self.name = name
        self.pid = pid
        self.start_time = start_time
        self.limits = limits  # soft ones that it was born with, by name, if they are known
        self.link: Connection | None = None
        self.holder: Holder | None = None
        self.pidfd = -1
        self.above = (0, 0)  # the supervisor above it, by pid and start time

    def send(self, message: dict[str, object]) -> None:
        """Tell it something, if it is connected."""
        if self.link is not None:
            self.link.send(_encode(message))

    def launch(self, order: Launch, stdio: list[int], *, declared: bool) -> None:
        """Give it a share to run, with its client's descriptors if it has any."""
        if self.link is None:
            return
        if order.key or order.programs is not None:  # a spool is no place for the key
            order = structs.replace(order, key="", programs=None)
        if self.limits:  # what it has anyhow need not be taken in, looked at and put on the tasks
            others = dict(order.rlimits.items() - self.limits.items())
            order = structs.replace(order, rlimits=others)
        if not declared:
            self.link.send(_encode(order), stdio)
            return
        fields = msgspec.to_builtins(order, builtin_types=(bytes,))
        self.link.send(_encode({**fields, "declared": True}), stdio)


class Zygote:
    """The process that forks starters; started again when it dies."""

    def __init__(self, state: str, forked: Callable[[str, int, str], None]) -> None:
        self._state = state
        self._forked = forked  # (name, pid, why not; empty: it was forked)
        self._loop = asyncio.get_running_loop()
        self._sock: socket.socket | None = None
        self._asked: set[str] = set()
        self._relays: dict[str, Callable[[str], None]] = {}  # asked for, by name
        self._pause = _RETRY_FIRST
        self._closed = False
        self.pid = 0
        self._start()

    def fork(self, name: str) -> None:
        """Ask for a starter; what cannot be asked now is told as not forked."""
        self._asked.add(name)
        try:
            if self._sock is None:
                raise BrokenPipeError
            self._sock.send(pack({"type": "fork", "name": name}))
        except (BlockingIOError, OSError):
            self._loop.call_soon(self._answer, name, "the zygote does not listen")

    def relay(self, request: dict[str, object], done: Callable[[str], None]) -> None:
        """Have a relay; call `done` with why there is none, or with nothing once it listens."""
        name = str(request["name"])
        self._relays[name] = done
        try:
            if self._sock is None:
                raise BrokenPipeError
            self._sock.send(pack({"type": "relay", **request}))
        except (BlockingIOError, OSError):
            self._loop.call_soon(self._relayed, name, "the zygote does not listen")

    def _relayed(self, name: str, why: str) -> None:
        done = self._relays.pop(name, None)
        if done is not None:
            done(why)

    def _answer(self, name: str, why: str, pid: int = 0) -> None:
        if name in self._asked:
            self._asked.discard(name)
            self._forked(name, pid, why)

    def _start(self) -> None:
        if self._closed:
            return
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        argv = [sys.executable, "-I", "-m", "ostler.agent.zygote", "--state", self._state]
        argv += ["--descriptors", str(first_limit())]
        try:
            self.pid = os.posix_spawn(
                sys.executable,
                argv,
                os.environ,
                file_actions=[(os.POSIX_SPAWN_DUP2, its.fileno(), 0)],
                setsid=True,
                setsigmask=(),
                setsigdef=(signal.SIGPIPE, signal.SIGINT),
            )
        except OSError as error:
            log.exception("cannot start the zygote", extra={"why": error.strerror})
            ours.close()
            self._again()
            return
        finally:
            its.close()
        ours.setblocking(False)
        self._sock = ours
        self._loop.add_reader(ours.fileno(), self._on_readable)

    def _on_readable(self) -> None:
        if self._sock is None:
            return
        try:
            packet = self._sock.recv(_PACKET)
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        if not packet:
            log.warning("the zygote is gone", extra={"pid": self.pid})
            self._drop()
            self._again()
            return
        self._pause = _RETRY_FIRST
        answer = unpack(packet)
        if isinstance(answer, dict) and answer.get("type") == "relayed":
            self._relayed(str(answer.get("name", "")), str(answer.get("why", "")))
        elif isinstance(answer, dict):
            pid = answer.get("pid") or 0
            why = "" if pid else str(answer.get("why", "it could not be forked"))
            self._answer(str(answer.get("name", "")), why, pid)

    def _drop(self) -> None:
        if self._sock is not None:
            self._loop.remove_reader(self._sock.fileno())
            self._sock.close()
            self._sock = None
        for name in list(self._asked):
            self._loop.call_soon(self._answer, name, "the zygote died")
        for name in list(self._relays):
            self._loop.call_soon(self._relayed, name, "the zygote died")

    def _again(self) -> None:
        self._loop.call_later(self._pause, self._start)
        self._pause = min(2 * self._pause, _RETRY_MOST)

    def close(self) -> None:
        """Let it end, as it does when its socket ends."""
        self._closed = True
        self._drop()


class Starters:
    """All starters this agent knows, and who waits for one."""

    def __init__(self, state: str, ended: Callable[[Starter], None]) -> None:
        self._state = state
        self._ended = ended  # for starters that nobody holds
        self._loop = asyncio.get_running_loop()
        self._all: dict[str, Starter] = {}
        self._idle: deque[Starter] = deque()
        self._waiting: deque[Callable[[Starter], bool]] = deque()
        self._forking: set[str] = set()
        self._unborn: dict[str, int] = {}  # forked and not connected yet -> pidfd
        self._pause = _RETRY_FIRST
        self._said = ""  # why there is no starter, as the log tells it
        self._filling = False
        self._closed = False
        self._number = 0
        self._prefix = f"s{os.getpid()}-{proc.start_time(os.getpid())}-"
        self._limits = {**own_limits(), "nofile": first_limit()}  # of those forked for us
        self._zygote = Zygote(state, self._on_forked)
        self.fill()

    # -- the stock -------------------------------------------------------------------------

    def want(self, take: Callable[[Starter], bool]) -> None:
        """Have `take` called with an idle starter as soon as there is one.

        It says whether it still wants one. Asked in the order of coming.
        """
        self._waiting.append(take)
        self._serve()

    def _serve(self) -> None:
        while self._waiting and self._idle:
            starter = self._idle.pop()  # the one used last is the warmest
            if starter.link is None or starter.link.closed:
                continue
            while self._waiting:
                if self._waiting.popleft()(starter):
                    break
            else:
                self._idle.append(starter)
        if not self._filling:
            self._filling = True
            delay = 0.0 if self._waiting else _REFILL
            self._loop.call_later(delay, self.fill)

    def relay(self, request: dict[str, object], done: Callable[[str], None]) -> None:
        """Have a relay for a job's streams; see `Zygote.relay`."""
        self._zygote.relay(request, done)

    def fill(self) -> None:
        """Ask for as many starters as are missing."""
        self._filling = False
        if self._closed:
            return
        missing = STOCK + len(self._waiting) - len(self._idle) - len(self._forking)
        for _ in range(missing):
            self._number += 1
            name = f"{self._prefix}{self._number}"
            self._forking.add(name)
            self._zygote.fork(name)

    def _on_forked(self, name: str, pid: int, why: str) -> None:
        if why:
            self._not_born(name, why)
            return
        # It connects on its own; one that never does must not be counted for ever.
        self._loop.call_later(_BIRTH_SECONDS, self._not_born, name, "it never came")
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:
            self._not_born(name, _STILLBORN)
            return
        self._unborn[name] = pidfd
        self._loop.add_reader(pidfd, self._not_born, name, _STILLBORN)

    def _not_born(self, name: str, why: str) -> None:
        """Try again in a while, unless it has come after all."""
        self._let_go(name)
        if name not in self._forking:
            return
        self._forking.discard(name)
        if why != self._said:  # a full disk may stay so for days
            log.warning("no starter", extra={"why": why})
            self._said = why
        if not self._filling and not self._closed:
            self._filling = True
            self._loop.call_later(self._pause, self.fill)
            self._pause = min(2 * self._pause, _RETRY_MOST)

    def _let_go(self, name: str) -> None:
        """Watch its birth no longer."""
        pidfd = self._unborn.pop(name, -1)
        if pidfd >= 0:
            self._loop.remove_reader(pidfd)
            os.close(pidfd)

    # -- connections -----------------------------------------------------------------------

    def knows(self, name: str, pid: int, start_time: int) -> bool:
        """Say whether there is such a starter, and it is this very process."""
        starter = self._all.get(name)
        return starter is not None and (starter.pid, starter.start_time) == (pid, start_time)

    def known(self, name: str, pid: int, start_time: int) -> Starter:
        """Return the starter of that name, watched from now on."""
        starter = self._all.get(name)
        if starter is None:
            limits = self._limits if name.startswith(self._prefix) else _UNKNOWN
            starter = self._all[name] = Starter(name, pid, start_time, limits)
            self._watch(starter)
        return starter

    def _watch(self, starter: Starter) -> None:
        pidfd = proc.watch(starter.pid, starter.start_time)
        if pidfd is None:
            self._loop.call_soon(self._on_death, starter)
        else:
            starter.pidfd = pidfd
            self._loop.add_reader(pidfd, self._on_death, starter)

    def connected(self, starter: Starter, link: Connection) -> None:
        """Note a starter's new connection; an older one is closed."""
        old, starter.link = starter.link, link
        if old is not None and old is not link:
            old.close("the starter connected again")
        self._forking.discard(starter.name)
        self._let_go(starter.name)
        self._pause, self._said = _RETRY_FIRST, ""

    def idle(self, starter: Starter) -> None:
        """Take a connected starter into stock, or send it away when there are enough."""
        starter.holder = None
        if starter in self._idle:
            return
        if len(self._idle) >= _KEEP and not self._waiting:
            starter.send({"type": "quit"})
            return
        self._idle.append(starter)
        self._serve()

    def disconnected(self, starter: Starter, link: Connection) -> None:
        """Note that its connection ended; an idle one will end as well."""
        if starter.link is link:
            starter.link = None
            if starter in self._idle:
                self._idle.remove(starter)
                self._serve()

    def _on_death(self, starter: Starter) -> None:
        if starter.pidfd >= 0:
            self._loop.remove_reader(starter.pidfd)
            os.close(starter.pidfd)
            starter.pidfd = -1
        if self._all.pop(starter.name, None) is None:
            return
        if starter in self._idle:
            self._idle.remove(starter)
        if starter.link is not None:
            starter.link.close("the starter ended")
            starter.link = None
        if starter.holder is not None:
            starter.holder.starter_died()
        else:
            self._ended(starter)
        self._serve()

    def is_ours(self, path: str) -> bool:
        """Say whether the starter of this spool was forked in this agent's life."""
        return os.path.basename(path).startswith(self._prefix)

    def spool_path(self, name: str) -> str:
        """Return where a starter keeps its spool."""
        return os.path.join(self._state, SPOOL, name)

    def close(self) -> None:
        """Let go of all of them; idle ones end, the others go on."""
        self._closed = True
        self._zygote.close()
        for name in list(self._unborn):
            self._let_go(name)
        for starter in self._all.values():
            if starter.pidfd >= 0:
                self._loop.remove_reader(starter.pidfd)
                os.close(starter.pidfd)
                starter.pidfd = -1
            if starter.link is not None:
                starter.link.close("the agent ends")
