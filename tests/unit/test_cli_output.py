"""What is printed: JSON as the library prints it, tables that fit, values as people read them."""

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostler.cli.output import cell, fields, json_text, moment, table

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec=None), max_size=20)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=20,
)


@given(VALUES)
def test_json_is_what_the_library_writes(value: Any) -> None:
    assert json_text(value) == json.dumps(value)


@given(st.text(st.characters(codec=None)))
def test_any_text_is_quoted_as_the_library_does(text: str) -> None:
    assert json_text(text) == json.dumps(text)


def test_json_has_null_where_numbers_have_no_word() -> None:
    assert json_text([float("inf"), float("nan"), -float("inf")]) == "[null, null, null]"


def test_bytes_keep_what_is_no_text() -> None:
    assert json.loads(json_text(b"a\xe9")) == "a\udce9"


def test_a_table_has_headings_and_numbers_to_the_right() -> None:
    rows: list[dict[str, object]] = [{"id": "1", "cpus": 4}, {"id": "12", "cpus": 10, "x": None}]
    text = table(rows, [("id", "ID"), ("cpus", "CPUS"), ("gone", "GONE")], room=0)
    assert text.splitlines() == ["ID  CPUS", "1      4", "12    10"]


def test_a_table_is_cut_to_the_terminal() -> None:
    rows: list[dict[str, object]] = [{"id": "1", "why": "w" * 100}]
    lines = table(rows, [("id", "ID"), ("why", "WHY")], room=20).splitlines()
    assert [len(line) for line in lines] == [7, 20]
    assert lines[1].endswith("w…")


def test_a_long_name_leaves_room_for_the_other_columns() -> None:
    rows: list[dict[str, object]] = [
        {"id": "1", "name": "n" * 120, "state": "running", "why": "w" * 20},
        {"id": "2", "name": "short", "state": "pending", "why": "waits"},
    ]
    columns = [("id", "ID"), ("name", "NAME"), ("state", "STATE"), ("why", "WHY")]
    text = table(rows, columns, room=40)
    assert text.splitlines() == [
        "ID  NAME          STATE    WHY",
        "1   nnnnnnnnnnn…  running  wwwwwwwwwwww…",
        "2   short         pending  waits",
    ]


def test_signs_that_take_two_columns_are_counted_as_two() -> None:
    rows: list[dict[str, object]] = [{"name": "🎉日本", "to": "a"}, {"name": "plain", "to": "b"}]
    lines = table(rows, [("name", "NAME"), ("to", "TO")], room=0).splitlines()
    assert lines == ["NAME    TO", "🎉日本  a", "plain   b"]
    assert table(rows, [("name", "NAME"), ("to", "TO")], room=8).splitlines()[1] == "🎉日本"


@settings(max_examples=40)
@given(st.sampled_from(["x", "elapsed", "memory"]), st.lists(SCALARS, min_size=1, max_size=6))
def test_a_column_shows_each_value_as_it_would_be_alone(key: str, values: list[Any]) -> None:
    for column in (values, [values[0]] * 3, [1, True, 1.0], ["a", "", "b\n"], [0, 2.5, 60]):
        lines = table(
            [{key: one, "end": "|"} for one in column], [(key, "K"), ("end", "E")], room=0
        )
        shown = [line[:-1].strip() for line in lines.split("\n")[1:]]
        assert shown == [cell(key, one).strip() for one in column]


def test_a_table_can_do_without_its_heading() -> None:
    rows: list[dict[str, object]] = [{"id": "1"}, {"id": "12"}]
    assert table(rows, [("id", "A LONG HEADING")], room=0, heading=False) == "1\n12"


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("x", None, "-"),
        ("x", "", "-"),
        ("x", True, "yes"),
        ("x", 3.0, "3"),
        ("memory", 8 << 30, "8G"),
        ("memory", 0, "-"),
        ("time_limit_seconds", 5400, "1h 30m"),
        ("time_limit", 3600, "1h"),
        ("x", ["a", 1], "a,1"),
        ("x", {"a": 1}, "a=1"),
        ("x", "a\nb\x1b[31m", "a?b?[31m"),
        ("x", b"a\xe9", "a\udce9"),
    ],
)
def test_values_read_well_and_cannot_trick_the_terminal(key: str, value: object, text: str) -> None:
    assert cell(key, value) == text


def test_times_of_today_are_short() -> None:
    now = time.time()
    assert moment(now) == time.strftime("%H:%M:%S", time.localtime(now))
    assert moment(0).startswith(("1970-01-01", "1969-12-31"))


def test_fields_leave_out_what_is_empty() -> None:
    assert fields({"id": "1", "reason": "", "state": "held"}) == "id     1\nstate  held"
