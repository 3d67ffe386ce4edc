"""Commands of `exec` on their way through the agent, where something fails."""

import errno
import os
from typing import Any, cast

from ostler.agent.starters import Starter
from ostler.agent.visits import Exec, Visits
from ostler.model.orders import Launch
from ostler.model.resources import Placement, Request
from ostler.wire.conn import Connection, Peer
from ostler.wire.pack import unpack


class Line:
    """A connection of which the other side is not there."""

    def __init__(self, error: OSError | None = None) -> None:
        self.peer = Peer(os.getpid(), os.geteuid(), os.getegid())
        self.said: list[Any] = []
        self._error = error

    def send(self, payload: bytes, descriptors: object = ()) -> None:
        if self._error is not None:
            raise self._error
        self.said.append((unpack(payload), descriptors))


class Place:
    """A share that runs."""

    over = False

    def __init__(self, starter: Starter) -> None:
        self.starter = starter
        uid, gid = os.geteuid(), os.getegid()
        place = Placement("n1")
        self.launch: Launch | None = Launch(1, 7, 0, 1, "me", uid, gid, place, Request())


def test_an_agent_without_free_descriptors_says_so_and_keeps_none_of_the_clients() -> None:
    starter = Starter("s1", 1, 1)
    starter.link = cast("Connection", Line(OSError(errno.EMFILE, "Too many open files")))
    visits = Visits({1: Place(starter)})
    client = Line()
    out, into = os.pipe()
    visits.begin(cast("Connection", client), Exec(1, [b"true"]), [into, os.dup(into), os.dup(into)])
    [(told, _)] = client.said
    assert told["type"] == "exec_refused"
    assert "Too many open files" in told["message"]
    assert os.read(out, 1) == b""  # nobody has the other end
    os.close(out)
    visits.starter_gone(starter)
    assert len(client.said) == 1
