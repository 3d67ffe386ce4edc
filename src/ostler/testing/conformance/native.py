"""Ostler's own agents behind the contract of drivers: a machine as another one would see it.

It has no entry point: its manager speaks to its agents in messages of their own. What is tried with
it is that they keep what every other resource manager is held to.
"""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ostler.client.session import Client
from ostler.drivers.contract import Trouble
from ostler.model.errors import NotNow, OstlerError
from ostler.model.foreign import (
    About,
    Did,
    End,
    ForeignJob,
    ForeignNode,
    ForeignState,
    Jobs,
    Nodes,
    NodeState,
    Option,
    Outcome,
    Share,
    Start,
)
from ostler.testing.conformance.bench import Bench
from ostler.testing.lab import MANAGER, Lab, Sizes

PATIENCE = 0.2  # seconds for a manager that is being started again
KEPT = 3600  # seconds for which ends are told
Row = dict[str, Any]


class NativeDriver:
    """A client of one machine. A job's token stands behind the @ of its name."""

    about = About(
        name="native",
        title="Ostler's own agents, by way of their manager",
        options=frozenset(
            {
                Option.SUBMIT,
                Option.SCHEDULES,
                Option.SUSPEND,
                Option.RESUME,
                Option.REQUEUE,
                Option.MODIFY,
                Option.EVENTS,
                Option.MANY_NODES,
            }
        ),
        settings={"state": "The machine's state folder."},
        job_states={
            "held": ForeignState.HELD,
            "pending": ForeignState.IDLE,
            "starting": ForeignState.STARTING,
            "running": ForeignState.RUNNING,
            "suspended": ForeignState.SUSPENDED,
            "finishing": ForeignState.ENDING,
        },
        node_states={
            "running": NodeState.UP,
            "no_agent": NodeState.DOWN,
            "unreachable": NodeState.DOWN,
        },
    )

    def __init__(self, settings: Mapping[str, str]) -> None:
        self._state = settings["state"]

    @contextmanager
    def _machine(self) -> Iterator[Client]:
        try:
            with Client(self._state, patience=PATIENCE) as client:
                yield client
        except (NotNow, OSError) as error:
            raise Trouble(f"the machine at {self._state} does not answer: {error}") from error

    def list_nodes(self) -> Nodes:
        """Return all nodes that are known."""
        with self._machine() as client:
            rows = client.read("nodes")["nodes"]
        return Nodes(tuple(self._node(row) for row in rows))

    def _node(self, row: Row) -> ForeignNode:
        state = self.about.node_states.get(row["status"], NodeState.UNKNOWN)
        if state is NodeState.UP and row["word"] != "in":
            return ForeignNode(row["name"], NodeState.DRAINING, row["cpus"], reason=row["word"])
        return ForeignNode(
            row["name"],
            state,
            row["cpus"],
            used_cpus=row["cpus"] - row["free_cpus"],
            native_state=row["status"],
        )

    def list_jobs(self) -> Jobs:
        """Return all jobs; those that have ended, for an hour."""
        rows = self._rows()
        return Jobs(
            tuple(self._job(row) for row in rows if row["result"] is None),
            tuple(self._end(row) for row in rows if row["result"] is not None),
        )

    def _rows(self) -> list[Row]:
        with self._machine() as client:
            rows: list[Row] = client.read("jobs", all=True, since=time.time() - KEPT)["jobs"]
        return rows

    def _job(self, row: Row) -> ForeignJob:
        nodes, tasks = row["allocation_nodes"], row["tasks"]
        each = tasks // (len(nodes) or 1)
        return ForeignJob(
            row["id"],
            ForeignState(self.about.job_states.get(row["state"], "unknown")),
            row["user"],
            incarnation=f"{row['submitted_at']}",
            token=_token(row),
            name=row["name"].partition("@")[0],
            tasks=tasks,
            cpus=row["cpus"],
            time_limit=int(row["time_limit_seconds"] or 0),
            submitted_at=row["submitted_at"],
            started_at=row["started_at"],
            shares=tuple(Share(node, each, each * row["cpus"]) for node in nodes),
            reason=row["reason"],
            native_state=row["state"],
        )

    def _end(self, row: Row) -> End:
        return End(
            row["id"],
            row["result"],
            f"the machine: {row['reason'] or row['result']}",
            incarnation=f"{row['submitted_at']}",
            token=_token(row),
            user=row["user"],
            exit_status=row["exit_status"],
            started_at=row["started_at"],
            ended_at=row["ended_at"] or 0.0,
        )

    def start(self, order: Start) -> Outcome:
        """Submit it to these nodes, where there is room now."""
        known = next((row for row in self._rows() if _token(row) == order.token), None)
        if known is not None:
            shares = self._job(known).shares
            if shares and shares != order.shares:
                return Outcome(Did.NEVER, known["id"], text="this token has other shares")
            return Outcome(Did.ACCEPTED, known["id"])
        if refusal := self._refusal(order):
            return refusal
        env = (pair.split("=", 1) for pair in os.fsdecode(order.env).split("\0") if pair)
        try:
            with self._machine() as client:
                job = client.submit(
                    order.argv,
                    script=order.script or None,
                    name=f"{order.name}@{order.token}",
                    tasks=sum(share.tasks for share in order.shares),
                    cpus=order.cpus_per_task,
                    nodes=len(order.shares),
                    nodelist=[share.node for share in order.shares],
                    time=order.time_limit,
                    cwd=order.cwd,
                    env=dict(env),
                    umask=order.umask,
                    output=order.output,
                )
                return Outcome(Did.ACCEPTED, job.id)
        except OstlerError as error:
            return Outcome(Did.NEVER, text=str(error))

    def _refusal(self, order: Start) -> Outcome | None:
        nodes = {node.name: node for node in self.list_nodes().nodes}
        for share in order.shares:
            node = nodes.get(share.node)
            if order.id or order.uid != os.geteuid() or node is None or share.cpus > node.cpus:
                return Outcome(Did.NEVER, text=f"no new job of uid {order.uid} on {share.node}")
            if node.state is not NodeState.UP or share.cpus > node.cpus - (node.used_cpus or 0):
                return Outcome(Did.REFUSED, text=f"{share.node} is busy, or not up")
        return None

    def _act(self, verb: str, job: str, token: str, **more: Any) -> Outcome:
        rows = self._rows()
        row = next((r for r in rows if r["id"] == job or (not job and _token(r) == token)), None)
        if row is None:
            return Outcome(Did.NEVER, text=f"there is no job {job or token}")
        if row["result"] is not None:
            return Outcome(Did.ALREADY, row["id"])
        try:
            with self._machine() as client:
                client.act(verb, [row["id"]], **more)
        except OstlerError as error:
            return Outcome(Did.REFUSED, row["id"], text=str(error))
        return Outcome(Did.ACCEPTED, row["id"])

    def cancel(self, job: str, token: str) -> Outcome:
        """Cancel it."""
        return self._act("cancel", job, token)

    def suspend(self, job: str, token: str) -> Outcome:
        """Suspend it."""
        return self._act("suspend", job, token)

    def resume(self, job: str, token: str) -> Outcome:
        """Resume it."""
        return self._act("resume", job, token)

    def requeue(self, job: str, token: str) -> Outcome:
        """Requeue it."""
        return self._act("requeue", job, token)

    def modify(self, job: str, token: str, time_limit: int) -> Outcome:
        """Give it another time limit."""
        try:
            with self._machine() as client:
                client.link.call("modify", ref=job, changes={"time_limit": time_limit})
        except OstlerError as error:
            return Outcome(Did.REFUSED, job, text=f"{error} ({token})")
        return Outcome(Did.DONE, job)

    def events(self) -> Iterator[str]:
        """Yield what happens."""
        with self._machine() as client:
            for event in client.events():
                yield event.text or event.kind


def _token(row: Row) -> str:
    return str(row["name"]).partition("@")[2]


class LabBench(Bench):
    """A lab of two nodes of four CPUs."""

    polls, polling, nap = 1500, 0.01, 0.01

    def __init__(self) -> None:
        super().__init__(NativeDriver)
        self.lab = Lab(str(self.folder / "lab"))
        self.settings["state"] = self.lab.state
        self.lab.up(Sizes(nodes=2, cpus=4))

    def close(self) -> None:
        """Take the lab down."""
        self.lab.down()
        super().close()

    def submit(self, key: str) -> str:
        """Hold a job."""
        with Client(self.lab.state) as client:
            return client.submit(self.command(key), hold=True, output="/dev/null").id

    def occupy(self, node: str, key: str) -> str:
        """Run a job, as anybody may."""
        with Client(self.lab.state) as client:
            return client.submit(self.command(key), nodelist=[node], output="/dev/null").id

    @contextmanager
    def away(self) -> Iterator[None]:
        """Lose the manager's host for a while."""
        self.lab.crash([MANAGER])
        yield
        self.lab.start([MANAGER])
        self.lab.await_running(self.lab.nodes)

    def down(self, node: str) -> None:
        """Lose a node."""
        self.lab.crash([node])

    def up(self, node: str) -> None:
        """Start it anew."""
        self.lab.start([node])
        self.lab.await_running([node])
