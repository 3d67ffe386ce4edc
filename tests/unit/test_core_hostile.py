"""What a hostile client may ask of the core: refused with a sentence, and nothing is poisoned."""

from typing import Any

import pytest

from ostler.core.events import Modified
from ostler.model.errors import OstlerError, UsageError
from ostler.model.ids import parse_ref
from ostler.model.resources import Request
from ostler.store.sqlite.rows import job_values
from tests.unit.core_kit import ANN, Box

LONG = "x" * 201
ESCAPES = "x\x1b]0;owned\x07"
CHANGES = [
    *({key: True} for key in ("time_limit", "priority", "cpus", "retries", "grace", "array_cap")),
    {"not_before": True},
    {"not_before": float("inf")},
    {"not_before": float("nan")},
    {"retries": -1},
    {"retries": 10**18},
    {"retries": 2**64 - 1},
    {"name": LONG},
    {"name": "two\nlines"},
    {"project": ESCAPES},
    {"name": b"bytes"},
]


@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_a_change_that_could_not_be_read_again_is_refused(changes: dict[str, Any]) -> None:
    box = Box()
    job = box.submit(hold=True)
    before = job_values(box.machine.state.jobs[job].job)
    with pytest.raises(UsageError):
        box.ask(Modified, ANN, parse_ref(str(job)), changes)
    assert job_values(box.machine.state.jobs[job].job) == before


@pytest.mark.parametrize("text", [LONG, ESCAPES, "two\nlines", "right\u202eto left"])
@pytest.mark.parametrize("field", ["name", "project", "stdio", "retry_on", "partition"])
def test_texts_that_others_will_see_are_short_and_printable(field: str, text: str) -> None:
    value: Any = (text,) if field == "retry_on" else text
    with pytest.raises(UsageError):
        Box().submit(**{field: value})


@pytest.mark.parametrize("field", ["nodelist", "exclude", "generic"])
def test_names_in_a_request_are_short_and_printable(field: str) -> None:
    value: Any = {ESCAPES: 1} if field == "generic" else (ESCAPES,)
    with pytest.raises(OstlerError) as caught:
        Box().submit(request=Request(**{field: value}))
    assert "\x1b" not in str(caught.value)
