"""Futures of a small function, and one such call after another."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from bench.bench import Bench, Contender
from bench.processes import PATIENCE, Unavailable
from bench.record import Sample

RATE = "futures/s"
ALONE = "one µs"
SIDE = Path(__file__).resolve().parents[1] / "futures_side.py"


def measure(bench: Bench) -> None:
    """Each contender in a program of its own, with a warm worker for each CPU."""
    row, count = "futures", bench.sizes.futures
    with bench.machine() as machine:
        env = machine.env
        bench.interleave(
            row,
            [
                Contender("ours", lambda: _side(sys.executable, "ours", bench, count, env)),
                Contender("process pool", lambda: _side(sys.executable, "pool", bench, count, env)),
                Contender("Dask", lambda: _dask(bench, env)),
            ],
        )
    bench.record.ratio(row, RATE, ("ours", "Dask"), aim=1)
    bench.record.ratio(row, RATE, ("ours", "process pool"))
    bench.record.ratio(row, ALONE, ("ours", "process pool"), less=True)
    bench.record.count(row, "ours", ALONE, aim=1_000)


def _dask(bench: Bench, env: Mapping[str, str]) -> Sample:
    python = str(bench.peers.dask().python)
    return _side(python, "dask", bench, bench.sizes.futures_dask, env)


def _side(python: str, name: str, bench: Bench, count: int, env: Mapping[str, str]) -> Sample:
    done = subprocess.run(
        [python, SIDE, name, str(bench.cpus), str(count)],
        env=env,
        cwd=bench.new_folder("futures"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    if done.returncode:
        raise Unavailable(f"it ended with {done.returncode}: {done.stderr.strip()[-300:]}")
    rate, alone = done.stdout.split()
    return {RATE: float(rate), ALONE: float(alone)}
