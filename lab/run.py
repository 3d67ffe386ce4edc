"""The checks of the issues in a lab of ten, in real time: python -m lab.run. It reports.

One line a check: name, ok, FAILED or skipped, seconds, and what was measured or went wrong.
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

from lab import demo, jobs, nodes, storm, waits, wiki
from lab.kit import Check, Failed, Ground, Skipped, all_of
from lab.later import CHECKS as LATER
from ostler.model.errors import OstlerError
from tests.e2e.lab.kit import lab

CHECKS = all_of(
    jobs.CHECKS, waits.CHECKS, nodes.CHECKS, demo.CHECKS, storm.CHECKS, wiki.CHECKS, LATER
)  # gentle ones first
NODES = 10


def made(check: Check, ground: Ground) -> str:
    """Make one check, print its line, and return how it went."""
    began = time.monotonic()
    try:
        word, said = "ok", check.run(ground) or ""
    except Skipped as why:
        word, said = "skipped", str(why)
    except (Failed, AssertionError, OstlerError) as error:
        word, said = "FAILED", str(error)
    except Exception:  # noqa: BLE001 - a check that breaks is one that fails
        word, said = "FAILED", traceback.format_exc()
    seconds = time.monotonic() - began
    name = f"{check.name} ({check.of})"
    print(f"{name:<58} {word:<8} {seconds:6.1f} s  {said}".rstrip(), flush=True)
    return word


def main(argv: list[str]) -> int:
    """Make the checks; return 1 if one failed."""
    parser = argparse.ArgumentParser(prog="lab.run", description=__doc__)
    parser.add_argument("--elements", type=int, default=20_000, help="of the array under harm")
    parser.add_argument("--seed", type=int, default=1, help="of all that is random")
    parser.add_argument("--only", default="", help="checks whose name has this in it")
    options = parser.parse_args(argv)
    chosen = [check for check in CHECKS if options.only in check.name]
    counts: Counter[str] = Counter()
    folder = tempfile.mkdtemp(prefix="ostler-lab-")
    began = time.monotonic()
    with lab(Path(folder), NODES) as found:
        print(f"a lab of {NODES} at {found.lab.folder}, seed {options.seed}", flush=True)
        ground = Ground(found, random.Random(options.seed), options.elements)
        for check in chosen:
            counts[made(check, ground)] += 1
            ground.tidy()
    told = ", ".join(f"{count} {word}" for word, count in sorted(counts.items()))
    print(f"{told}; {time.monotonic() - began:.0f} s; seed {options.seed}")
    if not counts["FAILED"]:
        shutil.rmtree(folder)
        return 0
    print(f"what is left of the lab is in {folder}")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
