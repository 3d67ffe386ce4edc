"""One share from the order to its end, inside a starter: context, tasks, limits, the last report.

Every change goes to the spool before it is told. Times for limits are monotonic, as the job does
not run while the host sleeps; times in reports are Unix seconds.
"""

import os
import signal
import time
from collections.abc import Callable

from ostler.agent import context, spool
from ostler.agent.cgroup import Groups
from ostler.agent.memory import MemoryWatch
from ostler.agent.output import Files, Rejected, why_not
from ostler.agent.proc import start_time
from ostler.agent.rlimits import SoftLimits
from ostler.agent.share import Share
from ostler.agent.spawn import SHELL, CannotRun, Pinning, complain, spawn
from ostler.agent.starter_protocol import ENDED, MADE, NODE_FAULT, STARTED
from ostler.agent.tree import kill_below, stop_below
from ostler.model.units import format_duration

Message = dict[str, object]
Tell = Callable[[Message], None]

_KILL_AGAIN = 0.02  # seconds until what is left is killed again, doubling
_KILL_AGAIN_MOST = 0.5
_LEASE_LOOK = 5.0  # seconds; while the host sleeps only the lease's clock goes on
_WAIT = os.WEXITED | os.WNOHANG | os.WNOWAIT


class Host:
    """What a starter keeps for all shares it runs, one after the other."""

    __slots__ = ("groups", "pinning", "spool", "state")

    def __init__(self, state: bytes, spooled: spool.Spool, groups: Groups) -> None:
        self.state = state
        self.spool = spooled
        self.groups = groups
        self.pinning = Pinning()


class Runner:
    """The life of one share. After each call `deadline` says when `tick` wants to be called."""

    def __init__(self, share: Share, host: Host, tell: Tell, stdio: list[int]) -> None:
        self.share = share
        self.phase = MADE
        self.cause = ""
        self.why = ""
        self.started_at: float | None = None
        self._host = host
        self._tell = tell
        self._stdio = stdio  # a waiting client's 0, 1, 2; ours to close
        self._script = b""
        self._running: dict[int, int] = {}  # pid -> rank
        self._exits: list[list[int]] = []  # [rank, code, signal]
        self._usage: list[float] = [0.0, 0.0, 0, 0, 0]
        self._memory = MemoryWatch(host.groups, 0)
        self._began = 0.0  # monotonic seconds
        self._time_limit = share.time_limit
        self._warned = False
        self._suspended_at: float | None = None
        self._suspended = 0.0  # seconds, closed spans
        self._kill_at: float | None = None
        self._killing = 0.0  # seconds between two kills; 0: not killing
        self._look_at: float | None = None
        self._lease_from = time.clock_gettime(time.CLOCK_BOOTTIME)
        self._ended: Message = {}
        self._unwritten = 0  # records for which the spool had no room

    # ── the order ────────────────────────────────────────────────────────────────────────────
    def make(self) -> None:
        """Make the context, and start the tasks if the order says so."""
        share = self.share
        try:
            order = share.for_spool()
            self._host.spool.add(spool.ACCEPTED, {**order, "at": time.time()})
            if share.script:
                self._script = context.write_script(share, self._host.state)
            self._host.groups.enter()
            self._memory = MemoryWatch(self._host.groups, share.memory)
            self._check_stdio()
            context.become_user(share)
            context.take_place(share)
        except Rejected as error:
            self._finish("rejected", str(error))
        except OSError as error:
            why = f"{share.node} cannot keep the record of a job: {why_not(error)}"
            self._finish(NODE_FAULT, why)
        else:
            if share.start:
                self.start_tasks()
            else:
                self._tell(self.report())

    def _check_stdio(self) -> None:
        if self.share.stdio and len(self._stdio) != 3:
            raise Rejected("the client's descriptors did not come with the order; try again")

    def start_tasks(self) -> None:
        """Start all tasks; what cannot be opened rejects the share before anything ran."""
        if self.phase != MADE:
            return
        share, files = self.share, Files(self.share)
        try:
            threes = [self._three(files, rank) for rank in share.ranks]
            self._start_each(threes)
        except Rejected as error:
            self._finish("rejected", str(error))
        finally:
            files.close()
            self._close_stdio()
            if share.tasks > 1:
                self._host.pinning.release()
        if self.phase == STARTED:
            share.forget_large_parts()
            self._tell(self.report())
            self.children_changed()

    def _three(self, files: Files, rank: int) -> tuple[int, int, int]:
        if self._stdio:
            return self._stdio[0], self._stdio[1], self._stdio[2]
        return files.three(rank)

    def _start_each(self, threes: list[tuple[int, int, int]]) -> None:
        share = self.share
        argv = self._command()
        env = share.environment(self._host.state)
        limits = SoftLimits(share.rlimits)
        for rank, three in zip(share.ranks, threes, strict=True):
            self._host.pinning.pin(share, rank)
            now = time.time()
            try:
                self._host.spool.add(spool.INTENT, rank, share.element, share.attempt, now)
                with limits:
                    pid = spawn(argv, env | share.variables(rank), three)
                limits.on_child(pid)
            except CannotRun as error:
                complain(three[2], error.why + error.more)
                self.why = self.why or error.why
                self._note_exit(rank, error.code, 0)
            except OSError as error:
                self._cannot_start(rank, error)
                return
            else:
                self._running[pid] = rank
                self._record(spool.PID, rank, pid, start_time(pid))
            if self.started_at is None:
                self.phase, self.started_at, self._began = STARTED, now, time.monotonic()
                self._look_soon()

    def _cannot_start(self, rank: int, error: OSError) -> None:
        """Tell that this host has no room for another process or record."""
        why = f"{self.share.node} could not start task {rank}: {why_not(error)}"
        if self.started_at is None:
            self._finish(NODE_FAULT, why)
        else:
            self.end("failed", why, self.share.grace)

    def _command(self) -> list[bytes]:
        share = self.share
        if not self._script:
            return share.argv or [b""]
        if share.script.startswith(b"#!"):
            return [self._script, *share.argv]
        return [SHELL, self._script, *share.argv]

    # ── children ─────────────────────────────────────────────────────────────────────────────
    def children_changed(self) -> None:
        """Reap what has ended; finish when nothing is left."""
        if self.phase != STARTED:
            return
        try:
            while (info := os.waitid(os.P_ALL, 0, _WAIT)) is not None:
                self._reap(info.si_pid, info.si_code, info.si_status)
        except ChildProcessError:
            self._finish(self.cause, self.why)
            return
        if not self._running and not self._killing:
            self._kill()

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
        spool.add_usage(self._usage, row)
        self._record(spool.USAGE, -1 if rank is None else rank, *row)
        why = self._memory.ended(peak)
        if why and not self.cause:
            self.end("memory", why, self.share.grace)

    def _note_exit(self, rank: int, code: int, signum: int) -> None:
        self._exits.append([rank, code, signum])
        self._record(spool.STATUS, rank, code, signum, time.time())

    def _record(self, kind: int, *values: object) -> None:
        """Write to the spool what has already happened; a full disk must not stop the share."""
        try:
            self._host.spool.add(kind, *values)
        except OSError as error:
            # The log is likely to be on the same disk: that must not stop the share either.
            if not self._unwritten:
                complain(2, f"starter {os.getpid()}: spool not written: {why_not(error)}")
            self._unwritten += 1

    # ── ending ───────────────────────────────────────────────────────────────────────────────
    def end(self, cause: str, why: str, grace: float) -> None:
        """End the share: SIGTERM, after `grace` seconds SIGKILL. The first cause is kept."""
        if self.phase == ENDED:
            self._tell(self.report())
            return
        if not self.cause:
            self.cause, self.why = cause, why
            self._record(
                spool.CAUSE, {"cause": cause, "why": why, "grace": grace, "at": time.time()}
            )
        if self.phase == MADE:
            self._finish(self.cause, self.why)
            return
        at = time.monotonic() + grace
        first = self._kill_at is None
        self._kill_at = at if self._kill_at is None else min(self._kill_at, at)
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

    def _finish(self, cause: str, why: str) -> None:
        """Write and tell the end: nothing of the share is left."""
        self._close_stdio()
        if self._suspended_at is not None:
            self._suspended += time.monotonic() - self._suspended_at
            self._suspended_at = None
            self._host.groups.freeze(on=False)
        self.phase, self.cause, self.why = ENDED, cause, why
        if self._script:
            context.drop_script(self._host.state, self.share.alloc)
        self._usage[2] = max(self._usage[2], self._memory.peak)
        self._ended = {
            "type": "ended",
            "alloc": self.share.alloc,
            "at": time.time(),
            "started_at": self.started_at,
            "cause": cause,
            "why": why,
            "tasks": sorted(self._exits),
            "usage": [*self._usage, self._suspended],
        }
        self._record(spool.ENDED, self._ended)
        self._tell(self.report())

    def _close_stdio(self) -> None:
        for fd in self._stdio:
            os.close(fd)
        self._stdio = []

    # ── standing still ───────────────────────────────────────────────────────────────────────
    def suspend(self) -> None:
        """Stop every process of the share; time does not count until `resume`."""
        if self.phase != STARTED or self._suspended_at is not None or self._kill_at is not None:
            return
        self._suspended_at = time.monotonic()
        self._record(spool.SUSPENDED, time.time())
        if not self._host.groups.freeze(on=True):
            stop_below(os.getpid(), signal.SIGSTOP)

    def resume(self) -> None:
        """Let them go on."""
        if self._suspended_at is None:
            return
        self._suspended += time.monotonic() - self._suspended_at
        self._suspended_at = None
        self._record(spool.RESUMED, time.time(), self._suspended)
        if not self._host.groups.freeze(on=False):
            stop_below(os.getpid(), signal.SIGCONT)

    # ── time ─────────────────────────────────────────────────────────────────────────────────
    def retime(self, time_limit: int) -> None:
        """Replace the time limit; it counts from the start, without suspended time."""
        self._time_limit = time_limit
        self._warned = False
        self._record(spool.RETIMED, time_limit)

    def heard_manager(self) -> None:
        """Begin the lease anew."""
        self._lease_from = time.clock_gettime(time.CLOCK_BOOTTIME)

    def deadline(self) -> float | None:
        """Return the monotonic time of the next `tick`; None: nothing is due by itself."""
        if self.phase == ENDED:
            return None
        due = [self._kill_at, self._look_at]
        if self._limited and self._kill_at is None:
            limit = self._limit_at()
            warn = limit - self.share.warn_before
            due.append(warn if self.share.warn_signal and not self._warned else limit)
        if self.share.lease and not self.cause:
            due.append(time.monotonic() + min(max(self._lease_left(), 0.0), _LEASE_LOOK))
        return min((at for at in due if at is not None), default=None)

    def tick(self) -> None:
        """Do what is due."""
        if self.phase == ENDED:
            return
        now = time.monotonic()
        share = self.share
        if self._kill_at is not None and now >= self._kill_at:
            self._kill()
            self.children_changed()
        elif self._limited and not self.cause and now >= self._limit_at():
            why = f"ran into its time limit of {_duration(self._time_limit)}"
            self.end("timeout", why, share.grace)
        elif self._limited and not self._warned and self._is_warning_due(now):
            self._warned = True
            self.signal(share.warn_signal)
        if self.phase != ENDED and self._look_at is not None and now >= self._look_at:
            self._look_soon()
            why = self._memory.look() if not self.cause else ""
            if why:
                self.end("memory", why, share.grace)
        if share.lease and not self.cause and self._lease_left() <= 0:
            why = f"no manager was heard of for {_duration(share.lease)}"
            self.end("lost", why, share.grace)

    @property
    def _limited(self) -> bool:
        running = self.phase == STARTED and self._suspended_at is None
        return running and self._time_limit > 0

    def _limit_at(self) -> float:
        return self._began + self._suspended + self._time_limit

    def _is_warning_due(self, now: float) -> bool:
        share = self.share
        return share.warn_signal > 0 and now >= self._limit_at() - share.warn_before

    def _lease_left(self) -> float:
        gone = time.clock_gettime(time.CLOCK_BOOTTIME) - self._lease_from
        return self.share.lease - gone

    def _look_soon(self) -> None:
        interval = self._memory.interval
        self._look_at = None if interval is None else time.monotonic() + interval

    # ── reports ──────────────────────────────────────────────────────────────────────────────
    def report(self) -> Message:
        """Return what is to be said of the present phase."""
        if self.phase == ENDED:
            return self._ended
        if self.phase == STARTED:
            return {"type": "started", "alloc": self.share.alloc, "at": self.started_at}
        return {"type": "made", "alloc": self.share.alloc}


def _duration(seconds: int) -> str:
    return format_duration(seconds).replace(".0s", "s")
