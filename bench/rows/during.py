"""How soon people are answered while a great array runs."""

from collections.abc import Sequence
from functools import partial

from bench.bench import Bench, Contender
from bench.machine import Machine
from bench.record import Sample
from bench.rows.upkeep import GROWTH
from bench.stats import median, quantile

P99 = "p99 ms"
ARRAY = "the array until then"
JOB = "JOB"  # stands for a job's id
COMMANDS = {
    "jobs": ["jobs"],
    "explain": ["explain", JOB],
    "run": ["run", "--priority", "100", "true"],
}


def measure(bench: Bench) -> None:
    """The same commands before and during. The array is not run to its end."""
    row, sizes = "during", bench.sizes
    with bench.machine() as machine:
        held = machine.submit("--hold", "--", "/bin/true")
        bench.interleave(row, _commands(machine, held, sizes.asked, "before"))
        before = machine.resident_mb()["manager MB"]
        elements = f"0-{sizes.great_array - 1}"
        array = machine.submit("--array", elements, "-o", "/dev/null", "--", "/bin/true")
        bench.interleave(row, _commands(machine, array, sizes.asked, "during"))
        now = machine.resident_mb()
        done = float(machine.json("job", array)["jobs"][0]["elements_done"])
        growth = {GROWTH: now["manager MB"] - before}
        bench.record.add(row, ARRAY, {"elements": done, **now, **growth})
    for name in COMMANDS:
        bench.record.count(row, f"{name}, during", P99, aim=100)
    bench.record.count(row, ARRAY, GROWTH, aim=50)


def _commands(machine: Machine, job: str, count: int, when: str) -> list[Contender]:
    return [
        Contender(
            f"{name}, {when}",
            partial(_ask, machine, [job if word == JOB else word for word in words], count),
        )
        for name, words in COMMANDS.items()
    ]


def _ask(machine: Machine, words: Sequence[str], count: int) -> Sample:
    wall = [1e3 * machine.timed(*words).seconds for _ in range(count)]
    return {"median ms": median(wall), P99: quantile(wall, 0.99), "most ms": max(wall)}
