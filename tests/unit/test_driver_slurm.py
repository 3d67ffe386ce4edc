"""Slurm's words in ours, over what a real Slurm 22.05.8 has written."""

import os
import pwd
import re
import subprocess
import time
from getpass import getuser
from pathlib import Path

import pytest
from msgspec.structs import replace

from ostler.drivers import slurm_notes
from ostler.drivers.begun import TWICE, Begun
from ostler.drivers.contract import Trouble
from ostler.drivers.programs import Answer, Programs
from ostler.drivers.slurm import Slurm
from ostler.drivers.slurm_ends import SACCT, end_of_sacct, ends_of_file
from ostler.drivers.slurm_notes import Notes
from ostler.drivers.slurm_orders import command_of, script_of, unfit, without_directives
from ostler.drivers.slurm_words import FIELDS, duration, job_of, judged, nodes_of, rows, size
from ostler.model.foreign import End, ForeignJob, ForeignState, NodeState, Share, Start
from ostler.model.states import Result

DATA = Path(__file__).parents[1] / "data" / "slurm"


def listed() -> dict[str, ForeignJob | End]:
    text = (DATA / "squeue.txt").read_text(encoding="utf-8")
    return {each.id: each for each in map(job_of, rows(text, "<%>", FIELDS))}


def job(name: str) -> ForeignJob:
    found = listed()[name]
    assert isinstance(found, ForeignJob)
    return found


def end(name: str) -> End:
    found = listed()[name]
    assert isinstance(found, End)
    return found


def test_a_job_that_runs_is_told_with_all_it_has() -> None:
    found = job("1")
    assert found == ForeignJob(
        id="1",
        state=ForeignState.RUNNING,
        user="ann",
        incarnation="1796065360",
        token="ostler-1",
        name="one",
        project="ann",
        queue="main",
        cpus=2,
        memory=100 << 20,
        nodes=1,
        nodelist=("node1",),
        time_limit=600,
        priority=4294901759,
        submitted_at=1796065360.0,
        started_at=1796065361.0,
        shares=(Share("node1", cpus=2, memory=100 << 20),),
        command="/home/ann/j.sh",
        native_state="RUNNING",
    )
    assert [(share.node, share.cpus) for share in job("2_1").shares] == [("node1", 1), ("node2", 1)]
    assert job("6").shares == (Share("gpu1", cpus=2, memory=32 << 20, gpus=1),)
    assert job("6").project == "proj"


@pytest.mark.parametrize(
    ("name", "state", "reason"),
    [
        ("2_2", ForeignState.IDLE, "JobArrayTaskLimit"),
        ("5", ForeignState.IDLE, "BeginTime"),
        ("7", ForeignState.IDLE, "Resources"),
        ("13", ForeignState.IDLE, "Dependency"),
        ("3", ForeignState.HELD, "JobHeldUser"),
        ("11", ForeignState.SUSPENDED, ""),
    ],
)
def test_a_job_that_does_not_run_says_why_in_slurms_words(
    name: str, state: ForeignState, reason: str
) -> None:
    assert (job(name).state, job(name).reason) == (state, reason)


def test_what_a_waiting_job_asks_for_is_told() -> None:
    assert job("7").gpus == 2
    assert job("5").features == ("fast",)
    assert job("5").not_before == 1796068960.0
    assert (job("2_4").tasks, job("2_4").nodes, job("2_4").shares) == (2, 2, ())


def test_a_job_that_was_requeued_is_not_taken_for_another() -> None:
    """Slurm then says that it was submitted when it was requeued."""
    assert job("9").incarnation == ""


def test_names_with_newlines_and_separators_make_no_rows() -> None:
    assert job("9").name == "two lines |"
    assert job("9").token == "", "a comment with blanks is no token"


@pytest.mark.parametrize(
    ("name", "result", "status", "signal", "proof"),
    [
        ("4", Result.FAILED, 3, 0, "slurmctld: FAILED 3:0"),
        ("8", Result.FAILED, None, 9, "slurmctld: FAILED 0:9"),
        ("10", Result.CANCELLED, None, 15, "slurmctld: CANCELLED 0:15"),
        ("12", Result.TIMEOUT, None, 15, "slurmctld: TIMEOUT 0:15"),
    ],
)
def test_an_end_is_told_with_its_proof(
    name: str, result: str, status: int | None, signal: int, proof: str
) -> None:
    found = end(name)
    assert (found.result, found.exit_status, found.signal) == (result, status, signal)
    assert found.proof == proof
    assert found.started_at == 1796065361.0


def test_a_word_that_slurm_did_not_have_yet_is_unknown_and_kept() -> None:
    row = {**rows((DATA / "squeue.txt").read_text(), "<%>", FIELDS)[0], "State": "DREAMING"}
    found = job_of(row)
    assert isinstance(found, ForeignJob)
    assert (found.state, found.native_state) == (ForeignState.UNKNOWN, "DREAMING")


def test_half_an_answer_is_no_answer() -> None:
    text = (DATA / "squeue.txt").read_text(encoding="utf-8")
    for cut in (len(text) // 2, len(text) - 4):
        with pytest.raises(ValueError, match="no whole records"):
            rows(text[:cut], "<%>", FIELDS)
    assert rows("", "<%>", FIELDS) == []


def test_nodes_are_told_with_state_and_reason() -> None:
    gpu, first, second, third = nodes_of((DATA / "nodes.txt").read_text(encoding="utf-8"))
    assert (gpu.name, gpu.gpus, gpu.features, gpu.queues) == (
        *("gpu1", 2),
        *(("fast", "big"), ("main", "gpu")),
    )
    assert (first.state, first.cpus, first.used_cpus) == (NodeState.UP, 8, 3)
    assert first.memory == 24105 << 20
    assert first.host == "host1"
    assert (second.state, second.native_state) == (NodeState.DRAINING, "MIXED+DRAIN")
    assert second.reason.startswith("disk full, see [4]")
    assert third.state is NodeState.UP


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("IDLE*", NodeState.DOWN),
        ("IDLE~", NodeState.UP),
        ("IDLE+CLOUD+POWERED_DOWN", NodeState.UP),
        ("DOWN*+DRAIN", NodeState.DOWN),
        ("ALLOCATED+NOT_RESPONDING", NodeState.DOWN),
        ("IDLE+RESERVED", NodeState.DRAINING),
        ("IDLE+DREAMING", NodeState.UNKNOWN),
    ],
)
def test_the_worst_word_of_a_node_counts(word: str, state: NodeState) -> None:
    (found,) = nodes_of(f"NodeName=n1 CPUAlloc=0 CPUTot=4 RealMemory=1 State={word} Weight=1\n")
    assert found.state is state
    assert found.native_state == word
    assert bool(found.reason) == (state is not NodeState.UP)


def test_the_accounts_prove_ends() -> None:
    text = (DATA / "sacct.txt").read_text(encoding="utf-8")
    found = {each.id: each for each in map(end_of_sacct, rows(text, "<%>", SACCT)) if each}
    assert {each.id: each.result for each in found.values()} == {
        "4": "failed",
        "8": "failed",
        "10": "cancelled",
        "12": "timeout",
    }
    assert (found["4"].exit_status, found["4"].token) == (3, "ostler-2")
    assert found["4"].incarnation == end("4").incarnation
    assert found["10"].proof == "sacct: CANCELLED by 0 0:0"
    assert found["8"].signal == 9


def test_the_completion_file_proves_ends() -> None:
    lines = (DATA / "completions.txt").read_text(encoding="utf-8").splitlines()
    found = {each.id: each for each in ends_of_file(lines, lambda _: 5.0, {"10": "2_3"})}
    assert found["4"].exit_status == 3
    assert found["8"].signal == 9
    assert found["12"].result == Result.TIMEOUT
    assert found["2_3"].result == Result.CANCELLED, "elements have other numbers there"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1-02:04:00", 93840), ("10:00", 600), ("1:00:00", 3600), ("UNLIMITED", 0), ("INVALID", 0)],
)
def test_durations(text: str, seconds: int) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize(("text", "number"), [("1.50G", 3 << 29), ("16", 16 << 20), ("N/A", 0)])
def test_sizes(text: str, number: int) -> None:
    assert size(text) == number


ORDER = Start("m-1", (Share("n1", 2, 4, 3 << 20), Share("n2", 2, 4, 3 << 20)), cpus_per_task=2)


def test_an_order_names_exactly_its_nodes_and_what_they_give() -> None:
    words = command_of(ORDER, ["--qos=low"])
    assert words[:2] == ["sbatch", "--qos=low"]
    for word in ("--nodelist=n1,n2", "--nodes=2", "--ntasks=4", "--ntasks-per-node=2"):
        assert word in words
    assert "--mem-per-cpu=768K" in words
    assert "--comment=m-1" in words
    assert "--no-requeue" in words, "who starts it again is us"


def test_paths_have_no_patterns() -> None:
    words = command_of(Start("m-1", ORDER.shares, output=b"/a%j", input=b"/b"), [])
    assert b"--output=/a%%j" in words
    assert not [word for word in words if isinstance(word, bytes) and b"--error" in word]


def test_directives_in_a_script_are_not_read_a_second_time() -> None:
    script = b"#!/bin/sh\n#SBATCH --array=1-9\n\n#SBATCH -n 4\necho\ncat <<E\n#SBATCH x\nE\n"
    assert without_directives(script) == (
        b"#!/bin/sh\n# SBATCH --array=1-9\n\n# SBATCH -n 4\necho\ncat <<E\n#SBATCH x\nE\n"
    )
    assert without_directives(b"echo\n").startswith(b"#!/bin/sh\n")


def test_a_command_of_several_tasks_is_run_by_each() -> None:
    assert b"'/bin/srun' --ntasks" in script_of(ORDER, "/bin/srun", "")
    one = Start("m-1", (Share("n1"),), argv=(b"true",))
    assert b"srun" not in script_of(one, "/bin/srun", "")


class Batch:
    """Runs what sbatch would be given, as a node does."""

    def __init__(self, folder: Path) -> None:
        self.notes = str(folder / getuser() / "m-1")
        self.begun = Begun({"records": str(folder)})
        self.count = folder / "count"

    def run(self, text: str, *, again: bool = False, notes: str | None = None, **env: str) -> int:
        counted = f"echo >>{self.count}; {text}".encode()
        order = Start("m-1", (Share("n1"),), argv=(b"/bin/sh", b"-c", counted), again=again)
        script = script_of(order, "", self.notes if notes is None else notes)
        file = self.count.with_name("script")
        file.write_bytes(script)
        return subprocess.run(["/bin/sh", file, *order.argv], env=env, check=False).returncode

    @property
    def runs(self) -> int:
        return len(self.count.read_text()) if self.count.exists() else 0


@pytest.mark.parametrize(
    ("text", "status"),
    [("true", 0), ("exit 7", 7), ("exit 137", 137), ("kill -9 $$", -9), ("kill -11 $$", -11)],
)
def test_what_has_run_does_not_run_again_and_ends_as_it_did(
    tmp_path: Path, text: str, status: int
) -> None:
    batch = Batch(tmp_path)
    assert [batch.run(text), batch.run(text), batch.runs] == [status, status, 1]
    note = batch.begun.of(getuser(), "m-1")
    assert note is not None
    assert (note.signal, note.status) == ((-status, 128 - status) if status < 0 else (0, status))
    assert batch.begun.began(getuser(), "m-1")


def test_a_second_run_of_what_left_no_end_is_told_from_any_other(tmp_path: Path) -> None:
    batch = Batch(tmp_path)
    (tmp_path / getuser()).mkdir()
    (tmp_path / getuser() / "m-1.0.began").write_text("1 1 1 elsewhere\n")
    assert batch.run("true") == -TWICE
    assert batch.runs == 0
    assert judged(Result.FAILED, f"0:{TWICE}")[0] == Result.LOST


def test_one_that_slurm_was_told_to_requeue_runs_again(tmp_path: Path) -> None:
    batch = Batch(tmp_path)
    assert [batch.run("exit 1"), batch.run("exit 2", SLURM_RESTART_COUNT="1")] == [1, 2]


def test_where_there_can_be_no_notes_a_job_runs_unless_it_may_have_run(tmp_path: Path) -> None:
    batch = Batch(tmp_path)
    assert batch.run("exit 3", notes="") == 3
    assert batch.run("exit 3", notes="/dev/null/m-1") == 3
    assert batch.run("exit 3", notes="", again=True) == -TWICE
    assert batch.runs == 2


def test_a_note_of_another_user_or_that_is_no_file_is_none(tmp_path: Path) -> None:
    batch = Batch(tmp_path)
    batch.run("true")
    ended = tmp_path / getuser() / "m-1.0.ended"
    ended.rename(tmp_path / "other")
    ended.symlink_to(tmp_path / "other")
    assert batch.begun.of(getuser(), "m-1") is None
    if os.geteuid() == 0:
        ended.unlink()
        (tmp_path / "other").rename(ended)
        os.chown(ended, 65534, -1)
        assert batch.begun.of(getuser(), "m-1") is None


@pytest.mark.parametrize(
    "words", ["5 1\n", "128 1\n", "999 0\n", "255 1\n", "0 0", "-1 0\n", "0 0\n" + "0" * 999]
)
def test_what_no_shell_has_written_is_no_note(tmp_path: Path, words: str) -> None:
    """Else one user's file would take the lists of all jobs out of their form."""
    batch = Batch(tmp_path)
    batch.run("true")
    (tmp_path / getuser() / "m-1.0.ended").write_text(words)
    assert batch.begun.of(getuser(), "m-1") is None


@pytest.mark.parametrize("when", [-(1 << 33), 1 << 33])
def test_notes_may_be_of_any_time_and_ends_are_not(tmp_path: Path, when: int) -> None:
    batch = Batch(tmp_path)
    batch.run("true")
    for name in ("began", "ended"):
        os.utime(tmp_path / getuser() / f"m-1.0.{name}", (when, when))
    note = batch.begun.of(getuser(), "m-1")
    assert note is not None
    assert 0 <= note.began_at <= note.ended_at <= time.time()


def test_a_note_that_cannot_be_read_is_not_one_that_is_not_there(tmp_path: Path) -> None:
    begun = Begun({"records": str(tmp_path)})
    mine = tmp_path / getuser()
    assert begun.began(getuser(), "m-1") is None, "there is no folder"
    mine.mkdir()
    assert begun.began(getuser(), "m-1") is False
    note = mine / "m-1.0.began"
    note.symlink_to(tmp_path / "elsewhere")
    assert begun.began(getuser(), "m-1") is None
    note.unlink()
    os.mkfifo(note)
    assert begun.began(getuser(), "m-1") is None
    note.unlink()
    mine.rename(tmp_path / "real")
    mine.symlink_to(tmp_path / "real")
    assert begun.began(getuser(), "m-1") is None, "a link is nobody's folder"


def test_a_user_who_was_not_known_is_looked_for_with_the_next_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes, order = Notes({"records": str(tmp_path)}), Start("m-1", (Share("n1"),), user="late")
    assert notes.path(order) == ""
    own = pwd.getpwuid(os.geteuid())
    monkeypatch.setattr(pwd, "getpwnam", lambda _: own)
    notes.begin_load()
    assert notes.path(order) == f"{tmp_path}/late/m-1"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives folders away")
def test_in_a_folder_of_another_user_nothing_is_a_note(tmp_path: Path) -> None:
    """There one may link to what is the job's user's own."""
    batch = Batch(tmp_path)
    batch.run("true")
    os.chown(tmp_path / getuser(), 65534, -1)
    assert batch.begun.of(getuser(), "m-1") is None
    assert batch.begun.began(getuser(), "m-1") is None
    assert batch.run("exit 3") == 3, "as where there can be no notes"
    assert batch.run("exit 3", again=True) == -TWICE
    assert batch.runs == 2


def test_its_own_note_is_better_proof_than_a_controller_that_forgets(tmp_path: Path) -> None:
    batch = Batch(tmp_path)
    notes = Notes({"records": str(tmp_path)})
    refused = End("7", "cancelled", "CANCELLED 0:0", "5", "m-1", getuser())
    refused = replace(refused, started_at=9.0, ended_at=9.0)
    lost = replace(refused, result=str(Result.LOST))
    told = [notes.told(each, 0) for each in (refused, lost)]
    assert told == [refused, lost], "where notes are not to be seen, its word counts"
    (tmp_path / getuser()).mkdir()
    assert notes.told(refused, 0) == replace(refused, unbegun=True)
    assert notes.told(lost, 0) == lost
    now = replace(refused, started_at=time.time(), ended_at=time.time())
    assert isinstance(notes.told(now, 0), ForeignJob), "another host sees a note a minute later"
    (tmp_path / getuser() / "m-1.0.began").write_text("7 1 1 elsewhere\n")
    found = notes.told(refused, 0)
    assert isinstance(found, End)
    assert (found.result, found.unbegun) == (Result.LOST, False)
    (tmp_path / getuser() / "m-1.0.began").unlink()
    batch.run("exit 3")
    for each in (refused, lost):
        found = notes.told(each, 0)
        assert isinstance(found, End)
        assert (found.id, found.result, found.exit_status) == ("7", Result.FAILED, 3)
    stopped = replace(refused, signal=15)
    assert notes.told(stopped, 0) == stopped, "somebody has cancelled it"
    for result in (Result.CANCELLED, Result.TIMEOUT):
        later = replace(stopped, result=str(result), ended_at=time.time() + 60.0)
        found = notes.told(later, 0)
        assert isinstance(found, End)
        assert (found.result, found.exit_status) == (Result.FAILED, 3), "it was over by then"


def test_what_has_ended_gives_its_room_back_in_a_slurm_that_takes_it_for_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm_notes, "SETTLED", 0.0)
    (tmp_path / getuser()).mkdir()
    for name, by in (("m-1", "7"), ("m-2", "8")):
        (tmp_path / getuser() / f"{name}.0.began").write_text(f"{by} 1 1 here\n")
        (tmp_path / getuser() / f"{name}.0.ended").write_text("0 0\n")
    (tmp_path / "scancel").write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/told\n')
    (tmp_path / "scancel").chmod(0o755)
    notes, programs = Notes({"records": str(tmp_path)}), Programs(str(tmp_path), {}, 8.0)
    notes.begin_load()
    for name, known in (("m-1", "7"), ("m-2", "9"), ("m-3", "10")):
        notes.told(ForeignJob(known, ForeignState.RUNNING, getuser(), "5", name), 0)
    notes.clear(programs)
    notes.begin_load()
    notes.clear(programs)
    assert (tmp_path / "told").read_text() == "--state=RUNNING 7\n", "9 waits for 8's end, and ends"


def test_each_job_that_is_said_to_run_has_its_note_looked_for_in_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm_notes, "LOOKED_AT", 2)
    monkeypatch.setattr(slurm_notes, "SETTLED", 0.0)
    (tmp_path / getuser()).mkdir()
    runs = [ForeignJob(f"{n}", ForeignState.RUNNING, getuser(), "5", f"m-{n}") for n in range(7)]
    for job in runs[3:]:
        note = tmp_path / getuser() / f"{job.token}.0"
        note.with_suffix(".0.began").write_text(f"{job.id} 1 1 here\n")
        note.with_suffix(".0.ended").write_text("0 0\n")
    notes, ended = Notes({"records": str(tmp_path)}), []
    for _ in range(5):
        notes.begin_load()
        told = [notes.told(job, 0) for job in runs]
        ended.append([each.id for each in told if isinstance(each, End)])
    assert ended[:4] == [[], ["3"], ["3", "4", "5"], ["3", "4", "5", "6"]]
    requeued = notes.told(runs[3], 1)
    assert requeued == runs[3], "another run of it has not ended"


def test_a_line_of_the_completion_file_is_no_proof_about_what_leaves_notes(tmp_path: Path) -> None:
    """A name with newlines writes one about another's job."""
    batch = Batch(tmp_path)
    notes = Notes({"records": str(tmp_path)})
    line = End("7", "failed", "job completion file: FAILED 1:0", "5", user=getuser())
    runs = ForeignJob("7", ForeignState.RUNNING, getuser(), "5", "m-1")
    notes.told(runs, 0)
    assert notes.believed(line), "nothing says that it leaves notes"
    batch.run("true")
    assert not notes.believed(line)
    assert notes.believed(replace(line, id="8"))


@pytest.mark.parametrize(
    ("options", "passed"),
    [
        (("--signal=B:USR1@60",), b"kill -USR1"),
        (("--signal", "RB:SIGINT"), b"kill -INT"),
        (("--signal=USR1@60",), b""),
    ],
)
def test_a_signal_for_the_script_alone_is_passed_on(
    options: tuple[str, ...], passed: bytes
) -> None:
    script = script_of(Start("m-1", (Share("n1"),), options=options), "", "/n/m-1")
    assert (passed in script) if passed else b"_child" not in script


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        (("-A", "proj", "--qos=low", "-Cfast", "--exclusive"), ""),
        (("--array=1-9",), "--array=1-9"),
        (("--arr", "1-9"), "--arr"),
        (("-a1-9",), "-a1-9"),
        (("-Qa1",), "-Qa1"),
        (("--wait",), "--wait"),
        (("other.sh",), "other.sh"),
        (("--qos=low", "other.sh"), "other.sh"),
        (("--",), "--"),
        (("-H",), "-H"),
    ],
)
def test_options_that_make_another_job_of_it_are_refused(
    words: tuple[str, ...], wrong: str
) -> None:
    assert unfit(words) == wrong


@pytest.mark.parametrize(
    "settings",
    [
        {"timeout": "soon"},
        {"config": "slurm.conf"},
        {"config": "/nowhere/slurm.conf"},
        {"colour": "1"},
        {"options": "x"},
    ],
)
def test_a_bad_setting_is_refused(settings: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        Slurm(settings)


def test_a_configuration_that_has_gone_is_named_and_no_command_waits_for_it(tmp_path: Path) -> None:
    config = tmp_path / "slurm.conf"
    config.touch()
    driver = Slurm({"config": str(config)})
    config.unlink()
    with pytest.raises(Trouble, match=re.escape(f"{config} is not there any more")):
        driver.list_nodes()


def test_a_cancel_by_token_ends_the_job_that_had_it_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Comments are told to all, and anybody may write one."""
    text = (DATA / "squeue.txt").read_text(encoding="utf-8")
    row = next(r for r in rows(text, "<%>", FIELDS) if r["State"] == "RUNNING")
    ours = {**row, "JobID": "9", "JobArrayID": "9", "UserName": "ann", "Comment": "m-1"}
    theirs = {**ours, "JobID": "10", "JobArrayID": "10", "UserName": "eve"}
    driver, asked = Slurm({}), []

    def run(words: list[str], **_: object) -> Answer:
        asked.append(words)
        return Answer(0, "", "")

    monkeypatch.setattr(driver._programs, "run", run)
    for listed in ([ours, theirs], [theirs, ours]):
        monkeypatch.setattr(driver, "_rows", lambda *_, listed=listed: listed)
        driver.cancel("", "m-1")
    assert asked == [["scancel", "9"], ["scancel", "9"]]
