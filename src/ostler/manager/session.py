"""One connection to the manager: who it is, and how much of what it asked is unanswered."""

import asyncio
import pwd

from ostler.model.caller import Caller
from ostler.model.errors import OstlerError, Refused
from ostler.model.ids import JobId
from ostler.model.limits import MAX_FRAME
from ostler.wire import messages
from ostler.wire.conn import Connection

PIPELINED = 4_096  # unanswered requests of one connection, after which we stop reading it
WAITING = 100_000  # unanswered waits of one connection; they may take days and do not count above


class Client:
    """One connection: a user's, or an agent's once it has greeted."""

    __slots__ = ("addresses", "busy", "caller", "follows", "link", "node", "room")

    def __init__(self, link: Connection, caller: Caller) -> None:
        self.link = link
        self.caller = caller
        self.node = ""
        self.addresses: dict[int, bool] = {}  # of events; True: a wait
        self.busy = 0  # requests without an answer that are no waits
        self.follows: dict[int, JobId] = {}  # by the request; 0: all jobs
        self.room = asyncio.Event()
        self.room.set()

    def began(self) -> None:
        """Count a request that is to be answered soon."""
        self.busy += 1
        if self.busy >= PIPELINED:
            self.room.clear()

    def done(self) -> None:
        """Count its answer."""
        self.busy -= 1
        if self.busy < PIPELINED // 2:
            self.room.set()

    def say(self, message: messages.ToClient) -> None:
        """Send one message; an answer that is too long for a frame is told as such."""
        data = messages.encode(message)
        if len(data) > MAX_FRAME:
            error = Refused(
                f"the answer is too large: {len(data)} bytes",
                expected=f"most: {MAX_FRAME}",
                hint="ask for less at once",
            )
            data = messages.encode(failure(message.id, error))
        self.link.send(data)


def failure(number: int, error: OstlerError) -> messages.Failure:
    """Return the message that tells an error in answer to a request."""
    return messages.Failure(number, error.code, error.message, error.expected, error.hint)


def user_name(uid: int) -> str:
    """Return the name of a user; the number where there is none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def introduced(caller: Caller, user: str, identities: tuple[str, ...]) -> Caller:
    """Return the test identity that the owner of a lab wants to be: nothing but a user."""
    if not caller.owner or user not in identities:
        known = ", ".join(identities) or "none, for it is no lab"
        raise Refused(
            f"nobody can be {user[:100]!r} on this machine", expected=f"test identities: {known}"
        )
    return Caller(caller.uid, caller.gid, user)
