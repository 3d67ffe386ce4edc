"""Grid Engine's words in ours, over what a real one (8.1.9) has written."""

import os
import subprocess
from pathlib import Path

import pytest

from ostler.drivers.contract import Trouble
from ostler.drivers.gridengine import GridEngine
from ostler.drivers.gridengine_orders import (
    Asked,
    command_of,
    refusal,
    script_of,
    unfit,
    unfit_option,
)
from ostler.drivers.gridengine_words import (
    Gone,
    NotXml,
    duration,
    ends_of,
    jobs_of,
    name_for,
    nodes_of,
    size,
    submissions_of,
    token_of,
)
from ostler.drivers.programs import Answer, local_time
from ostler.model.foreign import Did, ForeignJob, ForeignState, NodeState, Share, Start
from ostler.model.states import Result

DATA = Path(__file__).parents[1] / "data" / "gridengine"


def text(name: str) -> str:
    return (DATA / name).read_text(encoding="utf-8")


def listed() -> dict[str, ForeignJob | Gone]:
    return {each.id: each for each in jobs_of(text("qstat.xml"), local_time)}


def job(name: str) -> ForeignJob:
    found = listed()[name]
    assert isinstance(found, ForeignJob)
    return found


def test_a_job_of_ours_is_known_by_its_name() -> None:
    found = job("83")
    assert (found.name, found.token, found.user) == ("sim", "m-12", "ann")
    assert found.state is ForeignState.SUSPENDED
    assert (found.queue, found.time_limit, found.nodelist) == ("all.q", 600, ("host1",))
    assert found.shares == (Share("host1"),)


def test_tasks_of_an_array_are_jobs() -> None:
    assert job("84.1").state is ForeignState.RUNNING
    assert [job(f"84.{task}").state for task in (2, 3)] == [ForeignState.IDLE] * 2


def test_slots_of_a_parallel_environment_are_counted() -> None:
    assert (job("85").tasks, job("85").state) == (2, ForeignState.IDLE)
    assert job("85").shares == ()


def test_an_end_without_accounts_is_remembered_without_its_cause() -> None:
    found = listed()["86"]
    assert isinstance(found, Gone)
    assert found.name == "held"


def test_a_job_is_told_from_an_older_one_by_its_submission() -> None:
    assert submissions_of(text("details.xml")).keys() == {"83"}
    assert float(submissions_of(text("details.xml"))["83"]) > 1.7e9
    (first, *_) = ends_of(text("accounting").splitlines())
    assert first.incarnation == "1796066673"


@pytest.mark.parametrize(
    "answer", ["", "error: commlib error", "<html/>", "<job_info/>", "<job_info><queue_info/>"]
)
def test_what_is_no_list_is_no_empty_list(answer: str) -> None:
    with pytest.raises(NotXml):
        jobs_of(answer, local_time)
    with pytest.raises(NotXml):
        nodes_of(answer)


def test_hosts_are_nodes_with_the_slots_of_their_queues() -> None:
    (host,) = nodes_of(text("qhost.xml"))
    assert (host.name, host.state, host.cpus, host.used_cpus) == ("host1", NodeState.UP, 2, 2)
    assert host.memory == int(23.5 * (1 << 30))


@pytest.mark.parametrize(
    ("letters", "state"),
    [("d", NodeState.DRAINING), ("adE", NodeState.DOWN), ("X", NodeState.UNKNOWN)],
)
def test_the_worst_letter_of_a_queue_counts(letters: str, state: NodeState) -> None:
    empty = "'state_string'></queuevalue>"
    assert empty in text("qhost.xml")
    (host,) = nodes_of(text("qhost.xml").replace(empty, f"'state_string'>{letters}</queuevalue>"))
    assert (host.state, host.native_state) == (state, letters)
    assert letters in host.reason


def test_the_accounts_prove_ends() -> None:
    found = {end.id: end for end in ends_of(text("accounting").splitlines())}
    assert (found["6"].result, found["6"].exit_status) == (Result.FAILED, 3)
    assert found["6"].proof == "accounts: failed 0, exit_status 3"
    assert found["9"].result == Result.TIMEOUT
    assert (found["1"].result, found["1"].signal) == (Result.FAILED, 9)
    assert found["3.1"].user == "ann"
    assert found["11"].token == "m-12"


def test_a_run_that_was_rescheduled_is_no_end() -> None:
    line = text("accounting").splitlines()[4].split(":")
    line[11] = "25"
    assert not list(ends_of([":".join(line)]))


@pytest.mark.parametrize(
    ("name", "called"),
    [("sim", "sim+m-1"), ("my job: 2", "my_job__2+m-1"), ("7th", "j7th+m-1"), ("", "ostler+m-1")],
)
def test_names_are_made_so_that_qsub_takes_them(name: str, called: str) -> None:
    assert name_for(name, "m-1") == called
    assert token_of(called)[1] == "m-1"


def test_sizes_and_durations() -> None:
    assert (size("1K"), size("1k"), size("-")) == (1024, 1000, 0)
    assert (duration("1:00:00"), duration("90"), duration("infinity")) == (3600, 90, 0)


ORDER = Start("m-1", (Share("h1", 1, 4, 4 << 20),), argv=(b"true",), time_limit=60)


def test_an_order_names_its_host_and_slots() -> None:
    options, command = command_of(ORDER, Asked(memory="h_vmem"))
    text = [word for word in options if isinstance(word, str)]
    assert "h=h1" in text
    assert text[text.index("-pe") :][:3] == ["-pe", "smp", "4"]
    assert "h_rt=60" in text
    assert "h_vmem=1024K" in text
    assert command == ["/dev/fd/FIRST-FILE"]
    quoted = script_of(Start("m-1", (Share("h1"),), argv=(b"echo", b"it's\nhere")))
    done = subprocess.run(["/bin/sh"], input=quoted, capture_output=True, check=True)
    assert done.stdout == b"it's\nhere\n"


def test_a_script_keeps_no_directives() -> None:
    options, command = command_of(Start("m-1", (Share("h1"),), script=b"#!/bin/sh\n"), Asked())
    assert options[-2:] == ["-C", ""]
    assert command == ["/dev/fd/FIRST-FILE"]


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        (("-P", "grid", "-l", "arch=x"), ""),
        (("-soft", "-q", "fast.q"), ""),
        (("-t", "1-9"), "-t"),
        (("-@", "file"), "-@"),
        (("-P", "grid", "other.sh"), "other.sh"),
        (("-sync", "y"), "-sync"),
    ],
)
def test_options_that_make_another_job_of_it_are_refused(
    words: tuple[str, ...], wrong: str
) -> None:
    assert unfit_option(words) == wrong


def test_orders_that_can_never_be_carried_out() -> None:
    assert not unfit(ORDER)
    assert unfit(Start("m-1", (Share("h1"), Share("h2"))))
    assert unfit(Start("m-1", (Share("h1"),), id="4"))
    assert unfit(Start("m-1", (Share("h1"),), output=b"/a:b"))


def test_complaints_are_told_apart() -> None:
    away = Answer(1, "", "error: unable to send message to qmaster: Connection refused")
    with pytest.raises(Trouble, match="Connection refused"):
        refusal(away, heard=False)
    busy = refusal(Answer(1, "Unable to run job: no suitable queues\nExiting.", ""), heard=True)
    assert busy is not None
    assert (busy.did, busy.text) == (Did.REFUSED, "no suitable queues")
    wrong = refusal(Answer(1, "", 'PE "nope" does not exist'), heard=True)
    assert wrong is not None
    assert wrong.did is Did.NEVER
    assert refusal(Answer(0, "4\n", ""), heard=True) is None


@pytest.mark.parametrize("settings", [{"ports": "x"}, {"root": "sge"}, {"options": "-t 1"}])
def test_a_bad_setting_is_refused(settings: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        GridEngine(settings)


def test_a_job_of_another_user_by_the_name_of_ours_neither_hides_nor_becomes_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Names are told to all, and anybody may choose one."""
    driver = GridEngine({"accounts": str(tmp_path / "accounting")})
    ours = ForeignJob("7", ForeignState.RUNNING, "ann", "5", "m-1", nodelist=("n1",))
    theirs = ForeignJob("9", ForeignState.RUNNING, "eve", "6", "m-1", nodelist=("n1",))
    asked: list[list[str]] = []

    def run(words: list[str], **_: object) -> Answer:
        asked.append(words)
        return Answer(0, "", "")

    monkeypatch.setattr(driver, "_dated", lambda jobs: jobs)
    monkeypatch.setattr(driver._programs, "run", run)
    for listed in ([ours, theirs], [theirs, ours]):
        monkeypatch.setattr(driver, "_qstat", lambda listed=listed: listed)
        driver._looked_at = -100.0
        found = driver.start(Start("m-1", (Share("n1"),), user="ann", uid=os.geteuid()))
        assert (found.did, found.id) == (Did.ACCEPTED, "7")
        driver.cancel("", "m-1")
    assert asked == [["qdel", "7"], ["qdel", "7"]]
