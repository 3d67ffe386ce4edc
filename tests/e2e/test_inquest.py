"""An inquest into a starter's death, at a moment that a kill can hardly be aimed at."""

import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_TRIES = 5


def test_a_task_that_is_about_to_end_is_not_taken_for_one_that_never_began(tmp_path: Path) -> None:
    told = ""
    for number in range(_TRIES):
        argv = [sys.executable, "-m", "tests.e2e.inquest_scene", str(tmp_path / f"{number}")]
        told = subprocess.run(argv, cwd=_ROOT, check=True, capture_output=True, text=True).stdout
        if told.strip():
            break
    assert told.strip() == "GoesOn"
