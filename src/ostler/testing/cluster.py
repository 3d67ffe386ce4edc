"""A whole machine in one process and in virtual time: the real rules, and a seed for the rest.

>>> sim = SimCluster(nodes=2)
>>> job = sim.submit(cpus=4, seconds=60)
>>> sim.run_until(lambda: sim.state(job) == "running")
>>> sim.crash(sim.nodes_of(job)[0])
>>> sim.state(job)  # nobody can see it now, and it is not started elsewhere
'running'
>>> sim.boot("n01")
>>> sim.run_until(lambda: sim.state(job) == "lost")
"""

from collections.abc import Callable
from random import Random
from typing import Any

from msgspec.structs import replace

from ostler.core.events import Administered, Event, Modified, NodesWorded
from ostler.core.state import State
from ostler.model.caller import Caller
from ostler.model.errand import Order
from ostler.model.errors import OstlerError
from ostler.model.ids import Ref, parse_ref
from ostler.model.orders import EndShare
from ostler.model.resources import NodeFacts
from ostler.model.site_changes import Change, attribute
from ostler.testing.clients import Asked, Client
from ostler.testing.clock import VirtualClock
from ostler.testing.disk import SimStore
from ostler.testing.host import Host
from ostler.testing.judge import Judge
from ostler.testing.ledger import Late, Ledger
from ostler.testing.managers import SimManager
from ostler.testing.net import End, FakeNet
from ostler.testing.seen import Seen
from ostler.testing.sight import MANAGER, Sight
from ostler.testing.starter import Proof
from ostler.testing.tasks import make_spec
from ostler.wire import messages
from ostler.wire.conn import Peer

ANN = Caller(1001, 1001, "ann")
BOB = Caller(1002, 1002, "bob")
ROOT = Caller(0, 0, "root", owner=True)
PATIENCE = 100_000.0  # virtual seconds within which what is waited for must happen


class SimCluster(Seen):
    """Nodes, managers, clients and the net between them. All chance comes from `seed`."""

    def __init__(
        self,
        seed: int = 0,
        *,
        nodes: int = 50,
        cpus: int = 4,
        memory: int = 8 << 30,
        gpus: int = 0,
        ready: bool = True,
        beat: float = 0.0,
    ) -> None:
        """Start it: nodes n01, n02, ... ready: wait until all have greeted. beat: see `Host`."""
        self.rng = Random(seed)
        self.clock = VirtualClock()
        self.net = FakeNet(self.clock, self.rng)
        self.store = SimStore()
        self.ledger = Ledger()
        self.store.on_commit = self.ledger.committed
        self.judge = Judge(self.ledger, self.store)
        self.managers: list[SimManager] = []
        self.sight = Sight(self.clock, self.net, beat)
        self.hosts = self.sight.hosts
        self.commit_seconds = 0.004
        self.errand: Callable[[Order], float] = lambda _: 0.1  # of managers that are started
        self.restarts = True  # managers that die are started again
        facts = NodeFacts(tuple(range(cpus)), memory, tuple(range(gpus)))
        self.start_manager()
        for i in range(1, nodes + 1):
            name, mine = f"n{i:02d}", replace(facts, features=(("even", "odd")[i % 2],))
            parts = self.clock, self.rng, self.ledger, self._dial_for_agent
            self.hosts[name] = Host(name, mine, *parts, beat)
        self.clients = {who.user: self.client(who.user, who) for who in (ANN, BOB, ROOT)}
        self._requests = 0
        if ready:
            self.run_until(self._all_greeted)

    def close(self) -> None:
        """Let go of the database."""
        self.store.close()

    # -- time ------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """Return the virtual time, in Unix seconds."""
        return self.clock.now

    def run_until(self, condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
        """Let things happen until the condition holds; fail after so many virtual seconds."""
        end = self.now + seconds
        while not condition():
            due = self.clock.next_time()
            if due is None or due > end:
                self.clock.now = end
                raise Late(f"it did not come about in {seconds:.0f} virtual seconds")
            self.clock.step()

    def run_for(self, seconds: float) -> None:
        """Let so many virtual seconds pass."""
        end = self.now + seconds
        while (due := self.clock.next_time()) is not None and due <= end:
            self.clock.step()
        self.clock.now = end

    def quiet(self) -> bool:
        """Say whether the manager serves and has nothing left to write or plan."""
        manager = self.manager
        newest = manager.epoch == max(m.epoch for m in self.managers)
        settled = manager.serving and manager.turns.settled
        return newest and settled and not manager.turns.machine.wants_plan

    def settle(self) -> None:
        """Let things happen until the manager is quiet, and compare it with the database."""
        self.run_until(self.quiet)
        self.judge.compare(self.core, self.now)
        self.judge.everything(self.core)

    # -- managers --------------------------------------------------------------------------

    @property
    def manager(self) -> SimManager:
        """Return the manager that serves: the newest that does, else the newest."""
        serving = [m for m in self.managers if m.serving]
        return (serving or self.managers)[-1]

    @property
    def core(self) -> State:
        """Return the state of the manager that serves."""
        return self.manager.state

    def start_manager(self) -> SimManager:
        """Start a manager beside those that are there; it takes over when it may."""
        manager = SimManager(
            len(self.managers) + 1,
            self.store,
            self.clock,
            self._commit_seconds,
            self._is_alive,
            self.judge.watch,
            self._manager_died,
            self.sight,
        )
        manager.errand = self.errand
        self.managers.append(manager)
        return manager

    def _commit_seconds(self) -> float:
        """Return half of what a commit takes: before it is durable, or after."""
        return self.commit_seconds * self.rng.uniform(0.1, 0.9)

    def kill_manager(self, *, after_messages: int | None = None) -> None:
        """SIGKILL now, or before the next message but so many is sent."""
        if after_messages is None:
            self.manager.kill()
        else:
            self.manager.fuse = after_messages

    def replace_manager(self) -> SimManager:
        """Freeze the manager, let another take over when the lease ends; return the old one."""
        old = self.manager
        old.loop.freeze()
        for host in (*self.hosts, *self.clients):
            self.net.hush(MANAGER, host, lambda: old.loop.frozen)
        self.start_manager()
        return old

    def speak_late(self, manager: SimManager, node: str, job: int) -> None:
        """Let a manager, replaced or not, order a job's end on a node that no longer asks it."""
        numbers = [n for n, a in self.core.allocations.items() if a.job == job]
        orders = [EndShare(n, "cancelled", "said by a manager of the past", 0) for n in numbers]
        frame = messages.encode(messages.Orders(manager.epoch, list(orders)))
        if (agent := self.hosts[node].agent) is not None:
            agent.overhear(frame)

    def _is_alive(self, pid: int, start_time: float) -> bool:
        return start_time == pid and self.managers[pid - 1].alive

    def _manager_died(self) -> None:
        if self.restarts and not any(m.alive for m in self.managers):
            self.clock.after(self.rng.uniform(0.05, 1.0), self.start_manager)

    # -- connections -----------------------------------------------------------------------

    def client(self, name: str, caller: Caller) -> Client:
        """Return a new client program of a user."""
        return Client(name, caller, self.clock, self.rng, self.ledger, self._dial_for_client)

    def _dial(self, name: str) -> tuple[End, End] | None:
        manager = self.manager
        ends = self.net.connect(name, MANAGER) if manager.serving else None
        if ends is not None:
            ends[1].peer = Peer(1, 0, 0)
            if manager.loop.frozen:  # the kernel takes the connection, and nobody says a word
                self.net.hush(MANAGER, name, lambda: manager.loop.frozen)
        return ends

    def _dial_for_agent(self, name: str) -> End | None:
        ends = self._dial(name)
        if ends is None:
            return None
        self.manager.accept_agent(ends[1])
        return ends[0]

    def _dial_for_client(self, name: str) -> End | None:
        ends = self._dial(name)
        if ends is None:
            return None
        self.manager.accept_client(ends[1])
        return ends[0]

    # -- nodes -----------------------------------------------------------------------------

    def _all_greeted(self) -> bool:
        if not self.quiet():
            return False
        nodes = self.core.nodes
        return all(name in nodes and nodes[name].connected for name in self.hosts)

    def crash(self, node: str, *, spared: bool = False) -> None:
        """Take the power from a host: all of its tasks die, and it says no word.

        spared: what its agent and starters wrote is there when it comes back; else its disk is new.
        """
        self.hosts[node].crash(spared=spared)
        self.net.vanish(node)

    def boot(self, node: str) -> None:
        """Let a host that crashed come back."""
        self.hosts[node].boot()

    def kill_agent(self, node: str, *, back_after: float | None = 0.1) -> None:
        """SIGKILL of a node's agent; None: nobody starts another."""
        self.hosts[node].kill_agent()
        if back_after is not None:
            self.clock.after(back_after, self.hosts[node].start_agent)

    def kill_starter(self, node: str, job: int, proof: Proof = Proof.ALL) -> None:
        """SIGKILL of a starter that serves a job there, the first if there are several.

        Its tasks go on. proof: what its node can then find out about them.
        """
        host = self.hosts[node]
        mine = [n for n, s in host.starters.items() if s.launch.job == job and s.alive]
        host.kill_starter(min(mine), proof)

    def freeze(self, node: str) -> None:
        """Stop a node's agent, as by SIGSTOP; its tasks go on."""
        agent = self.hosts[node].agent
        if agent is not None and not agent.process.frozen:
            agent.process.freeze()
            self.net.hush(node, MANAGER, lambda: agent.process.frozen)

    def thaw(self, node: str) -> None:
        """Let a node's agent go on."""
        agent = self.hosts[node].agent
        if agent is not None:
            agent.process.thaw()

    def cut(self, node: str) -> None:
        """Take the link between a node and the manager down."""
        self.net.cut(node, MANAGER)

    def heal(self, node: str) -> None:
        """Bring it up again."""
        self.net.heal(node, MANAGER)

    def say(self, verb: str, *nodes: str, reason: str = "") -> Asked:
        """Ask for drain, undrain, fence or separate, and do not wait."""
        if verb in ("fence", "separate"):
            for node in nodes:
                self.ledger.fenced.setdefault(node, []).append(self.now)
        return self.clients[ROOT.user].ask(
            lambda to: NodesWorded(to, ROOT, verb, nodes, reason), patient=False
        )

    def drain(self, *nodes: str, reason: str = "new disk") -> None:
        """Let nothing new start on nodes."""
        self.answer(self.say("drain", *nodes, reason=reason))

    def undrain(self, *nodes: str) -> None:
        """Take that back."""
        self.answer(self.say("undrain", *nodes))

    def fence(self, *nodes: str) -> None:
        """Swear that nothing runs on silent nodes any more."""
        self.answer(self.say("fence", *nodes))

    def leave(self, node: str) -> None:
        """Let a node leave for good: its host goes, and an administrator says so."""
        self.crash(node)
        self.run_until(lambda: not self.core.nodes[node].connected)
        self.answer(self.say("separate", node))

    # -- requests --------------------------------------------------------------------------

    def ask(self, kind: Callable[..., Event], caller: Caller, *parts: Any) -> Any:
        """Ask for something and wait for the answer; return its body, or raise the refusal."""
        return self.answer(
            self.clients[caller.user].ask(lambda to: kind(to, caller, *parts), patient=False)
        )

    def answer(self, asked: Asked) -> Any:
        """Wait for an answer; return its body, or raise the refusal."""
        self.run_until(lambda: asked.done)
        if asked.error is not None:
            raise asked.error
        return asked.body

    def submit(self, *, by: Caller = ANN, seconds: float = 10.0, **named: Any) -> int:
        """Submit a job and return its id; raise the refusal.

        seconds: of work of each task. named: fields of `Program`, `Request` and `JobSpec`;
        `after` may be ids of jobs.
        """
        self._requests += 1
        spec = make_spec(seconds, **named)
        asked = self.clients[by.user].submit(spec, f"request-{self._requests}")
        return parse_ref(self.answer(asked)["job"]).job

    def act(self, verb: str, *names: object, by: Caller = ANN, **named: Any) -> None:
        """Do something to jobs or elements; raise the first refusal."""
        refs = tuple(_ref(name) for name in names)
        body = self.answer(self.clients[by.user].act(verb, refs, **named))
        for row in body["jobs"]:
            if not row["ok"]:
                raise OstlerError(row["message"], expected=row["expected"], hint=row["hint"])

    def modify(self, job: int, by: Caller = ANN, **changes: Any) -> None:
        """Change a job; raise the refusal."""
        if "array_cap" in changes:
            self.ledger.cap_asked(job, changes["array_cap"])
        self.ask(Modified, by, Ref(job), changes)

    def set(self, key: str, value: str | None) -> Asked:
        """Ask for an attribute's value, and do not wait."""
        return self.put(attribute(key, value))

    def put(self, *changes: Change) -> Asked:
        """Ask for changes of the site, and do not wait."""
        self._requests += 1
        name = f"request-{self._requests}"
        return self.clients[ROOT.user].ask(
            lambda to: Administered(to, ROOT, changes, request_id=name)
        )

    def change(self, *changes: Change) -> None:
        """Change the site; raise the refusal."""
        self.answer(self.put(*changes))

    def configure(self, key: str, value: object) -> None:
        """Set an attribute."""
        self.answer(self.set(key, str(value)))


def _ref(name: object) -> Ref:
    """Return what a name means, or the number of a job or step."""
    return Ref(name) if isinstance(name, int) else parse_ref(str(name))
