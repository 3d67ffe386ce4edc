"""What comes in on STATE/agent.sock: starters, and clients of `run` and `exec`."""

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Callable

import msgspec
from msgspec import Struct

from ostler.agent import proc
from ostler.agent.hand import Hand
from ostler.agent.office import Office
from ostler.agent.spool import SpoolState, read_spool
from ostler.agent.starter_protocol import ENDED, SOCKET
from ostler.agent.starters import Starter
from ostler.agent.visits import Exec, ExecSignal, Guest, Visits
from ostler.core.agent_words import (
    ShareMade,
)
from ostler.model.errors import UsageError
from ostler.model.ids import AllocationId
from ostler.model.orders import LAST_SERIAL, Ended, Made, Progress, Started
from ostler.model.sight import Alive, Probe
from ostler.wire import messages
from ostler.wire.address import listen
from ostler.wire.conn import Connection, Listener
from ostler.wire.descriptors import let_go, most_connections
from ostler.wire.messages import NO_MESSAGE

log = logging.getLogger("ostler.agent")

_FRAME = 4 << 20  # bytes; the longest is the end of a share of very many tasks
_FIRST_SECONDS = 10.0  # in which a connection must have said who it is
_MOST_OF_ONE_USER = 512  # connections, and
_MOST_ELEMENTS = 4096  # in one message of a starter
_SHARE = 8  # one in so many of our descriptors: each may bring three more


class StarterHello(Struct, tag="starter"):
    """A starter says who it is and what it has; again when it has become idle."""

    name: str
    pid: int
    start_time: int
    alloc: AllocationId | None
    phase: str


class Leave(Struct, tag="leave"):
    """A client leaves its descriptors 0, 1 and 2, which came with this frame."""

    token: str


_decode = msgspec.msgpack.Decoder(
    StarterHello | Leave | Probe | Exec | ExecSignal | Guest | Made | Started | Progress | Ended
).decode
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


class Local:
    """The socket and the tasks that serve its connections."""

    def __init__(
        self, office: Office, state: str, alive: Callable[[], Alive], *, system: bool
    ) -> None:
        self._office = office
        self._alive = alive
        self._links: dict[Connection, asyncio.Task[None]] = {}
        self._of_user: Counter[int] = Counter()
        self._most = most_connections(_SHARE, _MOST_OF_ONE_USER)
        self._nameless: dict[Connection, None] = {}  # have not said who they are; oldest first
        self._visits = Visits(office.hands)
        self._loop = asyncio.get_running_loop()
        sock = listen(f"{state}/{SOCKET}", 0o666 if system else 0o600)
        self._listener = Listener(sock, self._on_connection, frame_limit=_FRAME, descriptors=True)

    def _on_connection(self, link: Connection) -> None:
        uid = link.peer.uid
        if self._of_user[uid] >= self._most and not self._make_room(uid):
            link.close("too many connections of this user")
            return
        self._of_user[uid] += 1
        self._nameless[link] = None
        self._links[link] = self._loop.create_task(self._serve(link))

    def _make_room(self, uid: int) -> bool:
        """Close the oldest connection of a user that never said who it is; False: none is."""
        for link in self._nameless:
            if link.peer.uid == uid:
                del self._nameless[link]
                link.close("others wait, and it never said who it is")
                return True
        return False

    async def _serve(self, link: Connection) -> None:
        starter: Starter | None = None
        first = self._loop.call_later(_FIRST_SECONDS, link.close, "it never said who it is")
        try:
            async for payload in link:
                first.cancel()
                self._nameless.pop(link, None)
                starter = self._take(link, starter, payload)
        except (*NO_MESSAGE, UsageError) as error:
            if starter is not None:  # others could fill the log
                more = {"starter": starter.name, "why": str(error)}
                log.warning("a starter's words make no sense", extra=more)
            link.close(f"it sent what is no message: {error}")
        finally:
            first.cancel()
            link.close("the agent ends")
            self._nameless.pop(link, None)
            self._office.left.gone(link)
            self._visits.gone(link)
            if starter is not None:
                self._visits.starter_gone(starter)
                self._office.starters.disconnected(starter, link)
            del self._links[link]
            self._of_user[link.peer.uid] -= 1
            if not self._of_user[link.peer.uid]:
                del self._of_user[link.peer.uid]

    def _take(self, link: Connection, starter: Starter | None, payload: bytes) -> Starter | None:
        """Act on one message; return the starter that this connection has turned out to be."""
        message = _decode(payload)
        if isinstance(message, StarterHello):
            return self._greeted(link, starter, message)
        if isinstance(message, Probe):
            if link.peer.uid not in (0, os.geteuid()):
                raise UsageError("only the manager asks whether an agent works")
            link.send(messages.encode(self._alive()))
            return starter
        if isinstance(message, Leave):
            if starter is not None:
                raise UsageError("a starter leaves no descriptors")
            refusal = self._office.left.leave(link, message.token, link.take_descriptors())
            if refusal:
                raise UsageError(refusal)
            return None
        if isinstance(message, Exec | ExecSignal):
            if starter is not None:
                raise UsageError("a starter asks for no command")
            if isinstance(message, ExecSignal):
                self._visits.signal(link, message.signal)
            else:
                self._visits.begin(link, message, link.take_descriptors())
            return None
        if starter is None:
            raise UsageError("it reports and has not said which starter it is")
        if isinstance(message, Guest):
            self._visits.told(starter, message)
            return starter
        hand = starter.holder
        if isinstance(hand, Hand) and hand.alloc == message.alloc:
            self._reported(hand, message)
        return starter

    def _reported(self, hand: Hand, row: Made | Started | Progress | Ended) -> None:
        match row:
            case Made(alloc):
                self._office.feed(ShareMade(alloc))
            case Started(_, at):
                hand.started(at)
            case Progress():
                check(row)
                hand.progressed(row)
            case Ended():
                hand.finish(row)

    def _greeted(
        self, link: Connection, known: Starter | None, hello: StarterHello
    ) -> Starter | None:
        starters = self._office.starters
        if known is None and not self._is_true(link, hello):
            raise UsageError("it is not the starter that it says it is")
        starter = known or starters.known(hello.name, hello.pid, hello.start_time)
        if known is None:
            starter.above = self._office.reaper.above(starter.pid)
            starters.connected(starter, link)
        if hello.alloc is None:
            if starter.holder is None:
                starters.idle(starter)
            return starter
        hand = self._office.hands.get(hello.alloc)
        if hand is None:
            # Its end was acknowledged and dropped before it could be told to forget.
            if hello.phase == ENDED:
                starter.send({"type": "forget", "alloc": hello.alloc})
            return starter
        hand.adopt(starter)
        hand.starter_back()
        return starter

    def _is_true(self, link: Connection, hello: StarterHello) -> bool:
        """Say whether the kernel and the spool, which only a starter can write, agree with it.

        The journal's word is as good: the spool may be damaged.
        """
        if not hello.name or not _LETTERS.issuperset(hello.name) or link.peer.pid != hello.pid:
            return False
        if self._office.starters.knows(hello.name, hello.pid, hello.start_time):
            return True
        try:
            state = read_spool(self._office.starters.spool_path(hello.name))
        except OSError:
            return False
        # The spool of a dead starter stays for a while, and its pid may be somebody's by now.
        begun = proc.start_time(hello.pid)
        if not (state.pid, state.start_time) == (hello.pid, hello.start_time) == (hello.pid, begun):
            return False
        return link.peer.uid == os.geteuid() or link.peer.uid == self._owner(hello, state)

    def _owner(self, hello: StarterHello, state: SpoolState) -> int:
        """Return the user of the share that a starter says it has; -1 if it is not known to.

        A socket can be passed on, and the pid that made it be a real starter's later: then the
        user tells. An idle starter, which may be given anybody's share, has never left our own.
        """
        if hello.alloc is not None and state.accepted is not None and state.alloc == hello.alloc:
            uid = state.accepted.get("uid")
            return uid if isinstance(uid, int) else -1
        entry = self._office.journal.entries.get(hello.alloc or 0)
        handed = None if entry is None else entry.handed  # for where the spool is damaged
        return entry.launch.uid if entry and handed and handed.name == hello.name else -1

    def close(self) -> None:
        """Close the socket and all connections."""
        self._listener.close()
        for link, task in list(self._links.items()):
            let_go(link.take_descriptors())
            task.cancel()


def check(row: Progress) -> None:
    """Raise `UsageError` unless its numbers can be what they say."""
    if not 0 < row.serial < LAST_SERIAL:
        raise UsageError(f"{row.serial} is no serial of a progress")
    if len(row.ended) + len(row.returned) > _MOST_ELEMENTS:
        raise UsageError(f"a progress tells of {_MOST_ELEMENTS} elements at most")
    back = sum(high - low + 1 for low, high in row.returned)
    if back > _MOST_ELEMENTS or any(low > high for low, high in row.returned):
        raise UsageError("a progress gives back what was never handed out")
