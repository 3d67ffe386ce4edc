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
from ostler.agent.host import Host
from ostler.agent.memory import MemoryWatch
from ostler.agent.output import Files, complain, why_not
from ostler.agent.rlimits import SoftLimits
from ostler.agent.share import Share
from ostler.agent.spawn import SHELL, CannotRun, Command
from ostler.agent.spool import Row, add_usage
from ostler.agent.tree import kill_below, stop_below
from ostler.model.units import format_duration

_KILL_AGAIN = 0.02  # seconds until what is left is killed again, doubling
_KILL_AGAIN_MOST = 0.5
_WAIT = os.WEXITED | os.WNOHANG | os.WNOWAIT
_TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")  # nanoseconds
_CLOCKS = 1_000  # nanoseconds by which two readings of a clock may differ


class CannotStart(Exception):
    """This node has no room for another process or record; the text is one sentence."""


class Attempt:
    """The tasks of one element. Made once for a share, it begins anew with each element."""

    def __init__(self, share: Share, host: Host, script: bytes, stdio: list[int]) -> None:
        self.is_on = False  # something of the element may be left
        self.cause = ""
        self.why = ""
        self.started_at: float | None = None
        self.suspended = 0.0  # seconds, closed spans
        self.time_limit = share.time_limit
        self.exits: list[list[int]] = []  # [rank, code, signal]
        self.usage: list[float] = [0.0, 0.0, 0, 0, 0]
        self._share = share
        self._host = host
        self._stdio = stdio  # a waiting client's 0, 1, 2
        self._files = Files(share, host.nulls)
        self._limits = SoftLimits(share.rlimits)
        self._memory = MemoryWatch(host.groups, share.memory)
        self._command, self._own = _command(share, host.state, script)
        self._running: dict[int, int] = {}  # pid -> rank
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
        self.exits, self.usage = [], [0.0, 0.0, 0, 0, 0]
        self._running.clear()
        self._warned = False
        self._kill_at, self._killing = inf, 0.0
        share = self._share
        try:
            threes = [self._three(rank) for rank in share.ranks]
            self._host.groups.enter()  # a kill or a freeze may have led out
            self._memory.begin()
            own = share.own()
            for rank, three in zip(share.ranks, threes, strict=True):
                if not self._start(rank, own, three):
                    return
        finally:
            self._files.close()
            if share.tasks > 1:
                self._host.pinning.release()

    def _three(self, rank: int) -> tuple[int, int, int]:
        if self._stdio:
            return self._stdio[0], self._stdio[1], self._stdio[2]
        return self._files.three(rank)

    def _start(self, rank: int, own: list[bytes], three: tuple[int, int, int]) -> bool:
        """Start one task; return whether the others may be."""
        share, spooled = self._share, self._host.spool
        self._host.pinning.pin(share, rank)
        now = time.time()
        try:
            spooled.add(spool.INTENT, rank, share.element, share.attempt, now)
            before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            with self._limits:
                pid = self._command.start(own + self._own.get(rank, []), three)
            after = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            self._limits.on_child(pid)
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
            self._running[pid] = rank
            spooled.note(spool.PID, rank, pid, _start_time(pid, before, after))
        if self.started_at is None:
            self.is_on, self.started_at, self._began = True, now, time.monotonic()
            self._look_soon()
        return True

    def reject(self, why: str) -> None:
        """Note that it could not begin because of what the job asks for."""
        self.cause, self.why = "rejected", why
        self._sum_up()

    @property
    def has_tasks(self) -> bool:
        """Say whether a task of it may still run."""
        return bool(self._running)

    # ── children ─────────────────────────────────────────────────────────────────────────────
    def is_over(self) -> bool:
        """Reap what has ended; return whether nothing is left."""
        try:
            while (info := os.waitid(os.P_ALL, 0, _WAIT)) is not None:
                self._reap(info.si_pid, info.si_code, info.si_status)
        except ChildProcessError:
            self._sum_up()
            return True
        self._host.spool.flush()
        if not self._running and not self._killing:
            self._kill()
        return False

    def _reap(self, pid: int, code: int, status: int) -> None:
        rank = self._running.pop(pid, None)
        if rank is not None:
            exited = code == os.CLD_EXITED
            self._note_exit(rank, status if exited else 0, 0 if exited else status)
        # Only now, with its status in the spool, may the kernel forget it.
        _, _, used = os.wait4(pid, 0)
        peak = used.ru_maxrss * 1024
        row = (
            used.ru_utime, used.ru_stime, peak, used.ru_inblock * 512, used.ru_oublock * 512,
        )  # fmt: skip
        add_usage(self.usage, row)
        self._host.spool.keep(spool.USAGE, -1 if rank is None else rank, *row)
        why = self._memory.ended(peak)
        if why and not self.cause:
            self.end("memory", why, self._share.grace)

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
        self._look_at = inf
        self.usage[2] = max(self.usage[2], self._memory.peak)
        self.usage.append(self.suspended)
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
            self.signal(signal.SIGCONT)
        if grace <= 0:
            self._kill()

    def signal(self, signum: int) -> None:
        """Send a signal to the process group of each task that has not ended."""
        for pid in self._running:
            try:
                os.killpg(pid, signum)
            except OSError:
                continue  # ended this moment, or now another user's by its own setuid

    def _kill(self) -> None:
        """SIGKILL everything below this process; repeated by `tick` until nothing is left."""
        self._killing = min(self._killing * 2 or _KILL_AGAIN, _KILL_AGAIN_MOST)
        self._kill_at = time.monotonic() + self._killing
        self._host.groups.kill()
        kill_below(os.getpid())

    # ── standing still ───────────────────────────────────────────────────────────────────────
    def suspend(self) -> bool:
        """Stop every process; time does not count until `resume`. Return False if none stands."""
        if not self.is_on or self._suspended_at is not None or self._kill_at != inf:
            return False
        self._suspended_at = time.monotonic()
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
        self._host.spool.note(spool.RESUMED, time.time(), self.suspended)
        if not self._host.groups.freeze(on=False):
            stop_below(os.getpid(), signal.SIGCONT)
        return True

    # ── time ─────────────────────────────────────────────────────────────────────────────────
    def retime(self, time_limit: int) -> None:
        """Replace the time limit; it counts from the start, without suspended time."""
        self.time_limit = time_limit
        self._warned = False

    def due(self) -> float:
        """Return the monotonic time of the next `tick`; inf: nothing is due by itself."""
        if not self.is_on:
            return inf
        due = min(self._kill_at, self._look_at)
        if self.time_limit and self._suspended_at is None and self._kill_at == inf:
            limit = self._limit_at()
            warn = self._share.warn_signal and not self._warned
            due = min(due, limit - self._share.warn_before if warn else limit)
        return due

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
    return Command(argv, env), own


def _start_time(pid: int, before: int, after: int) -> int:
    """Return when a child began, in ticks since boot, which is what /proc would say.

    before, after: nanoseconds since boot around its spawn. Nearly always within one tick of the
    kernel's; reading /proc costs as much as all else that is done between two elements.
    """
    tick = (before - _CLOCKS) // _TICK
    return tick if tick == (after + _CLOCKS) // _TICK else proc.start_time(pid)
