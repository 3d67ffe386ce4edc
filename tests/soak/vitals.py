"""What a machine holds at one moment: of each kind of its processes, and of its files."""

import os
from collections.abc import Iterator
from pathlib import Path

import psutil

from ostler.wire.cgroup import find_bases
from tests.e2e.kills import our_processes

Vitals = dict[str, float]  # quantity -> value, as "agent fds" or "spool bytes"; sizes in bytes

DAEMONS = ("manager", "agent", "supervisor", "zygote", "starter")


def take(state: Path, scratch: Path) -> Vitals:
    """Look at everything once. scratch: where the daemons' temporary files would be."""
    vitals: Vitals = {}
    pids = our_processes(state)
    for kind in DAEMONS:
        of_kind = [pid for pid, other in pids.items() if other == kind]
        vitals[f"{kind} processes"] = len(of_kind)
        for pid in of_kind:
            for name, value in of_process(pid).items():
                key = f"{kind} {name}"
                # The greatest, not the sum: idle starters come and go.
                vitals[key] = max(vitals.get(key, 0.0), value)
    vitals |= _files(state)
    vitals["temporary files"] = sum(1 for _ in _below(scratch))
    vitals["control groups"] = _groups(pids)
    return vitals


def of_process(pid: int) -> Vitals:
    """Return descriptors, threads, RSS and PSS; nothing of a process that is gone."""
    try:
        process = psutil.Process(pid)
        memory = process.memory_full_info()
        return {
            "fds": process.num_fds(),
            "threads": process.num_threads(),
            "RSS": memory.rss,
            "PSS": memory.pss,
        }
    except psutil.Error:
        return {}


def _files(state: Path) -> Vitals:
    sizes = dict(_below(state))
    named = {
        "ostler.db": "database bytes",
        "ostler.db-wal": "WAL bytes",
        "journal": "journal bytes",
    }
    told = dict.fromkeys(named.values(), 0) | {"spool bytes": 0, "log bytes": 0, "other bytes": 0}
    spools = 0
    for path, size in sizes.items():
        kind = named.get(path.name, "other bytes")
        if path.parent.name.startswith("spool"):  # a starter's two files
            kind = "spool bytes"
            spools += 1
        elif path.parent.name == "log":
            kind = "log bytes"
        told[kind] += size
    return {"files": len(sizes), "spools": spools, **told}


def _below(folder: Path) -> Iterator[tuple[Path, int]]:
    """Yield every file below a folder with its size, as far as they stay while we look."""
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                yield Path(path) / name, os.lstat(f"{path}/{name}").st_size
            except OSError:
                continue


def _groups(pids: dict[int, str]) -> int:
    """Return how many control groups belong to our starters, or to nobody who lives."""
    count = 0
    for base in find_bases():
        for entry in os.scandir(base.folder):
            word, _, rest = entry.name.partition("-")
            pid = rest.partition("-")[0]
            if word == "ostler" and pid.isdigit():
                count += int(pid) in pids or not psutil.pid_exists(int(pid))
    return count
