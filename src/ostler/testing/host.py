"""A simulated node: a disk, starters, and an agent that can be killed, frozen and started again."""

from collections.abc import Callable
from random import Random

from ostler.core import agent_words as rules
from ostler.core.agent import AgentCore
from ostler.core.agent_words import (
    Phase,
)
from ostler.model.orders import Held, Launch
from ostler.model.resources import NodeFacts
from ostler.testing.clock import Process, VirtualClock
from ostler.testing.ledger import Ledger
from ostler.testing.net import End
from ostler.testing.starter import Starter
from ostler.wire import messages

WINDOW = 0.1  # seconds in which reports are gathered


class Host:
    """One computer of the simulated machine."""

    def __init__(
        self,
        name: str,
        facts: NodeFacts,
        clock: VirtualClock,
        rng: Random,
        ledger: Ledger,
        dial: Callable[[str], End | None],
    ) -> None:
        self.name = name
        self.facts = facts
        self.clock = clock
        self.rng = rng
        self.ledger = ledger
        self.dial = dial  # connects to the manager that listens now
        self.boots = 1
        self.up = True
        self.epoch = 0  # on disk
        self.journal: dict[int, Launch] = {}  # on disk
        self.starters: dict[int, Starter] = {}
        self.agent: SimAgent | None = None
        self.incarnations = 0
        self.fail_contexts = 0  # so many contexts cannot be made here
        self.start_agent()

    @property
    def boot_id(self) -> str:
        """Return the kernel's name of this boot."""
        return f"{self.name}-boot-{self.boots}"

    def start_agent(self) -> None:
        """Start an agent, if the host is up and has none."""
        if self.up and self.agent is None:
            self.incarnations += 1
            self.agent = SimAgent(self)

    def kill_agent(self) -> None:
        """SIGKILL: starters and tasks go on."""
        if self.agent is not None:
            self.agent.process.kill()
            if self.agent.link is not None:
                self.agent.link.close("its process was killed")
            self.agent = None

    def crash(self) -> None:
        """Lose everything that runs, and every word in memory."""
        if not self.up:
            return
        self.up = False
        for starter in self.starters.values():
            starter.die()
        self.ledger.crash(self.name, self.clock.now)
        self.starters.clear()
        self.journal.clear()
        if self.agent is not None:
            self.agent.process.kill()
            self.agent = None

    def boot(self) -> None:
        """Come back, empty."""
        if not self.up:
            self.up = True
            self.boots += 1
            self.start_agent()

    def hand_out(self, launch: Launch) -> None:
        """Give a share to a starter."""
        if launch.alloc in self.starters:
            return
        starter = Starter(launch, self.clock, self.rng, self.ledger, self._told)
        self.starters[launch.alloc] = starter
        why = ""
        if self.fail_contexts:
            self.fail_contexts -= 1
            why = f"{self.name} has no room for its spool"
        starter.make(why)

    def forget(self, alloc: int) -> None:
        """Drop what the manager has acknowledged."""
        self.starters.pop(alloc, None)
        self.journal.pop(alloc, None)

    def _told(self, starter: Starter) -> None:
        agent = self.agent
        if agent is not None:
            agent.process.call(lambda: agent.tell(starter))


class SimAgent:
    """The real rules of the agent over a simulated disk and simulated starters."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.process = Process(host.clock)
        self.core = AgentCore(host.epoch)
        self.link: End | None = None
        self._window = False
        self._wait = 0.05  # seconds until the next try to connect
        self._recover()
        self.process.later(host.rng.uniform(0.0, 0.05), self._connect)

    # -- starting ----------------------------------------------------------------------------

    def _recover(self) -> None:
        for alloc, launch in self.host.journal.items():
            starter = self.host.starters.get(alloc)
            phase = starter.phase if starter else Phase.ACCEPTED
            self.do(
                rules.Recovered(
                    launch,
                    alloc,
                    phase,
                    starter.started_at if starter else None,
                    starter.row if starter else None,
                    alive=starter is not None,
                )
            )

    def _connect(self) -> None:
        if self.link is not None:
            return
        link = self.host.dial(self.host.name)
        if link is None:
            self._again()
            return
        self.link = link
        link.on_frame = lambda frame: self.process.call(lambda: self._read(link, frame))
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
            self.do(rules.Ordered(message.epoch, tuple(message.orders)))

    def tell(self, starter: Starter) -> None:
        """Take a starter's word on how far its share has come."""
        alloc = starter.launch.alloc
        if starter.row is not None:
            self.do(rules.ShareEnded(starter.row))
        elif starter.started_at is not None:
            self.do(rules.ShareStarted(alloc, starter.started_at))
        else:
            self.do(rules.ShareMade(alloc))

    # -- what is done ------------------------------------------------------------------------

    def do(self, event: rules.Event) -> None:
        """Feed the rules, and carry out what they say."""
        if not self.process.alive:
            return
        for effect in self.core.handle(self.host.clock.now, event):
            self._carry_out(effect)
        if self.core.connected and self.core.gathered and not self._window:
            self._window = True
            self.process.later(0.001 if self.core.urgent else WINDOW, self._close_window)

    def _close_window(self) -> None:
        self._window = False
        self.do(rules.WindowClosed())

    def _carry_out(self, effect: rules.Effect) -> None:
        host = self.host
        match effect:
            case rules.KeepEpoch(epoch):
                self._write(lambda: self._keep_epoch(epoch), rules.EpochKept(epoch))
            case rules.Keep(launch):
                self._keep(launch)
            case rules.MakeShare(launch):
                host.hand_out(launch)
            case rules.DropShare(alloc):
                host.forget(alloc)
            case rules.RefuseStale():
                host.ledger.refused_orders += 1
            case rules.SendHello(epoch, holds):
                self._send(self._hello(epoch, holds))
            case rules.SendReport(seq, rows):
                self._send(messages.Report(seq, list(rows)))
            case _:
                starter = host.starters.get(effect.alloc)
                if starter is not None:
                    _move(starter, effect)

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

    def _send(self, message: messages.FromAgent) -> None:
        if self.link is not None:
            self.link.send(messages.encode(message))

    def _keep_epoch(self, epoch: int) -> None:
        self.host.epoch = max(self.host.epoch, epoch)

    def _keep(self, launch: Launch) -> None:
        def write() -> None:
            self.host.journal[launch.alloc] = launch

        self._write(write, rules.ShareKept(launch.alloc))

    def _write(self, write: Callable[[], None], then: rules.Event) -> None:
        """Write to the disk: the process can die before it, and between it and its answer."""
        rng = self.host.rng

        def written() -> None:
            write()
            self.process.later(rng.uniform(0.0, 0.001), lambda: self.do(then))

        self.process.later(rng.uniform(0.0, 0.002), written)


def _move(starter: Starter, effect: rules.Effect) -> None:
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
        case _:
            pass  # a signal changes nothing that is looked at here
