"""A seed is a history: the same on every run, whatever Python's hashes are."""

import os
import subprocess
import sys

PROGRAM = """
import hashlib, sys
from ostler.testing.history import run_history
from ostler.testing.managers import WatchedTurns
told = hashlib.sha256()
handle = WatchedTurns._handle
def listening(self, now, event):
    told.update(f"{now} {event!r}".encode())
    handle(self, now, event)
WatchedTurns._handle = listening
for seed in map(int, sys.argv[1:]):
    run_history(seed)
print(told.hexdigest())
"""


def digest(hash_seed: str) -> str:
    seeds = [str(seed) for seed in range(6)]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *seeds],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_seed_replays_exactly_whatever_the_hashes_are() -> None:
    assert digest("1") == digest("2")
