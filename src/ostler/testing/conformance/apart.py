"""Each case in a process of its own: a driver that crashes fails the case, and nobody else."""

import os
from collections.abc import Iterable, Iterator

import msgspec

from ostler.testing.conformance.bench import Bench
from ostler.testing.conformance.finding import Finding, Verdict
from ostler.testing.conformance.running import CASES, run


def check_apart(bench: Bench, names: Iterable[str] = ()) -> Iterator[Finding]:
    """Run these cases, or all, one after the other; what the driver prints goes to stderr."""
    for name in names or CASES:
        finding = _apart(name, bench)
        yield finding
        if finding.verdict is Verdict.FAILED:
            lose_patience(bench, finding.seconds)


def lose_patience(bench: Bench, seconds: float) -> None:
    """Wait less for what comes next, after a case that has failed by waiting so long."""
    if seconds > bench.polls * bench.polling:
        bench.polls = max(bench.polls // 10, 10)
    if seconds > bench.deadline:
        bench.deadline = max(bench.deadline / 5, 1.0)


def _apart(name: str, bench: Bench) -> Finding:
    told, telling = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.dup2(2, 1)
            os.write(telling, msgspec.json.encode(run(name, bench)))
        finally:
            os._exit(0)
    os.close(telling)
    with open(told, "rb") as answer:
        data = answer.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if data:
        return msgspec.json.decode(data, type=Finding)
    how = f"by signal {-status}" if status < 0 else f"with status {status}"
    text = f"its process ended {how}; expected an answer, or Trouble"
    return Finding(name, CASES[name].title, Verdict.FAILED, text)
