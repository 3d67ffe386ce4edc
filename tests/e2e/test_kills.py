"""kill -9 of any of our processes, in any order and at once: nothing is lost, nothing doubled."""

import random
from pathlib import Path

import pytest

from tests.e2e.kills import array_under_kills
from tests.e2e.machine_kit import machine


@pytest.mark.timeout(600)
def test_an_array_survives_random_kills(tmp_path: Path) -> None:
    with machine(tmp_path, "--cpus", "4") as host:
        array_under_kills(host, 300, random.Random(1), kills=6)
