"""The Python API, against a manager that answers by script."""

import os
from pathlib import Path
from typing import Any

import pytest

import ostler
from ostler.client import Client, JobInfo
from ostler.client.asks import Submission
from ostler.client.spec import sha256, split_environment
from ostler.client.values import JobOptions
from ostler.model.errors import Missing, NotNow, Refused, UsageError
from ostler.wire import messages
from tests.unit.scripted import HANG_UP, SILENCE, Answer, Request, manager, play_supervisor


class Machine:
    """Gives out ids, and ends every job that is waited for."""

    def __init__(self) -> None:
        self.specs: list[messages.Submit] = []
        self.acts: list[tuple[str, list[str]]] = []
        self.reads: list[messages.Read] = []

    def __call__(self, request: Request) -> Answer:
        if isinstance(request, messages.Submit):
            known = [s.request_id for s in self.specs]
            if request.request_id not in known:
                self.specs.append(request)
                known.append(request.request_id)
            return {"job": str(known.index(request.request_id) + 1)}
        if isinstance(request, messages.Wait):
            return {"jobs": [self.row(ref) for ref in request.refs]}
        if isinstance(request, messages.Act):
            self.acts.append((request.verb, request.refs))
            return {"jobs": [{"id": ref, "ok": True} for ref in request.refs]}
        if isinstance(request, messages.Query):
            return {"columns": ["a", "b"], "rows": [[1, 2]]}
        assert isinstance(request, messages.Read)
        self.reads.append(request)
        return {"jobs": [self.row(request.ref or "1")], "id": request.ref}

    def row(self, ref: str) -> dict[str, Any]:
        result = "failed" if ref == "2" else "success"
        return {"id": ref, "state": "done", "result": result, "exit_status": 0, "new_column": 1}


def test_a_job_is_submitted_awaited_and_cancelled(tmp_path: Path) -> None:
    machine = Machine()
    with manager(tmp_path, machine), ostler.connect(str(tmp_path)) as client:
        job = client.submit(["echo", b"a\xe9"], cpus=2, memory="1G", time="90m", name="fit")
        assert job.id == "1"
        assert job.wait() == JobInfo("1", "done", "success", 0)
        assert job.wait().ok
        assert not client.wait(["2"])[0].ok
        job.cancel()
        assert job.info().state == "done"
        assert job.explain()["id"] == "1"
        assert client.query("select 1") == [{"a": 1, "b": 2}]
    spec = machine.specs[0].spec
    assert spec.argv == (b"echo", b"a\xe9")
    assert (spec.request.cpus, spec.request.memory, spec.time_limit) == (2, 1 << 30, 5400)
    assert spec.cwd == os.getcwdb()
    assert machine.acts == [("cancel", ["1"])]


def test_submissions_do_not_wait_for_their_answers(tmp_path: Path) -> None:
    held: list[Request] = []

    def answer(request: Request) -> Answer:
        if not isinstance(request, messages.Submit):
            return {"jobs": []}
        held.append(request)
        if len(held) < 100:
            return SILENCE
        return [messages.Reply(r.id, {"job": str(r.id)}) for r in held if hasattr(r, "id")]

    with manager(tmp_path, answer), Client(str(tmp_path)) as client:
        jobs = client.submit_many({"argv": ["true"], "options": {"tasks": 2}} for _ in range(100))
        assert [job.id for job in jobs] == [str(i) for i in range(1, 101)]


def test_a_submission_that_is_repeated_is_one_job(tmp_path: Path) -> None:
    play_supervisor(tmp_path)
    machine = Machine()
    hangs = iter([True, False])

    def answer(request: Request) -> Answer:
        found = machine(request)
        return HANG_UP if next(hangs, False) else found

    with manager(tmp_path, answer), Client(str(tmp_path)) as client:
        assert client.submit(["true"]).id == "1"
        assert client.submit(["true"]).id == "2"
    assert len(machine.specs) == 2


def test_jobs_are_yielded_as_they_end(tmp_path: Path) -> None:
    waits: dict[str, int] = {}

    def answer(request: Request) -> Answer:
        assert isinstance(request, messages.Wait)
        waits[request.refs[0]] = request.id
        if len(waits) < 3:
            return SILENCE
        row = {"state": "done", "result": "success"}
        return [messages.Reply(waits[i], {"jobs": [row | {"id": i}]}) for i in ("3", "1", "2")]

    with manager(tmp_path, answer), Client(str(tmp_path)) as client:
        assert sorted(info.id for info in client.as_completed([1, 2, 3])) == ["1", "2", "3"]


def test_refusals_are_raised_where_the_answer_is_looked_at(tmp_path: Path) -> None:
    def answer(request: Request) -> Answer:
        if isinstance(request, messages.Submit):
            return Refused("too many CPUs")
        row = {"id": "9", "ok": False, "code": "missing", "message": "no job 9"}
        return {"jobs": [{"id": "8", "ok": True}, row]}

    with manager(tmp_path, answer), Client(str(tmp_path)) as client:
        job = client.submit(["true"], cpus=100)
        for _ in range(2):
            with pytest.raises(Refused, match="too many CPUs"):
                _ = job.id
        with pytest.raises(Missing, match="no job 9"):
            client.cancel("8", "9")


def submitted(tmp_path: Path, *args: Any, **options: Any) -> messages.Submit:
    machine = Machine()
    with manager(tmp_path, machine), Client(str(tmp_path)) as client:
        _ = client.submit(*args, **options).id
    return machine.specs[0]


def test_arrays_lists_and_dependencies_become_ranges(tmp_path: Path) -> None:
    spec = submitted(tmp_path, ["true"], array=range(10), array_cap=2, after=[3, ("4", "any")]).spec
    assert (spec.array, spec.array_cap) == (((0, 9),), 2)
    assert [(d.job, d.kind) for d in spec.after] == [(3, "ok"), (4, "any")]


@pytest.mark.parametrize(
    ("array", "spans"),
    [
        ("0-3,9", ((0, 3), (9, 9))),
        ([5, 1, 2], ((1, 2), (5, 5))),
        (range(0, 6, 2), ((0, 0), (2, 2), (4, 4))),
    ],
)
def test_elements_can_be_named_in_many_ways(
    tmp_path: Path, array: Any, spans: tuple[tuple[int, int], ...]
) -> None:
    assert submitted(tmp_path, ["true"], array=array).spec.array == spans


def test_an_array_may_name_its_cap(tmp_path: Path) -> None:
    spec = submitted(tmp_path, ["true"], array="0-9%3").spec
    assert (spec.array, spec.array_cap) == (((0, 9),), 3)


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ("65", [(65, "ok")]),
        (65, [(65, "ok")]),
        (("65", "any"), [(65, "any")]),
        (["65", (66, "fail")], [(65, "ok"), (66, "fail")]),
    ],
)
def test_one_job_to_wait_for_may_stand_alone(
    tmp_path: Path, after: Any, expected: list[tuple[int, str]]
) -> None:
    spec = submitted(tmp_path, ["true"], after=after).spec
    assert [(d.job, d.kind) for d in spec.after] == expected


def test_a_word_is_one_job_and_not_its_letters(tmp_path: Path) -> None:
    machine = Machine()
    with manager(tmp_path, machine), Client(str(tmp_path)) as client:
        job = client.submit(["true"])
        assert [info.id for info in client.wait("65")] == ["65"]
        assert [info.id for info in client.wait(job)] == ["1"]
        assert [info.id for info in client.as_completed(12)] == ["12"]
        client.act("hold", "65")
    assert machine.acts == [("hold", ["65"])]


def test_the_package_names_what_it_offers() -> None:
    assert {"connect", "OstlerError"} <= set(dir(ostler))
    assert issubclass(Refused, ostler.OstlerError)


def test_each_line_is_an_element(tmp_path: Path) -> None:
    request = submitted(tmp_path, ["true"], each=["a", b"\xe9", ""])
    assert request.spec.array == ((0, 2),)
    assert request.spec.items == sha256(b"a\n\xe9\n\n")


def test_scripts_and_environments_travel_as_blobs(tmp_path: Path) -> None:
    request = submitted(tmp_path, ["arg"], script="#!/bin/sh\ntrue\n", env={"A": "\udce9"})
    assert request.spec.script == sha256(b"#!/bin/sh\ntrue\n")
    assert b"A=\xe9\0" in request.blobs


def test_the_environment_is_the_callers_unless_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OSTLER_TEST_ONLY", "yes")
    request = submitted(tmp_path, ["true"])
    assert split_environment(request.blobs[0])[b"OSTLER_TEST_ONLY"] == b"yes"
    monkeypatch.setenv("OSTLER_TEST_ONLY", "other")
    request = submitted(tmp_path, ["true"])
    assert split_environment(request.blobs[0])[b"OSTLER_TEST_ONLY"] == b"other"


@pytest.mark.parametrize(
    ("args", "options", "sentence"),
    [
        ([], {}, "there is nothing to run"),
        (["true"], {}, "argv is one string"),
        ([["true"]], {"cpu": 2}, "a job has no option 'cpu'; did you mean 'cpus'"),
        ([["true"]], {"array": "0-9%x"}, "how many elements may run at once"),
        ([["true"]], {"cpus": 0}, "cpus cannot be 0"),
        ([["true"]], {"cpus": "2"}, "cpus cannot be '2': it takes a whole number"),
        ([["true"]], {"env": 3}, "env cannot be 3"),
        ([["true"]], {"hold": "yes"}, "it takes True or False"),
        ([["true"]], {"name": 7}, "it takes one word or text"),
        ([["true"]], {"memory": "lots"}, "memory cannot be 'lots'"),
        ([["true"]], {"time": "90"}, "time cannot be '90'"),
        ([["true"]], {"array": []}, "it names no elements"),
        ([["true"]], {"array": "0-1", "each": ["a"]}, "array cannot name others"),
        ([["true"]], {"each": "abc"}, "it takes a list of lines"),
        ([["true"]], {"each": ["a\nb"]}, "a line holds a line break"),
        ([["true"]], {"after": [("1", "maybe")]}, "ok, any, fail, each"),
        ([["true"]], {"env": {"A=B": "x"}}, "cannot be the name of a variable"),
        ([["tr\0ue"]], {}, "holds a NUL byte"),
        ([["true"]], {"script": "true"}, "does not begin with #!"),
    ],
)
def test_what_makes_no_sense_is_told_before_it_is_sent(
    tmp_path: Path, args: list[Any], options: dict[str, Any], sentence: str
) -> None:
    with manager(tmp_path, Machine()) as made, Client(str(tmp_path)) as client:
        with pytest.raises(UsageError, match=sentence):
            client.submit(*args, **options)
        assert made.requests == []


def test_jobs_are_listed_as_asked(tmp_path: Path) -> None:
    machine = Machine()
    with manager(tmp_path, machine), Client(str(tmp_path)) as client:
        assert client.jobs(user="ann", states=["done"], since=5.0, all=True)[0].id == "1"
    options = machine.reads[0].options
    assert (options.user, options.states, options.since, options.all) == (
        "ann",
        ["done"],
        5.0,
        True,
    )


def test_no_machine_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NotNow, match="start one with `ostler up`"):
        ostler.connect(str(tmp_path))


def test_a_cwd_that_is_a_path_object_and_a_short_limit_are_taken(tmp_path: Path) -> None:
    spec = submitted(tmp_path, ["true"], cwd=tmp_path, time=0.2, grace=0).spec
    assert spec.cwd == os.fsencode(tmp_path)
    assert (spec.time_limit, spec.grace) == (1, 0)


def test_nodes_are_chosen_by_what_they_are_like(tmp_path: Path) -> None:
    claims: JobOptions = {"constraint": "a|b", "licences": {"matlab": 2}, "reservation": "r"}
    asked = submitted(tmp_path, ["true"], exclusive=True, spread=True, **claims).spec.request
    assert (asked.constraint, asked.licences, asked.reservation) == ("a|b", {"matlab": 2}, "r")
    assert (asked.exclusive, asked.spread) == (True, True)
    with pytest.raises(UsageError, match="constraint is too long"):
        submitted(tmp_path, ["true"], constraint="a" * 2000)


def test_jobs_that_go_together_are_one_message(tmp_path: Path) -> None:
    rows = [{"id": "4", "name": "use"}, {"id": "5", "name": "make"}]
    options: JobOptions = {"after": [("make", "each"), 3, "2:any"], "array": range(2)}
    jobs: dict[str, Submission] = {
        "use": {"argv": ["true"], "options": options},
        "make": {"script": "#!/bin/sh\n", "options": {"array": range(2)}},
    }
    with manager(tmp_path, lambda _: {"jobs": rows}) as made, Client(str(tmp_path)) as client:
        assert {name: job.id for name, job in client.submit_all(jobs).items()} == {
            "use": "4",
            "make": "5",
        }
        with pytest.raises(UsageError, match=r"job 'use': it waits for 'mak', .* mean 'make'"):
            client.submit_all({**jobs, "use": {"argv": ["x"], "options": {"after": "mak"}}})
    [request] = made.requests
    assert isinstance(request, messages.SubmitAll)
    use, built = request.jobs
    assert [(link.at, link.kind) for link in use.links] == [(1, "each")]
    assert [(d.job, d.kind) for d in use.spec.after] == [(3, "ok"), (2, "any")]
    assert (built.links, built.spec.name) == ([], "make")
