"""The driver of Slurm against a real one, of two nodes, whose controller is stopped and killed."""

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from bench.peers.slurm import Slurm
from ostler.drivers import slurm as driver
from ostler.drivers.contract import Trouble
from ostler.model.foreign import Did, End, ForeignJob, ForeignState, Share, Start
from ostler.model.states import Result
from ostler.testing.conformance import CASES, Bench, run
from tests.peers.conftest import peer
from tests.peers.driver_kit import ask_slurm, begin, until


class SlurmBench(Bench):
    """A real Slurm."""

    polls = 200

    def __init__(self, slurm: Slurm, settings: Mapping[str, str] = {}) -> None:
        records = slurm.folder.parent / "records"
        records.mkdir(mode=0o1777, exist_ok=True)
        records.chmod(0o1777)
        config = {"config": slurm.env["SLURM_CONF"], "timeout": "5", "records": str(records)}
        super().__init__(driver.Slurm, {**config, **settings})
        self.slurm = slurm
        self.folder.chmod(0o755)

    def command_of_slurm(self, *words: str) -> str:
        return ask_slurm(self.slurm, *words)

    def submit(self, key: str) -> str:
        return self.command_of_slurm(
            *("sbatch", "--parsable", "--hold", "-n1", "-o/dev/null"), "--wrap", self.text(key)
        )

    def occupy(self, node: str, key: str) -> str:
        return self.command_of_slurm(
            *("sbatch", "--parsable", "-n1", "-o/dev/null", f"--nodelist={node}"),
            *("--wrap", self.text(key)),
        )

    def text(self, key: str) -> str:
        return self.command(key)[2].decode()

    def down(self, node: str) -> None:
        self.command_of_slurm("scontrol", "update", f"node={node}", "state=down", "reason=test")

    def up(self, node: str) -> None:
        self.command_of_slurm("scontrol", "update", f"node={node}", "state=resume")
        self.slurm.wait_for_nodes()  # for a moment, it is said not to respond

    @contextmanager
    def away(self) -> Iterator[None]:
        self.slurm.signal_controller(signal.SIGTERM)  # one that is killed forgets the last seconds
        try:
            yield
        finally:
            self.slurm.begin_controller()
            self.slurm.wait_for_nodes()


@pytest.fixture(scope="module")
def slurms(open_folder: Path) -> Iterator[Slurm]:
    with peer(Slurm(open_folder / "two", nodes=2, slots=4), "Slurm") as found:
        yield found


@pytest.fixture(scope="module")
def bench(slurms: Slurm) -> Iterator[SlurmBench]:
    bench = SlurmBench(slurms)
    yield bench
    bench.close()


@pytest.mark.parametrize("name", CASES)
def test_the_driver_keeps_the_contract(name: str, bench: SlurmBench) -> None:
    run(name, bench).demand()


def order(bench: SlurmBench, name: str, shares: tuple[Share, ...], command: str) -> Start:
    return Start(
        f"test-{name}-{os.urandom(4).hex()}-1",
        shares,
        user="root",
        argv=(b"/bin/sh", b"-c", command.encode(), b"sh", b"a b", b""),
        env=b"PATH=/usr/bin:/bin\0SECRET=two words\nand lines\0",
        cwd=os.fsencode(bench.folder),
        output=os.fsencode(bench.folder / f"{name}%j"),
        cpus_per_task=sum(share.cpus for share in shares) // sum(s.tasks for s in shares),
        umask=0o077,
    )


def test_it_starts_on_exactly_these_nodes_with_environment_and_files(bench: SlurmBench) -> None:
    shares = (Share("bench1", 2, 2), Share("bench2", 2, 2))
    said = 'echo "$SLURM_JOB_NODELIST|$OSTLER_RANK|$SECRET|$1|$2|$PWD|$(umask)"'
    job = begin(bench, order(bench, "files", shares, said))
    told = until(bench, job)
    assert isinstance(told, End)
    assert told.result == Result.SUCCESS, told
    written = (bench.folder / "files%j").read_text().split("bench[1-2]|")[1:]
    rest = f"|two words\nand lines|a b||{bench.folder}|0077\n"
    assert sorted(written) == [f"{rank}{rest}" for rank in range(4)]


@pytest.mark.parametrize(
    ("command", "result", "status", "number"),
    [("exit 7", "failed", 7, 0), ("kill -KILL $$", "failed", None, 9), ("true", "success", 0, 0)],
)
def test_an_end_is_told_as_it_was(
    bench: SlurmBench, command: str, result: str, status: int | None, number: int
) -> None:
    job = begin(bench, order(bench, "end", (Share("bench1"),), command))
    told = until(bench, job)
    assert isinstance(told, End)
    assert (told.result, told.exit_status, told.signal) == (result, status, number)


def test_one_of_another_user_runs_as_that_user(bench: SlurmBench) -> None:
    given = order(bench, "who", (Share("bench1"),), "id -un; id -Gn")
    bench.folder.chmod(0o777)
    job = begin(bench, replace(given, user="nobody", uid=65534, gid=65534))
    told = until(bench, job)
    assert isinstance(told, End)
    assert told.user == "nobody"
    assert (bench.folder / "who%j").read_text() == "nobody\nnogroup\n"


def test_a_start_is_found_again_after_the_job_has_ended(bench: SlurmBench) -> None:
    count = bench.folder / "count"
    given = order(bench, "again", (Share("bench1"),), f"echo >>{count}")
    job = begin(bench, given)
    until(bench, job)
    assert begin(bench, given) == job
    assert count.read_text() == "\n"


def test_many_starts_at_once_are_taken_while_there_is_room(bench: SlurmBench) -> None:
    orders = [order(bench, "many", (Share("bench1"),), "true") for _ in range(4)]
    jobs = [begin(bench, each) for each in orders]
    for job in jobs:
        assert isinstance(until(bench, job), End)


def test_a_cancel_reaches_a_job_in_every_state(bench: SlurmBench) -> None:
    held = bench.submit("held")
    assert bench.driver().cancel(held, "").did is Did.ACCEPTED
    assert isinstance(until(bench, held), End)
    runs = begin(bench, order(bench, "runs", (Share("bench1"),), "sleep 100"))
    until(bench, runs, ForeignState.RUNNING)
    assert driver.Slurm(bench.settings).suspend(runs, "").did is Did.ACCEPTED
    until(bench, runs, ForeignState.SUSPENDED)
    assert bench.driver().cancel(runs, "").did is Did.ACCEPTED
    told = until(bench, runs)
    assert isinstance(told, End)
    assert told.result == Result.CANCELLED
    assert bench.driver().cancel(runs, "").did is Did.ALREADY


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL], ids=lambda each: each.name)
def test_a_controller_that_is_away_is_trouble_and_jobs_outlive_it(
    bench: SlurmBench, number: signal.Signals
) -> None:
    given = order(bench, "away", (Share("bench2"),), "sleep 100")
    job = begin(bench, given)
    until(bench, job, ForeignState.RUNNING)
    bench.slurm.wait_for_saved(job)
    hurried = SlurmBench(bench.slurm, {"timeout": "0.5"}).driver()
    bench.slurm.signal_controller(number)
    try:
        for ask in (hurried.list_jobs, hurried.list_nodes, lambda: hurried.start(given)):
            with pytest.raises(Trouble, match=r"Unable to contact|did not answer"):
                ask()
    finally:
        if number is signal.SIGSTOP:
            bench.slurm.signal_controller(signal.SIGCONT)
        else:
            bench.slurm.begin_controller()
            bench.slurm.wait_for_nodes()
    assert isinstance(until(bench, job, ForeignState.RUNNING), ForeignJob)
    assert begin(bench, given) == job, "the token is known"
    bench.driver().cancel(job, given.token)
    assert isinstance(until(bench, job), End)


def test_an_element_of_an_array_keeps_its_name(bench: SlurmBench) -> None:
    array = bench.command_of_slurm(
        *("sbatch", "--parsable", "-o/dev/null", "--array=1-3%1", "-wbench1", "--wrap=true")
    )
    names = {f"{array}_{element}" for element in (1, 2, 3)}
    for name in sorted(names):
        told = until(bench, name)
        assert isinstance(told, End)
    remembering = bench.driver()
    assert names <= {end.id for end in remembering.list_jobs().ended}
