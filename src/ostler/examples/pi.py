"""Estimate pi by throwing darts, on all CPUs of a machine: `python -m ostler.examples.pi`."""

import random
import sys
from argparse import ArgumentParser

import ostler

DARTS = 200_000  # of one call
CALLS = 20


def hits(seed: int) -> int:
    """Return how many darts of one throw hit the quarter of the circle."""
    chance = random.Random(seed)  # noqa: S311 - darts, no secrets
    return sum(chance.random() ** 2 + chance.random() ** 2 <= 1 for _ in range(DARTS))


def main() -> int:
    """Throw, and say what it comes to."""
    parser = ArgumentParser(prog="python -m ostler.examples.pi", description=__doc__)
    parser.add_argument("--calls", type=int, default=CALLS, help=f"{DARTS:,} darts each")
    parser.add_argument("--workers", type=int, help="as many as the machine has CPUs, by default")
    asked = parser.parse_args()
    try:
        with ostler.Executor(asked.workers, name="pi") as executor:
            hit = sum(executor.map(hits, range(asked.calls)))
    except ostler.OstlerError as error:
        sys.stderr.write(f"pi: {error}\n")
        return error.exit_status
    sys.stdout.write(f"pi is about {4 * hit / (DARTS * asked.calls):.4f}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
