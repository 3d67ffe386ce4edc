"""What tests of drivers against real resource managers have in common."""

import subprocess

import pytest

from bench.peers.slurm import Slurm
from bench.processes import program
from ostler.model.foreign import Did, End, ForeignJob, ForeignState, Start
from ostler.testing.conformance import Bench


def begin(bench: Bench, given: Start) -> str:
    """Start a job; return what it is called there."""
    outcome = bench.driver().start(given)
    assert outcome.did is Did.ACCEPTED, outcome
    return outcome.id


def until(bench: Bench, job: str, *states: ForeignState, looks: int = 100) -> ForeignJob | End:
    """Return a job once it is in one of these states, or has ended."""
    told: ForeignJob | End | None = None
    for _ in range(looks):
        jobs = bench.driver().list_jobs()
        told = next((end for end in jobs.ended if end.id == job), None)
        told = told or next((each for each in jobs.jobs if each.id == job), None)
        if isinstance(told, End) or (told is not None and told.state in states):
            return told
        bench.pause()
    pytest.fail(f"job {job} is {told}")


def ask_slurm(slurm: Slurm, *words: str) -> str:
    """Run one of Slurm's commands; return what it printed."""
    done = subprocess.run(
        [program(words[0]), *words[1:]],
        env=slurm.env,
        cwd="/",
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.stdout.strip()
