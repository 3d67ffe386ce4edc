"""A driver in processes of its own, asked from a program that waits for the answers.

This is how a driver is checked: isolated as the manager isolates it, within the same bounds.
"""

import os
import select
import subprocess
import time
from collections.abc import Mapping
from typing import Self

from ostler.drivers.contract import Trouble
from ostler.model.foreign import About, Jobs, Nodes, Outcome, Start
from ostler.wire import drivers
from ostler.wire.drivers import Begin, Do, Done, Fault, FromDriver, Hint, Lost, Part, Role, Up
from ostler.wire.frames import Splitter

_SPARE = 5.0  # seconds that the process may take to tell of a deadline


class Failure(Trouble):
    """A call has no answer. fault: why, as the manager sees it."""

    def __init__(self, fault: Fault, why: str) -> None:
        super().__init__(why)
        self.fault = fault


class Running:
    """One driver. A context; calls are made one after the other."""

    def __init__(
        self,
        driver: str,
        settings: Mapping[str, str] | None = None,
        *,
        seconds: float = 10.0,
        workers: int = 32,
        memory: int = drivers.MEMORY,
    ) -> None:
        """Begin. seconds: the deadline of each call."""
        self._begin = Begin(
            *(driver.rpartition(":")[2], driver, dict(settings or {})),
            workers=workers,
            memory=memory,
        )
        self._seconds = seconds
        self._next = 1
        self._splitter = Splitter(drivers.MOST)
        self._heard: list[FromDriver] = []
        self.up: dict[Role, About] = {}
        self.hints: list[str] = []
        self.lost: list[Lost] = []
        self.last: Done | None = None  # what was told of the last call that has an answer

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            drivers.command(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=drivers.ENVIRONMENT,
            cwd="/",
            bufsize=0,
        )
        self._write(drivers.framed(self._begin))
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()  # it ends when nobody talks to it

    @property
    def pid(self) -> int:
        """Return the process that keeps the deadlines."""
        return self._process.pid

    @property
    def about(self) -> About:
        """Return what the driver says of itself, once it is loaded; raise `Failure` if it cannot be."""
        while Role.QUERY not in self.up:
            self._raise_lost(0)
            self.wait(drivers.LOADING + _SPARE)
        return self.up[Role.QUERY]

    def list_nodes(self) -> Nodes:
        """Return the nodes; raise `Failure`."""
        parts, done = self._do("list_nodes")
        return Nodes(tuple(n for part in parts for n in part.nodes), done.complete, done.at)

    def list_jobs(self) -> Jobs:
        """Return the jobs; raise `Failure`."""
        parts, done = self._do("list_jobs")
        jobs = tuple(job for part in parts for job in part.jobs)
        ended = tuple(end for part in parts for end in part.ended)
        return Jobs(jobs, ended, done.complete, done.at)

    def start(self, order: Start) -> Outcome:
        """Start a job; raise `Failure`."""
        return self._order(Do(0, "start", self._seconds, start=order))

    def cancel(self, job: str, token: str = "") -> Outcome:
        """Cancel a job; raise `Failure`."""
        return self._order(Do(0, "cancel", self._seconds, job=job, token=token))

    def do(self, verb: str, job: str, token: str = "", time_limit: int = 0) -> Outcome:
        """Do what an option of the driver stands for; raise `Failure`."""
        do = Do(0, verb, self._seconds, job=job, token=token, time_limit=time_limit)
        return self._order(do)

    def _order(self, order: Do) -> Outcome:
        outcome = self._ask(order)[1].outcome
        if outcome is None:
            raise Failure(Fault.GARBAGE, f"{order.verb} has no outcome")
        return outcome

    def _do(self, verb: str) -> tuple[list[Part], Done]:
        return self._ask(Do(0, verb, self._seconds, round=6 * self._seconds))

    def tell(self, verb: str, job: str, token: str = "") -> None:
        """Give an order whose outcome nobody waits for."""
        self._give(Do(0, verb, self._seconds, job=job, token=token))

    def _give(self, order: Do) -> None:
        order.number, self._next = self._next, self._next + 1
        self._write(drivers.framed(order))

    def _ask(self, order: Do) -> tuple[list[Part], Done]:
        """Return an answer, also of a driver that has to be begun anew before it."""
        self._give(order)
        parts: list[Part] = []
        while True:
            for message in self._heard:
                if isinstance(message, Part) and message.number == order.number:
                    parts.append(message)
                elif isinstance(message, Done) and message.number == order.number:
                    self.last = message
                    if message.fault is not None:
                        raise Failure(message.fault, message.why)
                    return parts, message
            self._raise_lost(order.number)
            self._heard.clear()
            self.wait(drivers.LOADING + 7 * self._seconds + _SPARE)

    def _raise_lost(self, number: int) -> None:
        for message in self._heard:
            if isinstance(message, Lost) and number in (message.numbers or (0,)):
                raise Failure(message.fault, message.why)

    def wait(self, seconds: float) -> None:
        """Take what the processes say next; raise `Failure` if that is nothing."""
        until = time.monotonic() + seconds
        out = self._process.stdout
        while out is not None and select.select([out], [], [], until - time.monotonic())[0]:
            data = os.read(out.fileno(), 1 << 18)
            if not data:
                break
            if found := self._splitter.feed(data):
                self._take([drivers.decode_reply(payload) for payload in found])
                return
        raise Failure(Fault.CRASHED, "the process that runs the driver says nothing any more")

    def _take(self, messages: list[FromDriver]) -> None:
        for message in messages:
            match message:
                case Up(role, about):
                    self.up[role] = about
                case Hint(text):
                    self.hints.append(text)
                case Lost():
                    self.lost.append(message)
        self._heard += messages

    def _write(self, data: bytes) -> None:
        if self._process.stdin is not None:
            try:
                self._process.stdin.write(data)
            except BrokenPipeError:
                raise Failure(Fault.CRASHED, "the process that runs the driver ended") from None
