"""The agent in a dead starter's place: watches the tasks, keeps their limits, ends what is left.

Of a slot only the element that runs is brought to its end; those behind it were never begun.
"""

import asyncio
import os
import signal
import time
from collections.abc import Callable

from ostler.agent import proc, remains, spool
from ostler.agent.elements import doubted
from ostler.agent.inquest import GoesOn
from ostler.agent.reaper import Reaper
from ostler.agent.spool import TaskState
from ostler.model.job import TaskExit, Usage
from ostler.model.orders import ElementEnd, Ended
from ostler.model.states import Result
from ostler.model.units import format_duration

_TICK = 1 / os.sysconf("SC_CLK_TCK")  # seconds
_KILL_AGAIN, _KILL_AGAIN_MOST = 0.02, 0.5  # seconds between kills until nothing is left


Done = Callable[[Ended, tuple[ElementEnd, ...]], None]


class Remnant:
    """One share without a starter. `done` is called once, with its end and its elements'.

    What it does is appended to the dead starter's spool, so that the next agent can go on.
    """

    def __init__(self, found: GoesOn, reaper: Reaper, done: Done) -> None:
        self._state = found.state
        self._started_at = found.started_at
        self._turn = found.turn
        self._ends = found.ends
        self._unknown = set(found.unknown)
        self._reaper = reaper
        self._done = done
        self._loop = asyncio.get_running_loop()
        self._watched: dict[int, TaskState] = {}  # pidfd -> task
        self._jobs: set[asyncio.Task[None]] = set()
        self._limit: asyncio.TimerHandle | None = None
        self._warning: asyncio.TimerHandle | None = None
        self._kill: asyncio.TimerHandle | None = None
        self._kill_at = 0.0
        # The spool tells the time of day; from here on it is counted by a clock without steps.
        stood = 0.0 if found.state.suspended_at is None else time.time() - found.state.suspended_at
        self._stood_at = time.monotonic() - max(0.0, stood)
        self._cause, self._why = found.state.cause, found.state.why
        self._whole = (found.state.share_cause, found.state.share_why)  # what ends a whole slot
        user, system, *sizes = found.state.usage
        self._usage = Usage(user, system, *map(int, sizes))
        self._over = False

    def begin(self) -> None:
        """Watch every task that has not ended; end the share if none is left."""
        for task in self._state.tasks.values():
            if task.phase != "running":
                continue
            pidfd = proc.watch(task.pid, task.start_time)
            if pidfd is None:
                self._learn(task)
            else:
                self._watched[pidfd] = task
                self._loop.add_reader(pidfd, self._on_end, pidfd)
        if self._cause:  # whoever noted it may not have come to act on it
            self.signal(signal.SIGTERM)
            self.signal(signal.SIGCONT)
            self._arm_kill(self._number("grace", 30))
        self._arm()
        self._check()

    # -- tasks -----------------------------------------------------------------------------

    def _on_end(self, pidfd: int) -> None:
        task = self._watched.pop(pidfd)
        self._loop.remove_reader(pidfd)
        os.close(pidfd)
        self._learn(task)

    def _learn(self, task: TaskState) -> None:
        job = self._loop.create_task(self._ending(task))
        self._jobs.add(job)
        job.add_done_callback(self._learned)

    async def _ending(self, task: TaskState) -> None:
        """Find out how a task ended."""
        one = await self._reaper.ending(task.pid, task.start_time)
        if one is None:
            self._unknown.add(task.rank)
            return
        task.code, task.signal, task.ended_at = one.code, one.signal, time.time()
        self._usage += Usage(*one.usage)
        self._note(spool.STATUS, task.rank, one.code, one.signal, task.ended_at)
        self._note(spool.USAGE, task.rank, *one.usage)

    def _learned(self, job: asyncio.Task[None]) -> None:
        self._jobs.discard(job)
        if not job.cancelled():
            job.result()
            self._check()

    def _check(self) -> None:
        """When every task has ended, end whatever else there is."""
        if not self._over and not self._watched and not self._jobs:
            self._sweep(_KILL_AGAIN)

    def _sweep(self, pause: float) -> None:
        if self._over:
            return
        if remains.kill_all(self._state):
            self._finish()
            return
        self._loop.call_later(pause, self._sweep, min(2 * pause, _KILL_AGAIN_MOST))

    def _finish(self) -> None:
        self.close()
        state, now = self._state, time.time()
        cause, why = self._judged()
        exits = sorted((t for t in state.tasks.values() if t.ended_at), key=_rank)
        tasks = tuple(TaskExit(task.rank, task.code, task.signal) for task in exits)
        usage = self._usage + Usage(suspended=self._suspended())
        alloc, began = state.alloc or 0, self._started_at
        if not state.is_slot:
            self._done(Ended(alloc, now, began, cause, why, tasks, usage), ())
            return
        ends = self._ends
        if self._turn is not None:
            turn = (state.element, state.attempt, self._turn, now, cause, why, tasks, usage)
            ends = (*ends, ElementEnd(*turn))
        self._done(doubted(Ended(alloc, now, began, *self._whole), state), ends)

    def _judged(self) -> tuple[str, str]:
        """Return the cause that ended the tasks, other than themselves, and why."""
        limit = self._memory_limit()
        if self._cause:
            return self._cause, self._why
        if self._unknown:
            ranks = ", ".join(map(str, sorted(self._unknown)))
            return Result.LOST, f"its starter died, and nobody can tell how task {ranks} ended"
        if len(self._state.tasks) < self._number_of_tasks():
            return Result.LOST, "its starter died before it had started all tasks"
        if 0 < limit < self._usage.max_rss:
            return Result.MEMORY, "used more memory than it asked for"
        return "", ""

    # -- orders ----------------------------------------------------------------------------

    def end(self, cause: str, why: str, grace: float) -> None:
        """SIGTERM, and after `grace` seconds SIGKILL; the first cause is kept."""
        if not self._whole[0]:
            self._whole = (cause, why)
            self._blame(cause, why, grace, {})
        self._end_turn(cause, why, grace)

    @property
    def element(self) -> int:
        """Return the element that runs; -1 if none of a slot does."""
        return self._state.element

    def end_element(self, cause: str, why: str, grace: float) -> None:
        """End what runs, of a slot's element's own cause."""
        if not self._cause:
            self._blame(cause, why, grace, {"element": True})
        self._end_turn(cause, why, grace)

    def _blame(self, cause: str, why: str, grace: float, more: dict[str, object]) -> None:
        told = {"cause": cause, "why": why, "grace": int(grace), "at": time.time()}
        self._note(spool.CAUSE, {**told, **more})

    def _end_turn(self, cause: str, why: str, grace: float) -> None:
        if not self._cause:
            self._cause, self._why = cause, why
            self.resume()
            self.signal(signal.SIGTERM)
            self.signal(signal.SIGCONT)
        self._arm_kill(grace)

    def signal(self, signum: int, element: int = -1) -> None:
        """Send a signal to the process group of each task that runs, if this element does."""
        if element not in (-1, self._state.element):
            return
        for task in self._watched.values():
            try:
                os.killpg(task.pid, signum)
            except OSError:
                continue  # it ended this moment

    def suspend(self) -> None:
        """Freeze everything; time stands still."""
        if self._state.suspended_at is None and not self._cause:
            self._state.suspended_at = time.time()
            self._stood_at = time.monotonic()
            remains.freeze(self._state)
            self._note(spool.SUSPENDED, self._state.suspended_at)
            self._arm()

    def resume(self) -> None:
        """Let it go on."""
        if self._state.suspended_at is not None:
            self._state.suspended = self._suspended()
            self._state.suspended_at = None
            remains.thaw(self._state)
            self._note(spool.RESUMED, time.time(), self._state.suspended)
            self._arm()

    def retime(self, time_limit: int) -> None:
        """Replace the time limit, in seconds from the start without suspended time; 0: none."""
        self._state.time_limit = time_limit
        self._note(spool.RETIMED, time_limit)
        self._arm()

    # -- limits ----------------------------------------------------------------------------

    def _arm(self) -> None:
        """Set the timers anew."""
        for timer in (self._limit, self._warning):
            if timer is not None:
                timer.cancel()
        self._limit = self._warning = None
        limit = self._state.time_limit
        if not limit or self._cause or self._state.suspended_at is not None or self._over:
            return
        left = limit + self._suspended() - self._age()
        self._limit = self._loop.call_later(max(0.0, left), self._on_limit)
        signum, before = self._number("warn_signal", 0), self._number("warn_before", 0)
        if signum and left > before:
            self._warning = self._loop.call_later(left - before, self.signal, signum)

    def _on_limit(self) -> None:
        limit = format_duration(self._state.time_limit)
        why, grace = f"reached its time limit of {limit}", self._number("grace", 30)
        if self._state.is_slot:
            self.end_element(Result.TIMEOUT, why, grace)
        else:
            self.end(Result.TIMEOUT, why, grace)

    def _arm_kill(self, grace: float) -> None:
        at = self._loop.time() + grace
        if self._kill is not None and self._kill_at <= at:
            return
        if self._kill is not None:
            self._kill.cancel()
        self._kill_at = at
        self._kill = self._loop.call_later(grace, self._on_kill)

    def _on_kill(self) -> None:
        """Kill until the tasks have ended; `_check` takes care of what is left then."""
        if not self._over:
            remains.kill_all(self._state)
            self._kill = self._loop.call_later(_KILL_AGAIN_MOST, self._on_kill)

    # -- what the spool says ---------------------------------------------------------------

    def _age(self) -> float:
        """Return the seconds since the first task's start, by a clock that nobody can set."""
        starts = [task.start_time for task in self._state.tasks.values() if task.start_time]
        if not starts:
            return time.time() - (self._turn or self._started_at)
        return time.clock_gettime(time.CLOCK_BOOTTIME) - min(starts) * _TICK

    def _suspended(self) -> float:
        standing = self._state.suspended_at is not None
        return self._state.suspended + (time.monotonic() - self._stood_at if standing else 0.0)

    def _number(self, key: str, default: int) -> int:
        value = (self._state.accepted or {}).get(key, default)
        return value if isinstance(value, int) else default

    def _place(self, key: str) -> int:
        place = (self._state.accepted or {}).get("placement")
        value = place.get(key, 0) if isinstance(place, dict) else 0
        return value if isinstance(value, int) else 0

    def _number_of_tasks(self) -> int:
        return self._place("tasks") or 1

    def _memory_limit(self) -> int:
        return self._place("memory")

    def _note(self, kind: int, *values: object) -> None:
        """Append to the spool; a full disk must not stop the share."""
        try:
            fd = os.open(self._state.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        except OSError:
            return
        try:
            os.write(fd, spool.encode(kind, *values))
        except OSError:
            return
        finally:
            os.close(fd)

    def close(self) -> None:
        """Stop watching; the tasks go on."""
        self._over = True
        for timer in (self._limit, self._warning, self._kill):
            if timer is not None:
                timer.cancel()
        for pidfd in self._watched:
            self._loop.remove_reader(pidfd)
            os.close(pidfd)
        self._watched.clear()
        for job in self._jobs:
            job.cancel()


def _rank(task: TaskState) -> int:
    return task.rank


def apply(remnant: Remnant, message: dict[str, object]) -> None:
    """Carry out an order where the starter would have."""
    do: dict[str, Callable[[], None]] = {
        "end": lambda: remnant.end(
            str(message["cause"]), str(message["why"]), _number(message["grace"])
        ),
        "signal": lambda: remnant.signal(
            int(_number(message["signal"])), int(_number(message["element"]))
        ),
        "suspend": remnant.suspend,
        "resume": remnant.resume,
        "retime": lambda: remnant.retime(int(_number(message["time_limit"]))),
    }
    action = do.get(str(message["type"]))
    if action is not None:
        action()


def _number(value: object) -> float:
    return value if isinstance(value, int | float) else 0
