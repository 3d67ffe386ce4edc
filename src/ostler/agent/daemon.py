"""The agent: carries out the effects of `core.agent` on this node and feeds it what happens."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
import time
import uuid

import msgspec

from ostler.agent import policy, probe
from ostler.agent.contexts import Contexts
from ostler.agent.farewell import Farewell
from ostler.agent.hand import Hand
from ostler.agent.journal import Journal
from ostler.agent.left import LeftDescriptors
from ostler.agent.linux import become_subreaper, set_name
from ostler.agent.local import Local
from ostler.agent.manager_link import ManagerLink
from ostler.agent.office import remove_spool
from ostler.agent.proc import boot_id
from ostler.agent.reaper import Reaper
from ostler.agent.recover import Recovery
from ostler.agent.starters import Starter, Starters
from ostler.agent.watchdog import Watchdog
from ostler.core.agent import AgentCore
from ostler.core.agent_words import (
    AckProgress,
    BeginTasks,
    DropShare,
    Effect,
    EpochKept,
    Event,
    FeedShare,
    FinishShare,
    FreezeShare,
    Keep,
    KeepEpoch,
    MakeShare,
    Phase,
    RefuseStale,
    RenewContext,
    RetimeShare,
    SendHello,
    SendReport,
    ShareEnded,
    ShareKept,
    SignalShare,
    ThawShare,
    WindowClosed,
    WithdrawElements,
)
from ostler.model.errors import NotNow, OstlerError
from ostler.model.ids import AllocationId
from ostler.model.orders import NODE_FAULT, Ended, Launch
from ostler.model.sight import Alive
from ostler.model.states import Result
from ostler.wire import messages
from ostler.wire.descriptors import raise_limit
from ostler.wire.logs import log_to_stderr
from ostler.wire.slices import take_short_slices
from ostler.wire.supervise import process_start, take_lock, terminate
from ostler.wire.watch import SupervisorWatch

log = logging.getLogger("ostler.agent")

WINDOW = 0.1  # seconds between two reports while much runs
_DIGITS = 15  # of an epoch, at most
_LOCK_SECONDS = 10.0  # in which an agent before us must have ended


class Agent:
    """One agent over one state folder. See `office.Office` for what it is to its hands."""

    def __init__(self, state: str) -> None:
        self.state = state
        self.boot_id = boot_id()
        self.machine = probe.read_machine(state)
        self.facts = probe.facts(self.machine)
        self.declared = self.facts.declared
        self.hands: dict[AllocationId, Hand] = {}
        self._node = probe.node_name(self.machine)
        self._incarnation = uuid.uuid4().hex
        self._started_at = time.time()
        self._loop = asyncio.get_running_loop()
        self._window: asyncio.Handle | None = None
        self._reported_at = 0.0  # by the loop's clock
        self._stopped = asyncio.Event()
        self._farewell = Farewell(self._feed) if self.machine.until else None  # a node of a pool
        self._epoch_path = os.path.join(state, "node", "epoch")
        self.core = AgentCore(read_epoch(self._epoch_path))
        self.journal = Journal(os.path.join(state, "node", "journal"), self.boot_id)
        self.reaper = Reaper(state)
        self.left = LeftDescriptors()
        self.starters = Starters(state, self._idle_died)
        self.contexts = Contexts(state)
        held = lambda: self.contexts.rows(self.core.shares)  # noqa: E731
        self.manager = ManagerLink(state, self.feed, self._manager_heard, held)

    async def run(self) -> None:
        """Serve until told to stop. Starters with work go on without us."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._stop)
        watch = SupervisorWatch(self.state, None if self.machine.until else 0.0, self._replaced)
        watch.begin()
        await Recovery(self, self.state, self._new_hand).run()
        self.contexts.sweep(a for a, s in self.core.shares.items() if s.phase is not Phase.ENDED)
        local = Local(self, self.state, self._alive, system=self.machine.system)
        watchdog = Watchdog(self.hands)
        manager = self._loop.create_task(self.manager.run())
        log.info("agent is up", extra={"node": self._node, "shares": len(self.hands)})
        try:
            stopped = self._loop.create_task(self._stopped.wait())
            await asyncio.wait({manager, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if manager.done():
                manager.result()
        finally:
            manager.cancel()
            await asyncio.wait({manager})
            watch.stop()
            local.close()
            watchdog.close()
            for hand in self.hands.values():
                hand.close()
            self.starters.close()
            self.reaper.close()
            self.journal.close()

    def _alive(self) -> Alive:
        """Return what it says of itself to whoever looks from outside."""
        return Alive(
            self._node,
            self.boot_id,
            self._incarnation,
            self.core.epoch,
            self.core.connected,
            os.getpid(),
            self._started_at,
        )

    def _stop(self) -> None:
        if self._farewell is not None:
            self._farewell.say()
        self._stopped.set()

    def _replaced(self, why: str) -> None:
        log.warning("ends without its supervisor", extra={"why": why})
        self._stop()

    # -- the core --------------------------------------------------------------------------

    def feed(self, event: Event) -> None:
        """Tell the core what happened, and do what follows from it."""
        if self._farewell is None or not self._farewell.holds(event):
            self._feed(event)

    def _feed(self, event: Event) -> None:
        for effect in self.core.handle(time.time(), event):
            self._do(effect)
        if self.core.gathered and self.core.connected:
            self._soon(urgent=self.core.urgent)

    def _soon(self, *, urgent: bool) -> None:
        """Let the window close at the end of this turn, or later if a report has just gone."""
        if isinstance(self._window, asyncio.TimerHandle) and urgent:
            self._window.cancel()
            self._window = None
        if self._window is None:
            at = self._reported_at + WINDOW
            self._window = (
                self._loop.call_soon(self._close_window)
                if urgent or at <= self._loop.time()
                else self._loop.call_at(at, self._close_window)
            )

    def _close_window(self) -> None:
        self._window = None
        self._reported_at = self._loop.time()
        self.feed(WindowClosed())

    def _do(self, effect: Effect) -> None:
        match effect:
            case KeepEpoch(epoch):
                self._keep_epoch(epoch)
            case RefuseStale(epoch):
                log.warning("stale epoch", extra={"refused": epoch, "highest": self.core.epoch})
                if not self.core.connected:
                    self.manager.drop("its epoch is over")
            case Keep(launch):
                self._keep(launch)
            case MakeShare(launch):
                self._make(launch)
            case DropShare(alloc):
                self._forget(alloc)
            case SendHello(epoch, holds):
                self.manager.send(
                    messages.AgentHello(
                        node=self._node,
                        version=messages.VERSION,
                        facts=self.facts,
                        boot_id=self.boot_id,
                        incarnation=self._incarnation,
                        epoch=epoch,
                        holds=list(holds),
                        shortcomings=probe.shortcomings(self.machine),
                    )
                )
            case SendReport(seq, rows):
                self.manager.send(messages.Report(seq, list(rows)))
            case _:
                self._order(effect)

    def _order(self, effect: Effect) -> None:
        """Pass what is wanted of one share to the hand that has it."""
        match effect:
            case FinishShare(alloc, cause, why, grace):
                if alloc in self.hands:
                    self.hands[alloc].end(cause, why, grace)
            case BeginTasks(alloc):
                if alloc in self.hands:
                    self.hands[alloc].begin_tasks()
            case FeedShare(alloc, chunk, heard):
                more = msgspec.to_builtins(chunk, builtin_types=(bytes,))
                self._tell(alloc, {"type": "feed", "chunk": more, "heard": heard})
            case WithdrawElements(alloc, elements, cause, why, grace):
                if alloc in self.hands:
                    self.hands[alloc].withdraw(elements, cause, why, grace)
            case AckProgress(alloc, serial):
                if alloc in self.hands:
                    self.hands[alloc].acknowledged(serial)
            case SignalShare(alloc, number, element):
                self._tell(alloc, {"type": "signal", "signal": number, "element": element})
            case FreezeShare(alloc):
                self._tell(alloc, {"type": "suspend"})
            case ThawShare(alloc):
                self._tell(alloc, {"type": "resume"})
            case RetimeShare(alloc, time_limit):
                self._tell(alloc, {"type": "retime", "time_limit": time_limit})
            case RenewContext(launch):
                self.contexts.renew(launch)
                self._tell(
                    launch.alloc, {"type": "signal", "signal": signal.SIGWINCH, "element": -1}
                )

    def _tell(self, alloc: AllocationId, message: dict[str, object]) -> None:
        hand = self.hands.get(alloc)
        if hand is not None:
            hand.tell({**message, "alloc": alloc})

    # -- durable things --------------------------------------------------------------------

    def _keep_epoch(self, epoch: int) -> None:
        try:
            write_epoch(self._epoch_path, epoch)
        except OSError as error:
            why = f"epoch {epoch} cannot be stored: {error.strerror}; orders are not obeyed"
            log.error("epoch not stored", extra={"why": why})  # noqa: TRY400
            self.manager.drop(why)
            return
        self.feed(EpochKept(epoch))

    def _keep(self, launch: Launch) -> None:
        try:
            self.journal.accept(launch, time.time())
        except OSError as error:
            why = f"{self._node} cannot write its journal: {error.strerror}"
            self.feed(ShareEnded(Ended(launch.alloc, time.time(), None, NODE_FAULT, why)))
            return
        self.feed(ShareKept(launch.alloc))

    # -- shares ----------------------------------------------------------------------------

    def _new_hand(self, alloc: AllocationId, launch: Launch | None) -> Hand:
        hand = self.hands[alloc] = Hand(self, alloc, launch)
        return hand

    def _make(self, launch: Launch) -> None:
        hand = self.hands.get(launch.alloc) or self._new_hand(launch.alloc, launch)
        why = policy.refusal(launch, system=self.machine.system, uid_min=self.machine.uid_min)
        if why:
            hand.finish(Ended(launch.alloc, time.time(), None, Result.REJECTED, why))
            return
        try:
            self.contexts.make(launch)
        except OSError as error:
            why = f"{self._node} cannot write its context: {error.strerror}"
            hand.finish(Ended(launch.alloc, time.time(), None, NODE_FAULT, why))
        else:
            hand.make()

    def _forget(self, alloc: AllocationId) -> None:
        hand = self.hands.pop(alloc, None)
        if hand is not None:
            hand.forget()

    def _idle_died(self, starter: Starter) -> None:
        """A starter nobody holds is gone: nothing of it is wanted."""
        if not self._is_of_a_share(starter):
            remove_spool(self.starters.spool_path(starter.name))

    def _is_of_a_share(self, starter: Starter) -> bool:
        return any(
            entry.handed is not None and entry.handed.name == starter.name
            for entry in self.journal.entries.values()
        )

    def greet_anew(self, why: str) -> None:
        """Connect to the manager again, so that it says anew what each share holds."""
        self.manager.drop(why)

    def _manager_heard(self) -> None:
        for hand in self.hands.values():
            hand.heard_manager()


def read_epoch(path: str) -> int:
    """Return the highest epoch obeyed on this node; 0 if none is stored. Raises OSError."""
    try:
        with open(path, "rb") as file:
            text = file.read().strip()
    except FileNotFoundError:
        return 0
    # Anything else is damage. The manager, who reads it too, begins above what can be read.
    return int(text) if text.isdigit() and len(text) <= _DIGITS else 0


def write_epoch(path: str, epoch: int) -> None:
    """Store it so that it survives a power cut; raise OSError."""
    draft = f"{path}.new"
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, b"%d\n" % epoch)
        os.fsync(fd)
    finally:
        os.close(fd)
    os.replace(draft, path)
    folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


async def _serve(state: str) -> int:
    await Agent(state).run()
    return 0


def lock_node(state: str) -> int:
    """Return the held lock of this node's agent; an agent that nobody watches over is ended.

    One can be left when its supervisor died before it had noted it. Raises `NotNow`.
    """
    path = os.path.join(state, "node", "lock")
    lock = take_lock(path)
    if lock is None:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        with contextlib.suppress(ValueError):
            terminate(json.loads(text), _LOCK_SECONDS)
        lock = take_lock(path)
    if lock is None:
        raise NotNow(f"another agent serves {state}", hint="end it, then try again")
    own = {"pid": os.getpid(), "start_time": process_start(os.getpid())}
    os.ftruncate(lock, 0)
    os.pwrite(lock, json.dumps(own).encode(), 0)
    return lock


def main(state: str) -> int:
    """Run an agent in this process; return its exit status."""
    log_to_stderr()
    raise_limit()
    take_short_slices()
    set_name(b"ostler-agent")
    become_subreaper()
    os.umask(0o077)
    try:
        os.makedirs(os.path.join(state, "node"), exist_ok=True)
        lock_node(state)
        return asyncio.run(_serve(state))
    except (OSError, OstlerError) as error:
        print(f"ostler agent: {error}", file=sys.stderr)  # noqa: T201 - the log is its output
        return 5
