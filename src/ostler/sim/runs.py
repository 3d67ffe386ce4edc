"""Runs of traces under policies, side by side on the CPUs of this host where that pays."""

import contextlib
import os
import signal
import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from ostler.model.errors import OstlerError
from ostler.model.problem import Problem
from ostler.schedule.counted import Rule, Work, replay
from ostler.schedule.policy import Policy
from ostler.sim import compiled
from ostler.sim.metrics import Measured, measure
from ostler.sim.swf import Trace

_WORTH = 10_000  # jobs; with fewer a process takes longer to start than they take to replay

Progress = Callable[[int, int], None]  # number of the run, jobs of it that were submitted so far


@dataclass(frozen=True, slots=True)
class Run:
    """One replay to make: a trace under a policy and a rule."""

    trace: Trace
    policy: Policy
    rule: Rule


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came out.

    starts: second at which each job started; seconds: what the replay took; compiled: whether it
    was made by the compiled form of the loops.
    """

    run: Run
    starts: Sequence[int]
    measured: Measured
    seconds: float
    compiled: bool


def carry_out(runs: Sequence[Run], progress: Progress, cpus: int | None = None) -> list[Replayed]:
    """Make all runs and return what came out, in the same order.

    cpus: processes at most; None: as many as this one may use CPUs. None is left when this returns
    or raises.
    """
    cpus = len(os.sched_getaffinity(0)) if cpus is None else cpus
    at_once = min(cpus, sum(len(run.trace) >= _WORTH for run in runs))
    if at_once > 1:
        return _Crew(runs, progress).work(at_once)
    return [_replayed(run, partial(progress, number)) for number, run in enumerate(runs)]


def _replayed(run: Run, tell: Callable[[int], None]) -> Replayed:
    trace = run.trace
    work = Work(trace.submits, trace.runs, trace.sizes, trace.estimates)
    began = time.perf_counter()
    helped = compiled.replay(work, trace.procs, run.policy, run.rule, tell)
    if (starts := helped) is None:
        starts = replay(work, trace.procs, run.policy, run.rule, tell)
    seconds = time.perf_counter() - began
    return Replayed(
        run, array("q", starts), measure(trace, starts), seconds, compiled=helped is not None
    )


class _Crew:
    """Makes runs in processes of their own, a fresh one for each."""

    def __init__(self, runs: Sequence[Run], progress: Progress) -> None:
        self._runs = runs
        self._progress = progress
        self._results: list[Replayed | None] = [None] * len(runs)
        self._working: dict[Connection, tuple[int, BaseProcess]] = {}

    def work(self, at_once: int) -> list[Replayed]:
        """Make all runs, so many at once; raise what the first that fails has raised."""
        # The longest first would end sooner, but nobody knows which that is.
        waiting = list(range(len(self._runs)))[::-1]
        try:
            while waiting or self._working:
                while waiting and len(self._working) < at_once:
                    self._start(waiting.pop())
                for link in wait([*self._working]):
                    if isinstance(link, Connection):
                        self._hear(link)
        finally:
            for link, (_, process) in self._working.items():
                process.kill()
                process.join()
                link.close()
        return [result for result in self._results if result is not None]

    def _start(self, number: int) -> None:
        context = get_context("spawn")  # not fork: threads of NumPy's libraries may run here
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(self._runs[number], theirs), daemon=True)
        # An interruption is for us alone. Held back here, it never reaches the process, not even
        # while that begins, and reaches us when the process is known and will be ended.
        resource_tracker.ensure_running()  # start() would else do it, which lets interruptions in
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            process.start()
            self._working[ours] = (number, process)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()  # or its death would not be seen

    def _hear(self, link: Connection) -> None:
        """Take in one message of a process."""
        number, process = self._working[link]
        run = self._runs[number]
        try:
            message = link.recv()
        except (EOFError, OSError):  # OSError: in the midst of a message
            process.join()
            raise OstlerError(
                f"the replay of {run.trace.name} under {run.policy.name} was ended from outside",
                expected=f"exit status {process.exitcode}",
                hint="if memory ran out, replay fewer policies at once",
            ) from None
        match message:
            case int(jobs):
                self._progress(number, jobs)
            case (array() as starts, Measured() as measured, float(seconds), bool(helped)):
                del self._working[link]
                process.join()
                link.close()
                self._results[number] = Replayed(run, starts, measured, seconds, helped)
            case Problem():
                raise message.error()
            case _:
                raise TypeError(message)


def _work(run: Run, link: Connection) -> None:
    """Make one run and send what comes out. The life of a process of the crew."""
    with contextlib.suppress(BrokenPipeError):  # nobody is there to hear it
        try:
            replayed = _replayed(run, link.send)
            link.send((replayed.starts, replayed.measured, replayed.seconds, replayed.compiled))
        except OstlerError as error:
            link.send(Problem.of(error))
        except Exception as error:  # noqa: BLE001 - the edge of the process
            what = f"the replay of {run.trace.name} under {run.policy.name} failed"
            link.send(Problem("error", f"{what}: {type(error).__name__}: {error}"))
