"""A simulated node: a disk, starters, and an agent that can be killed, frozen and started again."""

from collections.abc import Callable
from functools import partial
from random import Random

from ostler.core import agent_words as rules
from ostler.model.orders import Launch
from ostler.model.resources import NodeFacts
from ostler.testing.agent import Kept, SimAgent
from ostler.testing.clock import VirtualClock
from ostler.testing.ledger import Ledger
from ostler.testing.net import End
from ostler.testing.slot import Slot
from ostler.testing.starter import Proof, Starter
from ostler.testing.tasks import Site


class Host(Site):
    """One computer of the simulated machine."""

    def __init__(
        self,
        name: str,
        facts: NodeFacts,
        clock: VirtualClock,
        rng: Random,
        ledger: Ledger,
        dial: Callable[[str], End | None],
        beat: float = 0.0,
    ) -> None:
        super().__init__(name, clock, rng, ledger)
        self.facts = facts
        self.dial = dial  # connects to the manager that listens now
        self.beat = beat  # seconds between its agent's heartbeats; 0: there are none
        self.boots = 1
        self.up = True
        self.epoch = 0  # on disk
        self.journal: dict[int, Kept] = {}  # on disk
        self.members: dict[int, tuple[str, ...]] = {}  # as contexts told them that were renewed
        self.contexts: set[int] = set()  # on disk: allocations whose context has a file here
        self.dirty: set[int] = set()  # allocations whose prolog began, and no epilog ended since
        self.starters: dict[int, Starter] = {}  # with their spools, on disk: some are dead
        self.agent: SimAgent | None = None
        self.incarnations = 0
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

    def kill_starter(self, alloc: int, proof: Proof = Proof.ALL) -> None:
        """SIGKILL of one starter: its tasks go on. proof: what can be found out about it."""
        starter = self.starters[alloc]
        if starter.alive:
            starter.kill(proof)
            if self.agent is not None:
                self.agent.starter_died(alloc)

    def crash(self, *, spared: bool = False) -> None:
        """Lose everything that runs. spared: what agent and starters wrote is on the disk."""
        if not self.up:
            return
        self.up = False
        self.dirty.clear()
        for starter in self.starters.values():
            starter.vanish()
        self.ledger.crash(self.name, self.clock.now)
        if not spared:
            self.starters.clear()
            self.journal.clear()
            self.contexts.clear()
        if self.agent is not None:
            self.agent.process.kill()
            self.agent = None

    def boot(self) -> None:
        """Come back, with nothing that runs."""
        if not self.up:
            self.up = True
            self.boots += 1
            self.start_agent()

    def starter(self, launch: Launch) -> Starter:
        """Return a new starter for a share."""
        kind = Starter if launch.chunk is None else Slot
        self.starters[launch.alloc] = kind(launch, self, partial(self._told, launch.alloc))
        return self.starters[launch.alloc]

    def hand_out(self, launch: Launch, dead: Starter | None = None) -> None:
        """Give a share to a starter, perhaps in the place of one that died over it."""
        starter = self.starter(launch)
        if dead is not None:
            dead.hand_over(starter)
        starter.make()

    def forget(self, alloc: int) -> None:
        """Drop what the manager has acknowledged."""
        self.starters.pop(alloc, None)
        self.journal.pop(alloc, None)

    def _told(self, alloc: int, event: rules.Event) -> None:
        agent = self.agent
        if agent is not None and alloc in agent.met:
            agent.process.call(lambda: agent.do(event))
