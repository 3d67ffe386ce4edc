"""A simulated manager: the real turns and the real driver of agents, over a simulated net."""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

from ostler.core.effects import Acknowledge, Call, Fail, Handle, Reply, Send, TakenIn, Welcomed
from ostler.core.events import AgentGone, ClientGone, Event, Handled, Submitted
from ostler.core.load import recall
from ostler.core.machine import Machine
from ostler.core.state import State
from ostler.manager.native import HEARTBEAT, Agents, Blobs
from ostler.manager.pieces import pieces
from ostler.manager.probing import RECALLED, Probing
from ostler.manager.repeats import answer_again
from ostler.manager.turns import Batch, Spoken, Turns
from ostler.model.errand import Order, Outcome, Ran
from ostler.model.errors import NotNow, OstlerError, StaleEpoch
from ostler.model.ids import Ref, job_name
from ostler.model.record import Setting, Write
from ostler.model.sight import Seen
from ostler.schedule.snapshot import Piece, Plan
from ostler.store.protocol import Store
from ostler.testing.clock import ProcessLoop, VirtualClock
from ostler.testing.disk import SimStore
from ostler.testing.ledger import Broken
from ostler.testing.net import End
from ostler.testing.scheduler import Scheduler
from ostler.testing.sight import Sight
from ostler.wire import messages
from ostler.wire.conn import Connection

LEASE = 15.0  # seconds
WORK = 60  # in one piece of a plan: two starts or a dozen reasons
BETWEEN = 0.01  # seconds between two pieces
COMPARED = 8  # passes of which one is held against that of a fresh engine
GREETING = 9.0  # seconds after which a node that did not greet counts as silent

Watch = Callable[[State, list[Write], Event], None]


class Ask(NamedTuple):
    """A client's request: its number on this connection, and the event it becomes."""

    number: int
    make: Callable[[int], Event]  # address -> event
    refs: tuple[Ref, ...] = ()  # jobs that it names


class Answer(NamedTuple):
    """What a client is told."""

    number: int
    effect: Reply | Fail


class WatchedTurns(Turns):
    """The manager's turns, with a judge that looks at the state after every event."""

    watch: Watch
    scheduler: Scheduler
    rest: tuple[tuple[Plan, Piece], ...] = ()  # of a plan, not handed over yet

    def _handle(self, now: float, event: Event) -> None:
        known = len(self._writes)
        try:
            super()._handle(now, event)
        except OstlerError as error:
            raise Broken(f"{event} was a defect: {error.__cause__!r}") from error.__cause__
        self.watch(self.machine.state, self._writes[known:], event)

    def _propose(self, now: float) -> Plan | None:
        """Plan as a large machine does: other things happen between two pieces of a plan."""
        if self.rest:
            return None
        plan = self.scheduler.plan(self.machine, now)  # a defect of it must show here
        self.rest = tuple(pieces(plan, {}, work=WORK))
        if len(self.rest) == 1:
            self.rest = ()
            return plan
        self._hand_over(self.machine)
        return None

    def _hand_over(self, machine: Machine) -> None:
        """Hand over one piece more, unless the machine was read anew and the plan is void."""
        if machine is not self.machine:
            self.rest = ()
            return
        (plan, piece), *rest = self.rest
        self.rest = tuple(rest)
        self.planned(machine, plan, piece)
        if rest:
            self._loop.call_later(BETWEEN, self._hand_over, machine)

    def _committed(self, error: Exception | None, batch: Batch) -> None:
        if error is not None and not isinstance(error, OstlerError):
            raise error  # a defect; the daemon would start anew from the database
        super()._committed(error, batch)

    @property
    def settled(self) -> bool:
        """Say whether the database should agree with memory at this moment."""
        return not (self._writes or self._under_way or self.down or self.rest)


class Mouth:
    """The manager's side of one connection, as the daemon's own connections are used."""

    def __init__(self, manager: "SimManager", end: End) -> None:
        self.manager = manager
        self.end = end
        self.peer = end.peer

    @property
    def reason(self) -> str:
        """Return why the connection is over; empty while it is not."""
        return self.end.reason

    def flush(self) -> None:
        """Do nothing: what is sent is on its way."""

    def send(self, frame: Any) -> None:
        """Say something, unless the process dies over it."""
        manager = self.manager
        if not manager.alive or manager.blows():
            return
        if self.end.open:
            self.end.send(frame)
        elif isinstance(frame, bytes):
            self.end.other.on_late(frame)

    def close(self, reason: str = "") -> None:
        """Close it."""
        if self.manager.alive:
            self.end.close(reason)


class SimManager:
    """One process of a manager. `pid` numbers them; a later one has a higher epoch."""

    def __init__(
        self,
        pid: int,
        store: SimStore,
        clock: VirtualClock,
        commit_seconds: Callable[[], float],
        is_alive: Callable[[int, float], bool],
        watch: Watch,
        on_death: Callable[[], None],
        sight: Sight,
    ) -> None:
        self.pid = pid
        self.store = store
        self.loop = ProcessLoop(clock, commit_seconds)
        self.serving = False
        self.fuse: int | None = None  # it dies after so many more messages
        self.errand: Callable[[Order], float] = lambda _: 0.1  # seconds that it takes
        self.epoch = 0
        self.turns: WatchedTurns
        self.agents: Agents
        self.probing: Probing
        self.blobs: Blobs
        self._is_alive = is_alive
        self._watch = watch
        self._on_death = on_death
        self._sight = sight
        self._links: list[End] = []
        self._asked: dict[int, tuple[Mouth, int]] = {}
        self._next = 1
        self.loop.call(self._start)

    @property
    def alive(self) -> bool:
        """Say whether its process exists."""
        return self.loop.alive

    @property
    def state(self) -> State:
        """Return the core's state."""
        return self.turns.machine.state

    def kill(self) -> None:
        """SIGKILL: nothing of it happens any more, and the kernel closes its connections."""
        if self.alive:
            self.loop.kill()
            self.serving = False
            for link in self._links:
                link.close("its process was killed")
            self._on_death()

    def blows(self) -> bool:
        """Count a message; say whether the process has died before it could be sent."""
        if self.fuse is not None:
            self.fuse -= 1
            if self.fuse < 0:
                self.kill()
        return not self.alive

    def _start(self) -> None:
        """Take the roles and serve, as soon as the disk and the holder before allow it."""
        now = self.loop.time()
        try:
            self.epoch = self.store.take_role(self.pid, now, LEASE, self._is_alive)
            self.turns = WatchedTurns(
                cast("Store", self.store), self, self.loop, self.epoch, self.loop.time
            )
        except NotNow:
            self.loop.later(0.5, self._start)
            return
        self.turns.watch = self._watch
        self.turns.scheduler = Scheduler(COMPARED)
        self.blobs = Blobs(self.store.real.blob)
        heartbeat = self._sight.beat or HEARTBEAT
        self.agents = Agents(
            self.turns.put, self.epoch, self.blobs, b"simulated", heartbeat, clock=self.loop.time
        )
        self.probing = Probing(lambda: self.state, self.turns.put, self.agents, self)
        events = self.store.real.events(limit=RECALLED, newest=True)
        self.probing.begin(events, self.loop.time())
        self.turns.lost.add_done_callback(lambda _: self.kill())
        self.loop.later(GREETING, self._first_greetings)
        self.loop.later(LEASE / 3, self._renew)
        if self._sight.beat:
            self.loop.later(heartbeat, self._beats)
        self.serving = True

    def _beats(self) -> None:
        for _ in self.agents.beat(self.loop.time):
            pass
        self.loop.later(self._sight.beat, self._beats)

    def _renew(self) -> None:
        try:
            self.store.real.renew(self.epoch, now_boottime=self.loop.time(), lease_seconds=LEASE)
        except StaleEpoch:
            self.kill()
        self.loop.later(LEASE / 3, self._renew)

    def _first_greetings(self) -> None:
        if self.turns.down is None:
            for name, entry in list(self.state.nodes.items()):
                if not entry.connected:
                    self.turns.put(AgentGone(name))
                    self.probing.hurry(name)

    def look(self, name: str, patience: float, then: Callable[[Seen | None], None]) -> None:
        """Look at a node from outside, over the net, as the daemon's eye does."""
        self._sight.look(name, patience, lambda seen: self.loop.call(lambda: then(seen)))

    # -- agents ------------------------------------------------------------------------------

    def accept_agent(self, link: End) -> None:
        """Serve an agent's connection."""
        mouth = Mouth(self, link)
        self._links.append(link)
        link.on_frame = lambda frame: self.loop.call(lambda: self._from_agent(mouth, frame))
        link.on_close = lambda: self.loop.call(lambda: self._agent_gone(mouth))

    def _from_agent(self, mouth: Mouth, frame: bytes) -> None:
        if mouth.reason:
            return
        message = messages.decode_request(frame)
        try:
            if isinstance(message, messages.AgentHello):
                self.agents.greet(cast("Connection", mouth), message)
            elif isinstance(message, messages.Report | messages.Heartbeat):
                self.agents.heard(mouth.end.other.name, message)
        except OstlerError as error:
            mouth.close(str(error))

    def _agent_gone(self, mouth: Mouth) -> None:
        if self.turns.down is None:
            self.agents.gone(mouth.end.other.name, cast("Connection", mouth))

    # -- clients -----------------------------------------------------------------------------

    def accept_client(self, link: End) -> None:
        """Serve a client's connection."""
        mouth = Mouth(self, link)
        self._links.append(link)
        link.on_frame = lambda ask: self.loop.call(lambda: self._from_client(mouth, ask))
        link.on_close = lambda: self.loop.call(lambda: self._client_gone(mouth))

    def _from_client(self, mouth: Mouth, ask: Ask) -> None:
        if mouth.reason:
            return
        if self.turns.down is not None:
            mouth.send(Answer(ask.number, Fail(0, self.turns.down)))
            return
        for ref in ask.refs:
            self._recall(ref.job)
        address, self._next = self._next, self._next + 1
        event = ask.make(address)
        if isinstance(event, Submitted):
            for number in event.spec.tied_to:
                self._recall(number)
            if (job := self._known(event)) is not None:
                mouth.send(Answer(ask.number, Reply(address, {"job": job_name(job)})))
                return
            for digest, data in event.blobs.items():
                self.blobs.put(digest, data)
        if (answer := answer_again(self.store.real, event)) is not None:
            mouth.send(Answer(ask.number, Reply(address, answer)))
            return
        self._asked[address] = (mouth, ask.number)
        self.turns.put(event)

    def _known(self, event: Submitted) -> int | None:
        """Return a job of this request that memory has forgotten, as the server does."""
        if event.dry or (event.caller.uid, event.request_id) in self.state.requests:
            return None
        return self.store.find_request(event.request_id, event.caller.uid)

    def _recall(self, number: int) -> None:
        """Bring an ended job back into memory, as the server does, and those it is tied to."""
        self._recall_one(number)
        entry = self.state.recent.get(number)
        for other in entry.job.spec.tied_to if entry else ():
            self._recall_one(other)

    def _recall_one(self, number: int) -> None:
        state = self.state
        if number in state.jobs or number in state.recent or number not in state.ended:
            return
        job = self.store.job(number)
        if job is not None:
            recall(state, job, self.store.done(number))

    def _client_gone(self, mouth: Mouth) -> None:
        gone = [to for to, (whose, _) in self._asked.items() if whose is mouth]
        for to in gone:
            del self._asked[to]
        if gone and self.turns.down is None:
            self.turns.put(ClientGone(tuple(gone)))

    # -- what the turns want said ------------------------------------------------------------

    def speak(self, effects: list[Spoken]) -> None:
        """Carry out the effects of a durable batch."""
        for_agents: list[Acknowledge | Send | Welcomed] = []
        for effect in effects:
            if isinstance(effect, Reply | Fail):
                mouth, number = self._asked.pop(effect.to, (None, 0))
                if mouth is not None:
                    mouth.send(Answer(number, effect))
            elif isinstance(effect, Handle):
                self._handle(effect.order)
            elif not isinstance(effect, Call | TakenIn):
                for_agents.append(effect)
        self.agents.speak(for_agents)

    def _handle(self, order: Order) -> None:
        """Do an errand: all go well here, after a while."""
        ran = Ran(order.first, order.handler, order.attempt, Outcome.SUCCESS)
        end = Handled(ran)

        def tell() -> None:
            if self.turns.down is None:
                self.turns.put(end)

        self.loop.later(self.errand(order), tell)

    def written(self, writes: list[Write]) -> None:
        """Take note of rows that are now durable."""
        if any(isinstance(write, Setting) for write in writes):
            self.probing.configured()

    def silenced(self, error: OstlerError) -> None:
        """Answer everybody who waits with the cause, and let the agents come back later."""
        for mouth, number in self._asked.values():
            mouth.send(Answer(number, Fail(0, error)))
        self._asked.clear()
        self.agents.drop_all(str(error))
