"""What the core answers to people and writes into the events, word for word."""

import re

import pytest

from ostler.core.events import Modified
from ostler.model.errors import UsageError
from ostler.model.ids import parse_ref
from ostler.model.record import Event as EventRow
from ostler.model.resources import Request
from ostler.model.site_changes import attribute
from tests.unit.core_kit import ANN, Box, saved


def texts(box: Box) -> list[str]:
    return [row.text for row in saved(box.done) if isinstance(row, EventRow)]


def test_events_count_in_words_that_agree() -> None:
    box = Box(cpus=4)
    box.submit()
    assert "ann asked for 1 CPU" in texts(box)
    assert "it was given 1 CPU of n1" in texts(box)
    box.submit(request=Request(cpus=2, memory=1 << 30))
    assert "ann asked for 2 CPUs and 1G of memory" in texts(box)
    box.submit(request=Request(tasks=2, cpus=2))
    assert "ann asked for 2 tasks of 2 CPUs" in texts(box)
    box.submit(request=Request(tasks=2), array=((0, 4),))
    assert "ann asked for 5 elements of 2 tasks of 1 CPU" in texts(box)


def test_changes_are_told_as_they_are_typed() -> None:
    box = Box()
    job = box.submit(hold=True)
    changes = {"time_limit": 5400, "memory": 1 << 30, "not_before": box.now + 60, "cpus": 2}
    box.ask(Modified, ANN, parse_ref(str(job)), changes)
    assert "ann set cpus=2, memory=1G, not_before=in 1m, time_limit=1h 30m" in texts(box)


def test_a_release_of_what_is_not_held_says_so() -> None:
    box = Box(cpus=1)
    box.submit()
    job = box.submit()
    assert box.act("release", str(job))[0]["message"] == "was not held"
    box.act("hold", str(job))
    assert box.act("release", str(job))[0]["message"] == "released"
    assert box.act("release", str(job))[0]["message"] == "was not held"
    box.act("hold", f"{box.submit(array=((0, 4),))}_2")
    assert box.act("release", f"{job + 1}_2")[0]["message"] == "released"


@pytest.mark.parametrize(
    ("key", "typed", "value"),
    [("grace-period", "2m", 120), ("grace-period", "5", 5), ("max-cpus-per-user", "8", 8)],
)
def test_settings_take_durations_where_they_are_some(key: str, typed: str, value: int) -> None:
    box = Box()
    assert box.change(attribute(key, typed)) == [f"created attribute {key}: value {value}"]
    assert box.machine.state.setting(key) == value


def test_an_attribute_that_is_text_is_kept_in_one_form() -> None:
    box = Box()
    assert box.machine.state.text("licences") == ""
    box.configure("licences", "matlab:10, ansys")
    assert box.machine.state.text("licences") == "ansys:1,matlab:10"
    box.configure("licences", "")
    assert box.machine.state.text("licences") == ""


@pytest.mark.parametrize(
    ("key", "typed", "sentence"),
    [
        ("licences", "matlab:many", "licences cannot be 'matlab:many' (NAME:COUNT with commas"),
        ("licences", "a:1,a:2", "'a' is named twice; NAME:COUNT"),
        ("licences", "a:0", "licences cannot be 'a:0'"),
        ("licences", "a b", "licences cannot be 'a b'"),
        ("licences", "x," * 4000, "licences is too long (most: 4096 characters)"),
        ("grace-period", "soon", "seconds, or as in 90s or 2m, from 0 to 86400"),
        ("grace-period", "2d", "grace-period cannot be '2d'"),
        ("max-cpus-per-user", "2m", "a whole number from 0 to 1000000"),
    ],
)
def test_settings_out_of_range_are_refused(key: str, typed: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=re.escape(sentence)):
        Box().configure(key, typed)


def test_a_run_that_has_ended_cannot_run_again() -> None:
    box = Box()
    job = box.submit(kind="run", stdio="token")
    box.end(box.alloc(job))
    [row] = box.act("requeue", str(job))
    assert row["code"] == "refused"
    assert "was a `run`, and nobody is left to take its output" in row["message"]
    assert box.state(job) == "success"


def test_a_command_that_was_not_found_is_told_as_such() -> None:
    box = Box()
    job = box.submit()
    box.end(box.alloc(job), code=127)
    assert "it exited with status 127 (command not found)" in texts(box)
    assert box.state(job) == "failed"


def test_requeue_of_what_failed_tells_when_nothing_did() -> None:
    box = Box()
    job = box.submit()
    box.end(box.alloc(job))
    [row] = box.act("requeue", str(job), failed=True)
    assert (row["code"], row["message"]) == (
        "not_now",
        f"nothing of {job} can run again now; nothing of it has failed",
    )
