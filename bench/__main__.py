"""`python -m bench`: measure, print, store; with --check, compare with the reference."""

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from bench.bench import Bench, say
from bench.compare import changes, missing
from bench.facts import facts
from bench.peers import Peers
from bench.record import Record, load, save
from bench.rows import ROWS, Row
from bench.sizes import SHORT, Sizes
from bench.table import changes_text, row_text

RESULTS = Path(__file__).resolve().parent / "results"
REFERENCE = RESULTS / "reference.json"


def main() -> int:
    """Return 1 if a check finds something slower, or has nothing to compare with."""
    given = _parser().parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupted)
    sizes = SHORT if given.short else Sizes()
    if given.rounds:
        sizes = msgspec.structs.replace(sizes, rounds=given.rounds)
    chosen = [row for row in ROWS if given.row in (None, row.name)]
    if given.short and given.row is None:
        chosen = [row for row in ROWS if row.short]
    record = run(chosen, sizes, short=given.short)
    path = RESULTS / f"{datetime.now(UTC):%Y-%m-%d-%H%M%S}.json"
    save(record, path)
    say(f"stored: {os.path.relpath(path)}")
    return check(record, rough=given.short) if given.check else 0


def _interrupted(number: int, _: object) -> None:
    """End, but not in the middle of taking down what is up."""
    for other in (signal.SIGINT, signal.SIGTERM):
        signal.signal(other, signal.SIG_IGN)
    sys.exit(128 + number)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--row", choices=[row.name for row in ROWS], help="only this one")
    parser.add_argument("--rounds", type=int, metavar="N", help="instead of 5, or 3 if short")
    parser.add_argument("--short", action="store_true", help="two minutes, no peers")
    parser.add_argument("--check", action="store_true", help="compare with the reference")
    return parser


def run(rows: Sequence[Row], sizes: Sizes, *, short: bool) -> Record:
    """Measure rows, print each when it is done, and return all of it."""
    # Short: sockets' paths hold 107 bytes. Others may enter it: munge wants that.
    folder = Path(tempfile.mkdtemp(prefix="ostler-bench-"))
    folder.chmod(0o755)
    record = Record(facts(folder))
    peers = Peers(folder, wanted=not short)
    bench = Bench(folder, sizes, peers, record)
    began = time.monotonic()
    try:
        for row in rows:
            row.measure(bench)
            print(f"{row_text(record, row.name, row.about)}\n", flush=True)
    finally:
        peers.close()
        shutil.rmtree(folder)
    record.facts |= {
        "load_after": os.getloadavg(),
        "peers": peers.versions(),
        "seconds": round(time.monotonic() - began),
        "short": short,
    }
    return record


def check(record: Record, *, rough: bool) -> int:
    """Print what got slower than the reference; return 1 if something did.

    rough: as for a short run. Without a reference it only says so, for it is there to see that
    the bench runs.
    """
    try:
        reference = load(REFERENCE)
    except (OSError, msgspec.MsgspecError) as error:
        print(f"bench: there is no reference to compare with: {error}", file=sys.stderr)
        return 0 if rough else 1
    found = list(changes(reference, record, rough=rough))
    print(changes_text(found))
    for name in missing(reference, record):
        print(f"not compared, because it was not measured now: {name}")
    slower = [change for change in found if change.slower]
    facts_then = reference.facts
    print(
        f"\n{len(slower)} of {len(found)} figures got slower since {facts_then['commit']} "
        f"({facts_then['date']}, {facts_then['cpus']} x {facts_then['cpu']})"
    )
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main())
