"""A driver that fails in the way that its setting `how` tells, or as it is told in an order."""

import contextlib
import ctypes
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ostler.drivers.contract import Trouble
from ostler.model.foreign import (
    About,
    Did,
    ForeignNode,
    Jobs,
    Nodes,
    NodeState,
    Option,
    Outcome,
    Start,
)

UP = NodeState.UP
MAKES = {
    "wrong-type": lambda: {"nodes": []},
    "bad-field": lambda: Nodes((ForeignNode("n1", UP), ForeignNode("n2", UP, cpus=-1))),
    "too-many": lambda: Nodes((ForeignNode("n", UP),) * 100_001),
    "endless": lambda: Nodes(iter(int, 1)),  # type: ignore[arg-type]
}


class Driver:
    """All that can go wrong."""

    about = About("faulty", "fails as it is told")

    def __init__(self, settings: Mapping[str, str]) -> None:
        self._how = settings.get("how", "")
        self._file = settings.get("file", "")  # what it has at the time counts
        self._with = settings.get("with", "trap '' TERM; sleep 3600")
        if self._how == "lacks":
            self.list_jobs = None  # type: ignore[assignment,method-assign]
            self.about = About("faulty", "", frozenset({Option.EVENTS}))
        if self._how == "begin":
            msg = "it does not like its settings"
            raise ValueError(msg)

    def list_nodes(self) -> Nodes:
        how = Path(self._file).read_text(encoding="ascii") if self._file else self._how
        self._fail(how)
        make: Any = MAKES.get(how, lambda: Nodes((ForeignNode("n1", UP),)))
        return make()  # type: ignore[no-any-return]

    def list_jobs(self) -> Jobs:
        return Jobs(())

    def start(self, order: Start) -> Outcome:
        return Outcome(Did.DONE, order.token)

    def cancel(self, job: str, token: str) -> Outcome:
        self._fail(job)
        return Outcome(Did.ALREADY, job, text=token)

    def _fail(self, how: str) -> None:
        match how:
            case "segfault":
                ctypes.string_at(0)
            case "abort":
                os.abort()
            case "hang":  # with a child, and deaf to the polite
                subprocess.run(["/bin/sh", "-c", self._with], check=False)
            case "hang-in-c":  # no thread of Python's gets its turn
                re.match(r"(a+)+$", 64 * "a" + "b")
            case "drip":  # of what somebody says a byte at a time
                for _ in range(1_000_000):
                    time.sleep(0.02)
            case "grow":
                held = []
                while True:
                    held.append(bytes(8 << 20))
            case "print":
                while True:
                    os.write(1, b"x" * 65_536)
            case "meddle":  # with what it finds open
                for fd in range(3, 64):
                    with contextlib.suppress(OSError):
                        os.write(fd, b"\0\0\0\1?")
            case "close":
                os.closerange(3, 64)
            case "raise":
                msg = "a thing that nobody had thought of"
                raise RuntimeError(msg)
            case "exit":
                sys.exit("enough")
            case "trouble":
                msg = "the controller is away"
                raise Trouble(msg)


class Fleet:
    """Nodes that are asked for one by one; one has come. Setting `bell`: a FIFO by which it is told."""

    about = About("fleet", "many nodes", frozenset({Option.NODE, Option.EVENTS}))

    def __init__(self, settings: Mapping[str, str]) -> None:
        self._count = int(settings["count"])
        self._bell = settings.get("bell", "")
        self._most = self._now = 0
        self._lock = threading.Lock()

    def list_nodes(self) -> Nodes:
        return Nodes(tuple(ForeignNode(f"n{n}", UP) for n in range(self._count)))

    def node(self, name: str) -> ForeignNode:
        with self._lock:
            self._now += 1
            self._most = max(self._most, self._now)
        if name == "n7":
            time.sleep(3600)
        time.sleep(0.001)
        with self._lock:
            self._now -= 1
        return ForeignNode(name, UP, cpus=self._most)

    def list_jobs(self) -> Jobs:
        return Jobs(())

    def start(self, order: Start) -> Outcome:
        return Outcome(Did.NEVER, order.token)

    def cancel(self, job: str, token: str) -> Outcome:
        return Outcome(Did.NEVER, job, text=token)

    def events(self) -> Iterator[str]:
        if self._bell:
            Path(self._bell).read_bytes()  # waits for who writes
        yield "a node has come"
        while True:
            time.sleep(3600)


class Echo(Driver):
    """Tells what it is to start."""

    def start(self, order: Start) -> Outcome:
        words = [*order.env.decode().split("\0"), order.script.decode().strip()]
        return Outcome(Did.DONE, order.token, text=" ".join(filter(None, words)))
