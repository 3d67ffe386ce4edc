"""Random kill -9 of every process of ours while an array runs; run by tests, soak and by hand.

python -m tests.e2e.kills --elements 50000 --runs 20 --seed 1
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.e2e.machine_kit import Host, eventually, machine
from tests.e2e.witness import Witness

KINDS = ("supervisor", "manager", "zygote", "agent")
PATIENCE = 1800.0  # seconds for one array under kills; only a defect waits so long


class Told(NamedTuple):
    """What one array under kills came to."""

    results: Counter[str]  # elements by result; "hit": killed before it was more than its starter
    killed: Counter[str]  # processes by kind
    lost: list[tuple[int, str]]  # elements that may have run, each with the reason it was given


def our_processes(state: Path) -> dict[int, str]:
    """Return pid -> kind of every daemon and starter of this machine."""
    found: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            name = (entry / "comm").read_bytes().strip()
        except OSError:
            continue
        if str(state).encode() not in words:
            continue
        if name == b"ostler-starter":  # a fork of the zygote, with its command line
            found[int(entry.name)] = "starter"
            continue
        for kind in KINDS:
            if any(kind.encode() in word for word in words[:5]):
                found[int(entry.name)] = kind
                break
    return found


def array_under_kills(
    host: Host, elements: int, rng: random.Random, kills: int, *options: str
) -> Told:
    """Run one array to its end under so many kills; return what came of it; assert the promises.

    options: of `submit`; with --requeue an element may run once for each attempt.
    """
    # A node whose agent dies again and again gets no work for up to ten of these.
    host.ostler("config", "set", "node-status-poll-interval", "1")
    witness = Witness(host.work / f"witness-{rng.randrange(1 << 30)}")
    array = ["--array", f"0-{elements - 1}", "-o", "/dev/null", *options]
    # Moments are told by what has run, so that a seed means the same on a slower host.
    moments = sorted(rng.uniform(0.02, 0.95) * _bytes(elements) for _ in range(kills))
    ident = host.submit(*array, "--", *witness.argv)
    done = threading.Event()
    killer = _Killer(host, rng, witness, done, moments)
    killer.start()
    try:
        row = eventually(f"job {ident} ends", lambda: _ended(host, ident), patience=PATIENCE)
    finally:
        done.set()
        killer.join()
    told = check(host, ident, row, witness.runs(), elements)._replace(killed=killer.killed)
    # One that dies takes at most the element with it that it was about to start or had started;
    # what was queued behind that goes back, and a daemon's death costs nothing at all.
    assert len(told.lost) <= killer.killed["starter"], f"{told.lost} by {killer.killed}"
    free = eventually("all CPUs are free", lambda: _is_idle(host))
    assert free
    return told


def _bytes(elements: int) -> int:
    return sum(len(str(number)) + 1 for number in range(elements))


class _Killer(threading.Thread):
    """Kills at its moments, and brings up what killed itself altogether."""

    def __init__(
        self,
        host: Host,
        rng: random.Random,
        witness: Witness,
        done: threading.Event,
        moments: list[float],
    ) -> None:
        super().__init__(daemon=True)
        self._host, self._rng, self._witness = host, rng, witness
        self._done, self._moments = done, moments
        self.killed: Counter[str] = Counter()

    def run(self) -> None:
        for moment in self._moments:
            while self._witness.seen < moment:
                if self._done.wait(0.003):  # polls what tasks do; no event reaches a test there
                    return
            self._kill()
            self._host.ostler("up", *self._host.up_options, check=False)

    def _kill(self) -> None:
        pids = our_processes(self._host.state)
        kinds = sorted(set(pids.values()))
        if not kinds:
            return
        chosen = self._rng.choice(kinds)
        one = [pid for pid in sorted(pids) if pids[pid] == chosen]
        count = self._rng.choice([1, 1, 1, 2, len(pids)])
        victims = [self._rng.choice(one)] if count == 1 else self._rng.sample(sorted(pids), count)
        for pid in victims:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            self.killed[pids[pid]] += 1


def _ended(host: Host, ident: str) -> dict[str, Any] | None:
    """Wait for the end as a user would; bring the machine up where nobody is left to do so."""
    try:
        host.ostler("wait", "-q", ident, check=False)
    except subprocess.TimeoutExpired:
        return None  # it is long, that is all
    if host.ostler("status", check=False).returncode:
        host.ostler("up", *host.up_options, check=False)
        return None
    shown = host.ostler("jobs", "--all", "--json", check=False)
    if shown.returncode:
        return None
    rows = [r for r in json.loads(shown.stdout)["jobs"] if r["id"] == ident]
    assert rows, f"job {ident} was acknowledged and is lost"
    return rows[0] if rows[0]["state"] == "done" else None


def _is_idle(host: Host) -> bool:
    told = host.json("status")["machine"]
    return bool(told["cpus"]) and told["free_cpus"] == told["cpus"]


def check(host: Host, ident: str, row: dict[str, Any], runs: Counter[int], elements: int) -> Told:
    """Assert what durability promises: all accounted for, none twice unless it may."""
    query = (
        f"select element, result, attempt, exit_status, reason from elements where job = {ident}"
    )
    rows = host.json("query", query)["rows"]
    assert sorted(r[0] for r in rows) == list(range(elements)), f"{len(rows)} of {elements}; {row}"
    results: Counter[str] = Counter()
    lost: list[tuple[int, str]] = []
    for element, result, attempt, status, reason in rows:
        ran = runs.pop(element, 0)
        what = f"element {element} is {result} ({status}) at attempt {attempt} and ran {ran} times"
        # Between fork and exec a task looks like its starter, and may be hit in its place.
        if result == "failed" and status == 128 + signal.SIGKILL and ran == attempt - 1:
            kind = "hit"
        else:
            kind = result
        assert kind in {"success", "lost", "hit"}, f"{what}: {reason}"
        assert ran <= attempt, what
        assert result != "success" or ran >= 1, what
        if result == "lost":
            assert reason, f"{what}, and nobody says why"
            lost.append((element, reason))
        results[kind] += 1
    assert not runs, f"what was never asked for ran: {runs}"
    return Told(results, Counter(), lost)


def one_run(seed: int, elements: int, kills: int) -> Told:
    """Run one array on a machine of its own; its folder is kept if it fails."""
    rng = random.Random(seed)
    options = rng.choice([[], [], ["--requeue"]])
    folder = Path(tempfile.mkdtemp(prefix=f"kills-{seed}-"))
    with machine(folder, "--cpus", "4") as host:
        told = array_under_kills(host, elements, rng, kills, *options)
    shutil.rmtree(folder)
    return told


def _lines(seed: int, told: Told, seconds: float) -> Iterator[str]:
    """Yield what a person wants to read of one run."""
    results = ", ".join(f"{n} {result}" for result, n in sorted(told.results.items()))
    killed = ", ".join(f"{n} {kind}" for kind, n in sorted(told.killed.items()))
    yield f"seed {seed}: {results}; killed {killed or 'nothing'}; {seconds:.0f} s"
    for element, reason in told.lost:
        yield f"  lost {element}: {reason}"


def main(argv: list[str]) -> int:
    """Run by hand; print what each run came to."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--elements", type=int, default=2000)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--kills", type=int, default=10, help="moments in one run")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=0, help="begin no run after so long")
    options = parser.parse_args(argv)
    began = time.monotonic()
    failed = 0
    for seed in range(options.seed, options.seed + options.runs):
        start = time.monotonic()
        if options.minutes and start - began > 60 * options.minutes:
            break
        try:
            told = one_run(seed, options.elements, options.kills)
        except AssertionError as error:
            failed += 1
            text = f"seed {seed}: FAILED\n{error}"
        else:
            text = "\n".join(_lines(seed, told, time.monotonic() - start))
        print(text, flush=True)  # noqa: T201 - run by hand
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
