"""Archived jobs are forgotten, but for those that somebody needs after all."""

import pytest

from ostler.core.events import Archived
from ostler.model.errors import Missing
from ostler.model.ids import parse_ref
from tests.unit.core_kit import Box, after

LATER = 1e12


def archived(box: Box, *jobs: int, before: float = LATER) -> None:
    box.do(Archived(jobs, before))


def run(box: Box, job: int) -> None:
    alloc = box.alloc(job)
    box.start(alloc)
    box.end(alloc)


def test_an_archived_job_is_forgotten_and_its_number_is_not_given_again() -> None:
    box = Box()
    first = box.submit()
    run(box, first)
    archived(box, first)
    with pytest.raises(Missing, match=f"job {first} was moved to an archive"):
        box.machine.state.entry(parse_ref(str(first)))
    assert "jobs/archived" in box.events()
    assert box.submit() == first + 1


def test_what_a_waiting_job_names_stays() -> None:
    box = Box()
    first = box.submit()
    run(box, first)
    box.submit(after=after(first), hold=True)
    archived(box, first)
    assert first in box.machine.state.ended


def test_what_has_ended_anew_since_it_was_copied_stays() -> None:
    box = Box()
    first = box.submit()
    run(box, first)
    archived(box, first, before=box.now - 1_000.0)
    assert first in box.machine.state.ended


def test_what_runs_stays_and_nothing_is_told() -> None:
    box = Box()
    first = box.submit()
    archived(box, first, 999)
    assert first in box.machine.state.jobs
    assert "jobs/archived" not in box.events()
