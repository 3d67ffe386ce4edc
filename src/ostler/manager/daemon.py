"""The manager process: takes the roles, serves the socket, and leaves cleanly."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from ostler.core.events import AgentGone
from ostler.core.foreign.view import drivers
from ostler.core.posts import droppable
from ostler.core.stopping import awaited
from ostler.core.view import node_row, nodes_in
from ostler.manager import heap
from ostler.manager.archiving import Archivist
from ostler.manager.contexts import Contexts
from ostler.manager.decisions import Recorder
from ostler.manager.door import Door, Excuse
from ostler.manager.errands import Errands
from ostler.manager.eye import Eye
from ostler.manager.foreign import Foreign
from ostler.manager.inner import Inner
from ostler.manager.looks import Looks
from ostler.manager.native import HEARTBEAT, Agents, Blobs
from ostler.manager.pools import Pools
from ostler.manager.probing import RECALLED, Probing
from ostler.manager.query import run_query
from ostler.manager.reads import Reads
from ostler.manager.run_as import Place
from ostler.manager.schedulers import Schedulers
from ostler.manager.secret import identity_of, read_secret
from ostler.manager.server import Server
from ostler.manager.submissions import Submissions
from ostler.manager.turns import Turns
from ostler.manager.turnstile import Turnstile
from ostler.manager.wiki_server import WikiServer
from ostler.manager.writer import Writer
from ostler.manager.zone import home_zone
from ostler.model.errors import NotNow, OstlerError
from ostler.model.states import NodeStatus
from ostler.store.sqlite.archive import FOLDER, Archives
from ostler.store.sqlite.store import SqliteStore
from ostler.wire.descriptors import raise_limit
from ostler.wire.logs import log_to_stderr
from ostler.wire.slices import take_short_slices
from ostler.wire.supervise import process_start
from ostler.wire.watch import SupervisorWatch

log = logging.getLogger("ostler.manager")

ROLES = ("machine", "partition:main")
LEASE = 15.0  # seconds, unless machine.json says otherwise
CHECKPOINT_EVERY = 2_000  # commits
DROPPED = 4_000  # old events in one transaction, at each renewal of the lease
FEW = 1_000  # unfinished jobs below which all that is in memory is looked at in a moment
LOOK_EVERY = 600.0  # seconds, at the most often
PATIENCE = 2.0  # seconds in which the agent may start a new supervisor before we do
GREETING = 3  # heartbeats after which a node that did not greet counts as silent

Made = TypeVar("Made")


class Manager:
    """One manager over one state folder."""

    def __init__(self, state: Path, turnstile: Turnstile) -> None:
        self.state = state
        self._turnstile = turnstile
        self.told: dict[str, Any] = _told(state)
        self.system = bool(self.told.get("system"))
        self.heartbeat = float(self.told.get("heartbeat", HEARTBEAT))  # seconds
        self.lease = float(self.told.get("lease", LEASE))  # seconds
        self.database = str(state / "ostler.db")
        self._archives = str(state / FOLDER)
        self.boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        self.stopped = asyncio.Event()

    def _take_roles(self, store: SqliteStore) -> int:
        pid = os.getpid()
        epoch: int = store.take_role(
            ROLES,
            holder=f"{os.uname().nodename}:{pid}",
            pid=pid,
            start_time=process_start(pid),
            boot_id=self.boot_id,
            now_boottime=time.clock_gettime(time.CLOCK_BOOTTIME),
            lease_seconds=self.lease,
            is_alive=lambda other, began: process_start(other) == began,
            at_least=_obeyed(self.state) + 1,
        )
        return epoch

    async def run(self) -> int:
        """Serve until told to stop; return the exit status."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stopped.set)
        # From the first: one that cannot start would else outlive its supervisor for ever.
        watch = SupervisorWatch(str(self.state), PATIENCE, self._replaced)
        watch.begin()
        store = await self._until_done(lambda: SqliteStore.open(self.database))
        if store is None:
            return 0
        epoch = await self._until_done(lambda: self._take_roles(store))
        if epoch is None:
            return 0
        server = await self._until_done(lambda: self._server(store, epoch))
        if server is None:
            return 0
        door = await self._until_done(lambda: self._door(server))
        if door is None:
            return 0
        server.probing.begin(store.events(limit=RECALLED, newest=True), time.time())
        server.foreign.configured()
        log.info("manager serves", extra={"epoch": epoch})
        tasks = [
            loop.create_task(self._beat(server)),
            loop.create_task(self._keep(store, server.turns, epoch)),
            loop.create_task(self._first_greetings(server)),
            loop.create_task(self._write_moments(store, server, epoch)),
            loop.create_task(server.pools.run()),
            loop.create_task(WikiServer(server.turns, server.inner, str(self.state)).run()),
            loop.create_task(
                Archivist(store, server.turns, self._archives, epoch, time.time).run()
            ),
        ]
        lost = server.turns.lost
        lost.add_done_callback(lambda _: self.stopped.set())
        await self.stopped.wait()
        for task in tasks:
            task.cancel()
        watch.stop()
        door.close()
        server.probing.close()
        server.close()
        server.turns.close()
        await server.turns.planning.close()
        await server.errands.close()
        await server.foreign.close()
        await server.schedulers.close()
        if not lost.done():
            with contextlib.suppress(OstlerError):
                store.put_moments(server.agents.fresh.take(), epoch)
                store.drop_role(epoch)
        store.close()
        return 75 if lost.done() else 0

    def _server(self, store: SqliteStore, epoch: int) -> Server:
        """Read the state and put the parts together."""
        server = Server(store, os.geteuid(), system=self.system)
        server.put_behind = self._turnstile.put_behind
        writer = Writer(asyncio.get_running_loop())
        recorder, home = Recorder(self.state), home_zone()
        secret = read_secret(self.state)
        server.turns = turns = Turns(
            *(store, server, writer, epoch, time.time, recorder, home),
            identity=identity_of(secret),
        )
        server.schedulers = Schedulers(turns, time.time, Place(str(self.state), self.system))
        turns.look = server.schedulers.look
        server.inner = Inner(turns.put)
        server.pools = Pools(lambda: turns.machine.state, server.inner, str(self.state))
        server.errands = Errands(turns.put, self.state, system=self.system)
        server.identities = tuple(map(str, self.told.get("identities") or ()))
        blobs = Blobs(store.blob)
        server.foreign = Foreign(lambda: turns.machine.state, turns.put, blobs)
        server.agents = Agents(turns.put, epoch, blobs, secret, self.heartbeat)
        server.contexts = Contexts(server.agents)
        server.agents.fresh.begin(store.nodes())
        eye = Eye(str(self.state))
        server.probing = Probing(lambda: turns.machine.state, turns.put, server.agents, eye)
        server.reads = Reads(
            store,
            lambda: turns.machine,
            lambda: self._status(server, epoch),
            server.agents,
            Archives(Path(self._archives)),
        )
        server.reads.schedulers = server.schedulers.rows
        server.reads.pools = server.pools.rows
        server.reads.foreign = server.foreign
        server.submissions = Submissions(store, turns, blobs, server.reads, system=self.system)
        server.submissions.tell_members()
        query = partial(
            run_query, Path(self.database), Path(self._archives), server.agents.fresh.moments
        )
        server.looks = Looks(
            *(store, turns, server.reads, server.submissions, server.contexts, query, time.time)
        )
        return server

    def _door(self, server: Server) -> Door:
        return Door(str(self.state / "sock"), server.accept, system=self.system)

    def _replaced(self, why: str) -> None:
        """Make room: a new supervisor brings a fresh manager."""
        log.warning("ends for a new supervisor", extra={"why": why})
        self.stopped.set()

    async def _until_done(self, step: Callable[[], Made]) -> Made | None:
        """Repeat a step until it works: a full disk or a living holder may pass.

        Meanwhile whoever asks is told the cause. None: told to stop before it worked.
        """
        excuse = Excuse(str(self.state / "sock"), system=self.system)
        try:
            while not self.stopped.is_set():
                try:
                    return step()
                except OstlerError as error:
                    if excuse.give(error):
                        log.error("cannot start yet", extra={"error": str(error)})  # noqa: TRY400
                await self._pause(0.5)
        finally:
            excuse.close()
        return None

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self.stopped.wait(), seconds)
        except TimeoutError:
            return

    async def _beat(self, server: Server) -> None:
        while True:
            for part in server.agents.beat(time.time):
                await asyncio.sleep(part * self.heartbeat)

    async def _keep(self, store: SqliteStore, turns: Turns, epoch: int) -> None:
        """Renew the lease, and move the log into the database now and then."""
        seen = 0
        said = ""
        loop = asyncio.get_running_loop()
        looked = loop.time()
        while True:
            await asyncio.sleep(self.lease / 3)
            try:
                await turns.in_writer(
                    lambda: store.renew(
                        epoch,
                        now_boottime=time.clock_gettime(time.CLOCK_BOOTTIME),
                        lease_seconds=self.lease,
                    )
                )
                said = ""
            except NotNow as error:
                said = _warn_once("cannot renew the lease", error, said)
            except OstlerError as error:
                if not turns.lost.done():
                    turns.lost.set_result(error)  # type: ignore[arg-type]
            await self._drop_events(store, turns, epoch)
            if turns.commits - seen >= CHECKPOINT_EVERY or (
                turns.commits > seen and not _busy(turns)
            ):
                seen = turns.commits
                try:
                    await loop.run_in_executor(None, store.checkpoint)
                except NotNow as error:
                    said = _warn_once("cannot move the log into the database", error, said)
                if len(turns.machine.state.jobs) < FEW and loop.time() > looked + LOOK_EVERY:
                    heap.look_at_all()
                    looked = loop.time()

    async def _drop_events(self, store: SqliteStore, turns: Turns, epoch: int) -> None:
        """Remove events whose time is over, some at a time, so that no commit waits long."""
        if found := droppable(turns.machine.state, time.time()):
            before, below = found
            with contextlib.suppress(OstlerError):  # the next time is as good
                await turns.in_writer(lambda: store.drop_events(epoch, before, below, DROPPED))

    async def _write_moments(self, store: SqliteStore, server: Server, epoch: int) -> None:
        """Write down once a poll how fresh what is known of the nodes is."""
        loop = asyncio.get_running_loop()
        last = loop.time()
        while True:
            await asyncio.sleep(self.heartbeat)  # for the interval can be changed meanwhile
            if loop.time() - last < server.probing.interval - self.heartbeat / 2:
                continue
            last = loop.time()
            moments = server.agents.fresh.take()
            with contextlib.suppress(OstlerError):  # others tell of it, and more follow
                await server.turns.in_writer(partial(store.put_moments, moments, epoch))

    async def _first_greetings(self, server: Server) -> None:
        """Tell of nodes that do not greet after a start, or after the state was read anew."""
        turns = server.turns
        while True:
            machine = turns.machine
            await asyncio.sleep(GREETING * self.heartbeat)
            if turns.machine is not machine:
                continue
            for name, entry in list(machine.state.nodes.items()):
                if entry.node.rm:  # its own resource manager tells of it
                    continue
                if not entry.connected and entry.node.status is NodeStatus.RUNNING:
                    with contextlib.suppress(OstlerError):  # logged, and all is read anew
                        turns.put(AgentGone(name))
                        server.probing.hurry(name)
                    await asyncio.sleep(0)  # others' turn
                    if turns.machine is not machine:
                        break

    def _status(self, server: Server, epoch: int) -> dict[str, Any]:
        nodes = nodes_in(server.turns.machine.state)
        kept = _told_by(self.state / "supervisor.json")
        agent = _child(kept, "agent")  # who speaks for it may be another: in a lab its host
        if agent not in server.agents.pids.values():
            agent = None
        return {
            "machine": {
                "nodes": len(nodes),
                "cpus": sum(len(e.node.facts.cpus) for e in nodes),
                "free_cpus": sum(len(e.books.cpus) for e in nodes),
                "memory": sum(e.node.facts.memory for e in nodes),
                "gpus": sum(len(e.node.facts.gpus) for e in nodes),
                "system": self.system,
                "stopping": server.turns.machine.state.stopping,
                "awaited": awaited(server.turns.machine.state),
            },
            "nodes": [node_row(entry) for entry in nodes],
            "drivers": drivers(server.turns.machine.state),
            "shortcomings": sorted({t for ts in server.agents.shortcomings.values() for t in ts}),
            "processes": {"manager": os.getpid(), "agent": agent, "supervisor": kept.get("pid")},
            "state": str(self.state),
            "epoch": epoch,
        }


def _warn_once(what: str, error: OstlerError, said: str) -> str:
    """Log it unless it was said last time as well: a full disk may stay so for days."""
    text = f"{what}: {error}"
    if text != said:
        log.warning(what, extra={"error": str(error)})
    return text


def _busy(turns: Turns) -> bool:
    return turns.machine.wants_plan or turns.machine.wants_more


def _obeyed(state: Path) -> int:
    """Return the highest epoch that the agent here has obeyed.

    A database that lost its last commits would begin below it, and never be obeyed.
    """
    try:
        text = (state / "node" / "epoch").read_bytes().strip()
    except OSError:
        return 0
    return int(text) if text.isdigit() and len(text) <= 15 else 0  # as the agent reads it


def _told(state: Path) -> dict[str, Any]:
    return _told_by(state / "machine.json")


def _told_by(path: Path) -> dict[str, Any]:
    try:
        told = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def _child(kept: dict[str, Any], name: str) -> int | None:
    """Return the process id of a daemon that a supervisor started; None if it has none."""
    children = kept.get("children")
    found = children.get(name) if isinstance(children, dict) else None
    return found.get("pid") if isinstance(found, dict) else None


def main(state: Path) -> int:
    """Run a manager in this process."""
    log_to_stderr()
    raise_limit()
    take_short_slices()
    heap.look_once()
    sys.setswitchinterval(0.0005)  # else a commit waits up to 5 ms for the busy loop
    turnstile = Turnstile()
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(turnstile)) as runner:
        return runner.run(Manager(state, turnstile).run())
