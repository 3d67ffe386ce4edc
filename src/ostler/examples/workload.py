"""Make up a workload to replay: `python -m ostler.examples.workload > week.swf`."""

import math
import random
import sys
from argparse import ArgumentParser
from collections.abc import Iterator

LIMITS = (900, 3600, 14_400, 43_200, 86_400)  # seconds that users ask for
DAY = 86_400


def jobs(count: int, procs: int, load: float, seed: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield submit time, run time, processors and requested time of each job.

    Most jobs are short and narrow, sizes are often powers of two, people submit by day, and ask for
    more time than they need: a mock-up of what logs show, and no model fitted to any.
    """
    chance = random.Random(seed)  # noqa: S311 - a workload, no secrets
    drawn = [(_run(chance), _size(chance, procs)) for _ in range(count)]
    gap = sum(run * size for run, size in drawn) / (procs * load * count)  # seconds, on average
    now = 0.0
    for run, size in drawn:
        busy = 1 + 0.8 * math.sin(2 * math.pi * now / DAY)  # the day begins at the first job
        now += chance.expovariate(busy / gap)
        fitting = [limit for limit in LIMITS if limit >= run]
        yield int(now), run, size, chance.choice(fitting)


def _run(chance: random.Random) -> int:
    return min(max(int(chance.lognormvariate(6.5, 1.8)), 1), LIMITS[-1])


def _size(chance: random.Random, procs: int) -> int:
    exponent = chance.uniform(0, math.log2(procs)) * chance.random()
    rounded = round(exponent) if chance.random() < 0.75 else exponent
    return min(max(int(2**rounded), 1), procs)


def main() -> int:
    """Write a trace in the Standard Workload Format to standard output."""
    parser = ArgumentParser(prog="python -m ostler.examples.workload", description=__doc__)
    parser.add_argument("--jobs", type=int, default=2_000)
    parser.add_argument("--procs", type=int, default=64, help="processors of the machine")
    parser.add_argument("--load", type=float, default=0.85, help="share of it that they fill")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    if asked.jobs < 1 or asked.procs < 1 or not asked.load > 0:
        parser.error("--jobs, --procs and --load are positive")
    lines = ["; Version: 2.2", f"; Computer: an imagined machine (seed {asked.seed})"]
    lines += [f"; MaxJobs: {asked.jobs}", f"; MaxProcs: {asked.procs}"]
    made = jobs(asked.jobs, asked.procs, asked.load, asked.seed)
    for number, (submit, run, size, estimate) in enumerate(made, 1):
        rest = "-1 1 1 1 -1 1 -1 -1 -1"
        lines.append(f"{number} {submit} -1 {run} {size} -1 -1 {size} {estimate} {rest}")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
