"""The fork that runs a driver's code: it may hang, crash, print and grow, and is ended from outside.

It leads a session, so that all it has started ends with it, and the kernel ends it with its parent.
"""

import faulthandler
import fcntl
import os
import pwd
import resource
import select
import signal
import sys
import time
from collections.abc import Sequence
from typing import Any, NoReturn

import msgspec

from ostler.drivers.asking import Round
from ostler.drivers.contract import Trouble
from ostler.drivers.finding import find
from ostler.model.errors import OstlerError, Refused, UsageError
from ostler.model.foreign import About, ForeignNode, Jobs, Nodes, Option, Outcome
from ostler.model.limits import MAX_FOREIGN_JOBS, MAX_FOREIGN_NODES, MAX_SENTENCE
from ostler.wire import drivers
from ostler.wire.beside import write_all
from ostler.wire.drivers import Asking, Begin, Do, Done, Fault, FromDriver, Hint, Part, Role, Up
from ostler.wire.frames import Splitter, frame

_READ = 1 << 18  # bytes
_SETSIG = 10  # F_SETSIG, which the module does not name
_VERBS = ("list_nodes", "list_jobs", "start", "cancel")
_MORE = (
    *(Option.SUSPEND, Option.RESUME, Option.CHECKPOINT, Option.REQUEUE),
    *(Option.MODIFY, Option.NODE, Option.EVENTS),
)  # that are verbs, too
_WRONG = (msgspec.MsgspecError, TypeError, ValueError, OverflowError, AttributeError)


class Garbage(Exception):
    """An answer that has not the form of one. Its text: what is wrong with it."""


class Caller:
    """One driver, and one call at a time."""

    def __init__(self, begin: Begin, role: Role, given: int, out: int) -> None:
        """Begin. given, out: pipes of frames."""
        self._begin, self._role = begin, role
        self._given, self._out = given, out
        self._driver: Any = None
        self._about: About

    def run(self) -> None:
        """Load the driver, and serve until there is nothing more to do."""
        try:
            self._driver = find(self._begin.driver)(self._begin.settings)
            self._about = _same(self._driver.about, About)
            if lacks := _lacks(self._driver, self._about):
                raise UsageError(f"its class has no {', '.join(lacks)}")  # noqa: TRY301
            up = Up(self._role, self._about)
        except OstlerError as error:
            self._say(drivers.Unable(_words(str(error))))
            return
        except BaseException as error:  # noqa: BLE001 - a driver's own; SystemExit, too
            self._say(drivers.Unable(_words(_named(error))))
            return
        self._say(up)
        if self._role is Role.EVENTS:
            self._tell_events()
            return
        splitter = Splitter(drivers.MOST)
        while data := os.read(self._given, _READ):
            for payload in splitter.feed(data):
                if not self._do(_request(payload)):
                    return

    def _say(self, message: FromDriver) -> None:
        write_all(self._out, drivers.framed(message))

    def _tell_events(self) -> None:
        try:
            for text in self._driver.events():
                self._say(Hint(_words(text)[:200]))
            why = "events() returned"
        except BrokenPipeError:  # nobody is left to hear it
            return
        except BaseException as error:  # noqa: BLE001 - a driver's own; SystemExit, too
            why = _named(error)
        self._say(drivers.Unable(_words(why)))

    def _do(self, order: Do) -> bool:
        """Make a call and tell its answer; say whether the next one can be made here."""
        self._began, self._clock = time.time(), time.monotonic()
        try:
            done = self._call(order)
        except Trouble as error:
            done = self._failed(order, Fault.FAILED, str(error))
        except Garbage as error:
            done = self._failed(order, Fault.GARBAGE, f"{order.verb} answered nonsense: {error}")
        except MemoryError:
            limit = f"{self._begin.memory >> 20} MiB"
            done = self._failed(order, Fault.MEMORY, f"{order.verb} took more memory than {limit}")
        except BaseException as error:  # noqa: BLE001 - a driver's own; SystemExit, too
            done = self._failed(order, Fault.FAILED, f"{order.verb} raised {_named(error)}")
        self._say(done)
        return not done.stuck and done.fault is not Fault.MEMORY

    def _done(self, order: Do, **more: Any) -> Done:
        return Done(order.number, self._began, time.monotonic() - self._clock, **more)

    def _failed(self, order: Do, fault: Fault, why: str) -> Done:
        return self._done(order, fault=fault, why=_words(why))

    def _call(self, order: Do) -> Done:
        driver = self._driver
        match order.verb:
            case "list_nodes":
                return self._list_nodes(order)
            case "list_jobs":
                jobs = _answer(driver.list_jobs(), Jobs)
                told = self._done(order, complete=jobs.complete, at=jobs.at)
                self._tell(order, "jobs", jobs.jobs, MAX_FOREIGN_JOBS)
                self._tell(order, "ended", jobs.ended, MAX_FOREIGN_JOBS)
                return told
            case "start":
                if order.start is None:
                    raise Garbage("there is nothing to start")
                outcome = driver.start(order.start)
            case "modify":
                outcome = driver.modify(order.job, order.token, order.time_limit)
            case _:
                outcome = getattr(driver, order.verb)(order.job, order.token)
        return self._done(order, outcome=_same(outcome, Outcome))

    def _list_nodes(self, order: Do) -> Done:
        answer = _answer(self._driver.list_nodes(), Nodes)
        spent, stuck = None, False
        took = time.monotonic() - self._clock
        nodes: Sequence[Any] = answer.nodes
        if Option.NODE in self._about.options:
            self._say(Asking(order.number))
            names = list(dict.fromkeys(_same(node, ForeignNode).name for node in nodes))
            asked = Round(self._driver.node, names, order.seconds)
            nodes = asked.run(self._begin.workers, time.monotonic() + order.round)
            spent, stuck = asked.spent, asked.stuck
        done = self._done(order, complete=answer.complete, at=answer.at, nodes=spent, stuck=stuck)
        done.took = took
        self._tell(order, "nodes", nodes, MAX_FOREIGN_NODES)
        return done

    def _tell(self, order: Do, what: str, records: Sequence[Any], most: int) -> None:
        """Tell records in parts."""
        if not isinstance(records, tuple | list):
            raise Garbage(f"{what} is no tuple, but {type(records).__name__}")
        if len(records) > most:
            raise Garbage(f"{len(records)} {what}; the most is {most}")
        for at in range(0, len(records), drivers.PART):
            self._tell_part(order, what, records[at : at + drivers.PART])

    def _tell_part(self, order: Do, what: str, records: Sequence[Any]) -> None:
        try:
            data = drivers.encode(Part(order.number, **{what: tuple(records)}))
            if len(data) > drivers.PART_BYTES and len(records) > 1:
                half = len(records) // 2
                self._tell_part(order, what, records[:half])
                self._tell_part(order, what, records[half:])
                return
            drivers.decode_reply(data)
        except _WRONG as error:
            raise Garbage(str(error)) from None
        if len(data) > drivers.MOST:
            raise Garbage(f"one of {what} takes {len(data)} bytes; the most is {drivers.MOST}")
        write_all(self._out, frame(data, drivers.MOST))


def _request(payload: bytes) -> Do:
    request = drivers.decode_request(payload)
    if not isinstance(request, Do):
        msg = "only calls are made here"
        raise ValueError(msg)
    return request


def _answer(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise Garbage(f"it is no {kind.__name__}, but {type(value).__name__}")
    return value


def _same(value: Any, kind: type) -> Any:
    """Return a value as the other side will read it."""
    try:
        return msgspec.msgpack.decode(drivers.encode(_answer(value, kind)), type=kind)
    except _WRONG as error:
        raise Garbage(str(error)) from None


def _lacks(driver: object, about: About) -> list[str]:
    """Return the verbs that it should have."""
    wanted = [*_VERBS, *(option for option in _MORE if option in about.options)]
    return [verb for verb in wanted if not callable(getattr(driver, verb, None))]


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _words(text: str) -> str:
    return " ".join(str(text).split())[:MAX_SENTENCE]


def run(begin: Begin, role: Role, given: int, out: int, talk: int, lifeline: int) -> NoReturn:
    """Be that process. talk: for what the driver prints. lifeline: ends with the parent."""
    status = 1
    try:
        os.setsid()
        _end_with(lifeline)
        null = os.open(os.devnull, os.O_RDONLY)
        for fd, to in ((null, 0), (talk, 1), (talk, 2)):
            os.dup2(fd, to)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", 1, closefd=False)  # noqa: SIM115
        faulthandler.enable()
        _become(begin.user)
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (begin.memory, hard))
        Caller(begin, role, given, out).run()
        status = 0
    except BrokenPipeError:  # nobody is left to hear it
        pass
    except Refused as error:
        write_all(out, drivers.framed(drivers.Unable(str(error))))
    except BaseException as error:  # noqa: BLE001 - a driver's own
        sys.excepthook(type(error), error, error.__traceback__)
    finally:
        os._exit(status)


def _end_with(lifeline: int) -> None:
    """Have the kernel kill this session's group when the other end of a pipe is closed.

    The pipe is this process's alone: whom the kernel kills is noted in the pipe's end itself.
    Nothing else reaches a driver that never comes back from a call into a library in C.
    """
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(lifeline, _SETSIG, signal.SIGKILL)
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    if select.select([lifeline], [], [], 0)[0]:  # it was closed meanwhile
        os.killpg(0, signal.SIGKILL)


def _become(user: str) -> None:
    """Give up for good what the administrator does not want the driver to have."""
    try:
        entry = pwd.getpwnam(user) if user else pwd.getpwuid(os.geteuid())
    except KeyError:
        if not user:
            return
        raise Refused(f"there is no user {user!r} on this host") from None
    os.environ.update(HOME=entry.pw_dir, USER=entry.pw_name, LOGNAME=entry.pw_name)
    if entry.pw_uid == os.geteuid():
        return
    if os.geteuid() != 0:
        raise Refused(f"only root can run a driver as {user}")
    os.setgroups(os.getgrouplist(entry.pw_name, entry.pw_gid))
    os.setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid)
    os.setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid)
