"""`ostler up` and `down` around a machine that answers by script; real ones are started in e2e."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ostler.cli import up
from ostler.model.errors import NotNow, Refused
from ostler.wire import messages
from ostler.wire.supervise import launch_supervisor
from tests.unit.scripted import SILENCE, Answer, Request, manager, ostler

STATUS = {
    "state": "/s",
    "nodes": [{"name": "n1", "status": "running", "cpus": 4, "memory": 8 << 30, "declared": True}],
    "shortcomings": [],
    "processes": {"manager": 10, "agent": 11, "supervisor": 9},
}


@contextmanager
def supervised(state: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is the supervisor by the file, and ends at SIGTERM."""
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as process:
        stat = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        told = {"pid": process.pid, "start_time": int(stat[19])}
        (state / "supervisor.json").write_text(json.dumps(told))
        try:
            yield process
        finally:
            process.kill()


def test_up_on_a_machine_that_is_up_says_so(tmp_path: Path) -> None:
    up.prepare(str(tmp_path), {"cpus": 4})
    with supervised(tmp_path) as process, manager(tmp_path, lambda _: STATUS):
        plain = ostler(tmp_path, "up")
        same = ostler(tmp_path, "up", "--cpus", "4", "--json")
        other = ostler(tmp_path, "up", "--cpus", "3")
        more = ostler(tmp_path, "up", "--memory", "1G")
    assert plain.status == 0
    assert plain.err == f"ostler: already up at {tmp_path}, supervisor {process.pid}\n"
    assert "n1: 4 CPUs, 8G memory, no GPU (declared)" in plain.out
    assert (same.status, same.document) == (0, STATUS)
    assert other.status == more.status == 3
    assert "already up" in other.err
    assert "started with --cpus 4; stop it first" in other.err
    assert "started without --memory" in more.err


def test_up_counts_many_nodes_and_names_those_that_take_no_work(tmp_path: Path) -> None:
    up.prepare(str(tmp_path), {"cpus": 4})
    nodes = [{**STATUS["nodes"][0], "name": f"n{i:03d}", "word": "in"} for i in range(300)]  # type: ignore[index]
    nodes[7] |= {"status": "unreachable"}
    nodes[8] |= {"status": "unreachable"}
    nodes[9] |= {"word": "draining"}
    with supervised(tmp_path), manager(tmp_path, lambda _: {**STATUS, "nodes": nodes}):
        done = ostler(tmp_path, "up")
    assert done.out.splitlines() == [
        "up at /s",
        "  nodes      300: 1200 CPUs, 2.34T memory, no GPU",
        "             n[007-008]: unreachable",
        "             n009: draining",
    ]


def test_features_that_no_job_could_name_are_refused(tmp_path: Path) -> None:
    told = ostler(tmp_path, "up", "--features", "a100,a b")
    assert (told.status, "a feature cannot be 'a b'" in told.err) == (2, True)
    up.prepare(str(tmp_path), {"features": ["a100", "ib"]})
    with supervised(tmp_path), manager(tmp_path, lambda _: STATUS):
        assert ostler(tmp_path, "up", "--features", "a100, ib").status == 0
        assert ostler(tmp_path, "up", "--features", "a100").status == 3


def test_what_was_declared_is_written_for_the_daemons(tmp_path: Path) -> None:
    state = tmp_path / "a" / "b"
    up.prepare(str(state), {"system": False, "cpus": 4, "generic": {"lic": 2}})
    told = json.loads((state / "machine.json").read_text())
    assert (told["cpus"], told["generic"], told["system"]) == (4, {"lic": 2}, False)
    assert told["node"] == os.uname().nodename.partition(".")[0]
    assert state.stat().st_mode & 0o777 == 0o700


def test_a_machine_that_goes_on_keeps_its_sizes_until_others_are_declared(tmp_path: Path) -> None:
    up.prepare(str(tmp_path), {"cpus": 4})
    up.prepare(str(tmp_path), {"system": False})
    assert up.read_told(str(tmp_path))["cpus"] == 4
    up.prepare(str(tmp_path), {"memory": 1 << 30})
    assert "cpus" not in up.read_told(str(tmp_path))


def test_a_folder_that_others_can_read_is_closed(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()  # of a file system of its own
    tmp_path.chmod(0o755)
    up.prepare(str(tmp_path), {})
    assert tmp_path.stat().st_mode & 0o077 == 0


def test_a_folder_of_other_things_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "notes").touch()
    tmp_path.chmod(0o755)
    done = ostler(tmp_path, "up")
    assert (done.status, done.out) == (3, "")
    assert "is open to others and holds what is not Ostler's" in done.err
    assert f"--state {tmp_path}/ostler" in done.err
    assert (tmp_path.stat().st_mode & 0o777, os.listdir(tmp_path)) == (0o755, ["notes"])


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotNow, match=r"cannot be written: .*; make room there, or name another"):
        up.prepare(str(tmp_path / "file" / "state"), {})


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, 12345)
    with pytest.raises(Refused, match="belongs to somebody else"):
        up.prepare(str(tmp_path), {})


def test_a_machine_that_does_not_come_up_is_told_with_its_logs(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "manager.log").write_text("one\ntwo\nno space left\n")
    with pytest.raises(NotNow, match=r"nothing answers\n(.*\n)*    manager: no space left;"):
        up.await_status(str(tmp_path), patience=0.1)


def test_a_supervisor_that_python_does_not_find_is_told_with_the_way_to_see_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")  # as a Python without our package
    with pytest.raises(NotNow) as told:
        launch_supervisor(str(tmp_path))
    assert "/bin/false -I -m ostler.agent.supervisor --help" in told.value.hint
    assert "a virtual environment" in told.value.hint


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--cpus", "0"], "--cpus cannot be 0; leave it out"),
        (["--cpus", "many"], "--cpus cannot be 'many'"),
        (["--memory", "x"], "'x' is not a size"),
        (["--generic", "=3"], "--generic cannot be '=3'"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(
    tmp_path: Path, words: list[str], sentence: str
) -> None:
    done = ostler(tmp_path / "state", "up", *words)
    assert done.status == 2
    assert sentence in done.err
    assert not (tmp_path / "state").exists()


def stopping(request: Request) -> Answer:
    assert isinstance(request, messages.Shutdown)
    return Refused("2 jobs run", hint="--wait") if request.how == "refuse" else {}


def test_down_is_refused_while_jobs_run_and_then_nothing_is_stopped(tmp_path: Path) -> None:
    with supervised(tmp_path) as process, manager(tmp_path, stopping):
        done = ostler(tmp_path, "down")
        assert process.poll() is None
    assert (done.status, done.err) == (3, "ostler: refused: 2 jobs run; --wait\n")


@pytest.mark.parametrize(("how", "forgotten"), [("wait", True), ("kill", True), ("leave", False)])
def test_down_ends_the_supervisor_and_waits_for_it(
    tmp_path: Path, how: str, *, forgotten: bool
) -> None:
    up.prepare(str(tmp_path), {"cpus": 4})
    with supervised(tmp_path) as process, manager(tmp_path, stopping) as made:
        done = ostler(tmp_path, "down", f"--{how}")
        assert process.wait(30) == -signal.SIGTERM
    assert (done.status, done.out, done.err) == (0, f"down: {tmp_path}\n", "")
    assert [getattr(request, "how", "") for request in made.requests] == [how]
    assert (tmp_path / "machine.json").exists() is not forgotten


def test_down_says_whom_it_waits_for_and_where_something_was_left(tmp_path: Path) -> None:
    silent = {"name": "n2", "status": "no_agent", "unknown_since": 0.0, "jobs": 1}
    status = {**STATUS, "machine": {"stopping": "kill", "awaited": [silent]}}
    stops: list[int] = []

    def waiting(request: Request) -> Answer:
        """Answer the status first, then both, as when the node has been heard meanwhile."""
        if isinstance(request, messages.Shutdown):
            stops.append(request.id)
            return SILENCE
        left = {"left": [{**silent, "name": "n3", "status": "unreachable"}]}
        return [messages.Reply(request.id, status), messages.Reply(stops[0], left)]  # type: ignore[union-attr]

    with supervised(tmp_path), manager(tmp_path, waiting):
        done = ostler(tmp_path, "down", "--kill", "--json")
    told, left, _ = done.err.split("\n")
    assert told.startswith("ostler: waits for n2, silent since ")
    assert "use --leave" in told
    assert left.startswith("ostler: n3 could not be told")
    assert [row["name"] for row in done.document["left"]] == ["n3"]


def test_a_stop_of_a_partition_says_whom_it_waits_for(tmp_path: Path) -> None:
    silent = {"name": "n2", "status": "no_agent", "unknown_since": 0.0, "jobs": 1}
    row = {"name": "main", "state": "draining", "awaited": [silent]}
    stops: list[int] = []

    def waiting(request: Request) -> Answer:
        if isinstance(request, messages.PartitionWord):
            stops.append(request.id)
            return SILENCE
        down = {"partitions": [{**row, "state": "down"}]}
        return [
            messages.Reply(request.id, {"partitions": [row]}),  # type: ignore[union-attr]
            messages.Reply(stops[0], down),
        ]

    with manager(tmp_path, waiting):
        done = ostler(tmp_path, "partitions", "stop", "main", "--kill")
    assert done.err.startswith("ostler: waits for n2, silent since ")
    assert done.out.startswith("partition main is down")


def test_down_without_a_manager_still_works_when_told_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ostler.cli import down

    monkeypatch.setattr(down, "_ANSWER", 0.1)
    with supervised(tmp_path) as process:
        with pytest.raises(NotNow, match=r"does not answer .*stop the rest with `ostler down"):
            down.stop(str(tmp_path), "refuse")
        assert process.poll() is None
        down.stop(str(tmp_path), "kill")
        assert process.wait(30) == -signal.SIGTERM
