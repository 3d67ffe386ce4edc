"""What was promised of a start is written down, and said beside what came."""

from ostler.core.explain import prepare
from ostler.core.view import job_row
from ostler.model.ids import Ref
from ostler.model.record import Event
from ostler.model.resources import Request
from tests.unit.core_kit import Box, saved


def told(box: Box, job: int) -> str:
    """Return what is said of a job when it is given its place."""
    granted = [
        one.text
        for one in saved(box.done)
        if isinstance(one, Event) and (one.kind, one.job) == ("allocation/granted", job)
    ]
    return granted[-1]


def explained(box: Box, job: int) -> str:
    found = prepare(box.machine.state, box.now, Ref(job))
    assert isinstance(found, dict)
    return str(found["reason"])


def row(box: Box, job: int) -> dict[str, object]:
    return job_row(box.machine.state, box.machine.state.jobs[job])


def test_the_first_promise_is_kept_and_an_earlier_start_is_compared_with_it() -> None:
    box = Box()
    first = box.submit(request=Request(cpus=4), time_limit=1000)
    box.start(box.alloc(first))
    second = box.submit(request=Request(cpus=4), time_limit=60)
    assert row(box, second)["promised_start"] == 1100.0
    box.now = 900.0
    box.end(box.alloc(first))
    assert row(box, second)["promised_start"] == 1100.0
    assert told(box, second).endswith(", 3m 20s before the start that it was promised first")
    box.start(box.alloc(second))
    assert "3m 20s before the start that it was promised first" in explained(box, second)


def test_a_later_start_is_told_and_who_started_at_once_was_promised_nothing() -> None:
    box = Box()
    first = box.submit(request=Request(cpus=4), time_limit=1000)
    assert row(box, first)["promised_start"] is None
    assert "promised" not in told(box, first)
    box.start(box.alloc(first))
    second = box.submit(request=Request(cpus=4), time_limit=60)
    box.now = 1105.0
    box.end(box.alloc(first))
    assert told(box, second).endswith(", 5.0s after the start that it was promised first")


def test_whoever_starts_when_it_was_promised_is_told_so() -> None:
    box = Box()
    first = box.submit(request=Request(cpus=4), time_limit=1000)
    box.start(box.alloc(first))
    second = box.submit(request=Request(cpus=4), time_limit=60)
    box.now = 1100.4
    box.end(box.alloc(first))
    assert told(box, second).endswith(", when it was promised to start")
