"""One start of one element, from its tasks' spawn until nothing of them is left on this node.

What holds for a job of one element and for each of the thousands in a slot is here, once: files,
environment, limits, kills, the sweep, usage. Times for limits are monotonic, as the job does not
run while the host sleeps; times in reports are Unix seconds.
"""

import os
import signal
import time
from math import inf

from ostler.agent import proc, spool
from ostler.agent.guests import Guest, Guests
from ostler.agent.host import Host
from ostler.agent.memory import MemoryWatch
from ostler.agent.output import Files, Three, complain, why_not
from ostler.agent.rlimits import SoftLimits
from ostler.agent.share import Share
from ostler.agent.spawn import SHELL, CannotRun, Command
from ostler.agent.spool import Row, add_usage
from ostler.agent.tree import kill_below, stop_below
from ostler.agent.waits import next_exit, reap
from ostler.model.units import format_duration

_KILL_AGAIN = 0.02  # seconds until what is left is killed again, doubling
_KILL_AGAIN_MOST = 0.5
_TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")  # nanoseconds
_CLOCKS = 1_000  # nanoseconds by which two readings of a clock may differ


class CannotStart(Exception):
    """This node has no room for another process or record; the text is one sentence."""


class Attempt:
    """The tasks of one element. Made once for a share, it begins anew with each element."""

    def __init__(self, share: Share, host: Host, script: bytes, threes: list[Three]) -> None:
        self.is_on = False  # something of the element may be left
        self.cause = ""
        self.why = ""
        self.started_at: float | None = None
        self.suspended = 0.0  # seconds, closed spans
        self.time_limit = share.time_limit
        self.exits: list[list[int]] = []  # [rank, code, signal]
        self.usage: list[float] = []  # of what was reaped; in the end also `suspended`
        self.due = inf  # monotonic seconds of the next `tick`
        self._share = share
        self._host = host
        self._files = Files(share, host.nulls, threes)
        self._limits = SoftLimits(share.rlimits) if share.rlimits else None
        self._memory = MemoryWatch(host.groups, share.memory)
        self._command, self._own = _command(share, host.state, script)
        self._ranks = tuple(share.ranks)
        self._pinned = -1  # for this rank the process is on its CPUs
        self.running: dict[int, int] = {}  # pid -> rank, of tasks that have not ended
        self.guests: Guests | None = None  # commands of `exec`, once there was one
        self._unwritten: list[tuple[float, ...]] = []  # rank and usage of what was just reaped
        self._began = 0.0  # monotonic seconds
        self._warned = False
        self._suspended_at: float | None = None
        self._kill_at = inf
        self._killing = 0.0  # seconds between two kills; 0: not killing
        self._look_at = inf

    # ── start ────────────────────────────────────────────────────────────────────────────────
    def begin(self) -> None:
        """Start the tasks of the element that the share has turned to.

        Raises `Rejected` if one of its files cannot be opened, and `CannotStart`; then nothing ran.
        """
        self.cause = self.why = ""
        self.started_at, self.suspended = None, 0.0
        self.exits, self.usage = [], []
        self.running.clear()
        self._warned = False
        self._kill_at, self._killing, self._look_at = inf, 0.0, inf
        ranks = self._ranks
        try:
            threes = [*map(self._files.three, ranks)]
            self._host.groups.enter()  # a kill or a freeze may have led out
            if self._memory.limit:
                self._memory.begin()
            own = self._share.own()
            if self._share.verbose:
                for rank, three in zip(ranks, threes, strict=True):
                    complain(three[2], self._share.bound(rank))
            for rank, three in zip(ranks, threes, strict=True):
                if not self._start(rank, own, three):
                    return
        finally:
            self._files.close()
            if len(ranks) > 1:
                self._host.pinning.release()
                self._pinned = -1

    def _start(self, rank: int, own: list[bytes], three: tuple[int, int, int]) -> bool:
        """Start one task; return whether the others may be."""
        share, spooled = self._share, self._host.spool
        if rank != self._pinned:
            self._host.pinning.pin(share, rank)
            self._pinned = rank
        now = time.time()
        try:
            spooled.add(spool.INTENT, rank, share.element, share.attempt, now)
            before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            if self._own:
                own = own + self._own[rank]
            if self._limits is None:
                pid = self._command.start(own, three)
            else:
                with self._limits:
                    pid = self._command.start(own, three)
                self._limits.on_child(pid)
            after = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        except CannotRun as error:
            complain(three[2], error.why + error.more)
            self.why = self.why or error.why
            self._note_exit(rank, error.code, 0)
        except OSError as error:
            why = f"{share.node} could not start task {rank}: {why_not(error)}"
            if self.started_at is None:
                raise CannotStart(why) from None
            self.end("failed", why, share.grace)
            return False
        else:
            self.running[pid] = rank
            spooled.note(spool.PID, rank, pid, _start_time(pid, before, after))
        if self.started_at is None:
            self.is_on, self.started_at, self._began = True, now, time.monotonic()
            if self._memory.limit:
                self._look_soon()
            if self.time_limit or self._memory.limit:
                self._arm()
        return True

    def host_guest(self, guests: Guests, number: int, wanted: Guest, stdio: list[int]) -> None:
        """Start a command beside the tasks, as if it were one of them; told of by `guests`."""
        if not self.is_on or self.cause or self._killing or self._suspended_at is not None:
            guests.refuse(number, "nothing of it runs at present")
            return
        self.guests = guests
        share = self._share
        own = [*share.own(), *self._own.get(self._ranks[0], ())]
        command = self._command.beside(*wanted.command())
        if len(self._ranks) > 1:
            self._host.pinning.pin_to_all(share)
        if self._limits is None:
            guests.start(number, command, own, stdio)
        else:
            with self._limits:
                guests.start(number, command, own, stdio)
        if len(self._ranks) > 1:
            self._host.pinning.release()

    def reject(self, why: str) -> None:
        """Note that it could not begin because of what the job asks for."""
        self.cause, self.why = "rejected", why
        self._sum_up()

    # ── children ─────────────────────────────────────────────────────────────────────────────
    def is_over(self) -> bool:
        """Reap what has ended; return whether nothing is left."""
        pid, code, status = next_exit()
        while pid > 0:
            self._reap(pid, code, status)
            pid, code, status = next_exit()
        if pid < 0:
            self._sum_up()
            return True
        for used in self._unwritten:
            self._host.spool.note(spool.USAGE, *used)
        self._unwritten.clear()
        if not self.running and not self._killing:
            self._kill()
        return False

    def _reap(self, pid: int, code: int, status: int) -> None:
        rank = self.running.pop(pid, None)
        if rank is not None:
            exited = code == os.CLD_EXITED
            self._note_exit(rank, status if exited else 0, 0 if exited else status)
            if status and self._share.kill_on_bad_exit and not self.cause:
                self._end_others(rank, f"status {status}" if exited else f"signal {status}")
        elif self.guests:
            self.guests.ended(pid, code, status)
        # Only now, with its status in the spool, may the kernel forget it.
        row = reap(pid)
        if self.usage:
            add_usage(self.usage, row)
        else:
            self.usage = [*row]
        self._unwritten.append((-1 if rank is None else rank, *row))
        if self._memory.limit:
            why = self._memory.ended(row[2])
            if why and not self.cause:
                self.end("memory", why, self._share.grace)

    def _end_others(self, rank: int, how: str) -> None:
        """End the tasks beside one that failed, here and, through the manager, on other nodes."""
        share = self._share
        if self.running or len(share.members) > 1:
            why = f"rank {rank} on {share.node} ended with {how}, and with it the others"
            self.end("failed", why, share.grace)

    def _note_exit(self, rank: int, code: int, signum: int) -> None:
        self.exits.append([rank, code, signum])
        self._host.spool.note(spool.STATUS, rank, code, signum, time.time())

    def _sum_up(self) -> None:
        """Nothing of the element is left."""
        self.is_on = False
        if self._suspended_at is not None:
            self.suspended += time.monotonic() - self._suspended_at
            self._suspended_at = None
            self._host.groups.freeze(on=False)
        self.due = inf
        self._unwritten.clear()  # the sum goes with the end
        usage = self.usage or [0.0, 0.0, 0, 0, 0]
        if self._memory.limit:
            usage[2] = max(usage[2], self._memory.peak)
        usage.append(self.suspended)
        self.usage = usage
        if len(self.exits) > 1:
            self.exits.sort()

    def row(self, at: float) -> Row:
        """Return how the element ended, as `ElementEnd`."""
        share = self._share
        return [
            share.element, share.attempt, self.started_at, at, self.cause, self.why, self.exits,
            self.usage,
        ]  # fmt: skip

    # ── ending ───────────────────────────────────────────────────────────────────────────────
    def end(self, cause: str, why: str, grace: float) -> None:
        """End it: SIGTERM, after `grace` seconds SIGKILL. The first cause is kept."""
        if not self.cause:
            self.cause, self.why = cause, why
            told = {"cause": cause, "why": why, "grace": grace, "at": time.time()}
            self._host.spool.note(spool.CAUSE, {**told, "element": True})
        self.stop(grace)

    def stop(self, grace: float) -> None:
        """SIGTERM now, SIGKILL after `grace` seconds if it is not over by then."""
        first = self._kill_at == inf
        self._kill_at = min(self._kill_at, time.monotonic() + grace)
        if self._killing:
            return
        if first:
            self.resume()
            self.signal(signal.SIGTERM)
            if self._share.is_on_terminal:
                self.signal(signal.SIGHUP)  # interactive shells ignore SIGTERM
            self.signal(signal.SIGCONT)
        if grace <= 0:
            self._kill()
        self._arm()

    def signal(self, signum: int) -> None:
        """Send a signal to the process group of each task that has not ended."""
        for pid in self.running:
            try:
                os.killpg(pid, signum)
            except OSError:
                continue  # ended this moment, or now another user's by its own setuid

    def _kill(self) -> None:
        """SIGKILL everything below this process; repeated by `tick` until nothing is left."""
        self._killing = min(self._killing * 2 or _KILL_AGAIN, _KILL_AGAIN_MOST)
        self._kill_at = time.monotonic() + self._killing
        self._arm()
        self._host.groups.kill()
        kill_below(os.getpid())

    # ── standing still ───────────────────────────────────────────────────────────────────────
    def suspend(self) -> bool:
        """Stop every process; time does not count until `resume`. Return False if none stands."""
        if not self.is_on or self._suspended_at is not None or self._kill_at != inf:
            return False
        self._suspended_at = time.monotonic()
        self._arm()
        self._host.spool.note(spool.SUSPENDED, time.time())
        if not self._host.groups.freeze(on=True):
            stop_below(os.getpid(), signal.SIGSTOP)
        return True

    def resume(self) -> bool:
        """Let them go on; return False if none stood still."""
        if self._suspended_at is None:
            return False
        self.suspended += time.monotonic() - self._suspended_at
        self._suspended_at = None
        self._arm()
        self._host.spool.note(spool.RESUMED, time.time(), self.suspended)
        if not self._host.groups.freeze(on=False):
            stop_below(os.getpid(), signal.SIGCONT)
        return True

    # ── time ─────────────────────────────────────────────────────────────────────────────────
    def retime(self, time_limit: int) -> None:
        """Replace the time limit; it counts from the start, without suspended time."""
        self.time_limit = time_limit
        self._warned = False
        self._arm()

    def _arm(self) -> None:
        """Say anew when the next `tick` is due."""
        if not self.is_on:
            return
        self.due = min(self._kill_at, self._look_at)
        if self.time_limit and self._suspended_at is None and self._kill_at == inf:
            limit = self._limit_at()
            warn = self._share.warn_signal and not self._warned
            self.due = min(self.due, limit - self._share.warn_before if warn else limit)

    def tick(self, now: float) -> None:
        """Do what is due; then `is_over` may have something to find."""
        share = self._share
        limited = self.time_limit > 0 and self._suspended_at is None and not self.cause
        if now >= self._kill_at:
            self._kill()
        elif limited and now >= self._limit_at():
            why = f"ran into its time limit of {duration(self.time_limit)}"
            self.end("timeout", why, share.grace)
        elif limited and not self._warned and self._is_warning_due(now):
            self._warned = True
            self.signal(share.warn_signal)
        if now >= self._look_at:
            self._look_soon()
            why = self._memory.look() if not self.cause else ""
            if why:
                self.end("memory", why, share.grace)
        self._arm()

    def _limit_at(self) -> float:
        return self._began + self.suspended + self.time_limit

    def _is_warning_due(self, now: float) -> bool:
        share = self._share
        return share.warn_signal > 0 and now >= self._limit_at() - share.warn_before

    def _look_soon(self) -> None:
        interval = self._memory.interval
        self._look_at = inf if interval is None else time.monotonic() + interval


def duration(seconds: int) -> str:
    """Return seconds as people write them."""
    return format_duration(seconds).replace(".0s", "s")


def _command(share: Share, state: bytes, script: bytes) -> tuple[Command, dict[int, list[bytes]]]:
    """Return what each task runs, and by rank what each has in its environment for itself."""
    argv = share.argv or [b""]
    if script:
        argv = [script, *share.argv]
        if not share.script.startswith(b"#!"):
            argv = [SHELL, *argv]
    env = share.environment(state)
    own = {rank: share.variables(rank) for rank in share.ranks}
    if len(own) == 1:  # the same for all elements
        for entry in own.popitem()[1]:
            name, _, value = entry.partition(b"=")
            env[name] = value
    # A session is a scheduling group with a full share of the CPUs: for a job that is fair, for
    # each of a thousand short elements it would starve everybody else on the host.
    session = not share.is_slot
    return Command(argv, env, session=session, on_terminal=share.is_on_terminal), own


def _start_time(pid: int, before: int, after: int) -> int:
    """Return when a child began, in ticks since boot, which is what /proc would say.

    before, after: nanoseconds since boot around its spawn. Nearly always within one tick of the
    kernel's; reading /proc costs as much as all else that is done between two elements.
    """
    tick = (before - _CLOCKS) // _TICK
    return tick if tick == (after + _CLOCKS) // _TICK else proc.start_time(pid)
