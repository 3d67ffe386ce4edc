"""How soon people are answered while a great array runs."""

from collections.abc import Sequence
from functools import partial

from bench.bench import Bench, Contender
from bench.machine import Machine
from bench.record import Sample
from bench.stats import median, quantile

P99 = "p99 ms"


def measure(bench: Bench) -> None:
    """The same commands on two machines, of which one is idle. The array is not run to its end."""
    row, sizes = "during", bench.sizes
    with bench.machine() as idle, bench.machine() as working:
        waits = idle.submit("--hold", "--", "/bin/true")
        array = working.submit(
            "--array", f"0-{sizes.great_array - 1}", "-o", "/dev/null", "--", "/bin/true"
        )
        asked = [
            ("jobs", idle, ["jobs"]),
            ("explain", idle, ["explain", waits]),
            ("run", idle, ["run", "--priority", "100", "true"]),
            ("jobs, during", working, ["jobs"]),
            ("explain, during", working, ["explain", array]),
            ("run, during", working, ["run", "--priority", "100", "true"]),
        ]
        bench.interleave(
            row,
            [
                Contender(name, partial(_ask, machine, words, sizes.asked))
                for name, machine, words in asked
            ],
        )
        row_of_array = working.json("job", array)["jobs"][0]
        done = {"elements": float(row_of_array["elements_done"]), **working.resident_mb()}
        bench.record.add(row, "the array until then", done)
    for name in ("jobs", "explain", "run"):
        bench.record.count(row, f"{name}, during", P99, aim=100)


def _ask(machine: Machine, words: Sequence[str], count: int) -> Sample:
    wall = [1e3 * machine.timed(*words).seconds for _ in range(count)]
    return {"median ms": median(wall), P99: quantile(wall, 0.99), "most ms": max(wall)}
