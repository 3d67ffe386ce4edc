"""Random work for a simulated machine: what users submit and do, drawn from a seed."""

from random import Random
from typing import Any

from ostler.core.events import Awaited, ConfigurationUsed, Modified, PartitionWorded
from ostler.model.ids import Ref, is_step, parse_ref
from ostler.model.job import ALLOC, Dependency
from ostler.model.site import Moved
from ostler.model.site_changes import CREATE, SET, Change
from ostler.testing.clients import Asked, Client
from ostler.testing.cluster import ANN, BOB, ROOT, SimCluster
from ostler.testing.tasks import make_spec

VERBS = (
    "cancel",
    "end",
    "hold",
    "release",
    "suspend",
    "resume",
    "requeue",
    "signal",
    "modify",
    "wait",
)
_CLAIMS: tuple[dict[str, Any], ...] = (  # some are refused: no such nodes, too few of them
    {"constraint": "odd"},
    {"constraint": "!odd", "spread": True},
    {"constraint": "even*1&odd*1"},
    {"exclusive": True},
    {"exclusive": True, "licences": {"lic": 1}},
    {"licences": {"lic": 2}},
)
USER1 = 10  # a signal that changes nothing


class Work:
    """Three clients of two users, and what they ask for. Each method asks for one thing."""

    def __init__(self, sim: SimCluster, rng: Random) -> None:
        self.sim = sim
        self.rng = rng
        self.clients = [sim.client(f"client-{i}", rng.choice((ANN, BOB))) for i in range(3)]
        self.root = sim.clients[ROOT.user]
        sim.set("licences", "lic:2")
        self.partitions = ["main"]
        self._number = 0

    def divide(self) -> None:
        """Make a partition `night`, and a configuration in which it has some of the nodes."""
        rng, names = self.rng, sorted(self.sim.hosts)
        moved = rng.choice(tuple(Moved))
        self.partitions.append("night")
        mine = ",".join(rng.sample(names, rng.randint(1, len(names))))
        self.sim.put(
            Change("create", "partition", ("night",), {"policy": rng.choice(("easy", "fcfs"))}),
            Change(
                "create",
                "configuration",
                ("night",),
                {"nodes": {"main": "*", "night": mine}, "moved": moved},
            ),
            Change("set", "configuration", ("default",), {"moved": rng.choice(tuple(Moved))}),
        )

    def switch(self) -> None:
        """Use one of the configurations."""
        self.use(self.rng.choice(("default", "night")))

    def use(self, name: str) -> Asked:
        """Use this configuration."""
        return self.root.ask(lambda to: ConfigurationUsed(to, ROOT, name))

    def let_go_on(self) -> Asked:
        """Let nothing more stand still, or be waited for, when nodes move."""
        names = ("default", "night")
        each = [Change("set", "configuration", (name,), {"moved": Moved.GO_ON}) for name in names]
        return self.sim.put(*each)

    def stop(self) -> None:
        """Stop a partition for a while."""
        rng, name = self.rng, self.rng.choice(self.partitions)
        how = rng.choice(("refuse", "drain", "drain", "wait", "kill"))
        self.root.ask(lambda to: PartitionWorded(to, ROOT, "stop", name, how), patient=False)
        self.sim.clock.after(rng.uniform(0.0, 60.0), lambda: self.start(name))

    def start(self, name: str) -> Asked:
        """Start a partition, or let it go on."""
        return self.root.ask(lambda to: PartitionWorded(to, ROOT, "start", name))

    def reload(self) -> None:
        """Hold what would be refused now."""
        name = self.rng.choice(self.partitions)
        self.root.ask(lambda to: PartitionWorded(to, ROOT, "reload", name))

    def submit(self) -> None:
        """Submit a job of any shape."""
        rng = self.rng
        named = self._wishes()
        self._number += 1
        seconds = rng.choice((0.05, 1.0, 8.0, 30.0, 90.0)) * rng.uniform(0.5, 1.5)
        if rng.random() < 0.35:
            seconds = self._array(named)
        client = rng.choice(self.clients)
        if rng.random() < 0.1:
            client, named["priority"] = self.root, 80  # it goes before all others
        asked = client.submit(make_spec(seconds, **named), f"request-{self._number}")
        if "kind" in named and rng.random() < 0.8:
            self._attach(client, asked)

    def _wishes(self) -> dict[str, Any]:
        """Return fields of a job: what it needs, when it may run, and how its tasks end."""
        rng, sim = self.rng, self.sim
        cpus = len(sim.hosts["n01"].facts.cpus)
        named: dict[str, Any] = {
            "cpus": rng.randint(1, cpus),
            "priority": rng.choice((50, 50, 50, 10)),
            "requeue": rng.random() < 0.4,
            "exit_code": rng.choice((0, 0, 0, 0, 3)),
            "ignores_term": rng.random() < 0.2,
            "grace": rng.choice((0, 5, 30)),
            "memory": rng.choice((0, 0, 1 << 30, 3 << 30)),
            "hold": rng.random() < 0.08,
            "rejected": rng.random() < 0.03,
        }
        if rng.random() < 0.4:
            named["time_limit"] = rng.choice((3, 20, 60, 200))
        if rng.random() < 0.3:
            named |= {"retries": rng.randint(1, 3), "failures": rng.randint(0, 3)}
            named["retry_on"] = rng.choice(((), ("lost", "1"), ("failed",), ("timeout", "3")))
        if len(sim.hosts) > 1 and rng.random() < 0.35:
            count = rng.randint(2, min(4, len(sim.hosts)))
            named |= {"nodes": count, "tasks": count + rng.choice((0, 0, 1, 2))}
            named["cpus"] = rng.randint(1, max(1, cpus // 2))
        elif rng.random() < 0.2:
            named |= {"tasks": rng.randint(2, 3), "cpus": rng.randint(1, max(1, cpus // 2))}
        if len(self.partitions) > 1:
            named["partition"] = rng.choice(self.partitions)
        if sim.hosts["n01"].facts.gpus and rng.random() < 0.3:
            named["gpus"] = 1
        if rng.random() < 0.1:
            named["not_before"] = sim.now + rng.uniform(0.0, 60.0)
        known = sorted(sim.ledger.promised)
        known = [job for job in known if not is_step(job)]
        if known and rng.random() < 0.25:
            kinds = ("ok", "any", "fail")
            named["after"] = tuple(
                Dependency(job, rng.choice(kinds)) for job in rng.sample(known, min(2, len(known)))
            )
        if rng.random() < 0.1:
            named["kind"] = "run"
        if rng.random() < 0.25:
            named |= rng.choice(_CLAIMS)
        return named

    def _array(self, named: dict[str, Any]) -> float:
        """Make it an array; return the seconds of an element: the more, the shorter they are."""
        rng = self.rng
        count, seconds = rng.choice(((5, 20.0), (13, 8.0), (60, 0.5), (200, 0.1), (500, 0.01)))
        low, count = rng.randint(0, 3), rng.randint(1, count)
        named["array"] = ((low, low + count - 1),)
        named["array_cap"] = rng.choice((0, 0, 0, 1, 3, 6))
        if count > 12:  # one launch for each element is dear to simulate
            named |= {"nodes": 0, "tasks": 1}
        if rng.random() < 0.7:
            named["cpus"] = 1
        arrays = [job for job, spec in sorted(self.sim.ledger.promised.items()) if spec.array]
        if arrays and rng.random() < 0.3:
            other = rng.choice(arrays[-5:])
            named["array"] = self.sim.ledger.promised[other].array
            named["after"] = (*named.get("after", ()), Dependency(other, "each"))
        return seconds * rng.uniform(0.2, 1.5)

    def _attach(self, client: Client, submitted: Asked) -> None:
        """Wait for the end of a `run`, as its client does as soon as it knows the job."""
        if submitted.error is not None:
            return
        if not submitted.done:
            self.sim.clock.after(0.1, lambda: self._attach(client, submitted))
            return
        ref = parse_ref(submitted.body["job"])
        client.ask(lambda to: Awaited(to, client.caller, (ref,), attach=True), (ref,))

    def hold(self) -> None:
        """Ask for an allocation, run steps in it for a while, and let it go, or be forgotten."""
        rng, sim = self.rng, self.sim
        cpus = len(sim.hosts["n01"].facts.cpus)
        named: dict[str, Any] = {"tasks": rng.randint(1, 3), "cpus": rng.randint(1, cpus)}
        named |= {"time_limit": rng.choice((20, 60, 200)), "idle": rng.choice((0, 0, 40))}
        named["memory"] = rng.choice((0, 1 << 30))
        self._number += 1
        client = rng.choice(self.clients)
        spec = make_spec(1.0, kind=ALLOC, immediate=rng.random() < 0.2, **named)
        asked = client.submit(spec, f"request-{self._number}")
        self._attach(client, asked)
        for _ in range(rng.randint(0, 6)):
            sim.clock.after(rng.uniform(0.0, 90.0), lambda: self._step(client, asked, cpus, 20))
        for _ in range(rng.choice((0, 0, 1, 3))):
            sim.clock.after(rng.uniform(0.0, 90.0), lambda: self._resize(client, asked))
        if rng.random() < 0.7:
            sim.clock.after(rng.uniform(1.0, 150.0), lambda: self._let_go(client, asked))

    def _resize(self, client: Client, holder: Asked) -> None:
        """Ask for another number of nodes; it may be too many, or have steps on too many."""
        if holder.body is not None:
            ref, nodes = parse_ref(holder.body["job"]), self.rng.randint(1, 4)
            client.ask(lambda to: Modified(to, client.caller, ref, {"nodes": nodes}), patient=False)

    def _step(self, client: Client, holder: Asked, cpus: int, tries: int) -> None:
        """Run a step as soon as the allocation is there; it may be refused."""
        rng, sim = self.rng, self.sim
        if holder.error is not None or not tries:
            return
        known = None if holder.body is None else parse_ref(holder.body["job"]).job
        serving = known is not None and sim.manager.serving
        if known is None or not (serving and (known in sim.core.ended or sim.started(known))):
            sim.clock.after(5.0, lambda: self._step(client, holder, cpus, tries - 1))
            return
        spec = make_spec(
            rng.choice((0.1, 5.0, 30.0)),
            kind="run",
            within=known,
            tasks=rng.choice((1, 1, 2, 3)),
            cpus=rng.randint(1, cpus),
            exit_code=rng.choice((0, 0, 3)),
            requeue=rng.random() < 0.4,
            ignores_term=rng.random() < 0.2,
        )
        self._number += 1
        step = client.submit(spec, f"request-{self._number}")
        if rng.random() < 0.8:
            self._attach(client, step)

    def _let_go(self, client: Client, holder: Asked) -> None:
        """Say that the command in the allocation has ended."""
        if holder.body is not None:
            client.act("end", (parse_ref(holder.body["job"]),), status=self.rng.choice((0, 0, 7)))

    def act(self) -> None:
        """Do something to a job that clients know."""
        rng = self.rng
        known = sorted(self.sim.ledger.promised)
        if not known:
            return
        job = rng.choice(known)
        client = rng.choice((*self.clients, self.root))
        ref = Ref(job)
        spec = self.sim.ledger.promised[job]
        if spec.array and rng.random() < 0.7:
            low, high = spec.array[0]
            first = rng.randint(low, high)
            last = rng.choice((first, min(first + 5, high), rng.randint(first, high)))
            ref = Ref(job, ((first, last),))
        verb = rng.choice(VERBS)
        if verb == "modify":
            self._modify(client, job)
        elif verb == "wait":
            client.ask(lambda to: Awaited(to, client.caller, (ref,)), (ref,), patient=False)
        elif verb == "signal":
            client.act(verb, (ref,), signal=USER1)
        else:
            client.act(verb, (ref,), failed=verb == "requeue" and rng.random() < 0.5)

    def _modify(self, client: Client, job: int) -> None:
        changes: dict[str, Any] = self.rng.choice(
            (
                {"time_limit": 40},
                {"time_limit": 0},
                {"priority": 20},
                {"cpus": 1},
                {"nodes": self.rng.randint(1, 4), "end_tasks": self.rng.random() < 0.7},
                {"array_cap": 2},
                {"not_before": self.sim.now + 15.0},
            )
        )
        ref = Ref(job)
        if "array_cap" in changes:
            self.sim.ledger.cap_asked(job, changes["array_cap"])
        client.ask(lambda to: Modified(to, client.caller, ref, changes), (ref,), patient=False)

    def rule(self) -> None:
        """Let work give way and take turns from now on, and keep nodes for a while."""
        rng, sim = self.rng, self.sim
        values = {
            "preemption": rng.choice(("off", "suspend", "requeue", "cancel")),
            "priority_gap": rng.choice((1, 5, 20)),
            "least_run": rng.choice((0, 0, 10)),
            "preempt_grace": rng.choice((None, 0, 2)),
            "time_slice": rng.choice((0, 2, 10)),
        }
        changes = [Change(SET, "partition", ("main",), values)]
        for number in range(rng.choice((0, 0, 1, 2))):
            nodes = rng.sample(sorted(sim.hosts), min(len(sim.hosts), rng.randint(1, 3)))
            kept = {
                "nodes": ",".join(nodes),
                "start": sim.now + rng.uniform(-20.0, 150.0),
                "duration": rng.randint(5, 80),
                "users": rng.choice(((), (), (ANN.user,), (BOB.user,))),
            }
            changes.append(Change(CREATE, "reservation", (f"kept-{number}",), kept))
        sim.put(*changes)

    def limit(self) -> None:
        """Limit the CPUs of a user for a while."""
        value = str(self.rng.randint(1, 2 * len(self.sim.hosts["n01"].facts.cpus)))
        self.sim.set("max-cpus-per-user", value)
        self.sim.clock.after(
            self.rng.uniform(5.0, 100.0), lambda: self.sim.set("max-cpus-per-user", None)
        )
