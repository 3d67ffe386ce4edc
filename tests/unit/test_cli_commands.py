"""Commands as a user types them, against a manager that answers by script."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ostler.cli.columns import COLUMNS, NOUNS
from ostler.cli.table import COMMANDS
from ostler.client.spec import sha256
from ostler.core.listed import LISTED
from ostler.model import errors
from ostler.model.happening import Pattern
from ostler.model.site_changes import attribute
from ostler.model.suppose import MoreNodes, Supposed
from ostler.wire import messages
from tests.unit.scripted import (
    ROAD,
    SILENCE,
    Answer,
    Done,
    Manager,
    Request,
    by_column,
    manager,
    ostler,
)

ROW: dict[str, Any] = {
    "id": "12",
    "name": "fit",
    "user": "ann",
    "state": "running",
    "result": None,
    "exit_status": None,
    "reason": "",
    "rule": "",
    "command": "fit --all",
    "cpus": 2,
    "tasks": 3,
    "submitted_at": 1e9,
    "started_at": 1e9 + 5,
    "ended_at": None,
    "array": None,
    "elements": 1,
    "elements_done": 0,
    "allocation_nodes": ["n1"],
}
ENDED = ROW | {"state": "done", "result": "success", "exit_status": 0, "reason": "it succeeded"}


@contextmanager
def answering(state: Path, **answers: Answer) -> Iterator[Manager]:
    """Answer each request by its type or, for reads, by what is read."""

    def answer(request: Request) -> Answer:
        name = request.what if isinstance(request, messages.Read) else type(request).__name__
        found = answers[name.lower()]
        found = found(request) if callable(found) else found
        return by_column(request, found) if isinstance(request, messages.Read) else found

    with manager(state, answer) as made:
        yield made


def submitted(state: Path, *words: str | bytes, **options: Any) -> tuple[Done, messages.Submit]:
    with answering(state, submit={"job": "12"}) as made:
        done = ostler(state, "submit", *words, **options)
    assert done.err == ""
    [request] = made.requests
    assert isinstance(request, messages.Submit)
    return done, request


def test_submit_prints_the_id_alone(tmp_path: Path) -> None:
    done, _ = submitted(tmp_path, "--", "true")
    assert (done.status, done.out) == (0, "12\n")


def test_submit_prints_one_document(tmp_path: Path) -> None:
    done, _ = submitted(tmp_path, "--json", "--", "true")
    assert done.document == {"jobs": [{"id": "12"}]}


def test_submit_sends_what_was_asked(tmp_path: Path) -> None:
    words = (
        "-n 2 -c 3 -m 1G -t 90m --gpus 1 --generic lic=2 -N 1 -C a&!b --exclusive --spread "
        "-L matlab:2,ansys --reservation maint -w n[01-02] -x n3 -J fit --project p "
        "--priority 7 -p main -o %j.out -e %j.err -i in --array 0-3,9%2 --after 1,2:any "
        "--hold --requeue --retries 3 --retry-on 75,lost --signal USR1@60 --umask 027 "
        "--not-before 2100-01-01T00:00:00Z --"
    )
    _, request = submitted(tmp_path, *words.split(), "echo", "a b")
    spec = request.spec
    asked = spec.request
    assert (asked.tasks, asked.cpus, asked.memory, asked.gpus, asked.nodes) == (2, 3, 1 << 30, 1, 1)
    assert (asked.generic, asked.nodelist, asked.exclude) == ({"lic": 2}, ("n01", "n02"), ("n3",))
    assert (asked.constraint, asked.exclusive, asked.spread) == ("a&!b", True, True)
    assert (asked.licences, asked.reservation) == ({"ansys": 1, "matlab": 2}, "maint")
    assert (spec.name, spec.project, spec.priority, spec.time_limit) == ("fit", "p", 7, 5400)
    assert (spec.output, spec.error, spec.input) == (b"%j.out", b"%j.err", b"in")
    assert (spec.array, spec.array_cap) == (((0, 3), (9, 9)), 2)
    assert [(d.job, d.kind) for d in spec.after] == [(1, "ok"), (2, "any")]
    assert (spec.hold, spec.requeue, spec.retries, spec.retry_on) == (True, True, 3, ("75", "lost"))
    assert (spec.warn_signal, spec.warn_before, spec.umask) == (10, 60, 0o027)
    assert spec.not_before == 4102444800
    assert spec.argv == (b"echo", b"a b")


def test_arguments_and_environment_are_carried_as_bytes(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "LATIN": os.fsdecode(b"\xe9"), "LANG": "C"}
    _, request = submitted(tmp_path, "--", b"caf\xe9", env=environment)
    assert request.spec.argv == (b"caf\xe9",)
    assert request.spec.name == "caf?"
    [blob] = request.blobs
    assert request.spec.env == sha256(blob)
    pairs = blob.split(b"\0")
    assert b"LATIN=\xe9" in pairs
    assert not any(pair.startswith(b"LC_CTYPE") for pair in pairs)  # Python's own


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--env", "none"], {}),
        (["--env", "A"], {b"A": b"1"}),
        (["--env", "none", "--env", "C=x=y"], {b"C": b"x=y"}),
        (["--env", "B=9"], {b"A": b"1", b"B": b"9"}),
        (["--env", "MISSING"], {}),
    ],
)
def test_env_chooses_what_is_carried(
    tmp_path: Path, options: list[str], expected: dict[bytes, bytes]
) -> None:
    _, request = submitted(tmp_path, *options, "--", "true", env={"A": "1", "B": "2"})
    blob = request.blobs[0]
    found = dict(pair.split(b"=", 1) for pair in blob.split(b"\0") if pair)
    if options != ["--env", "B=9"]:
        assert found == expected
    else:
        assert expected.items() <= found.items()


def test_the_working_directory_and_umask_are_the_callers(tmp_path: Path) -> None:
    _, request = submitted(tmp_path, "--", "true", cwd=tmp_path)
    assert request.spec.cwd == os.fsencode(tmp_path)
    mask = os.umask(0)
    os.umask(mask)
    assert request.spec.umask == mask


def test_each_makes_an_element_of_every_line(tmp_path: Path) -> None:
    _, request = submitted(
        tmp_path, "--each", "-", "--array", "%3", "--", "true", stdin="a\nb\n\nc"
    )
    assert (request.spec.array, request.spec.array_cap) == (((0, 3),), 3)
    assert request.spec.items == sha256(b"a\nb\n\nc")
    assert b"a\nb\n\nc" in request.blobs


def script(folder: Path, text: str) -> str:
    path = folder / "job.sh"
    path.write_text(text)
    return str(path)


def test_a_script_travels_with_its_options_and_arguments(tmp_path: Path) -> None:
    text = "#!/bin/sh\n#OSTLER -n 2 -c 4 -t 1h\n#SBATCH -c 8 --time=30\ntrue\n#OSTLER -c 9\n"
    _, request = submitted(tmp_path, "-t", "2h", script(tmp_path, text), "-n", "7")
    spec = request.spec
    assert spec.script == sha256(text.encode())
    assert text.encode() in request.blobs
    assert spec.argv == (b"-n", b"7")
    assert spec.name == "job.sh"
    assert (spec.request.tasks, spec.request.cpus, spec.time_limit) == (2, 4, 7200)


def test_unknown_slurm_options_are_told_and_left_out(tmp_path: Path) -> None:
    path = script(tmp_path, "#!/bin/sh\n\n#SBATCH --mcs-label=x\ntrue\n")
    with answering(tmp_path, submit={"job": "12"}):
        done = ostler(tmp_path, "submit", path)
    assert done.out == "12\n"
    assert f"{path} line 3: #SBATCH --mcs-label=x is not known here" in done.err


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (["submit", "-c", "x", "--", "true"], 2, "--cpus cannot be 'x' (a whole number)"),
        (["submit", "-c", "0", "--", "true"], 2, "cpus cannot be 0 (from 1 to 1000000)"),
        (["submit", "-t", "90", "--", "true"], 2, "'90' has no unit; write it as 90s"),
        (["submit", "-m", "lots", "--", "true"], 2, "'lots' is not a size"),
        (["submit", "-m", "10", "--", "true"], 2, "10 bytes are too few; write it as 10M or 10G"),
        (["submit", "--retry-on", "75", "--", "true"], 2, "say how often: --retries N"),
        (["submit", "--retries", "1", "--retry-on", "75,x", "--", "true"], 2, "--retry-on cannot"),
        (["submit", "--after", "x", "--", "true"], 2, "--after cannot be 'x' (as in 12, 12:any"),
        (["submit", "--array", "9-1", "--", "true"], 2, "the first number must not exceed"),
        (["submit", "--array", "%3", "--", "true"], 2, "names no elements"),
        (["submit", "--signal", "FOO", "--", "true"], 2, "'FOO' is no signal"),
        (["submit", "--signal", "USR1@\N{SUPERSCRIPT TWO}", "--", "true"], 2, "--signal: "),
        (["submit", "--umask", "9", "--", "true"], 2, "--umask cannot be '9' (octal"),
        (["submit", "--not-before", "noon", "--", "true"], 2, "--not-before cannot be 'noon'"),
        (["submit", "--each", "/nosuch", "--", "true"], 2, "the list '/nosuch' cannot be read"),
        (["submit", "--each", "-", "--", "true"], 2, "has no lines"),
        (["submit", "nosuch"], 2, "there is no script 'nosuch' here"),
        (["submit", "nosuch"], 2, "to run a command: ostler submit -- nosuch"),
        (["submit", "echo", "a b"], 2, "to run a command: ostler submit -- echo 'a b'"),
        (["submit", "/etc/hostname", "x"], 2, "name what is to read it: ostler submit -- sh /etc"),
        (["submit", "-"], 2, "standard input is empty"),
        (["submit", "--at", "noon", "--", "true"], 2, "here it is --not-before"),
        (["submit", "-a", "1-5", "--", "true"], 2, "here it is --array"),
        (["submit", "--mail-type", "END", "--", "true"], 2, "--mail begin,end,fail"),
        (["submit", "--cron", "0 3 * * *", "--", "true"], 2, "here it is cron itself"),
        (["submit", "--depends", "12", "--", "true"], 2, "here it is --after JOB:ok"),
        (["jobs", "12"], 2, "`ostler job ID` shows one job"),
        (["jobs", "--failed"], 2, "here it is --state failed,timeout,memory,lost"),
        (["logs", "--tail", "3", "12"], 2, "here it is `| tail -n N` behind it"),
        (["logs"], 2, "as in: ostler logs -f 12"),
        (["wait"], 2, "all of yours: ostler wait $(ostler jobs -q --format id)"),
        (["restart"], 2, "did you mean `ostler down --leave` and then `ostler up`"),
        (["allocate", "-c", "1"], 2, "there is no command 'allocate'"),
        (["launch", "12", "--", "true"], 2, "there is no command 'launch'"),
        (["submit", "/proc/self/exe"], 2, "is no script (its first line begins with #!"),
        (["submit", "-J", "a\nb", "--", "true"], 2, "is not text (UTF-8, no control"),
        (["submit", "-D", "x" * 5000, "--", "true"], 2, "cwd is too long"),
        (["submit", "--env", "=x", "--", "true"], 2, "cannot be the name of a variable"),
        (["jobs", "--state", "runing"], 2, "--state cannot be 'runing' (held, pending"),
        (["jobs", "--since", "soon"], 2, "--since cannot be 'soon' (as in 2h (ago)"),
        (["modify", "12"], 2, "nothing is to be changed"),
        (["nodes", "n1"], 2, "`ostler node NAME` shows one node"),
        (["modify", "12", "--end-tasks"], 2, "--end-tasks alone changes nothing"),
        (["modify", "12", "--array", "1-2%3"], 2, "--array cannot be '1-2%3' here"),
        (["down", "--wait", "--kill"], 2, "contradict each other"),
        (["jobz"], 2, "there is no command 'jobz'; did you mean `ostler job"),
        (["squeue"], 2, "there is no command 'squeue'; did you mean `ostler jobs`"),
        (["drain", "n1"], 2, "did you mean `ostler nodes drain`"),
        (["scontrol", "show", "job", "1"], 2, "did you mean `ostler job`"),
        (["scontrol", "update", "NodeName=n1", "State=DRAIN"], 2, "`ostler nodes drain`"),
        (["scontrol", "hold", "1"], 2, "did you mean `ostler hold`"),
        (["scontrol", "update", "JobId=1"], 2, "did you mean `ostler modify`"),
        (["wait", "-t", "3", "1"], 2, "here it is `timeout 60 ostler wait ID`"),
        (["cancel", "-u", "ann"], 2, "here it is $(ostler jobs -q --format id) in place of ids"),
        (["acct", "-j", "1"], 2, "here it is --job ID"),
        (["nodes", "drain"], 2, "missing argument"),
        (["--nonsense", "jobs"], 2, "--nonsense cannot stand before a command"),
        (["jobs"], 5, "no machine is up at"),
        (["jobs"], 5, "start one with `ostler up`"),
        (["run", "true"], 5, "or at once with `ostler run --up`"),
        (["wait", "1"], 5, "no machine is up at"),
        (["down"], 5, "no machine is up at"),
    ],
)
def test_errors_say_what_is_wrong_and_end_with_their_status(
    tmp_path: Path, words: list[str], status: int, sentence: str
) -> None:
    done = ostler(tmp_path, *words)
    assert done.out == ""
    assert sentence in done.err
    assert done.err.startswith("ostler: ")
    assert "Traceback" not in done.err
    assert done.status == status


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (errors.UsageError("bad", hint="good"), 2, "ostler: bad; good\n"),
        (
            errors.Refused("too many", expected="most: 4"),
            3,
            "ostler: refused: too many (most: 4)\n",
        ),
        (errors.Missing("no job 12"), 4, "ostler: no job 12\n"),
        (errors.NotNow("later"), 5, "ostler: later\n"),
        (errors.Unsupported("never"), 6, "ostler: never\n"),
    ],
)
def test_the_managers_errors_end_with_their_status(
    tmp_path: Path, error: errors.OstlerError, status: int, text: str
) -> None:
    with answering(tmp_path, submit=error):
        done = ostler(tmp_path, "submit", "--", "true")
    assert (done.status, done.out, done.err) == (status, "", text)


def test_an_error_under_json_is_an_object_on_stderr(tmp_path: Path) -> None:
    with answering(tmp_path, submit=errors.Refused("no", expected="yes", hint="ask")):
        done = ostler(tmp_path, "submit", "--json", "--", "true")
    assert done.status == 3
    parts = {"code": "refused", "message": "no", "expected": "yes", "hint": "ask"}
    assert json.loads(done.err) == {"error": parts}


def test_a_script_with_line_ends_of_dos_is_refused(tmp_path: Path) -> None:
    done = ostler(tmp_path, "submit", script(tmp_path, "#!/bin/sh\r\necho hi\r\n"))
    assert done.status == 2
    assert "has the line ends of DOS" in done.err
    assert "sed -i 's/\\r$//'" in done.err


def test_a_script_from_standard_input_has_a_name(tmp_path: Path) -> None:
    _, request = submitted(tmp_path, "-", stdin="#!/bin/sh\ntrue\n")
    assert (request.spec.name, request.blobs[-1]) == ("stdin", b"#!/bin/sh\ntrue\n")


def test_a_warning_signal_without_a_time_limit_is_told(tmp_path: Path) -> None:
    with answering(tmp_path, submit={"job": "12"}):
        done = ostler(tmp_path, "submit", "--signal", "USR1@60", "--", "true")
    assert (done.status, done.out) == (0, "12\n")
    assert "and there is none; give one with -t" in done.err


def test_dry_run_says_what_would_be_asked(tmp_path: Path) -> None:
    with answering(tmp_path, submit={"would": ROW | {"rule": "resources"}}) as made:
        done = ostler(tmp_path, "submit", "--dry-run", "--", "true")
        document = ostler(tmp_path, "submit", "--dry-run", "--json", "--", "true").document
    assert isinstance(made.requests[0], messages.Submit)
    assert made.requests[0].dry
    assert "rule" in done.out
    assert "12" not in done.out  # no id yet
    assert document == {"would": ROW | {"rule": "resources"}}


def test_a_table_of_jobs_says_that_there_are_more_and_programs_get_all(tmp_path: Path) -> None:
    with answering(tmp_path, jobs={"jobs": [ROW], "more": 7}) as made:
        done = ostler(tmp_path, "jobs")
        quiet = ostler(tmp_path, "jobs", "--quiet", "--format", "id")
        ostler(tmp_path, "jobs", "--limit", "0")
        ostler(tmp_path, "jobs", "--limit", "5", "--json")
    assert "7 older ones are not shown" in done.err
    assert (quiet.out, quiet.err) == ("12\n", "")
    limits = [r.options.limit for r in made.requests if isinstance(r, messages.Read)]
    assert limits == [200, None, None, 5]


def test_jobs_asks_for_what_was_typed(tmp_path: Path) -> None:
    with answering(tmp_path, jobs={"jobs": [ROW]}) as made:
        ostler(tmp_path, "jobs")
        ostler(tmp_path, "jobs", "--all", "--user", "bob", "--state", "done,lost", "--since", "1h")
    plain, asked = (r.options for r in made.requests if isinstance(r, messages.Read))
    assert plain.limit == 200  # of a table; programs get all
    assert asked.since is not None
    assert time.time() - 3700 < asked.since < time.time() - 3500
    assert (asked.all, asked.user, asked.states) == (True, "bob", ["done", "lost"])


def test_only_a_table_of_jobs_asks_for_columns(tmp_path: Path) -> None:
    with answering(tmp_path, jobs={"jobs": [ROW, ENDED]}) as made:
        for words in (["--limit", "5"], ["--json"], ["--format", "id"], ["--tree"]):
            ostler(tmp_path, "jobs", *words)
    columns, *others = [r.options.columns for r in made.requests if isinstance(r, messages.Read)]
    assert others == [[], [], []]
    assert set(columns) == set(LISTED)


@pytest.mark.parametrize(
    "words",
    [
        ("jobs", "--json", "--format", "id"),
        ("--json", "nodes", "--format", "name"),
        ("acct", "--csv", "--json"),
        ("jobs", "--tree", "--format", "id"),
        ("jobs", "--watch", "--format", "id"),
        ("jobs", "--watch", "--tree"),
        ("sim", "--json", "--format", "policy", "made.swf"),
    ],
)
def test_two_forms_of_output_are_refused(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = ostler(tmp_path, *words)
    assert (done.status, done.out) == (2, "")
    assert "are two forms of output" in done.err


def test_a_table_shows_all_parts_and_columns_of_one_value(tmp_path: Path) -> None:
    parts = [
        {"rows": 2, "columns": {"id": ["1", "2"], "state": ["pending"], "rule": ["queue"]}},
        {"rows": 1, "columns": {"id": ["3"], "state": ["held"], "reason": ["it is held"]}},
    ]
    with answering(tmp_path, jobs={"parts": parts, "more": 0}):
        lines = ostler(tmp_path, "jobs").out.splitlines()
    told = [(line.split()[0], line.split()[3], line.split("-  ")[-1].strip()) for line in lines[1:]]
    assert told == [
        ("1", "pending", "waits: queue"),
        ("2", "pending", "waits: queue"),
        ("3", "held", "it is held"),
    ]


def test_a_table_says_that_a_node_of_a_job_is_silent(tmp_path: Path) -> None:
    silent = {**ROW, "state": "running", "allocation_nodes": ["n1"], "unknown_since": 5.0}
    with answering(tmp_path, jobs={"jobs": [silent]}):
        assert ostler(tmp_path, "jobs").out.rstrip().endswith("n1, silent")


def test_jobs_prints_a_table_or_the_document(tmp_path: Path) -> None:
    with answering(tmp_path, jobs={"jobs": [ROW, ENDED]}):
        table = ostler(tmp_path, "jobs").out.splitlines()
        chosen = ostler(tmp_path, "jobs", "--format", "id,state").out
        document = ostler(tmp_path, "jobs", "--json").document
    assert table[0].split()[:4] == ["ID", "NAME", "USER", "STATE"]
    assert table[1].split()[:6] == ["12", "fit", "ann", "running", "-", "6"]
    assert table[1].endswith("n1")
    assert table[2].split()[3] == "success"
    assert table[2].endswith("it succeeded")
    assert [line.split() for line in chosen.splitlines()[1:]] == [["12", "running"], ["12", "done"]]
    assert document == {"jobs": [ROW, ENDED]}


def test_no_jobs_is_told(tmp_path: Path) -> None:
    with answering(tmp_path, jobs={"jobs": []}):
        assert ostler(tmp_path, "jobs", "--state", "done").out == "no jobs\n"
        assert "no user 'nosuch' here" in ostler(tmp_path, "jobs", "--user", "nosuch").out
        assert ostler(tmp_path, "jobs", "--user", "root").out == "no unfinished jobs of root\n"
        assert ostler(tmp_path, "jobs").out.startswith("no unfinished jobs of yours; ")
        assert ostler(tmp_path, "jobs", "-q").out == ""
        assert ostler(tmp_path, "jobs", "--json").document == {"jobs": []}


def test_job_shows_its_elements(tmp_path: Path) -> None:
    row = ROW | {"element_rows": [{"id": "12_0", "state": "running", "output_path": "/o"}]}
    with answering(tmp_path, job={"jobs": [row]}):
        text = ostler(tmp_path, "job", "12").out
        document = ostler(tmp_path, "job", "12", "--json").document
    assert "element 12_0" in text
    assert "output_path  /o" in text
    assert document == {"jobs": [row]}


def test_job_shows_an_array_as_a_table(tmp_path: Path) -> None:
    element = {"state": "done", "result": "success", "exit_status": 0, "attempt": 1, "node": "n1"}
    rows = [element | {"id": f"12_{i}", "reason": "it succeeded"} for i in range(3)]
    with answering(tmp_path, job={"jobs": [ROW | {"array": "0-2", "element_rows": rows}]}):
        text = ostler(tmp_path, "job", "12").out
    assert ["12_2", "success", "0", "1"] in [line.split()[:4] for line in text.splitlines()]
    assert "`ostler job 12_0` shows all of one element" in text


def test_job_tells_nothing_of_an_only_element_twice(tmp_path: Path) -> None:
    row = ENDED | {
        "element_rows": [{"id": "12", "state": "done", "result": "success", "node": "n1"}]
    }
    with answering(tmp_path, job={"jobs": [row]}):
        text = ostler(tmp_path, "job", "12").out
    assert text.count("success") == 1
    assert text.endswith("\nelement 12\n  node  n1\n")


def test_job_names_tasks_by_rank(tmp_path: Path) -> None:
    element = {"id": "12", "state": "done", "tasks": [[0, 3, 0], [1, 0, 9]]}
    with answering(tmp_path, job={"jobs": [ROW | {"element_rows": [element]}]}):
        assert "tasks  0: 3, 1: signal 9" in ostler(tmp_path, "job", "12").out


def test_quiet_tables_have_no_heading(tmp_path: Path) -> None:
    with answering(tmp_path, jobs={"jobs": [ROW]}, nodes={"nodes": []}):
        assert ostler(tmp_path, "jobs", "-q", "--format", "id").out == "12\n"
        assert ostler(tmp_path, "jobs", "-q").out.startswith("12 ")
        assert ostler(tmp_path, "nodes", "-q").out == ""


def test_wait_ends_with_1_unless_all_succeeded(tmp_path: Path) -> None:
    failed = ENDED | {"id": "13", "result": "failed", "reason": "it exited with status 3"}
    with answering(tmp_path, wait=lambda r: {"jobs": [ENDED, failed][: len(r.refs)]}):
        good = ostler(tmp_path, "wait", "12")
        both = ostler(tmp_path, "wait", "12", "13")
        quiet = ostler(tmp_path, "wait", "-q", "12", "13")
    assert (good.status, good.out) == (0, "12: success: it succeeded\n")
    assert (both.status, both.out.splitlines()[1]) == (1, "13: failed: it exited with status 3")
    assert (quiet.status, quiet.out) == (1, "")


def test_wait_goes_on_while_the_manager_cannot_answer(tmp_path: Path) -> None:
    answers: Iterator[Answer] = iter([errors.NotNow("the disk is full"), {"jobs": [ENDED]}])
    with answering(tmp_path, wait=lambda _: next(answers)):
        done = ostler(tmp_path, "wait", "12")
    assert (done.status, done.out) == (0, "12: success: it succeeded\n")
    assert done.err == "ostler: the disk is full; still waiting\n"


@pytest.mark.parametrize("verb", ["cancel", "hold", "release", "suspend", "resume", "requeue"])
def test_verbs_tell_each_answer_and_end_with_the_first_refusal(tmp_path: Path, verb: str) -> None:
    rows = [
        {"id": "1", "ok": True, "message": "done so"},
        {"id": "2", "ok": False, "code": "missing", "message": "no job 2", "hint": "look"},
        {"id": "3", "ok": False, "code": "refused", "message": "not yours"},
    ]
    with answering(tmp_path, act={"jobs": rows}) as made:
        done = ostler(tmp_path, verb, "1", "2", "3")
        document = ostler(tmp_path, verb, "1", "2", "3", "--json").document
    assert isinstance(made.requests[0], messages.Act)
    assert (made.requests[0].verb, made.requests[0].refs) == (verb, ["1", "2", "3"])
    assert done.out == "1: done so\n"
    assert done.err == "ostler: 2: no job 2; look\nostler: 3: not yours\n"
    assert done.status == 4
    assert document == {"jobs": rows}


def test_requeue_failed_and_reasons_travel(tmp_path: Path) -> None:
    with answering(tmp_path, act={"jobs": []}) as made:
        ostler(tmp_path, "requeue", "--failed", "--reason", "try", "1")
    request = made.requests[0]
    assert isinstance(request, messages.Act)
    assert (request.failed, request.reason) == (True, "try")


def test_a_folder_for_output_that_is_not_there_is_told(tmp_path: Path) -> None:
    with answering(tmp_path, submit={"job": "12"}):
        for pattern, told in (
            ("logs/%a", "ostler: --output: there is no folder 'logs' now; a job needs it when it"),
            ("%x/out", ""),
            ("out-%a", ""),
            (f"{tmp_path}/out", ""),
        ):
            done = ostler(tmp_path, "submit", "-o", pattern, "--", "true")
            assert (done.out, done.err[: len(told) or None]) == ("12\n", told)


def test_explain_is_readable_and_one_object(tmp_path: Path) -> None:
    row = {
        "id": "12",
        "state": "pending",
        "rule": "resources",
        "reason": "it needs 4 CPUs and 1 is free",
        "expected_start": 4102444800.0,
        "blockers": ["9"],
        "ahead": ["10", "11"],
        "numbers": {"asked": 4, "free_memory": 1 << 30},
        "to_start_now": "ask for 1 CPU",
    }
    with answering(tmp_path, explain=row):
        text = ostler(tmp_path, "explain", "12").out
        document = ostler(tmp_path, "explain", "12", "--json").document
    assert text.startswith("job 12 is pending (resources): it needs 4 CPUs and 1 is free\n")
    for part in ("2100-01-01", "9", "10, 11", "ask for 1 CPU", "asked=4 free_memory=1G"):
        assert part in text
    assert document == row


def test_modify_sends_what_is_to_be_changed(tmp_path: Path) -> None:
    with answering(tmp_path, modify={"job": ROW}) as made:
        done = ostler(
            tmp_path,
            *[
                "modify",
                "12",
                "-t",
                "2h",
                "-m",
                "1G",
                "-c",
                "3",
                "--array",
                "%4",
                "--priority",
                "9",
                "-J",
                "new",
            ],
        )
        ostler(tmp_path, "modify", "12", "-t", "none")
        ostler(tmp_path, "modify", "12", "-C", "a|b", "-L", "x:2,y", "--reservation", "r")
        last = ostler(tmp_path, "modify", "12", "-C", "none", "-L", "none", "--reservation", "none")
        fewer = ostler(tmp_path, "modify", "12", "--nodes", "1", "--end-tasks")
    assert last.out == "12: constraint none, reservation none, licences none\n"
    assert fewer.out == "12: nodes 1\n"
    first, second, third, fourth, fifth = (
        r.changes for r in made.requests if isinstance(r, messages.Modify)
    )
    assert first == {
        "name": "new",
        "priority": 9,
        "cpus": 3,
        "time_limit": 7200,
        "memory": 1 << 30,
        "array_cap": 4,
    }
    assert second == {"time_limit": 0}
    assert fifth == {"nodes": 1, "end_tasks": True}
    assert third == {"constraint": "a|b", "reservation": "r", "licences": {"x": 2, "y": 1}}
    assert fourth == {"constraint": "", "reservation": "", "licences": {}}
    assert done.out == ("12: name new, priority 9, cpus 3, time_limit 2h, memory 1G, array_cap 4\n")


def test_logs_prints_the_files_and_follows_until_the_end(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("first\n")
    row = ROW | {"element_rows": [{"id": "12", "output_path": str(path)}]}

    def finish(request: Request) -> Answer:
        with path.open("a") as file:
            file.write("last\n")
        return {"jobs": [ENDED]}

    with answering(tmp_path, job={"jobs": [row]}, wait=finish):
        assert ostler(tmp_path, "logs", "12").out == "first\n"
        assert ostler(tmp_path, "logs", "-f", "12").out == "first\nlast\n"
        missing = ostler(tmp_path, "logs", "-e", "12")
    assert missing.status == 4
    assert "writes to no file" in missing.err


def test_logs_of_what_was_submitted_elsewhere_says_that_its_files_are_not_known(
    tmp_path: Path,
) -> None:
    row = ROW | {"kind": "foreign", "rm": "slurm", "element_rows": [{"id": "12"}]}
    with answering(tmp_path, job={"jobs": [row]}):
        missing = ostler(tmp_path, "logs", "slurm/4711")
    assert missing.status == 4
    assert "nobody has told where job slurm/4711 writes" in missing.err
    assert "submitted to slurm itself" in missing.err


def test_logs_of_an_array_have_headings(tmp_path: Path) -> None:
    rows = []
    for i in range(2):
        (tmp_path / f"{i}").write_text(f"text {i}\n")
        rows.append({"id": f"12_{i}", "output_path": str(tmp_path / f"{i}")})
    with answering(tmp_path, job={"jobs": [ROW | {"array": "0-1", "element_rows": rows}]}):
        text = ostler(tmp_path, "logs", "12").out
        bare = ostler(tmp_path, "logs", "-q", "12").out
    heads = [f"==> 12_{i}: {tmp_path}/{i} <==" for i in range(2)]
    assert text == f"{heads[0]}\ntext 0\n\n{heads[1]}\ntext 1\n"
    assert bare == "text 0\ntext 1\n"


def test_logs_of_a_job_that_never_wrote_say_how_it_ended(tmp_path: Path) -> None:
    row = ENDED | {"element_rows": [{"id": "12", "output_path": f"{tmp_path}/no/12.out"}]}
    why = {"id": "12", "state": "done", "result": "rejected", "reason": "there is no folder"}
    with answering(tmp_path, job={"jobs": [row]}, explain=why):
        done = ostler(tmp_path, "logs", "12")
    assert f"there is no {tmp_path}/no/12.out: job 12 has ended as rejected" in done.err
    assert "there is no folder" in done.err


EVENT = {"serial": 7, "at": 1e9, "kind": "job/submitted", "job": 12, "text": "asked"}


def test_events_and_history_are_tables_and_documents(tmp_path: Path) -> None:
    with answering(tmp_path, events={"events": [EVENT]}, history={"events": [EVENT]}):
        for words in (["events"], ["history", "12"], ["events", "--job", "12"]):
            assert "job/submitted  12  asked" in ostler(tmp_path, *words).out
            assert ostler(tmp_path, *words, "--json").document == {"events": [EVENT]}
        assert ostler(tmp_path, "events", "--since", "1h").out == "no events\n"


def test_a_query_prints_numbers_as_they_are(tmp_path: Path) -> None:
    answer = {"columns": ["at", "size", "part"], "rows": [[1795235588.935, 9678848, 0.0077]]}
    with answering(tmp_path, query=answer):
        assert ostler(tmp_path, "query", "-q", "select 1").out == (
            "1795235588.935  9678848  0.0077\n"
        )


def test_events_follow_goes_on_after_the_manager_came_back(tmp_path: Path) -> None:
    def follow(request: Request) -> Answer:
        assert isinstance(request, messages.Follow)
        number = request.id
        if request.since == 7:
            news = [messages.News(number, EVENT | {"serial": s}) for s in (7, 8)]
            return [messages.Reply(number, {}), *news, messages.Failure(99, "refused", "enough")]
        return [messages.Failure(number, "refused", f"unexpected since {request.since}")]

    with answering(tmp_path, events={"events": [EVENT]}, follow=follow):
        done = ostler(tmp_path, "events", "-f", "--json")
    assert [json.loads(line)["serial"] for line in done.out.splitlines()] == [7, 8]
    assert done.status == 3


def test_events_are_posted_with_or_without_an_object(tmp_path: Path) -> None:
    row = {"serial": 9, "at": 1e9, "kind": "user/backup", "text": "made"}
    with answering(tmp_path, post={"events": [row]}) as made:
        assert ostler(tmp_path, "events", "post", "user/backup", "home", "made").out == "9\n"
        done = ostler(tmp_path, "events", "post", "user/backup", "made", "--json")
    assert done.document == {"events": [row]}
    asked = [(r.kind, r.object, r.text) for r in made.requests if isinstance(r, messages.Post)]
    assert asked == [("user/backup", "home", "made"), ("user/backup", "", "made")]


def test_who_waits_for_an_event_gets_the_first_that_came_or_5(tmp_path: Path) -> None:
    def follow(request: Request) -> Answer:
        assert isinstance(request, messages.Follow)
        assert request.pattern == Pattern("node", "status", "n1")
        news = EVENT | {"serial": request.since, "kind": "node/status", "node": "n1"}
        told = [messages.News(request.id, news)] if request.since == 8 else []
        return [messages.Reply(request.id, {}), *told]

    words = ("events", "wait", "node/status", "--object", "n1")
    with answering(tmp_path, events={"events": [EVENT]}, follow=follow):
        assert ostler(tmp_path, *words, "--json").document["serial"] == 8
        late = ostler(tmp_path, *words, "--after", "8", "--timeout", "0s")
    assert (late.status, late.out) == (5, "")
    assert "no such event came in 0s" in late.err


def test_who_waits_for_what_never_comes_is_told(tmp_path: Path) -> None:
    follow = {"following": "all"}
    with answering(tmp_path, events={"events": [EVENT]}, follow=follow) as made:
        for words in (["events"], ["events", "-f"], ["events", "wait"]):
            done = ostler(tmp_path, *words, "node/sttus")
            assert (done.status, done.out) == (2, "")
            assert "nearest: node/status" in done.err
        assert made.requests == []
        hot = ostler(tmp_path, "events", "wait", "node/hot", "--timeout", "0s")
        assert "node/hot comes only if an operator posts it; by itself there is node/" in hot.err
        assert "comes only" in ostler(tmp_path, "events", "raid/lost").err
        known = ostler(tmp_path, "events", str(EVENT["kind"]).partition("/")[0])
        assert (known.err, known.out.count("\n")) == ("", 2)


def test_what_a_subscriber_has_read_is_acknowledged_and_a_gap_is_told(tmp_path: Path) -> None:
    """R-RMS-8: it goes on after the last event that it acknowledged."""

    def subscribe(request: Request) -> Answer:
        assert isinstance(request, messages.Subscribe)
        return {"subscribers": [{"name": "mirror", "serial": request.serial or 3}]}

    rows = [EVENT | {"serial": serial} for serial in (6, 7)]
    with answering(tmp_path, events={"events": rows}, subscribe=subscribe) as made:
        done = ostler(tmp_path, "events", "--subscribe", "mirror", "--json")
        ostler(tmp_path, "events", "--subscribe", "mirror", "--keep")
    assert [json.loads(line)["serial"] for line in done.out.splitlines()] == [6, 7]
    assert "events 4 to 5 are no longer kept" in done.err
    acknowledged = [r.serial for r in made.requests if isinstance(r, messages.Subscribe)]
    assert acknowledged == [None, 7, None]
    reads = [r.options.since for r in made.requests if isinstance(r, messages.Read)]
    assert reads == [4, 4]


def test_acct_query_nodes_and_config_print_documents_and_tables(tmp_path: Path) -> None:
    documents: dict[str, Answer] = {
        "acct": {
            "accounting": [{"job": 12, "element": 3, "cpu_user_seconds": 1.5, "max_rss": 1 << 20}]
        },
        "query": {"columns": ["a", "b"], "rows": [[1, "x"], [2, None]]},
        "nodes": {"nodes": [{"name": "n1", "status": "running", "cpus": 4, "memory": 8 << 30}]},
        "node": {"nodes": [{"name": "n1", "status": "running"}]},
        "settings": {"settings": [{"key": "k", "value": 1, "default": True, "help": "h"}]},
        "administer": {"changes": [{"verb": "set", "name": "k", "text": "set k"}], "serial": 1},
        "nodewordset": {"nodes": [{"name": "n1", "word": "draining", "allocations": 2}]},
    }
    commands = {
        "acct": "12_3",
        "query select": "2  -",
        "nodes": "8G",
        "node n1": "status  running",
        "config effective": "default",
        "config set k 2": "set k",
        "config unset k": "set k",
        "nodes drain n1 --reason disk": "n1: draining, 2 allocations run there",
    }
    with answering(tmp_path, **documents) as made:
        for words, part in commands.items():
            done = ostler(tmp_path, *words.split())
            assert (done.status, done.err) == (0, "")
            assert part in done.out
            assert ostler(tmp_path, *words.split(), "--json").document in documents.values()
    [one, _, two, _] = [r.changes for r in made.requests if isinstance(r, messages.Administer)]
    assert (one, two) == ([attribute("k", "2")], [attribute("k", None)])
    [word, _] = [r for r in made.requests if isinstance(r, messages.NodeWordSet)]
    assert (word.verb, word.nodes, word.reason) == ("drain", ["n1"], "disk")


def test_a_column_that_there_is_not_is_refused_with_those_there_are(tmp_path: Path) -> None:
    """Without rows, too: a program that splits lines would never learn of its typing error."""
    none: dict[str, Answer] = {
        "jobs": {"jobs": []},
        "acct": {"accounting": []},
        "nodes": {"nodes": []},
    }
    some = none | {"jobs": {"jobs": [ROW]}, "nodes": {"nodes": [{"name": "n1"}]}}
    for documents in (none, some):
        with answering(tmp_path, **documents):
            for command, column in (("jobs", "rule"), ("acct", "max_rss"), ("nodes", "word")):
                done = ostler(tmp_path, command, "--format", f"{column},foo")
                assert (done.status, done.out) == (2, "")
                assert "there is no column 'foo'" in done.err
                assert f" {column}," in done.err


def test_a_column_that_no_row_has_a_value_for_is_shown_empty(tmp_path: Path) -> None:
    with answering(tmp_path, jobs={"jobs": [ROW]}):
        assert ostler(tmp_path, "jobs", "-q", "--format", "id,streams,cpus").out == "12  -  2\n"


@pytest.mark.parametrize(
    "name", [n for n, c in COMMANDS.items() if any(o.name == "format" for o in c.options)]
)
def test_the_columns_of_every_command_that_takes_format_are_known(name: str) -> None:
    assert name == "sim" or NOUNS.get(name, name) in COLUMNS


def test_nodes_are_given_features(tmp_path: Path) -> None:
    row = {"name": "n1", "features": ["a100", "ib"]}
    with answering(tmp_path, nodewordset={"nodes": [row, {"name": "n2", "features": []}]}) as made:
        done = ostler(tmp_path, "nodes", "features", "n[1-2]", "a100, ib,a100")
        ostler(tmp_path, "nodes", "features", "n1", "none")
        ostler(tmp_path, "nodes", "features", "n1", "--reset")
    assert done.out == "n1: a100, ib\nn2: no features\n"
    asked = [(r.nodes, r.features) for r in made.requests if isinstance(r, messages.NodeWordSet)]
    assert asked == [(["n1", "n2"], ["a100", "ib"]), (["n1"], []), (["n1"], None)]
    for words in (["n1"], ["n1", "a", "--reset"]):
        done = ostler(tmp_path, "nodes", "features", *words)
        assert (done.status, "which features the nodes have is not clear" in done.err) == (2, True)


STATUS = {
    "state": "/s",
    "nodes": [{"name": "n1", "status": "running", "cpus": 4, "memory": 8 << 30, "declared": True}],
    "shortcomings": ["memory is only sampled"],
    "drivers": {"up": 0, "down": 2},
    "processes": {"manager": 10, "agent": 11, "supervisor": 9},
    "jobs": {"running": 2},
}


def test_status_says_what_there_is_and_what_cannot_be_enforced(tmp_path: Path) -> None:
    with answering(tmp_path, status=STATUS):
        text = ostler(tmp_path, "status").out
        document = ostler(tmp_path, "status", "--json").document
    for part in ("4 CPUs, 8G memory, no GPU (declared)", "memory is only sampled", "manager 10"):
        assert part in text
    assert "2 running" in text
    assert "  drivers    up: 0, down: 2\n" in text
    assert document == STATUS


def test_help_lists_all_commands_and_shows_an_example(tmp_path: Path) -> None:
    assert "submit" in ostler(None).out
    assert "submit" in ostler(None, "--help").out
    done = ostler(None, "submit", "--help")
    assert (done.status, done.err) == (0, "")
    assert "Example: ostler submit" in done.out
    assert ostler(None, "help", "submit").out == done.out
    assert ostler(None, "--version").out.startswith("ostler 0")


def test_a_reader_that_leaves_ends_the_command_quietly(tmp_path: Path) -> None:
    rows = [ROW] * 10_000
    with answering(tmp_path, jobs={"jobs": rows}):
        command = f"{sys.executable} -SEI {ROAD} --state {tmp_path} jobs | head -1"
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("ID")
    assert done.stderr == ""


def test_the_folder_may_have_a_long_name(tmp_path: Path) -> None:
    state = tmp_path / ("x" * 150)
    state.mkdir()
    with answering(state, jobs={"jobs": []}):
        assert ostler(state, "jobs").out.startswith("no unfinished jobs of yours; ")


def test_a_silent_manager_is_waited_for(tmp_path: Path) -> None:
    def answer(request: Request) -> Answer:
        messages_now = [messages.Reply(1, {"jobs": []})]
        made.tell(messages_now[0])
        return SILENCE

    with manager(tmp_path, answer) as made:
        assert ostler(tmp_path, "jobs").out.startswith("no unfinished jobs of yours; ")


def test_what_is_supposed_travels_as_values(tmp_path: Path) -> None:
    answer = {"id": "12", "answer": "it would start now on n1", "after": {"starts_now": 1}}
    words = [
        "--if",
        "time=2h,nodelist=n[1-2],n5,cpus=4",
        "--if",
        "generic=lic=2,exclude=,licences=x:2,y",
    ]
    with answering(tmp_path, explain=answer) as made:
        done = ostler(tmp_path, "explain", "12", *words, "--if-nodes", "+4,+2:n7,-n3,n4")
        ostler(tmp_path, "explain", "--if", "time=none,array=0-9,20")
    first, second = (r for r in made.requests if isinstance(r, messages.Read))
    assert (first.ref, second.ref) == ("12", "")
    assert first.options.suppose == Supposed(
        time_limit=7200,
        cpus=4,
        nodelist=("n1", "n2", "n5"),
        exclude=(),
        generic={"lic": 2},
        licences={"x": 2, "y": 1},
        more=(MoreNodes(4), MoreNodes(2, "n7")),
        without=("n3", "n4"),
    )
    assert second.options.suppose == Supposed(time_limit=0, array=((0, 9), (20, 20)))
    assert done.out == "job 12: it would start now on n1\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--if", "tim=2h"], "did you mean 'time'"),
        (["--if", "env=none"], "does not depend on its env"),
        (["--if", "time"], "time needs a value"),
        (["--if", "cpus="], "cpus needs a value"),
        (["--if", "memory=7"], "7 bytes are too few"),
        (["--if", "cpus=1", "--if-nodes", "4"], "--if-nodes cannot be '4'"),
        (["--if", "cpus=1", "--if-nodes", "-2"], "--if-nodes -2 does not say which"),
        (["--if", "cpus=1", "--if-nodes", "+0"], "adds nothing"),
        (["--if", "cpus=1", "--if-nodes", "+99999"], "cannot be '99999'"),
        (["--if-nodes", "+1"], "no job is named"),
        ([], "no job is named"),
    ],
)
def test_what_cannot_be_supposed_is_a_usage_error(
    tmp_path: Path, words: list[str], told: str
) -> None:
    with answering(tmp_path, explain={}):
        done = ostler(tmp_path, "explain", *words)
    assert told in done.err
    assert done.status == 2


def test_a_supposition_is_told_beside_what_is(tmp_path: Path) -> None:
    at = 4102444800.0
    before = {"rule": "queue", "expected_start": at + 60, "expected_nodes": ["n1", "n2"]}
    after = {
        "rule": "resources",
        "reason": "it needs 4 CPUs",
        "expected_start": at,
        "expected_nodes": ["n2"],
        "assumption": "if job 7 takes its whole time limit",
        "filters": [{"filter": "usable", "asks": "usable", "nodes": 12}],
        "place": 3,
        "priority_parts": {"priority": 50.0, "age": 1.5, "size": 0.0},
    }
    row = {"id": None, "answer": "it would", "before": before, "after": after}
    with answering(tmp_path, explain=row | {"supposed_nodes": ["1 more node"]}):
        lines = ostler(tmp_path, "explain", "--if", "cpus=4").out.splitlines()
    assert lines[0] == "such a job: it would"
    assert lines[1].split() == ["supposed", "1", "more", "node"]
    assert lines[2].startswith("  as it is        at 2100-01-01")
    assert " on n[1-2], in " in lines[2]
    assert lines[2].endswith("(queue)")
    assert " on n2, in " in lines[3]
    assert lines[3].endswith("(resources), if job 7 takes its whole time limit")
    assert lines[4:] == [
        "  why not now     it needs 4 CPUs",
        "  place in queue  3, score 51.5 = priority 50 + age 1.5",
        "  nodes           12 usable",
    ]


ATTEMPT = {
    "job": "12", "element": 0, "user": "ann", "project": "", "nodes": "n1", "cpus": 2,
    "started_at": 1e9, "ended_at": 1e9 + 90, "cpu_user_seconds": 1.5, "result": "success",
}  # fmt: skip
USED = {"period": "", "user": "ann", "jobs": 3, "held_cpu_seconds": 7200.0, "held_gpu_seconds": 0.0}


def test_acct_says_when_there_is_more_than_it_shows(tmp_path: Path) -> None:
    with answering(tmp_path, acct={"accounting": [ATTEMPT], "more": True}) as made:
        done = ostler(tmp_path, "acct", "--period", "2001-09", "--project", "p", "-p", "main")
        assert "1m 30s" in done.out
        assert "these are the last 1; there are more: --limit 0" in done.err
        assert ostler(tmp_path, "acct", "--json").document == {"accounting": [ATTEMPT]}
    [asked, _] = [r.options for r in made.requests if isinstance(r, messages.Read)]
    assert (asked.project, asked.partition, asked.user, asked.all) == ("p", "main", None, False)
    assert asked.since is not None
    assert asked.until is not None
    assert asked.until - asked.since == pytest.approx(30 * 86_400, abs=3_600)


def test_acct_usage_and_query_print_csv(tmp_path: Path) -> None:
    row = {"columns": ["a", "b"], "rows": [[1, 'x, "y"'], [2.5, None]]}
    answers: dict[str, Answer] = {"query": row, "usage": {"usage": [USED]}}
    with answering(tmp_path, **answers, acct={"accounting": [ATTEMPT]}):
        assert ostler(tmp_path, "query", "select", "--csv").out == 'a,b\r\n1,"x, ""y"""\r\n2.5,\n'
        some = ostler(tmp_path, "acct", "--csv", "--format", "job,ended_at")
        assert some.out == "job,ended_at\r\n12,1000000090.0\n"
        assert ostler(tmp_path, "acct", "--csv", "--format", "jbo").status == 2
        assert ostler(tmp_path, "usage", "--csv").out.startswith("period,user,jobs,")
    with answering(tmp_path, acct={"accounting": []}):
        nothing = ostler(tmp_path, "acct", "--csv").out
        assert (nothing.count("\n"), nothing[:11]) == (1, "allocation,")


def test_usage_asks_for_each_month_and_shows_hours(tmp_path: Path) -> None:
    with answering(tmp_path, usage={"usage": [USED | {"period": "2001-09"}]}) as made:
        done = ostler(tmp_path, "usage", "--all", "--by", "user,month", "--period", "2001")
        assert done.err == ""
        assert "2h" in done.out
        assert "GPU" not in done.out
    [request] = made.requests
    assert isinstance(request, messages.Read)
    assert (request.options.by, request.options.all) == (["user"], True)
    assert [name for name, *_ in request.options.spans] == [f"2001-{m:02}" for m in range(1, 13)]


@pytest.mark.parametrize(
    "words",
    ["--by user,group", "--by day,month", "--period never", "--period today --since 2h",
     "--since 1h --until 2h"],
)  # fmt: skip
def test_what_usage_cannot_count_is_refused_before_anybody_is_asked(
    tmp_path: Path, words: str
) -> None:
    with answering(tmp_path) as made:
        assert ostler(tmp_path, "usage", *words.split()).status == 2
    assert made.requests == []


def test_empty_lists_say_what_there_is_not_as_people_call_it(tmp_path: Path) -> None:
    with answering(tmp_path, site={"access_controls": []}, handled={"handled": []}):
        assert ostler(tmp_path, "access").out == "no access rules\n"
        assert ostler(tmp_path, "events", "handled").out == "nothing was handled\n"


def test_a_handler_of_what_comes_only_if_it_is_posted_is_made_and_told(tmp_path: Path) -> None:
    for kind, told in (("node/hot", "node/hot comes only if"), ("node/word", ""), ("", "")):
        after = {"event": kind, "command": "/bin/true"}
        row = {"verb": "create", "kind": "handler", "name": "h", "before": None, "after": after}
        with answering(tmp_path, administer={"changes": [row | {"text": "made"}], "serial": 2}):
            done = ostler(tmp_path, "handlers", "create", "h", "command=/bin/true", f"event={kind}")
        assert (done.status, done.out) == (0, "made\n")
        assert told in done.err
        assert bool(told) == bool(done.err)


def test_a_rule_about_somebody_whom_nobody_knows_is_made_and_told(tmp_path: Path) -> None:
    def changed(kind: str, name: str) -> dict[str, object]:
        row = {"verb": "create", "kind": kind, "name": name, "after": {"allow": True}}
        return {"changes": [row | {"text": f"created {kind} {name}"}], "serial": 2}

    for words, kind, name, told in (
        ("access allow main --user root", "access", "main user root", ""),
        ("access allow main --user nosuch", "access", "main user nosuch", "user 'nosuch'"),
        ("access allow main --group nosuch", "access", "main group nosuch", "group 'nosuch'"),
        ("access allow main --project nosuch", "access", "main project nosuch", ""),
        ("access allow main", "access", "main default ", ""),
        ("users set nosuch role=user", "user", "nosuch", "user 'nosuch'"),
        ("users remove nosuch", "user", "nosuch", ""),
    ):
        document = changed(kind, name)
        if "remove" in words:
            document["changes"][0]["after"] = None  # type: ignore[index]
        with answering(tmp_path, administer=document):
            done = ostler(tmp_path, *words.split())
        assert (done.status, done.out) == (0, f"created {kind} {name}\n")
        assert done.err == (told and f"ostler: this host knows no {told} now: {UNTIL}\n"), words


UNTIL = "until it does, that is about nobody"


def test_who_has_dealt_with_an_event_is_said_and_shown(tmp_path: Path) -> None:
    dealt = EVENT | {"dealt_by": "ann", "dealt_at": 1e9, "dealt_note": "water"}
    with answering(tmp_path, events={"events": [dealt, EVENT]}, deal={"events": []}) as made:
        assert ostler(tmp_path, "events", "ack", "7", "--reason", "water").status == 0
        shown = ostler(tmp_path, "events").out
        assert ostler(tmp_path, "events", "ack", "mirror", "7", "--reason", "x").status == 2
    assert "asked [dealt with by ann: water]\n" in shown
    assert shown.endswith("  12  asked\n")
    deal = made.requests[0]
    assert isinstance(deal, messages.Deal)
    assert (deal.serial, deal.note) == (7, "water")


def test_jobs_of_one_partition_are_asked_for(tmp_path: Path) -> None:
    with answering(tmp_path, jobs={"jobs": []}) as made:
        assert ostler(tmp_path, "jobs", "-p", "batch", "--all").out == "no jobs\n"
        assert ostler(tmp_path, "jobs", "--partition", "batch").out == "no jobs\n"
    asked = [request.options for request in made.requests if isinstance(request, messages.Read)]
    assert [(options.partition, options.all) for options in asked] == [
        ("batch", True),
        ("batch", False),
    ]
