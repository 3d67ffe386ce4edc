"""Functions of this process in the tasks of a job, as concurrent.futures has it."""

import asyncio
import concurrent.futures
import os
import pickle
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import ostler
from ostler.client.executor import Future, RemoteTraceback, engine
from ostler.client.executor.futures import RemoteError
from ostler.model.errors import Refused, Unsupported, UsageError
from tests.e2e.machine_kit import Host, eventually

Made = Callable[..., ostler.Executor]
LONG = 100  # seconds that nobody waits for


@pytest.fixture
def executor(host: Host) -> Iterator[Made]:
    """Make executors on the module's machine; they are shut down in the end."""
    made: list[ostler.Executor] = []

    def make(workers: int = 1, **options: object) -> ostler.Executor:
        made.append(ostler.Executor(workers, state=str(host.state), **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        one.shutdown(cancel_futures=True)


def test_functions_of_any_kind_return_what_they_should(executor: Made) -> None:
    made = executor(2)
    base = 40

    def add(one: int, *, two: int) -> int:
        return base + one + two

    assert made.submit(add, 1, two=1).result(60) == 42
    assert made.submit(os.getpid).result(60) != os.getpid()
    assert made.submit(lambda: [add(0, two=0)]).result(60) == [40]


def test_a_class_of_the_caller_comes_home_as_itself(executor: Made) -> None:
    class Point:
        def __init__(self, x: int) -> None:
            self.x = x

    back = executor().submit(lambda point: Point(point.x + 1), Point(1)).result(60)
    assert isinstance(back, Point)
    assert back.x == 2


def test_map_keeps_the_order_with_chunks_and_without(executor: Made) -> None:
    made = executor(2)
    wanted = [n * n for n in range(103)]
    assert list(made.map(lambda n: n * n, range(103))) == wanted
    assert list(made.map(lambda n, m: n * m, range(103), range(200), chunksize=10)) == wanted
    with pytest.raises(ValueError, match="at least 1"):
        made.map(abs, [1], chunksize=0)


def test_an_exception_comes_home_with_its_traceback(executor: Made) -> None:
    def deep() -> None:
        raise KeyError("nothing here")

    error = executor().submit(deep).exception(60)
    assert isinstance(error, KeyError)
    assert isinstance(error.__cause__, RemoteTraceback)
    assert "in deep" in str(error.__cause__)
    assert "worker.py" not in str(error.__cause__)


def test_what_cannot_be_sent_is_told_by_the_future(executor: Made) -> None:
    made = executor()

    def raise_unsendable() -> None:
        error = RuntimeError("holds a lock")
        error.lock = threading.Lock()  # type: ignore[attr-defined]
        raise error

    assert isinstance(made.submit(threading.Lock).exception(60), pickle.PicklingError)
    assert isinstance(made.submit(len, threading.Lock()).exception(60), TypeError)  # type: ignore[arg-type]
    error = made.submit(raise_unsendable).exception(60)
    assert isinstance(error, RemoteError)
    assert str(error) == "RuntimeError: holds a lock"
    assert made.submit(sys.exit, 3).exception(60).__class__ is SystemExit
    assert made.submit(abs, -1).result(60) == 1


def test_arguments_and_results_may_be_larger_than_any_message(executor: Made) -> None:
    made = executor()
    size = 100 << 20
    data = made.submit(lambda: b"\xa5" * size).result(100)
    assert len(data) == size
    assert made.submit(lambda data: (len(data), data[-1]), data).result(100) == (size, 0xA5)


def test_a_call_that_waits_is_cancelled_and_one_that_runs_only_if_asked(executor: Made) -> None:
    made = executor()
    runs, waits = made.submit(time.sleep, LONG), made.submit(abs, -1)
    eventually("the first call runs", runs.running)
    assert not runs.cancel()
    assert waits.cancel()
    assert runs.cancel(running=True)
    with pytest.raises(concurrent.futures.CancelledError):
        runs.result(60)
    assert not runs.cancel(running=True)
    assert made.submit(abs, -2).result(60) == 2


def test_a_worker_that_dies_fails_its_call_and_another_takes_its_place(executor: Made) -> None:
    made = executor()
    died = made.submit(lambda: os.kill(os.getpid(), signal.SIGKILL)).exception(60)
    assert isinstance(died, ostler.WorkerDied)
    assert isinstance(died, concurrent.futures.BrokenExecutor)
    assert died.job == f"{made.job}_0"
    assert str(died) == f"its worker, {made.job}_0, ended as failed: it was ended by SIGKILL"
    assert made.submit(abs, -1).result(60) == 1


def test_a_call_whose_worker_died_is_begun_again_if_that_is_allowed(
    executor: Made, tmp_path: Path
) -> None:
    tries = tmp_path / "tries"

    def die_once() -> int:
        with tries.open("a") as file:
            file.write("x")
        if tries.stat().st_size == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return tries.stat().st_size

    assert executor(reruns=1).submit(die_once).result(60) == 2


def test_each_worker_is_initialised(executor: Made) -> None:
    def remember(name: str, value: str) -> None:
        os.environ[name] = value

    made = executor(initializer=remember, initargs=("OSTLER_TOLD", "yes"))
    assert made.submit(os.getenv, "OSTLER_TOLD").result(60) == "yes"


def test_an_initializer_that_fails_breaks_the_executor_with_its_cause(executor: Made) -> None:
    made = executor(initializer=divmod, initargs=(1, 0))
    error = made.submit(abs, -1).exception(60)
    assert isinstance(error, ostler.WorkerDied)
    assert isinstance(error.__cause__, ZeroDivisionError)
    with pytest.raises(ostler.WorkerDied, match="its initializer failed"):
        made.submit(abs, -1)


def test_workers_that_cannot_begin_break_the_executor_and_say_why(executor: Made) -> None:
    made = executor(env={"PYTHONHOME": "/nowhere"})
    error = made.submit(abs, -1).exception(60)
    assert isinstance(error, ostler.WorkerDied)
    assert "3 workers ended as they began" in str(error)
    assert "it said: " in str(error)


def test_a_future_waits_with_the_job_and_the_executor_explains_it(
    executor: Made, host: Host
) -> None:
    with ostler.connect(str(host.state)) as machine:
        taken = machine.submit(["sleep", str(LONG)], cpus=4, output="/dev/null")
        eventually("the CPUs are taken", lambda: taken.info().state == "running")
        made = executor()
        future = made.submit(abs, -1)
        assert made.explain()["rule"] == "resources"
        assert not future.done()
        taken.cancel()
        assert future.result(60) == 1


def test_a_job_cancelled_by_its_user_fails_what_waits_for_it(executor: Made, host: Host) -> None:
    made = executor(2)
    runs = made.submit(time.sleep, LONG)
    eventually("it runs", runs.running)
    host.ostler("cancel", made.job)
    error = runs.exception(60)
    assert isinstance(error, ostler.WorkerDied)
    assert "cancelled by" in str(error)
    eventually("the executor is broken", lambda: _refuses(made))


def _refuses(made: ostler.Executor) -> bool:
    try:
        made.submit(abs, -1)
    except ostler.WorkerDied:
        return True
    return False


def test_what_the_machine_does_not_take_is_refused_at_once(
    executor: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(Refused, match="100000 CPUs"):
        executor(cpus=100_000)
    with pytest.raises(UsageError, match="has no option 'array'"):
        executor(array="0-9")
    assert os.listdir(tmp_path) == []


def test_nobody_else_can_be_a_worker(
    executor: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(engine, "peer", lambda _: (1, os.geteuid() + 1, 1))
    made = executor()
    [folder] = tmp_path.iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    error = made.submit(abs, -1).exception(60)
    assert isinstance(error, ostler.WorkerDied)
    assert "it said: ostler: the executor is gone" in str(error)


def test_it_says_how_to_get_what_it_needs(executor: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    with pytest.raises(Unsupported, match=r"pip install 'ostler\[executor\]'"):
        executor()


def test_an_event_loop_runs_functions_in_it(executor: Made) -> None:
    async def main() -> int:
        return await asyncio.get_running_loop().run_in_executor(executor(), abs, -7)

    assert asyncio.run(main()) == 7


def test_it_ends_its_job_and_leaves_nothing(executor: Made, host: Host) -> None:
    made = executor(2)
    assert made.submit(abs, -1).result(60) == 1
    made.shutdown()
    with ostler.connect(str(host.state)) as machine:
        assert machine.job(made.job).state == "done"
    with pytest.raises(RuntimeError, match="after shutdown"):
        made.submit(abs, -1)


def test_it_ends_as_a_success_though_some_workers_never_began(executor: Made, host: Host) -> None:
    many = (os.cpu_count() or 1) + 2
    made = executor(many, cpus=1)
    assert made.submit(abs, -1).result(60) == 1
    made.shutdown()
    job = host.job(made.job)
    assert (job["state"], job["result"]) == ("done", "success"), job["reason"]
    assert job["elements_by_result"] == {"success": many}


PROGRAM = """
import os, sys, time, ostler
made = ostler.Executor(1)
print(made.job, flush=True)
futures = [made.submit(lambda n=n: n) for n in range(3)]
futures[-1].add_done_callback(lambda future: print("ended", future.result(), flush=True))
if "die" in sys.argv:
    os.mkfifo("runs")
    made.submit(lambda: (open("runs", "w").close(), time.sleep(1000)))
    open("runs").read()
    os.kill(os.getpid(), 9)
"""


def program(host: Host, *words: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words],
        cwd=host.work,
        env=os.environ | {"OSTLER_STATE": str(host.state)},
        stdout=subprocess.PIPE,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == (-9 if words else 0)
    return done.stdout.split("\n")


def test_a_program_that_ends_lets_its_calls_be_done(host: Host) -> None:
    job, told, _ = program(host)
    assert told == "ended 2"
    assert host.job(job)["result"] == "success"


def test_the_job_of_a_program_that_was_killed_is_ended(own_host: Host) -> None:
    own_host.ostler("config", "set", "client-grace", "1s")
    job = program(own_host, "die")[0]
    assert own_host.wait_for(job, "done")["result"] == "cancelled"


INTERRUPTED = """
import ostler, time
with ostler.Executor(1) as made:
    print(made.job, flush=True)
    waits = [made.submit(lambda: (open("calls", "w").close(), time.sleep(1000))) for _ in range(9)]
    waits[0].result()
"""


def test_ctrl_c_ends_the_calls_and_the_job(host: Host) -> None:
    calls = host.work / "calls"
    os.mkfifo(calls)
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED],
        cwd=host.work,
        env=os.environ | {"OSTLER_STATE": str(host.state)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        calls.read_text()  # one of them runs
        process.send_signal(signal.SIGINT)
        told, _ = process.communicate(timeout=100)
    assert process.returncode == -signal.SIGINT
    assert host.job(told.split()[0])["state"] == "done"


def test_calls_go_on_while_daemons_are_killed_and_come_back(own_host: Host) -> None:
    with ostler.Executor(2, state=str(own_host.state)) as made:
        for name in ("manager", "agent", "supervisor"):
            before = [made.submit(abs, -n) for n in range(100)]
            own_host.kill(name)
            after = [made.submit(abs, -n) for n in range(100)]
            assert [future.result(60) for future in before + after] == [*range(100)] * 2
            eventually("they are back", lambda: len(own_host.pids()) >= 3)
        died: Future[None] = made.submit(lambda: os.kill(os.getpid(), signal.SIGKILL))
        assert isinstance(died.exception(60), ostler.WorkerDied)
        assert [*made.map(abs, range(9), timeout=60)] == [*range(9)]
