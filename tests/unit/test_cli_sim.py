"""`ostler sim`: its text, its document, its files, its errors; no machine is needed for any."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from ostler.cli.main import main
from ostler.cli.reference import DOCUMENTS
from ostler.examples import workload
from ostler.sim import plots
from tests.unit.scripted import ROAD
from tests.unit.swf_kit import job, written

Captured = pytest.CaptureFixture[str]
FOUR = [job(1, 0, 50, 6), job(2, 10, 50, 6), job(3, 20, 20, 4), job(4, 30, 10, 10)]


@pytest.fixture
def four(tmp_path: Path) -> str:
    """Four jobs on ten processors: the second waits for the first, the third passes it."""
    return written(tmp_path / "four.swf", *FOUR, job(5, 40, 0))


def document(captured: Captured, *words: str) -> Any:
    assert main(["sim", "--json", *words]) == 0
    return json.loads(captured.readouterr().out)["runs"]


def test_policies_are_rows_in_the_order_asked_for(four: str, capfd: Captured) -> None:
    assert main(["sim", "--policy", "fcfs,easy", "--policy", "easy", four]) == 0
    sentence, heading, fcfs, easy = capfd.readouterr().out.splitlines()
    assert sentence == (
        f"{four}: 4 jobs on 10 processors, offered load 2.600, rule event; "
        "left out: 1 without a run time"
    )
    titles = ["POLICY", "MEAN-WAIT", "MEDIAN", "SLOWDOWN", "USED", "MAKESPAN", "JOBS/S"]
    assert heading.split() == titles
    # fcfs: starts 0, 50, 50, 100; easy lets the third start at 20
    assert fcfs.split()[:5] == ["fcfs", "35.000", "35.0", "3.325000", "0.70909"]
    assert easy.split()[:5] == ["easy", "27.500", "20.0", "2.950000", "0.70909"]


def test_the_document_has_the_keys_of_the_reference(four: str, capfd: Captured) -> None:
    first, second = document(capfd, four, "--policy", "fcfs,conservative", "--rule", "batch")
    noun, keys = DOCUMENTS["sim"]
    assert noun == "runs"
    assert [*first] == keys.split()
    assert (first["policy"], second["policy"]) == ("fcfs", "conservative")
    assert (first["trace"], first["rule"], first["jobs"], first["procs"]) == (four, "batch", 4, 10)
    assert (first["mean_wait"], first["makespan"], first["load"]) == (35.0, 110, 1.0)
    assert first["dropped"] == {"run_time": 1}
    assert first["seconds"] > 0
    assert first["jobs_per_second"] == 4 / first["seconds"]
    assert first["size_classes"][1] == {
        "least": 2,
        "most": 8,
        "jobs": 3,
        "mean_wait": 70 / 3,
        "median_wait": 30.0,
        "mean_bounded_slowdown": pytest.approx((1 + 1.8 + 2.5) / 3),
    }
    assert [row["most"] for row in first["length_classes"]][-2:] == [86_400, None]


def test_the_policy_is_easy_and_the_rule_event_unless_told(four: str, capfd: Captured) -> None:
    (run,) = document(capfd, four)
    assert (run["policy"], run["rule"]) == ("easy", "event")


def test_several_traces_come_in_the_order_asked_for(
    four: str, tmp_path: Path, capfd: Captured
) -> None:
    other = written(tmp_path / "other.swf", job())
    runs = document(capfd, other, four, "--policy", "fcfs,easy")
    assert [run["trace"] for run in runs] == [other, other, four, four]
    assert main(["sim", other, four]) == 0
    assert f"\n\n{four}: 4 jobs" in capfd.readouterr().out


def test_size_and_load_are_those_that_are_told(four: str, capfd: Captured) -> None:
    (run,) = document(capfd, four, "--procs", "20", "--load", "0.5")
    assert run["procs"] == 20
    assert run["mean_wait"] == 0
    assert run["load"] == 0.5
    assert run["offered_load"] == pytest.approx(780 / (20 * 60))


def test_jobs_that_all_came_at_one_time_offer_no_load_that_can_be_told(
    tmp_path: Path, capfd: Captured
) -> None:
    trace = tmp_path / "one.swf"
    trace.write_text("; MaxProcs: 4\n1 0 -1 5 1 -1 -1 1 10 -1 1 1 1 1 1 1 -1 -1\n")
    assert document(capfd, str(trace))[0]["offered_load"] is None
    assert main(["sim", "-q", str(trace), "--format", "offered_load,jobs"]) == 0
    assert capfd.readouterr().out.split() == ["-", "1"]


def test_classes_are_tables_with_the_policies_beside_one_another(
    four: str, capfd: Captured
) -> None:
    assert main(["sim", four, "--classes", "--policy", "fcfs,easy"]) == 0
    lines = capfd.readouterr().out.splitlines()
    at = lines.index("mean wait")
    assert lines[at + 1].split() == ["PROCESSORS", "JOBS", "fcfs", "easy"]
    assert [line.split() for line in lines[at + 2 : at + 5]] == [
        ["1", "0", "-", "-"],
        ["2-8", "3", "23.333", "13.333"],
        ["9-10", "1", "70.000", "70.000"],
    ]
    assert ["up", "to", "1m", "4", "35.000", "27.500"] in [line.split() for line in lines]
    assert lines.count("mean bounded slowdown") == 2


def test_waits_of_all_jobs_are_written_in_the_order_of_the_replay(
    four: str, tmp_path: Path, capfd: Captured
) -> None:
    path = tmp_path / "waits.csv"
    assert main(["sim", four, "--policy", "fcfs", "--per-job", str(path)]) == 0
    assert path.read_bytes() == b"job,wait\n1,0\n2,40\n3,30\n4,70\n"
    assert capfd.readouterr().err == ""


def test_a_quiet_table_is_only_rows_and_columns_can_be_chosen(four: str, capfd: Captured) -> None:
    assert main(["sim", "-q", four]) == 0
    assert capfd.readouterr().out.startswith("easy  27.500")
    assert main(["sim", four, "--format", "policy,makespan"]) == 0
    assert capfd.readouterr().out == "POLICY  MAKESPAN\neasy         110\n"


def test_a_column_that_there_is_not_is_refused_before_the_replay(capfd: Captured) -> None:
    assert main(["sim", "/no/such/trace", "--format", "policy,makespam"]) == 2
    told = capfd.readouterr().err
    assert "there is no column 'makespam' (trace, policy, rule, jobs, " in told


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        ("--policy esay FOUR", 2, "no policy is named 'esay'"),
        ("--policy easy, FOUR", 2, "no policy is named ''"),
        ("--rule both FOUR", 2, r"--rule cannot be 'both' \(event or batch\)"),
        ("--procs 0 FOUR", 2, "--procs cannot be 0"),
        ("--procs x FOUR", 2, "--procs cannot be 'x'"),
        ("--procs 100000001 FOUR", 2, r"--procs cannot be '100000001' \(100000000 at most\)"),
        (f"--procs {'9' * 5000} FOUR", 2, "--procs cannot be '9+"),
        ("--load 0 FOUR", 2, r"--load cannot be '0' \(a factor from 0.01 to 100\)"),
        ("--load nan FOUR", 2, "--load cannot be 'nan'"),
        ("--load x FOUR", 2, "--load cannot be 'x'"),
        ("none.swf", 2, "trace 'none.swf' cannot be read: No such file"),
        ("FOUR FOUR", 2, "is named twice"),
        ("--per-job x.csv --policy fcfs,easy FOUR", 2, "--per-job is for one replay"),
        ("--per-job none/x.csv FOUR", 2, "'none/x.csv' cannot be written"),
        ("--per-job= FOUR", 2, "'' cannot be written"),
        ("--per-job - FOUR", 2, "'-' names no file .*/dev/stdout"),
        ("--per-job ./four.swf FOUR", 2, "'./four.swf' is the trace itself"),
        ("--per-job /dev/full FOUR", 1, "'/dev/full' cannot be written: No space left"),
        ("--plot x.pdf FOUR", 2, r"'x.pdf' names no kind of picture .*\.png or \.svg"),
        ("--plot none/x.png FOUR", 2, "'none/x.png' cannot be written"),
        ("", 2, "missing argument"),
        ("--replay FOUR --classes", 2, "--replay goes with --policy alone"),
        ("--replay FOUR --plot x.png", 2, "--replay goes with --policy alone"),
        ("--replay FOUR --load 2", 2, "--replay goes with --policy alone"),
    ],
)
def test_what_is_wrong_is_told_with_its_status(
    four: str,
    capfd: Captured,
    monkeypatch: pytest.MonkeyPatch,
    words: str,
    status: int,
    sentence: str,
) -> None:
    monkeypatch.chdir(Path(four).parent)
    assert main(["sim", *words.replace("FOUR", four).split()]) == status
    told = capfd.readouterr()
    assert told.out == ""
    assert re.search(sentence, told.err), told.err


def test_a_picture_without_matplotlib_says_how_to_get_it(
    four: str, capfd: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plots, "find_spec", lambda _name: None)
    assert main(["sim", four, "--plot", "x.png"]) == 6
    assert "plots need matplotlib" in (told := capfd.readouterr().err)
    assert "pip install 'ostler[plot]'" in told


def test_pictures_are_what_their_names_say(four: str, tmp_path: Path) -> None:
    png, svg = tmp_path / "a.PNG", tmp_path / "$a$.svg"
    odd = written(tmp_path / "$x_\udcff$.swf", "; Computer: $\\frac$ 中", job())
    assert main(["sim", four, odd, "--policy", "fcfs,reserved-2", "--plot", str(png)]) == 0
    assert main(["sim", odd, "--plot", str(svg)]) == 0
    assert png.read_bytes().startswith(b"\x89PNG\r\n")
    assert ET.parse(svg).getroot().tag == "{http://www.w3.org/2000/svg}svg"


def test_the_command_runs_without_a_machine_and_reads_standard_input(four: str) -> None:
    done = subprocess.run(
        [sys.executable, "-SEI", str(ROAD), "sim", "-q", "--state", "/none/such", "-"],
        input=Path(four).read_bytes(),
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.startswith(b"easy  27.500")
    assert done.stderr == b""


def test_what_is_wrong_with_standard_input_is_told_as_such() -> None:
    words = [sys.executable, "-SEI", str(ROAD), "sim", "-"]
    done = subprocess.run(words, input=b"\x1f\x8b", capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"standard input: it is cut off" in done.stderr


def test_a_made_up_workload_can_be_replayed(
    tmp_path: Path, capfd: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["workload", "--jobs", "200", "--procs", "32"])
    assert workload.main() == 0
    first = capfd.readouterr().out
    assert workload.main() == 0
    assert capfd.readouterr().out == first
    (tmp_path / "made.swf").write_text(first)
    (run,) = document(capfd, str(tmp_path / "made.swf"))
    assert (run["jobs"], run["procs"], run["dropped"]) == (200, 32, {})
