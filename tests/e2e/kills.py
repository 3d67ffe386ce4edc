"""Random kill -9 of every process of ours while an array runs; run by tests, soak and by hand.

python -m tests.e2e.kills --elements 2000 --runs 10 --seed 1
"""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path

from tests.e2e.machine_kit import Host, eventually, machine

ALLOWED = {"success", "lost"}


def our_processes(state: Path) -> dict[int, str]:
    """Return pid -> kind of every daemon and starter of this machine."""
    found: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if str(state).encode() not in words:
            continue
        for kind in ("supervisor", "manager", "zygote", "agent"):
            if any(kind.encode() in word for word in words[:5]):
                # Starters are forks of the zygote and share its command line.
                found[int(entry.name)] = kind
                break
    return found


def array_under_kills(host: Host, elements: int, rng: random.Random, kills: int) -> Counter[str]:
    """Run one array to its end under so many kills; return the results; assert the promises."""
    out = host.work / f"out-{rng.randrange(1 << 30)}"
    out.mkdir()
    script = f"echo $OSTLER_ELEMENT >> {out}/$OSTLER_ELEMENT"
    ident = host.submit("--array", f"0-{elements - 1}", "-o", "/dev/null", "--", "sh", "-c", script)
    done = threading.Event()
    killer = threading.Thread(target=_kill, args=(host, rng, kills, done))
    killer.start()
    try:
        row = eventually(f"job {ident} ends", lambda: _ended(host, ident), patience=600)
    finally:
        done.set()
        killer.join()
    return check(host, ident, row, out, elements)


def _kill(host: Host, rng: random.Random, kills: int, done: threading.Event) -> None:
    for _ in range(kills):
        if done.wait(rng.uniform(0.05, 0.8)):
            return
        pids = sorted(our_processes(host.state))
        count = rng.choice([1, 1, 1, 2, len(pids)])
        for pid in rng.sample(pids, min(count, len(pids))):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        host.ostler("up", *host.up_options, check=False)


def _ended(host: Host, ident: str) -> dict[str, object] | None:
    if host.ostler("status", check=False).returncode:
        host.ostler("up", *host.up_options, check=False)
        return None
    shown = host.ostler("jobs", "--all", "--json", check=False)
    if shown.returncode:
        return None
    rows = [r for r in json.loads(shown.stdout)["jobs"] if r["id"] == ident]
    assert rows, f"job {ident} was acknowledged and is lost"
    return rows[0] if rows[0]["state"] == "done" else None


def check(host: Host, ident: str, row: dict[str, object], out: Path, elements: int) -> Counter[str]:
    """Assert what durability promises of an array that may run once."""
    query = f"select element, result, attempt, exit_status from elements where job = {ident}"
    rows = host.json("query", query)["rows"]
    assert len(rows) == elements, f"{len(rows)} of {elements} elements have a row; {row}"
    for element, result, attempt, status in rows:
        path = out / str(element)
        lines = path.read_text().split() if path.exists() else []
        runs = len(lines)
        what = f"element {element} ended as {result} after {attempt} attempts and ran {runs} times"
        # Between fork and exec a task looks like its starter, and may be hit in its place.
        hit = result == "failed" and status == 128 + signal.SIGKILL and not runs
        assert result in ALLOWED or hit, f"{what}, status {status}"
        assert runs <= 1, what
        assert result != "success" or runs == 1, what
    return Counter(result for _, result, *_ in rows)


def main(argv: list[str]) -> int:
    """Run by hand; print what each run came to."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--elements", type=int, default=2000)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(argv)
    for run in range(options.runs):
        rng = random.Random(options.seed + run)
        folder = Path(tempfile.mkdtemp(prefix=f"kills-{options.seed + run}-"))  # kept if it fails
        with machine(folder, "--cpus", "4") as host:
            results = array_under_kills(host, options.elements, rng, options.kills)
        shutil.rmtree(folder)
        print(f"seed {options.seed + run}: {dict(results)}", flush=True)  # noqa: T201 - run by hand
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
