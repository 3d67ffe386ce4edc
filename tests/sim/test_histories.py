"""Random histories of whole machines; `make soak SEED=n HISTORIES=m` runs m of them from seed n."""

import os

import pytest

from ostler.testing.history import run_history

FIRST = int(os.environ.get("OSTLER_SEED", "0"))
COUNT = int(os.environ.get("OSTLER_HISTORIES", "40"))
GROUP = max(1, min(50, COUNT // 8))  # histories of one test


@pytest.mark.parametrize("first", range(FIRST, FIRST + COUNT, GROUP))
def test_no_rule_is_broken_in_any_history(first: int) -> None:
    for seed in range(first, min(first + GROUP, FIRST + COUNT)):
        run_history(seed)
