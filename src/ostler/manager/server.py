"""The manager's socket: who asks, what for, and the answers on their way back."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from ostler.core.effects import Acknowledge, Call, Fail, Handle, Reply, Send, TakenIn, Welcomed
from ostler.core.events import (
    Acted,
    Awaited,
    ClientGone,
    Event,
    Modified,
)
from ostler.core.roles import may_see_all
from ostler.manager.contexts import Contexts
from ostler.manager.errands import Errands
from ostler.manager.foreign import Foreign
from ostler.manager.inner import Inner
from ostler.manager.looks import Looks
from ostler.manager.naming import refs_of
from ostler.manager.native import Agents
from ostler.manager.pools import Pools
from ostler.manager.probing import Probing
from ostler.manager.reads import Reads
from ostler.manager.repeats import answer_again
from ostler.manager.requests import decode, event_of, takes_long
from ostler.manager.schedulers import Schedulers
from ostler.manager.session import WAITING, Client, failure, introduced, user_name
from ostler.manager.submissions import Submissions
from ostler.manager.turns import Spoken, Turns
from ostler.model import limits
from ostler.model.caller import Caller
from ostler.model.errors import NotNow, OstlerError, Refused, UsageError
from ostler.model.ids import Ref
from ostler.model.record import Setting, SiteRow, Write
from ostler.store.protocol import Store
from ostler.wire import messages
from ostler.wire.conn import Connection
from ostler.wire.descriptors import most_connections

log = logging.getLogger("ostler.manager")

SHARE = 4  # no user but the owner may have one in so many of our descriptors,
MOST_OF_ONE_USER = 4_096  # and never more connections than this
TURN = 32  # requests of one connection taken before others get their turn


class Server:
    """Turns requests into events and reads, and effects into answers."""

    def __init__(self, store: Store, owner: int, *, system: bool) -> None:
        self._store = store
        self._owner = owner
        self._system = system
        self._asked: dict[int, tuple[Client, int]] = {}  # address -> who, and which request
        self._next = 1
        self._clients: set[Client] = set()
        self._of_user: Counter[int] = Counter()  # connections, by uid
        self._most = most_connections(SHARE, MOST_OF_ONE_USER)
        self._work: set[asyncio.Task[None]] = set()
        self.identities: tuple[str, ...] = ()  # of a lab
        self.put_behind: Callable[[int], None] = lambda _: None  # a node's connection, by number
        self.inner: Inner
        self.turns: Turns
        self.agents: Agents
        self.contexts: Contexts
        self.looks: Looks
        self.probing: Probing
        self.errands: Errands
        self.foreign: Foreign
        self.schedulers: Schedulers
        self.pools: Pools
        self.reads: Reads
        self.submissions: Submissions

    # -- connections -----------------------------------------------------------------------

    def accept(self, link: Connection) -> None:
        """Serve a new connection."""
        uid = link.peer.uid
        if not self._system and uid not in (self._owner, 0):
            error = Refused(
                "this machine belongs to somebody else", hint="start your own: ostler up"
            )
            link.send(messages.encode(failure(0, error)))
            link.close("not its owner")
            return
        owner = uid in (self._owner, 0)
        if self._of_user[uid] >= self._most and not owner:
            busy = NotNow(f"{self._most} connections of this user are open", hint="close some")
            link.send(messages.encode(failure(0, busy)))
            link.close("too many connections of this user")
            return
        self._of_user[uid] += 1
        client = Client(link, Caller(uid, link.peer.gid, user_name(uid), owner=owner))
        self._clients.add(client)
        task = asyncio.get_running_loop().create_task(self._serve(client))
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def _serve(self, client: Client) -> None:
        count = 0
        client.link.offer(lambda payload: self._take_now(client, payload))
        try:
            async for payload in client.link:
                self._take(client, payload)
                count += 1
                if count % TURN == 0:
                    await asyncio.sleep(0)
                await client.room.wait()
        except OstlerError as error:  # a frame too long: nothing after it can be read
            client.say(failure(0, error))
        finally:
            client.link.close()
            self._drop(client)

    def _drop(self, client: Client) -> None:
        self._clients.discard(client)
        self.looks.followers.gone(client)
        self._of_user[client.caller.uid] -= 1
        if not self._of_user[client.caller.uid]:
            del self._of_user[client.caller.uid]
        for address in client.addresses:
            self._asked.pop(address, None)
        if self.turns.down is None:
            if client.node:
                self.agents.gone(client.node, client.link)
            if client.addresses:
                self.turns.put(ClientGone(tuple(sorted(client.addresses))))

    def _take_now(self, client: Client, payload: bytes) -> bool:
        """Take a request that came alone without a turn of the loop in between."""
        if not client.room.is_set():
            return False
        self._take(client, payload)
        return True

    def _take(self, client: Client, payload: bytes) -> None:
        number = 0
        try:
            message = decode(payload)
            number = getattr(message, "id", 0)
            self._dispatch(client, message)
        except OstlerError as error:
            client.say(failure(number, error))

    def _dispatch(self, client: Client, message: messages.Request | messages.FromAgent) -> None:
        match message:
            case messages.AgentHello():
                self._greet(client, message)
            case messages.Heartbeat() | messages.Report():
                if not client.node:
                    raise UsageError("an agent must greet first")
                self.agents.heard(client.node, message)
            case messages.ContextsHeld():
                self.contexts.heard(client.node, message)
            case messages.Read():
                self._later(client, message.id, self.looks.read(client, message))
            case messages.Query():
                if len(message.sql) > limits.MAX_QUERY:
                    raise UsageError(
                        f"the statement has {len(message.sql)} characters",
                        expected=f"most: {limits.MAX_QUERY}",
                    )
                self._later(client, message.id, self.looks.query(client, message))
            case messages.Introduce():
                client.caller = introduced(client.caller, message.user, self.identities)
            case messages.Submit(dry=True) | messages.SubmitAll(dry=True):
                self._later(client, message.id, self.looks.dry(client, message))
            case messages.Follow():
                self._later(client, message.id, self.looks.follow(client, message))
            case _:
                self._event(client, message)

    def _greet(self, client: Client, hello: messages.AgentHello) -> None:
        if not client.caller.owner:
            raise Refused("only the owner of the machine may run an agent for it")
        client.node = hello.node
        self.agents.greet(client.link, hello)
        self.put_behind(client.link.fileno())

    # -- requests that change something ----------------------------------------------------

    def _event(self, client: Client, message: messages.Request) -> None:
        address = self._next
        event = self._translate(client, message, address)
        if event is None:
            return
        self._next += 1
        long = takes_long(message)
        if long and len(client.addresses) - client.busy > WAITING:
            raise NotNow(f"{WAITING} waits of this connection are unanswered")
        self._asked[address] = (client, message.id)
        client.addresses[address] = long
        if not long:
            client.began()
        try:
            self.turns.put(event)
        except OstlerError:
            self._forget(address)
            raise

    def _forget(self, address: int) -> tuple[Client, int] | None:
        """Return who asked, and which request it was; the address is over."""
        found = self._asked.pop(address, None)
        if found is not None and not found[0].addresses.pop(address, True):
            found[0].done()
        return found

    def _translate(self, client: Client, message: messages.Request, to: int) -> Event | None:
        caller = client.caller
        match message:
            case messages.Submit():
                return self.submissions.one(client, message, to)
            case messages.SubmitAll():
                return self.submissions.several(client, message, to)
            case messages.Act(verb=verb, refs=refs, signal=number, failed=failed, reason=reason):
                parsed = self._refs(refs)
                told = reason[:1000]
                return Acted(to, caller, verb, parsed, number, failed, told, message.status)
            case messages.Modify(ref=ref, changes=changes):
                return Modified(to, self.submissions.member(caller), self._refs([ref])[0], changes)
            case messages.Wait(refs=refs, attach=attach):
                return Awaited(to, caller, self._refs(refs), attach)
            case _:
                self.submissions.tell_members(message)
                if (event := event_of(message, caller, to)) is None:
                    raise UsageError(f"{type(message).__name__} is no request of a client")
                if (answer := answer_again(self._store, event)) is not None:
                    client.say(messages.Reply(message.id, answer))
                    return None
                return event

    def _refs(self, texts: list[str]) -> tuple[Ref, ...]:
        return refs_of(self.turns.machine.state, texts, self.reads.jobs.recall)

    # -- requests that look ----------------------------------------------------------------------

    def _later(self, client: Client, number: int, work: Coroutine[Any, Any, Any]) -> None:
        async def answer() -> None:
            try:
                client.say(messages.Reply(number, await work))
            except OstlerError as error:
                client.say(failure(number, error))
            except Exception:
                log.exception("a defect was met")
                told = OstlerError("a defect was met; it is in the manager's log")
                client.say(failure(number, told))
            finally:
                client.done()

        client.began()
        task = asyncio.get_running_loop().create_task(answer())
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    # -- answers ---------------------------------------------------------------------------

    def speak(self, effects: list[Spoken]) -> None:
        """Carry out the effects of a durable batch."""
        for_clients: list[Reply | Fail] = []
        for_agents: list[Acknowledge | Send | Welcomed] = []
        for effect in effects:
            if isinstance(effect, Reply | Fail):
                for_clients.append(effect)
            elif isinstance(effect, Handle):
                self.errands.give(effect.order)
            elif isinstance(effect, Call):
                self.foreign.give(effect)
            elif isinstance(effect, TakenIn):
                self.foreign.taken_in(effect)
            else:
                for_agents.append(effect)
        self.agents.speak(for_agents)  # first: a job may begin while its client reads the answer
        for told in for_clients:
            self._answer(told)

    def _answer(self, effect: Reply | Fail) -> None:
        if effect.to < 0:
            self.inner.answered(effect)
            return
        found = self._forget(effect.to)
        if found is None:
            return
        client, number = found
        if isinstance(effect, Reply):
            client.say(messages.Reply(number, self._veiled(effect.body, client.caller)))
        else:
            client.say(failure(number, effect.error))

    def _veiled(self, body: dict[str, Any], caller: Caller) -> dict[str, Any]:
        """Return an answer without the commands of other people's jobs: anybody may wait for one."""
        rows = body.get("jobs")
        if isinstance(rows, list) and not may_see_all(self.turns.machine.state, caller):
            for row in rows:
                if row.get("user", caller.user) != caller.user:
                    row.pop("command", None)
        return body

    def written(self, writes: list[Write]) -> None:
        """Tell followers of the events that are now durable."""
        kinds = set(map(type, writes))
        if Setting in kinds:
            self.probing.configured()
        if SiteRow in kinds:
            self.foreign.configured()
        self.looks.followers.tell(writes)

    def silenced(self, error: OstlerError) -> None:
        """Answer everybody who waits with the cause, and let the agents come back later."""
        for address in list(self._asked):
            found = self._forget(address)
            if found is not None:
                found[0].say(failure(found[1], error))
        self.inner.silenced(error)
        self.agents.drop_all(str(error))
        self.errands.drop()
        self.foreign.forget()

    def close(self) -> None:
        """Close every connection."""
        for client in list(self._clients):
            client.link.close("the manager stops")
