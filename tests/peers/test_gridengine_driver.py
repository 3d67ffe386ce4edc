"""The driver of Grid Engine against a real one on this host."""

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace

from bench.peers.gridengine import LIB, GridEngine
from ostler.drivers import gridengine as driver
from ostler.drivers.contract import Trouble
from ostler.model.foreign import End, ForeignJob, ForeignState, Share, Start
from ostler.model.states import Result
from ostler.testing.conformance import CASES, Bench, run
from tests.peers import driver_kit
from tests.peers.conftest import peer
from tests.peers.driver_kit import begin

until = partial(driver_kit.until, looks=150)  # ends are told late there


class GridEngineBench(Bench):
    """A real Grid Engine."""

    polls = 300

    def __init__(self, cell: GridEngine, settings: Mapping[str, str] = {}) -> None:
        where = {"root": str(cell.folder), "ports": cell.ports, "flush": "3"}
        super().__init__(driver.GridEngine, {**where, **settings})
        self.cell = cell
        self.folder.chmod(0o755)

    def submit(self, key: str) -> str:
        return self._submit(key, "-h")

    def occupy(self, node: str, key: str) -> str:
        return self._submit(key, "-l", f"h={node}")

    def _submit(self, key: str, *words: str) -> str:
        given = ["-terse", "-j", "y", "-o", "/dev/null", *words, "-b", "y", "-shell", "n"]
        command = [os.fsdecode(word) for word in self.command(key)]
        return self.cell.ask("qsub", *given, *command).strip()

    def down(self, node: str) -> None:
        self.cell.ask("qmod", "-d", f"all.q@{node}")

    def up(self, node: str) -> None:
        self.cell.ask("qmod", "-e", f"all.q@{node}")

    @contextmanager
    def away(self) -> Iterator[None]:
        self.cell.signal_master(signal.SIGKILL)
        try:
            yield
        finally:
            self.cell.begin_master()
            self.cell.wait_for_queue()


@pytest.fixture(scope="module")
def cell(open_folder: Path) -> Iterator[GridEngine]:
    with peer(GridEngine(open_folder), "Grid Engine") as found:
        yield found


@pytest.fixture(scope="module")
def bench(cell: GridEngine) -> Iterator[GridEngineBench]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LD_LIBRARY_PATH", str(LIB))
        bench = GridEngineBench(cell)
        yield bench
        bench.close()


@pytest.mark.parametrize("name", CASES)
def test_the_driver_keeps_the_contract(name: str, bench: GridEngineBench) -> None:
    run(name, bench).demand()


def order(bench: GridEngineBench, name: str, command: str, tasks: int = 1) -> Start:
    return Start(
        f"test-{os.urandom(4).hex()}-1",
        (Share(bench.cell.host, tasks, tasks),),
        user="root",
        argv=(b"/bin/sh", b"-c", command.encode(), b"sh", b"a\nb", b""),
        env=b"PATH=/usr/bin:/bin\0SECRET=two words, and\nlines\0",
        cwd=os.fsencode(bench.folder),
        name=f"my {name}",
        output=os.fsencode(bench.folder / name),
        umask=0o077,
    )


def test_each_task_has_its_environment_and_files(bench: GridEngineBench) -> None:
    said = 'echo "$OSTLER_RANK|$SECRET|$1|$2|$PWD|$(umask)"; exit $OSTLER_RANK'
    job = begin(bench, order(bench, "files", said, tasks=2))
    told = until(bench, job)
    assert isinstance(told, End)
    assert (told.result, told.exit_status) == (Result.FAILED, 1)
    rest = f"|two words, and\nlines|a\nb||{bench.folder}|0077\n"
    written = (bench.folder / "files").read_text()
    assert f"0{rest}" in written
    assert f"1{rest}" in written


@pytest.mark.parametrize(
    ("command", "result", "status", "number"),
    [("exit 7", "failed", 7, 0), ("kill -KILL $$", "failed", None, 9), ("true", "success", 0, 0)],
)
def test_an_end_is_told_as_it_was(
    bench: GridEngineBench, command: str, result: str, status: int | None, number: int
) -> None:
    job = begin(bench, order(bench, "end", command))
    told = until(bench, job)
    assert isinstance(told, End)
    assert (told.result, told.exit_status, told.signal) == (result, status, number)


def test_a_job_above_its_time_limit_is_told_so(bench: GridEngineBench) -> None:
    job = begin(bench, replace(order(bench, "late", "sleep 100"), time_limit=1))
    told = until(bench, job)
    assert isinstance(told, End)
    assert told.result == Result.TIMEOUT


def test_a_script_runs_with_its_arguments_and_without_its_directives(
    bench: GridEngineBench,
) -> None:
    script = b'#!/bin/sh\n#$ -N other\n#$ -t 1-3\necho "$0" >/dev/null; echo "$1|$2"\n'
    given = replace(order(bench, "script", ""), argv=(b"a b", b"c"), script=script)
    job = begin(bench, given)
    assert isinstance(until(bench, job), End)
    assert (bench.folder / "script").read_text() == "a b|c\n"


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL], ids=lambda each: each.name)
def test_a_master_that_is_away_is_trouble_and_jobs_outlive_it(
    bench: GridEngineBench, number: signal.Signals
) -> None:
    given = order(bench, "away", "sleep 100")
    job = begin(bench, given)
    until(bench, job, ForeignState.RUNNING)
    hurried = GridEngineBench(bench.cell, {"timeout": "0.7"}).driver()
    bench.cell.signal_master(number)
    try:
        for ask in (hurried.list_jobs, hurried.list_nodes, lambda: hurried.start(given)):
            with pytest.raises(Trouble, match=r"qmaster|did not answer|commlib"):
                ask()
    finally:
        if number is signal.SIGSTOP:
            bench.cell.signal_master(signal.SIGCONT)
        else:
            bench.cell.begin_master()
            bench.cell.wait_for_queue()
    assert isinstance(until(bench, job, ForeignState.RUNNING), ForeignJob)
    assert begin(bench, given) == job, "the token is known"
    bench.driver().cancel(job, given.token)
    assert isinstance(until(bench, job), End)
