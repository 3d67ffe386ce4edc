"""A lab: many agents and a manager as local processes of one user, to learn, test and break things.

    LAB/                0700
      lab.json          {"nodes", "cpus", "memory", "features", "users"}
      manager/          a state folder with a manager; OSTLER_STATE of whoever uses the lab
        agents/n01      link to n01's agent.sock, for `run`; n01.streams: to its relays
        lines/n01       link to n01's line, at which the manager looks at it from outside
      n01/ ... nNN/     a state folder each, with an agent, and a `sock` that leads to the manager

Each of these is a member: a host (`lab_host`) with a supervisor and its daemon below it.
"""

import json
import os
import shutil
from collections.abc import Iterable

from msgspec import Struct

from ostler.client.link import Link
from ostler.manager.eye import LINES
from ostler.model.errors import Missing, NotNow, OstlerError, Refused, Unsupported, UsageError
from ostler.model.features import check_features
from ostler.testing.lab_member import Member, until
from ostler.wire.streams import FOLDER
from ostler.wire.supervise import write_json

MANAGER = "manager"
MOST_NODES = 100  # each costs four processes
HEARTBEAT, LEASE = 1.0, 5.0  # seconds, in place of 3 and 15
POLL = 1  # seconds, in place of 60
PATIENCE = 60.0  # seconds for what was started to answer


class Sizes(Struct, frozen=True):
    """How large a lab is. memory: bytes; cpus and memory are of each node. features: by node."""

    nodes: int = 10
    cpus: int = 4
    memory: int = 8 << 30
    features: dict[str, list[str]] = {}
    users: tuple[str, ...] = ("ann", "bob")  # test identities, whose tasks run as the lab's owner


class Lab:
    """The lab in one folder. Every verb raises `OstlerError` when it cannot be done."""

    def __init__(self, folder: str) -> None:
        self.folder = os.path.abspath(folder)

    @property
    def state(self) -> str:
        """Return the state folder of the manager, which clients are to use."""
        return os.path.join(self.folder, MANAGER)

    @property
    def sizes(self) -> Sizes:
        """Return how large it is; raise `NotNow` if there is none here."""
        try:
            with open(os.path.join(self.folder, "lab.json"), encoding="utf-8") as file:
                return Sizes(**json.load(file))
        except (OSError, ValueError, TypeError):
            raise NotNow(
                f"there is no lab at {self.folder}",
                hint="start one with `ostler lab up`, or name another with --state DIR",
            ) from None

    @property
    def nodes(self) -> list[str]:
        """Return the names of all nodes."""
        return node_names(self.sizes.nodes)

    def member(self, name: str) -> Member:
        """Return a node or the manager; raise `Missing`."""
        nodes = self.nodes
        if name != MANAGER and name not in nodes:
            raise Missing(
                f"this lab has no {name!r}", expected=f"{nodes[0]} to {nodes[-1]}, or manager"
            )
        if name == MANAGER:
            told: dict[str, object] = {"daemons": [MANAGER], "identities": self.sizes.users}
            told |= {"heartbeat": HEARTBEAT, "lease": LEASE}
            return Member(name, self.state, told)
        sizes = self.sizes
        told = {"daemons": ["agent"], "node": name, "cpus": sizes.cpus, "memory": sizes.memory}
        relay = os.path.join(self.state, "sock")
        told |= {"gpus": 0, "features": sizes.features.get(name, [])}
        return Member(name, os.path.join(self.folder, name), told, relay)

    def members(self, names: Iterable[str] | None = None) -> list[Member]:
        """Return those of these names; of all if none are given, the manager first."""
        return [self.member(name) for name in (names or [MANAGER, *self.nodes])]

    @property
    def is_up(self) -> bool:
        """Say whether any host of it lives."""
        try:
            return any(member.host_pid for member in self.members())
        except NotNow:
            return False

    # -- the whole -------------------------------------------------------------------------

    def up(self, sizes: Sizes) -> None:
        """Begin a new lab, where none is up; what an earlier one left is removed."""
        if not 1 <= sizes.nodes <= MOST_NODES or sizes.cpus < 1:
            raise UsageError(
                f"a lab cannot have {sizes.nodes} nodes of {sizes.cpus} CPUs",
                expected=f"1 to {MOST_NODES} nodes of at least one CPU",
            )
        names = node_names(sizes.nodes)
        for name, features in sizes.features.items():
            check_features(features)
            if name not in names:
                raise UsageError(
                    f"features are given to {name!r}", expected=f"{names[0]} to {names[-1]}"
                )
        if self.is_up:
            raise Refused(f"a lab is up at {self.folder}", hint="stop it: ostler lab down")
        self._make_folders(sizes)
        members = self.members()
        try:
            for member in members:
                member.boot()
            for member in members:
                member.await_host()
            self.await_running(self.nodes)
            self._configure()
        except BaseException:
            self.down()
            raise

    def _configure(self) -> None:
        """Have the manager look at nodes as often as the lab's other times are short."""
        link = Link(self.state)
        try:
            values = {"value": str(POLL)}
            key = ["node-status-poll-interval"]
            change = {"verb": "set", "kind": "attribute", "key": key, "values": values}
            link.call("administer", changes=[change])
        finally:
            link.close()

    def _make_folders(self, sizes: Sizes) -> None:
        if os.path.lexists(self.folder):
            if os.listdir(self.folder) and not os.path.isfile(f"{self.folder}/lab.json"):
                raise Refused(
                    f"{self.folder} holds something that is no lab",
                    hint="name another with --state DIR",
                )
            shutil.rmtree(self.folder)
        os.makedirs(self.folder, mode=0o700)
        write_json(
            f"{self.folder}/lab.json", {f: getattr(sizes, f) for f in sizes.__struct_fields__}
        )
        self.member(MANAGER).make_folder()
        agents = f"{self.state}/agents"
        os.mkdir(agents)
        os.mkdir(f"{self.state}/{LINES}")
        for name in self.nodes:
            self.member(name).make_folder()
            os.symlink(f"../../{name}/agent.sock", f"{agents}/{name}")
            os.symlink(f"../../{name}/{FOLDER}", f"{agents}/{name}.streams")
            os.symlink(f"../../{name}/line", f"{self.state}/{LINES}/{name}")
            os.symlink(f"../{MANAGER}/agents", f"{self.folder}/{name}/agents")

    def down(self) -> None:
        """End every process of the lab. Its files stay to be looked at."""
        for member in self.members():
            member.put_down()

    def await_running(self, names: Iterable[str]) -> None:
        """Wait until the manager hears all of these agents; raise `NotNow`."""
        wanted = set(names)

        def missing() -> str:
            try:
                rows = {str(row["name"]): row for row in self._rows()}
            except OstlerError as error:
                return str(error)
            silent = sorted(n for n in wanted if rows.get(n, {}).get("status") != "running")
            return f"{', '.join(silent)} not connected" if silent else ""

        until("the lab does not come up", missing, PATIENCE, hint=f"see {self.folder}/*/log")

    def _rows(self) -> list[dict[str, object]]:
        link = Link(self.state, patience=1.0)
        try:
            rows: list[dict[str, object]] = link.call("read", what="nodes")["nodes"]
        finally:
            link.close()
        return rows

    # -- what can happen to a member -------------------------------------------------------

    def kill(self, names: Iterable[str]) -> None:
        """End agent and supervisor by SIGKILL; starters and tasks live."""
        for member in self.members(names):
            member.kill()

    def crash(self, names: Iterable[str]) -> None:
        """End everything there at once, as a host that loses its power."""
        for member in self.members(names):
            member.crash()

    def start(self, names: Iterable[str]) -> None:
        """Start what was killed, and boot what crashed; wait until the manager hears of it."""
        members = self.members(names)
        for member in members:
            member.boot()
        for member in members:
            member.await_host()
            member.start()
        heard = [m.name for m in members if m.name != MANAGER and not m.is_cut]
        if self.member(MANAGER).doing == "runs":
            self.await_running(heard)

    def freeze(self, names: Iterable[str]) -> None:
        """Stop agent and supervisor by SIGSTOP: they live and do not answer; tasks go on."""
        for member in self.members(names):
            member.freeze()

    def thaw(self, names: Iterable[str]) -> None:
        """Let what is frozen go on."""
        for member in self.members(names):
            member.thaw()

    def cut(self, names: Iterable[str]) -> None:
        """Cut the line to the manager: bytes stand still in both directions, nothing is reset."""
        for member in self._nodes(names, "cut from itself"):
            member.order("cut")

    def heal(self, names: Iterable[str]) -> None:
        """Mend the line."""
        for member in self._nodes(names, "healed"):
            member.order("heal")

    def load(self, names: Iterable[str], load: float) -> None:
        """Let agents report this load average, from their next heartbeat on."""
        for member in self._nodes(names, "given a load"):
            member.set_load(load)

    def _nodes(self, names: Iterable[str], what: str) -> list[Member]:
        members = self.members(names)
        if any(member.name == MANAGER for member in members):
            raise Unsupported(f"the manager of a lab cannot be {what}", hint="name nodes")
        return members


def node_names(count: int) -> list[str]:
    """Return n01, n02, ...: all of one length."""
    pad = max(2, len(str(count)))
    return [f"n{number:0{pad}d}" for number in range(1, count + 1)]
