"""Clients of `ostler exec`: each wants a command inside a share that runs here."""

import os
from collections.abc import Mapping
from typing import Protocol

import msgspec
from msgspec import Struct

from ostler.agent.starters import Starter
from ostler.model import limits
from ostler.model.errors import OstlerError, Refused, UsageError
from ostler.model.ids import AllocationId
from ostler.model.orders import Launch
from ostler.wire.conn import Connection
from ostler.wire.descriptors import let_go
from ostler.wire.pack import pack

_STDIO = 3  # descriptors 0, 1 and 2
_TERMS = 200  # bytes of the name of a terminal
_HIGHEST = 64  # signal


class Exec(Struct, tag="exec"):
    """Run a command inside a share; the client's descriptors 0, 1, 2 came with this frame.

    element: of a slot, only if this one runs; -1: whatever runs. term: TERM of its terminal, if it
    has one: then the first descriptor becomes the terminal of the command's session.
    """

    alloc: AllocationId
    argv: list[bytes]
    element: int = -1
    term: bytes = b""


class ExecSignal(Struct, tag="exec_signal"):
    """Pass a signal on to the process group of the command."""

    signal: int


class Guest(Struct, tag="guest"):
    """A starter tells how a command has ended, or why it was not started."""

    alloc: AllocationId
    guest: int
    code: int = 0
    signal: int = 0
    why: str = ""
    ran: bool = True


class Place(Protocol):
    """What is known of a share: see `Hand`."""

    launch: Launch | None
    over: bool

    @property
    def starter(self) -> Starter | None:
        """Return the starter that has it."""


class Visits:
    """All commands under way, by number and by their client's connection."""

    def __init__(self, hands: Mapping[AllocationId, Place]) -> None:
        self._hands = hands
        self._next = 1
        self._links: dict[int, Connection] = {}
        self._starters: dict[int, tuple[Starter, AllocationId]] = {}

    def begin(self, link: Connection, wanted: Exec, descriptors: list[int]) -> None:
        """Pass the wish on to the share's starter, or tell the client why not."""
        try:
            starter = self._starter_of(link.peer.uid, wanted)
            if len(descriptors) != _STDIO or link in self._links.values():
                raise UsageError("a command comes with three descriptors, over its own connection")
            _check(wanted)
        except OstlerError as error:
            let_go(descriptors)
            self._refuse(link, error)
            return
        number = self._next
        self._next += 1
        order = msgspec.to_builtins(wanted, builtin_types=(bytes,)) | {"guest": number}
        try:
            if starter.link is not None:
                starter.link.send(pack(order), descriptors)
        except OSError as error:
            self._refuse(link, Refused(f"the agent cannot pass it on: {error.strerror}"))
        else:
            self._links[number] = link
            self._starters[number] = (starter, wanted.alloc)
        finally:
            let_go(descriptors)

    def _starter_of(self, uid: int, wanted: Exec) -> Starter:
        hand = self._hands.get(wanted.alloc)
        launch = None if hand is None or hand.over else hand.launch
        # Whoever may not enter it learns no more than that.
        if hand is None or launch is None or uid not in (0, os.geteuid(), launch.uid):
            raise Refused("nothing of yours runs there under this number", hint="see `ostler jobs`")
        starter = hand.starter
        if starter is None or starter.link is None:
            raise Refused(
                "its starter is not there, so nothing can be started beside its tasks",
                hint="its tasks go on; try again, or look at them with ps",
            )
        return starter

    def _refuse(self, link: Connection, error: OstlerError) -> None:
        parts = {"code": error.code, "message": error.message}
        parts |= {"expected": error.expected, "hint": error.hint}
        link.send(pack({"type": "exec_refused", **parts}))

    def told(self, starter: Starter, row: Guest) -> None:
        """Pass on to the client how its command has ended."""
        if self._starters.get(row.guest) != (starter, row.alloc):
            return
        link = self._forget(row.guest)
        if link is None:
            return
        if row.ran:
            end = {"type": "exec_ended", "code": row.code, "signal": row.signal, "why": row.why}
            link.send(pack(end))
        else:
            self._refuse(link, Refused(row.why))

    def signal(self, link: Connection, number: int) -> None:
        """Pass a signal on to this client's command."""
        if not 1 <= number <= _HIGHEST:
            raise UsageError(f"{number} is no signal")
        self._tell(link, {"type": "guest_signal", "signal": number})

    def gone(self, link: Connection) -> None:
        """Let the command of a client know that it has gone."""
        self._tell(link, {"type": "guest_part"})
        for number in [number for number, mine in self._links.items() if mine is link]:
            self._forget(number)

    def starter_gone(self, starter: Starter) -> None:
        """Tell the clients whose starter was lost that nothing more will be heard."""
        for number in [n for n, (mine, _) in self._starters.items() if mine is starter]:
            link = self._forget(number)
            if link is not None:
                self._refuse(link, Refused("its starter has died, and the command is on its own"))

    def _tell(self, link: Connection, message: dict[str, object]) -> None:
        for number, mine in self._links.items():
            if mine is link:
                starter, alloc = self._starters[number]
                starter.send({**message, "alloc": alloc, "guest": number})

    def _forget(self, number: int) -> Connection | None:
        self._starters.pop(number, None)
        return self._links.pop(number, None)


def _check(wanted: Exec) -> None:
    """Raise `UsageError` unless the command can be one."""
    size = sum(len(word) + 1 for word in wanted.argv)
    if not wanted.argv or not wanted.argv[0] or any(b"\0" in word for word in wanted.argv):
        raise UsageError("there is nothing to run, or an argument holds a NUL byte")
    if size > limits.MAX_ARGV or len(wanted.argv) > limits.MAX_ARGUMENTS:
        raise UsageError(
            f"the command is too long: {size} bytes", expected=f"most: {limits.MAX_ARGV}"
        )
    if len(wanted.term) > _TERMS or b"\0" in wanted.term:
        raise UsageError("the name of the terminal is too long")
