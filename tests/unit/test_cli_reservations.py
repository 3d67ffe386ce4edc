"""Reservations as they are typed and shown."""

from pathlib import Path
from typing import Any

import pytest

from ostler.model.site_changes import Change
from ostler.wire import messages
from tests.unit.scripted import manager, ostler
from tests.unit.test_cli_commands import answering

DONE = {"changes": [{"text": "created reservation disks"}], "serial": 1}
ROW = {
    "name": "disks",
    "nodes": "n[01-02]",
    "users": ["ann"],
    "projects": ["bio"],
    "days": [5, 6],
    "begins_at": 1e9,
    "ends_at": 1e9 + 60,
    "is_open": True,
}


def changed(state: Path, *words: str, **answers: Any) -> Change:
    """Type a change of reservations; return what was asked of the manager."""
    with answering(state, administer=DONE, **answers) as made:
        done = ostler(state, "reservations", *words)
    assert (done.status, done.err) == (0, "")
    asked = made.requests[-1]
    assert isinstance(asked, messages.Administer)
    (change,) = asked.changes
    return change


def test_moments_and_days_are_sent_as_numbers(tmp_path: Path) -> None:
    when = "2026-12-24T18:00:00+00:00"
    words = "disks", "n[01-02]", f"start={when}", "duration=4h", "days=sat,workdays", "users=ann"
    change = changed(tmp_path, "create", *words)
    assert (change.verb, change.kind, change.key) == ("create", "reservation", ("disks",))
    values = dict(change.values)
    assert isinstance(values.pop("utc_offset"), int)
    assert values == {
        "nodes": "n[01-02]",
        "start": 1798135200.0,
        "duration": "4h",
        "days": [0, 1, 2, 3, 4, 5],
        "users": "ann",
    }


def test_what_is_not_named_stays_as_it_is(tmp_path: Path) -> None:
    assert changed(tmp_path, "set", "disks", "until=none").values == {"until": "none"}
    assert changed(tmp_path, "remove", "disks").values == {}


def test_a_partition_stands_for_the_nodes_that_it_has_at_any_time(tmp_path: Path) -> None:
    change = changed(tmp_path, "set", "disks", "partition:main")
    assert change.values == {"nodes": "partition:main"}


@pytest.mark.parametrize(
    ("word", "why"),
    [("days=someday", "days cannot be 'someday'"), ("start=soon", "start cannot be 'soon'")],
)
def test_what_means_nothing_is_refused_with_what_was_expected(
    tmp_path: Path, word: str, why: str
) -> None:
    with manager(tmp_path, lambda _: DONE):
        done = ostler(tmp_path, "reservations", "set", "disks", word)
    assert (done.status, why in done.err) == (2, True)


def test_they_are_a_table(tmp_path: Path) -> None:
    with answering(tmp_path, reservations={"reservations": [ROW]}):
        done = ostler(tmp_path, "reservations")
    heading, line = done.out.splitlines()
    assert heading.split() == ["NAME", "NODES", "FOR", "OPEN", "NEXT", "UNTIL", "DAYS"]
    assert "ann, project bio" in line
    assert "sat,sun" in line
