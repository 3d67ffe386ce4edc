"""What goes wrong in a random history."""

from collections.abc import Sequence
from random import Random

from ostler.testing.clients import Client
from ostler.testing.cluster import SimCluster
from ostler.testing.sight import MANAGER
from ostler.testing.starter import Proof

FAULTS = (
    "kill manager",
    "kill manager",
    "replace manager",
    "kill agent",
    "kill starter",
    "kill starter",
    "kill starter and agent",
    "crash",
    "freeze",
    "cut",
    "reset",
    "reset clients",
    "bad context",
    "full node",
    "full disk",
    "drain",
    "fence",
    "leave",
)
PROOFS = (Proof.ALL, Proof.ALL, Proof.ALL, Proof.STARTS, Proof.NOTHING)


class Fate:
    """Carries out one fault after the other. names: of the nodes that have not left for good."""

    def __init__(
        self, sim: SimCluster, rng: Random, names: list[str], clients: Sequence[Client]
    ) -> None:
        self.sim = sim
        self.rng = rng
        self.names = names
        self.clients = clients

    def strike(self, fault: str, node: str, back: float) -> None:
        """Let one of `FAULTS` happen. back: seconds after which it is over."""
        match fault:
            case "kill manager" | "replace manager" | "full disk":
                self._strike_manager(fault, back)
            case "cut" | "reset" | "reset clients" | "fence":
                self._strike_net(fault, node, back)
            case _:
                self._strike_node(fault, node, back)

    def _strike_manager(self, fault: str, back: float) -> None:
        sim, rng = self.sim, self.rng
        match fault:
            case "kill manager":
                sim.kill_manager(after_messages=rng.choice((None, 0, 1, 2, 5, 20)))
            case "replace manager" if not sim.manager.loop.frozen:
                old = sim.replace_manager()
                sim.clock.after(rng.uniform(5.0, 40.0), old.loop.thaw)
            case "full disk":
                sim.store.full = True
                sim.clock.after(back / 4, lambda: setattr(sim.store, "full", False))

    def _strike_net(self, fault: str, node: str, back: float) -> None:
        sim = self.sim
        match fault:
            case "cut":
                sim.cut(node)
                sim.clock.after(back, lambda: sim.heal(node))
            case "reset":
                sim.net.reset(node, MANAGER)
            case "reset clients":
                for client in self.clients:
                    sim.net.reset(client.name, MANAGER)
            case "fence":
                sim.cut(node)
                sim.clock.after(15.0, lambda: sim.say("fence", node))
                sim.clock.after(15.0 + back, lambda: sim.heal(node))

    def _strike_node(self, fault: str, node: str, back: float) -> None:
        sim, rng = self.sim, self.rng
        match fault:
            case "kill agent":
                sim.kill_agent(node, back_after=back)
            case "kill starter":
                self._kill_starter(node)
            case "kill starter and agent":
                self._kill_starter(node)
                sim.kill_agent(node, back_after=back)
            case "crash":
                sim.crash(node, spared=rng.random() < 0.5)
                sim.clock.after(back, lambda: self._boot(node))
            case "freeze":
                sim.freeze(node)
                sim.clock.after(back, lambda: sim.thaw(node))
            case "bad context":
                sim.hosts[node].fail_contexts += rng.randint(1, 3)
            case "full node":
                sim.hosts[node].fail_starts += rng.randint(1, 3)
            case "leave" if len(self.names) > 1:
                self.names.remove(node)
                sim.crash(node)
                sim.clock.after(15.0, lambda: sim.say("separate", node))
            case "drain":
                sim.say("drain", node)
                sim.clock.after(back, lambda: sim.say("undrain", node))

    def _kill_starter(self, node: str) -> None:
        host = self.sim.hosts[node]
        alive = [number for number, starter in host.starters.items() if starter.alive]
        if alive:
            host.kill_starter(self.rng.choice(alive), self.rng.choice(PROOFS))

    def _boot(self, node: str) -> None:
        if node in self.names:
            self.sim.boot(node)
