"""Builds small traces: a line is a job, with what matters to a test named."""

import gzip
from pathlib import Path


def job(
    number: int = 1,
    submit: float = 0,
    run: float = 60,
    size: float = 1,
    estimate: float = 100,
    allocated: int = 7,
) -> str:
    """Return a line of a trace. size: the requested processors; -1 leaves the allocated ones."""
    return f"{number} {submit} -1 {run} {allocated} 3.5 -1 {size} {estimate} -1 1 1 1 -1 1 -1 -1 -1"


def written(path: Path, *lines: str, procs: int | None = 10, packed: bool = False) -> str:
    """Write a trace and return its name. procs: MaxProcs of its header, None for no header."""
    header = [] if procs is None else ["; Version: 2.2", f"; MaxProcs: {procs}"]
    data = "\n".join([*header, *lines, ""]).encode()
    path.write_bytes(gzip.compress(data) if packed else data)
    return str(path)
