"""A simulated agent: the real rules over a simulated disk and simulated starters."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Struct

from ostler.core import agent_words as rules
from ostler.core.agent import AgentCore
from ostler.core.agent_words import Phase
from ostler.model.orders import NODE_FAULT, Ended, Held, Launch
from ostler.model.sight import Alive
from ostler.testing.clock import Process, Timer
from ostler.testing.net import End
from ostler.testing.programs import SimPrograms
from ostler.testing.slot import Slot
from ostler.testing.starter import Starter
from ostler.wire import messages

if TYPE_CHECKING:  # each host has one
    from ostler.testing.host import Host

WINDOW = 0.05  # seconds in which reports are gathered, and when they are urgent
URGENT = 0.001
TRIES = 3  # starters that may die before a share has run


class Kept(Struct, frozen=True):
    """A share in the agent's journal."""

    launch: Launch
    boot_id: str


Move = (
    rules.BeginTasks
    | rules.FinishShare
    | rules.FreezeShare
    | rules.ThawShare
    | rules.RetimeShare
    | rules.SignalShare
    | rules.FeedShare
    | rules.WithdrawElements
    | rules.AckProgress
)


class SimAgent:
    """The real rules of the agent over a simulated disk and simulated starters."""

    def __init__(self, host: "Host") -> None:
        self.host = host
        self.process = Process(host.clock)
        self.core = AgentCore(host.epoch)
        self.link: End | None = None
        self._programs = SimPrograms(self)
        self.met: set[int] = set()  # shares whose starters talk to this agent
        self._waiting: dict[int, list[Move]] = {}  # orders for the others
        self._window: Timer | None = None
        self._wait = 0.05  # seconds until the next try to connect
        self._recover()
        self.process.later(host.rng.uniform(0.0, 0.05), self._connect)

    # -- starting ----------------------------------------------------------------------------

    def _recover(self) -> None:
        for alloc, kept in list(self.host.journal.items()):
            self._take_up(alloc, kept.launch, another_boot=kept.boot_id != self.host.boot_id)
        live = {n for n, share in self.core.shares.items() if share.phase is not Phase.ENDED}
        self.host.contexts &= live

    def _take_up(self, alloc: int, launch: Launch, *, another_boot: bool) -> None:
        host = self.host
        starter = host.starters.get(alloc)
        if another_boot:
            starter = starter or host.starter(launch)
            starter.bury()
        elif starter is None or not (starter.alive or starter.judge()):
            self._never_ran(launch)
            return
        phase = Phase.ACCEPTED if starter.started_at is None else Phase.STARTED
        self.do(rules.Recovered(launch, alloc, phase, starter.started_at))
        if starter.alive:
            self.process.later(host.rng.uniform(0.0, 0.05), lambda: self._find(alloc))
        else:
            self._meet(alloc)

    def _never_ran(self, launch: Launch) -> None:
        """No starter has it: "not held here" is the proof, and the manager orders it again."""
        self.host.starters.pop(launch.alloc, None)
        if launch.start and launch.alloc in self.host.dirty:
            self.do(rules.Recovered(launch, launch.alloc, Phase.ACCEPTED))
            self.do(self._end(launch, "", "its agent ended while its prolog ran"))
        elif launch.start:
            del self.host.journal[launch.alloc]
        else:
            self.do(rules.Recovered(launch, launch.alloc, Phase.ACCEPTED, alive=False))

    # -- starters ----------------------------------------------------------------------------

    def _meet(self, alloc: int) -> None:
        """Talk to a starter from now on, or be in the place of one that is dead."""
        starter = self.host.starters.get(alloc)
        if starter is None:
            return
        self.met.add(alloc)
        for event in starter.greeting():
            self.do(event)
        for effect in self._waiting.pop(alloc, ()):
            _move(starter, effect)
        self.host.ledger.to_freeze.discard((self.host.name, alloc))

    def _find(self, alloc: int) -> None:
        """Hear of a starter that lived when this agent began; it may have died since."""
        starter = self.host.starters.get(alloc)
        if starter is not None and not starter.alive:
            self._inquire(alloc)
        else:
            self._meet(alloc)

    def starter_died(self, alloc: int) -> None:
        """Notice it by its pidfd, and find out what became of its share."""
        if alloc in self.met:
            self.met.discard(alloc)
            self.process.later(self.host.rng.uniform(0.0, 0.02), lambda: self._inquire(alloc))

    def _inquire(self, alloc: int) -> None:
        starter = self.host.starters.get(alloc)
        if starter is None or starter.alive:
            return
        if not starter.judge():
            ends = [e for e in self._waiting.get(alloc, ()) if isinstance(e, rules.FinishShare)]
            if ends:
                starter.give_up(ends[0].cause, ends[0].why)
            elif isinstance(starter, Slot) or starter.tries == TRIES:
                starter.give_up("", "its starter died before it began anything")
            else:
                self.host.hand_out(starter.launch, starter)
        self._meet(alloc)

    def _connect(self) -> None:
        if self.link is not None:
            return
        link = self.host.dial(self.host.name)
        if link is None:
            self._again()
            return
        self.link = link
        link.on_frame = lambda frame: self.process.call(lambda: self._read(link, frame))
        link.on_late = self.overhear
        link.on_close = lambda: self.process.call(lambda: self._lost(link))
        self.do(rules.Connecting())

    def _again(self) -> None:
        self._wait = min(self._wait * 2, 2.0)
        self.process.later(self._wait * self.host.rng.uniform(0.5, 1.0), self._connect)

    def _lost(self, link: End) -> None:
        if self.link is link:
            self.link = None
            self.do(rules.Disconnected())
            self._again()

    # -- what is heard -----------------------------------------------------------------------

    def _read(self, link: End, frame: bytes) -> None:
        if self.link is not link:
            return
        match messages.decode_to_agent(frame):
            case messages.Welcome(epoch=epoch):
                self._wait = 0.05
                self.do(rules.Connected(epoch))
                self._beat(link)
            case messages.Orders(epoch=epoch, orders=orders):
                self.do(rules.Ordered(epoch, tuple(orders)))
            case messages.Ack(seq=seq):
                self.do(rules.Acked(seq))
            case messages.Heartbeat():
                pass

    def overhear(self, frame: bytes) -> None:
        """Take a frame of a manager that this agent has turned away from: only orders count."""
        message = messages.decode_to_agent(frame)
        if isinstance(message, messages.Orders):
            ordered = rules.Ordered(message.epoch, tuple(message.orders))
            self.process.call(lambda: self.do(ordered))

    # -- what is done ------------------------------------------------------------------------

    def do(self, event: rules.Event) -> None:
        """Feed the rules, and carry out what they say."""
        if not self.process.alive:
            return
        if isinstance(event, rules.ShareEnded):
            if self._programs.clears(event):
                return
            self.host.contexts.discard(event.row.alloc)
        for effect in self.core.handle(self.host.clock.now, event):
            self._carry_out(effect)
        if self.core.connected and self.core.gathered:
            self._open_window(URGENT if self.core.urgent else WINDOW)

    def _open_window(self, seconds: float) -> None:
        if self._window is not None:
            if self._window.time <= self.host.clock.now + seconds:
                return
            self._window.cancel()
        self._window = self.process.later(seconds, self._close_window)

    def _close_window(self) -> None:
        self._window = None
        self.do(rules.WindowClosed())

    def _carry_out(self, effect: rules.Effect) -> None:
        host = self.host
        match effect:
            case rules.KeepEpoch(epoch):
                self._write(lambda: self._keep_epoch(epoch), rules.EpochKept(epoch))
            case rules.Keep(launch):
                self._keep(launch)
            case rules.MakeShare(launch):
                self._make(launch)
            case rules.DropShare(alloc):
                host.forget(alloc)
            case rules.RenewContext(launch):
                host.members[launch.alloc] = launch.members
            case rules.RefuseStale():
                host.ledger.refused_orders += 1
            case rules.SendHello(epoch, holds):
                self._send(self._hello(epoch, holds))
            case rules.SendReport(seq, rows):
                self._send(messages.Report(seq, list(rows)))
            case _:
                self._order(effect)

    def _make(self, launch: Launch) -> None:
        host = self.host
        if host.no_contexts:
            why = f"{host.name} cannot write its context: no space is left"
            self.do(self._end(launch, NODE_FAULT, why))
            return
        host.contexts.add(launch.alloc)
        if launch.programs is None:
            self._hand_out(launch)
        else:
            self._programs.prepare(launch, lambda why: self._prepared(launch, why))

    def _hand_out(self, launch: Launch) -> None:
        self.host.hand_out(launch)
        self.met.add(launch.alloc)

    def _prepared(self, launch: Launch, why: str) -> None:
        """Go on after the prolog, with what was ordered meanwhile."""
        waiting = self._waiting.pop(launch.alloc, [])
        ends = [effect for effect in waiting if isinstance(effect, rules.FinishShare)]
        if why:
            self.do(self._end(launch, NODE_FAULT, why, drain=why))
        elif ends:
            self.do(self._end(launch, ends[0].cause, ends[0].why))
        else:
            self._hand_out(launch)
            for effect in waiting:
                self._order(effect)

    def _end(self, launch: Launch, cause: str, why: str, drain: str = "") -> rules.ShareEnded:
        """Return the end of a share of which nothing has run."""
        now = self.host.clock.now
        return rules.ShareEnded(Ended(launch.alloc, now, None, cause, why, drain=drain))

    def _order(self, effect: Move) -> None:
        starter = self.host.starters.get(effect.alloc)
        if effect.alloc in self.met and starter is not None:
            _move(starter, effect)
        elif starter is not None or effect.alloc in self._programs.preparing:
            self._waiting.setdefault(effect.alloc, []).append(effect)
            if isinstance(effect, rules.FreezeShare):
                self.host.ledger.to_freeze.add((self.host.name, effect.alloc))

    def _hello(self, epoch: int, holds: tuple[Held, ...]) -> messages.AgentHello:
        host = self.host
        return messages.AgentHello(
            host.name,
            messages.VERSION,
            host.facts,
            host.boot_id,
            f"{host.boot_id}-{host.incarnations}",
            epoch,
            list(holds),
        )

    def alive(self) -> Alive:
        """Return what it says of itself to whoever looks from outside."""
        hello = self._hello(self.core.epoch, ())
        return Alive(hello.node, hello.boot_id, hello.incarnation, hello.epoch, self.core.connected)

    def _beat(self, link: End) -> None:
        if self.host.beat and self.link is link:
            self._send(messages.Heartbeat(self.host.clock.now))
            self.process.later(self.host.beat, lambda: self._beat(link))

    def _send(self, message: messages.FromAgent) -> None:
        if self.link is not None:
            self.link.send(messages.encode(message))

    def _keep_epoch(self, epoch: int) -> None:
        self.host.epoch = max(self.host.epoch, epoch)

    def _keep(self, launch: Launch) -> None:
        def write() -> None:
            self.host.journal[launch.alloc] = Kept(launch, self.host.boot_id)

        self._write(write, rules.ShareKept(launch.alloc))

    def _write(self, write: Callable[[], None], then: rules.Event) -> None:
        """Write to the disk: the process can die before it, and between it and its answer."""
        rng = self.host.rng

        def written() -> None:
            write()
            self.process.later(rng.uniform(0.0, 0.001), lambda: self.do(then))

        self.process.later(rng.uniform(0.0, 0.002), written)


def _move(starter: Starter, effect: Move) -> None:
    match effect:
        case rules.BeginTasks():
            starter.begin()
        case rules.FinishShare(_, cause, why, grace):
            starter.finish(cause, why, grace)
        case rules.FreezeShare():
            starter.freeze()
        case rules.ThawShare():
            starter.thaw()
        case rules.RetimeShare(_, time_limit):
            starter.retime(time_limit)
        case rules.FeedShare(_, chunk, heard) if isinstance(starter, Slot):
            starter.feed(chunk, heard)
        case rules.WithdrawElements(_, elements, cause, why, grace) if isinstance(starter, Slot):
            starter.withdraw(elements, cause, why, grace)
        case rules.AckProgress(_, serial) if isinstance(starter, Slot):
            starter.acknowledge(serial)
        case _:
            pass  # a signal changes nothing that is looked at here
