"""Everything that finds what tests did not think of, within one budget; `make soak` runs it.

python -m tests.soak --minutes 60 [--seed 1] [--part fuzz]
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

PYTEST = (sys.executable, "-m", "pytest", "-q", "--timeout=0", "--dist=loadfile")
HISTORIES = 50  # of one round, on each CPU
BURSTS = 60  # of one round of each test of fuzz
ELEMENTS = 20_000  # of the leak watch, at least
RATE = 1_000  # elements a second that it may hope for


class Part(NamedTuple):
    """One way to look for trouble."""

    name: str
    share: float  # of the budget
    least: float  # seconds, below which it is left out
    # (seed, seconds left) -> exit status and what one round came to
    round: Callable[[int, float], tuple[int, str]]


class Outcome(NamedTuple):
    """What a part came to, for the summary."""

    name: str
    rounds: int
    seconds: float
    failures: tuple[str, ...]


def _run(*command: str, **env: object) -> tuple[int, str]:
    """Run one program and show what it says; return its exit status and its last line."""
    told = {name: str(value) for name, value in env.items()}
    last = ""
    with subprocess.Popen(
        command, env=os.environ | told, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        for line in process.stdout or ():
            sys.stdout.write(line)
            sys.stdout.flush()
            last = line.strip() or last
    return process.returncode, last


def histories(seed: int, _: float) -> tuple[int, str]:
    """Random histories of simulated machines; `make soak SEED=n HISTORIES=1` replays one."""
    count = HISTORIES * (os.cpu_count() or 1)
    tests = ("tests/sim/test_histories.py", "tests/sim/test_crashes.py")
    env = {"OSTLER_SEED": seed * count, "OSTLER_HISTORIES": count}
    return _run(*PYTEST, "-n", "auto", *tests, **env)


def rules(seed: int, _: float) -> tuple[int, str]:
    """Rule machines of the pure layers, harder than `make test` has them."""
    seeded = f"--hypothesis-seed={seed}"
    return _run(*PYTEST, "-n", "auto", seeded, "tests/property", HYPOTHESIS_PROFILE="soak")


def kills(seed: int, left: float) -> tuple[int, str]:
    """Kill -9 of real processes under an array; more elements where there is time."""
    elements = 50_000 if left > 600 else 10_000 if left > 120 else 2_000
    words = ("--elements", str(elements), "--runs", "1", "--seed", str(seed))
    return _run(sys.executable, "-m", "tests.e2e.kills", *words)


def fuzz(seed: int, left: float) -> tuple[int, str]:
    """Hostile bursts against real daemons."""
    bursts = BURSTS if left > 120 else BURSTS // 8
    return _run(*PYTEST, "-n", "2", "tests/fuzz", OSTLER_SEED=seed, OSTLER_BURSTS=bursts)


def leaks(_: int, left: float) -> tuple[int, str]:
    """The leak watch, once, for as long as there is."""
    elements = min(1_000_000, max(ELEMENTS, int(left * RATE)))
    words = ("--elements", str(elements), "--minutes", str(max(left, 30.0) / 60))
    return _run(sys.executable, "-m", "tests.soak.leaks", *words)


PARTS = (
    Part("histories", 0.3, 0, histories),
    Part("rules", 0.1, 120, rules),
    Part("kills", 0.25, 0, kills),
    Part("fuzz", 0.25, 0, fuzz),
    Part("leaks", 0.1, 0, leaks),
)


def soak(part: Part, seed: int, seconds: float) -> Outcome:
    """Run rounds of one part, each with the next seed, while another fits; at least one."""
    began = time.monotonic()
    rounds, failures, longest, left = 0, [], 0.0, seconds
    while (left > longest / 2 or not rounds) and seconds >= part.least:
        start = time.monotonic()
        this = seed + rounds
        print(f"\n== {part.name}, seed {this}, {left:.0f} s left", flush=True)  # noqa: T201
        status, last = part.round(this, left)
        rounds += 1
        if status:
            failures.append(f"seed {this}: {last}")
        longest = max(longest, time.monotonic() - start)
        left = began + seconds - time.monotonic()
        if part.round is leaks:
            break
    return Outcome(part.name, rounds, time.monotonic() - began, tuple(failures))


def summary(outcomes: list[Outcome]) -> str:
    """Return the table at the end, and how to see each failure again."""
    lines = [f"{'part':12}{'rounds':>8}{'seconds':>9}  result"]
    for one in outcomes:
        result = f"{len(one.failures)} FAILED" if one.failures else "ok"
        result = result if one.rounds else "left out: needs more minutes"
        lines.append(f"{one.name:12}{one.rounds:8}{one.seconds:9.0f}  {result}")
        lines += [f"    {failure}" for failure in one.failures]
        if one.failures:
            seed = one.failures[0].partition(":")[0].removeprefix("seed ")
            lines.append(f"    again: make soak PART={one.name} SEED={seed} MINUTES=1")
    return "\n".join(lines)


def main(argv: list[str]) -> int:
    """Run the parts one after the other; a failure of one does not stop the next."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--part", choices=[part.name for part in PARTS])
    options = parser.parse_args(argv)
    chosen = [part for part in PARTS if options.part in (None, part.name)]
    whole = sum(part.share for part in chosen)
    outcomes = [
        soak(part, options.seed, 60 * options.minutes * part.share / whole) for part in chosen
    ]
    print(f"\n{summary(outcomes)}", flush=True)  # noqa: T201
    return 1 if any(one.failures for one in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
