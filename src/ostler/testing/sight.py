"""What a simulated manager sees of nodes from outside, over the simulated net."""

from collections import Counter
from collections.abc import Callable

from ostler.model.sight import NO_AGENT, NOBODY, Seen
from ostler.testing.clock import VirtualClock
from ostler.testing.host import Host
from ostler.testing.net import FakeNet

MANAGER = "manager"  # the host of the managers


class Sight:
    """Answers looks as hosts, agents and links are when a look arrives there."""

    def __init__(self, clock: VirtualClock, net: FakeNet, beat: float) -> None:
        self.beat = beat  # seconds between heartbeats; 0: there are none
        self.hosts: dict[str, Host] = {}
        self.looks: Counter[str] = Counter()  # at each node
        self._clock = clock
        self._net = net

    def look(self, node: str, patience: float, then: Callable[[Seen | None], None]) -> None:
        """Look at a node, as the daemon's eye does; tell within so many seconds what is seen."""
        self.looks[node] += 1
        self._clock.after(self._net.travel(), lambda: self._arrive(node, patience, then))

    def _arrive(self, node: str, patience: float, then: Callable[[Seen | None], None]) -> None:
        if self.is_lost(node):
            self._clock.after(patience, lambda: then(NOBODY))
            return
        agent = self.hosts[node].agent
        if agent is not None and agent.process.frozen:
            self._clock.after(patience, lambda: then(self._host(node)))
        else:
            then(NO_AGENT if agent is None else Seen(reached=True, alive=agent.alive()))

    def _host(self, node: str) -> Seen:
        """Call once more, for the host of an agent that did not answer may be gone by now."""
        return NOBODY if self.is_lost(node) else NO_AGENT

    def is_lost(self, node: str) -> bool:
        """Say whether nobody there would answer."""
        host = self.hosts.get(node)
        return host is None or not host.up or self._net.is_cut(node, MANAGER)
