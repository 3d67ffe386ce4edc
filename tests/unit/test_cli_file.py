"""`ostler submit --file` as a user types it, against a manager that answers by script."""

from pathlib import Path

import pytest

from ostler.model import errors
from ostler.wire import messages
from tests.unit.scripted import Answer, Done, Request, manager, ostler

FLOW = """
[prepare]
command = ["./prepare", "data"]
time = "1h"

[work]
after = "prepare"
array = "0-9%2"
cpus = 2
requeue = true
hold = false
env = ["A=1", "B=2"]
command = ["./work"]

[report]
after = ["work:any", "prepare", "12:fail"]
script = ["report.sh", "all"]
"""


def submitted(
    folder: Path, text: str, *words: str, answer: Answer = None
) -> tuple[Done, list[Request]]:
    (folder / "jobs.toml").write_text(text)
    (folder / "report.sh").write_text("#!/bin/sh\n#OSTLER -n 2 --after 7 -J other\n")
    body = answer or {"jobs": [{"id": "9", "name": "prepare"}, {"id": "10", "name": "work"}]}
    with manager(folder, lambda _: body) as made:
        done = ostler(folder, "submit", "--file", "jobs.toml", *words, cwd=folder)
    return done, made.requests


def test_all_jobs_of_a_file_go_in_one_message(tmp_path: Path) -> None:
    done, requests = submitted(tmp_path, FLOW)
    assert (done.status, done.out, done.err) == (0, " 9  prepare\n10  work\n", "")
    [request] = requests
    assert isinstance(request, messages.SubmitAll)
    prepare, work, report = (part.spec for part in request.jobs)
    assert (prepare.name, prepare.argv, prepare.time_limit) == (
        "prepare",
        (b"./prepare", b"data"),
        3600,
    )
    assert (work.array, work.array_cap, work.request.cpus) == (((0, 9),), 2, 2)
    assert (work.requeue, work.hold) == (True, False)
    assert (report.name, report.request.tasks, report.argv) == ("report", 2, (b"all",))
    assert [[(link.at, link.kind) for link in part.links] for part in request.jobs] == [
        [],
        [(0, "ok")],
        [(1, "any"), (0, "ok")],
    ]
    assert [(d.job, d.kind) for d in report.after] == [(7, "ok"), (12, "fail")]
    assert not request.dry
    assert len(request.blobs) == len(set(request.blobs)) == 3  # two environments and a script


def test_the_document_has_the_name_and_id_of_each(tmp_path: Path) -> None:
    done, _ = submitted(tmp_path, FLOW, "--json")
    assert done.document == {"jobs": [{"id": "9", "name": "prepare"}, {"id": "10", "name": "work"}]}


def test_a_dry_one_shows_a_table(tmp_path: Path) -> None:
    row = {"name": "prepare", "elements": 1, "tasks": 1, "cpus": 1, "starts_now": 1, "rule": ""}
    done, [request] = submitted(tmp_path, FLOW, "--dry-run", answer={"would": [row]})
    assert isinstance(request, messages.SubmitAll)
    assert request.dry
    assert done.out.splitlines()[0].split() == ["NAME", "ELEMENTS", "TASKS", "CPUS", "NOW", "WAITS"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "jobs.toml has 0 jobs (1 to 10000)"),
        ("x = 1", "x stands outside of any job"),
        ("[[job]]\ncommand=['x']", "[[job]] makes a list (a table for each job, as in [NAME])"),
        ("[a]\ncommand = 'true'", "job 'a': its command 'true' is one string"),
        ("[a]\ncommand = []", "job 'a': its command is empty"),
        ("[a]", "job 'a': it has neither command nor script"),
        ("[a]\ncommand=['x']\nscript='y'", "job 'a': it has both command and script"),
        ("[a]\ncommand=['x']\naray='0-9'", "no option 'aray'; did you mean 'array'"),
        ("[a]\ncommand=['x']\nname='b'", "the name of its table is its name"),
        ("[a]\ncommand=['x']\nhold='yes'", "job 'a': hold cannot be 'yes' (true or false)"),
        ("[a]\ncommand=['x']\ncpus=[1]", "job 'a': cpus cannot be [1]"),
        ("[a]\ncommand=['x']\ntime='90'", "job 'a': --time"),
        ("[a]\ncommand=['x']\nenv={A=1}", "job 'a': env cannot be {'A': 1} (a list of texts)"),
        ("[a]\ncommand=['x']\nafter='aa'", "it waits for 'aa', and no job of the submission"),
        ("[work]\ncommand=['x']\nafter='wrok'", "did you mean 'work'"),
        ("[12]\ncommand=['x']", "a job cannot be named '12'"),
        ("['a:b']\ncommand=['x']", "a job cannot be named 'a:b'"),
        ("[a]\nscript='nosuch.sh'", "job 'a': there is no script 'nosuch.sh' here"),
        ("[a\n", "jobs.toml: Expected ']'"),
        ("a = " + "[" * 3000, "jobs.toml: "),
    ],
)
def test_what_is_wrong_is_told_with_its_job_and_nothing_is_sent(
    tmp_path: Path, text: str, said: str
) -> None:
    done, requests = submitted(tmp_path, text)
    assert done.status == 2
    assert said in done.err
    assert not requests


@pytest.mark.parametrize("words", [["-n", "2"], ["--hold"], ["--", "true"]])
def test_options_of_jobs_stand_in_the_file(tmp_path: Path, words: list[str]) -> None:
    done, requests = submitted(tmp_path, FLOW, *words)
    assert (done.status, requests) == (2, [])
    assert "--file stands alone" in done.err


def test_bytes_that_are_no_text_are_no_file_of_jobs(tmp_path: Path) -> None:
    (tmp_path / "jobs.toml").write_bytes(b"[a]\ncommand = ['\xff']\n")
    done = ostler(tmp_path, "submit", "--file", "jobs.toml", cwd=tmp_path)
    assert (done.status, "it is not text" in done.err) == (2, True)


def test_a_refusal_of_the_manager_is_told_as_it_came(tmp_path: Path) -> None:
    refusal = errors.Refused("job 'work': it asks for 9 CPUs")
    done, _ = submitted(tmp_path, FLOW, answer=refusal)
    assert (done.status, done.err) == (3, "ostler: refused: job 'work': it asks for 9 CPUs\n")


def test_nothing_to_submit_is_told_with_what_there_could_be(tmp_path: Path) -> None:
    for words in ([], ["--"], ["-n", "2"]):
        done = ostler(tmp_path, "submit", *words)
        assert done.status == 2
        assert "there is nothing to submit (a script, or -- and a command" in done.err
