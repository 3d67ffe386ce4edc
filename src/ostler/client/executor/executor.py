"""The executor as its caller sees it."""

import atexit
import concurrent.futures
import itertools
import shutil
import sys
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from types import TracebackType
from typing import Any, ParamSpec, TypeVar, Unpack

from ostler.client.executor.crew import Plan
from ostler.client.executor.engine import Engine, socket_path
from ostler.client.executor.futures import Future, Item
from ostler.client.executor.parcels import pickled
from ostler.client.session import connect
from ostler.client.values import JobOptions
from ostler.model.errors import Unsupported, UsageError
from ostler.wire.address import listen

P = ParamSpec("P")
T = TypeVar("T")

_NOT_HERE = ("array", "array_cap", "each", "input", "nodes", "retries", "retry_on", "tasks")
_engines: weakref.WeakSet[Engine] = weakref.WeakSet()


class Executor(concurrent.futures.Executor):
    """Calls functions in the tasks of a job, as `concurrent.futures.ProcessPoolExecutor` does here.

    The job is an array with one element for each worker; workers begin as the machine has room for
    them, and stay until the executor is shut down, so that a call costs well below a millisecond.
    Functions, arguments and results travel by cloudpickle between this process and its workers,
    which are processes of the same user; Ostler's daemons see none of them.

    max_workers: as many as the machine has CPUs for, unless given.
    state: the machine, as for `connect`.
    initializer, initargs: called by each worker as it begins.
    reruns: how often a call is begun again whose worker died; such a function may run twice.
    options: of each worker, as for `submit`: cpus=2, memory="4G", time="1h", env={...}, ...

    Raises `Refused` and its like where the machine does not take the job.

    >>> with ostler.Executor(max_workers=2) as executor:
    ...     total = executor.submit(sum, [1, 2, 3])
    ...     print(total.result(), list(executor.map(pow, [2, 3], [5, 2])))
    6 [32, 9]
    """

    def __init__(
        self,
        max_workers: int | None = None,
        *,
        state: str | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Sequence[Any] = (),
        reruns: int = 0,
        **options: Unpack[JobOptions],
    ) -> None:
        self._dumps = _cloudpickle()
        for name in _NOT_HERE:
            if name in options:
                raise UsageError(f"an executor has no option {name!r}", hint="see max_workers")
        if max_workers is not None and max_workers < 1:
            raise UsageError(f"max_workers cannot be {max_workers}", expected="at least 1")
        setup = [*pickled(sys.path), *pickled((initializer, tuple(initargs)), self._dumps)]
        folder = tempfile.mkdtemp(prefix="ostler-")
        sock = listen(socket_path(folder), 0o600)
        try:
            self._state, self._job, count = _submit(state, folder, max_workers, options)
        except BaseException:
            sock.close()
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self._engine = Engine(Plan(self._state, self._job, count, folder, sock, setup, reruns))
        self._numbers = itertools.count(1)
        self._shut = False
        _engines.add(self._engine)
        weakref.finalize(self, self._engine.close)

    @property
    def job(self) -> str:
        """Return the id of the job whose elements are the workers."""
        return self._job

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call a function in a worker as soon as one is idle.

        What it raises is raised by the future's `result()`, with the worker's traceback as the
        cause; `WorkerDied` if its worker died.

        >>> with ostler.Executor(max_workers=1) as executor:
        ...     future = executor.submit(divmod, 7, 0)
        ...     print(type(future.exception()).__name__)
        ZeroDivisionError
        """
        if self._shut:
            raise RuntimeError("cannot schedule new futures after shutdown")
        if self._engine.broken is not None:
            raise self._engine.broken
        future: Future[T] = Future(self._engine)
        try:
            parts = pickled((fn, args, kwargs), self._dumps)
        except Exception as error:  # noqa: BLE001 - as concurrent.futures: the future has it
            future.set_exception(error)
            return future
        self._engine.submit(Item(next(self._numbers), future, parts))
        return future

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
    ) -> Iterator[T]:
        """Yield fn of each item, or of items side by side, in order.

        timeout: seconds from now, after which `TimeoutError` is raised. chunksize: items that go to
        a worker together; with more of them a short function costs less.

        >>> with ostler.Executor(max_workers=2) as executor:
        ...     print(sum(executor.map(abs, range(-50, 50), chunksize=10)))
        2500
        """
        if chunksize < 1:
            raise ValueError("chunksize must be at least 1")
        if chunksize == 1:
            return super().map(fn, *iterables, timeout=timeout)
        chunks = _chunks(zip(*iterables, strict=False), chunksize)
        found = super().map(partial(_each, fn), chunks, timeout=timeout)
        return itertools.chain.from_iterable(found)

    def explain(self) -> dict[str, Any]:
        """Return why workers wait: the document of `ostler explain --json` for the job.

        >>> with ostler.Executor(max_workers=1, hold=True) as executor:
        ...     future = executor.submit(print)
        ...     print(executor.explain()["rule"], future.cancel())
        hold True
        """
        with connect(self._state) as machine:
            return machine.explain(self._job)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - as in concurrent.futures
        """Take nothing more, and end the job once all calls are done.

        wait: until that is so. cancel_futures: cancel the calls that have not begun.
        """
        self._shut = True
        self._engine.close(cancel=cancel_futures)
        if wait:
            self._engine.join()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Shut down when all calls are done; Ctrl-C ends them, as it would end a loop here."""
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            self._engine.abandon("it was interrupted")
        self.shutdown()


def _cloudpickle() -> Callable[..., bytes]:
    try:
        import cloudpickle  # type: ignore[import-untyped]
    except ImportError:
        raise Unsupported(
            "ostler.Executor needs cloudpickle, which is not installed",
            hint="install it with: pip install 'ostler[executor]'",
        ) from None
    dumps: Callable[..., bytes] = cloudpickle.dumps
    return dumps


def _submit(
    state: str | None, folder: str, workers: int | None, options: JobOptions
) -> tuple[str, str, int]:
    """Submit the job; return the machine's folder, the job's id, and how many workers it has."""
    argv = [sys.executable, "-P", "-m", "ostler.client.executor.worker", socket_path(folder)]
    with connect(state) as machine:
        count = workers or _room(machine.read("nodes"), options.get("cpus", 1))
        asked: JobOptions = {"name": "executor", "output": f"{folder}/%a.out", **options}
        asked["array"] = range(count)
        return machine.link.state, machine.submit(argv, **asked).id, count


def _room(nodes: dict[str, Any], cpus: int) -> int:
    """Return how many workers fit onto the nodes when these are empty, at least one."""
    return max(1, sum(int(node["cpus"]) // max(cpus, 1) for node in nodes["nodes"]))


def _chunks(items: Iterable[tuple[Any, ...]], size: int) -> Iterator[list[tuple[Any, ...]]]:
    iterator = iter(items)
    while chunk := list(itertools.islice(iterator, size)):
        yield chunk


def _each(fn: Callable[..., T], chunk: list[tuple[Any, ...]]) -> list[T]:
    return [fn(*args) for args in chunk]


def _end_all() -> None:
    """Let what was submitted be done before this process ends, as concurrent.futures does."""
    for engine in list(_engines):
        engine.close()
    for engine in list(_engines):
        engine.join()


atexit.register(_end_all)
