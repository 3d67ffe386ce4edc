"""How fast an array runs, by what waits behind it."""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

from bench.bench import Bench, Contender
from bench.load import fill
from bench.machine import Machine
from bench.record import Sample
from bench.rows.elements import OWN, RATE, ours

NOTHING = "nothing waits"


def measure(bench: Bench) -> None:
    """One machine for each load, all up at the same time; only one works at a time.

    Each has a CPU more than the host, taken for good: a job that asks for all of them waits for
    resources, and is looked at whenever something is planned.
    """
    row, sizes = "waiting", bench.sizes
    array = ("--array", f"0-{sizes.great_array - 1}", "-o", "/dev/null", "-c", str(bench.cpus + 1))
    loads: dict[str, Callable[[Machine], object]] = {NOTHING: lambda _: None}
    for count in sizes.behind:
        loads[f"{count:,} held"] = partial(_fill, count, hold=True)
        loads[f"{count:,} pending"] = partial(_fill, count, cpus=bench.cpus + 1)
    name = f"array of {sizes.great_array:,}"
    loads[f"{name} held"] = lambda m: m.submit(*array, "--hold", "--", "/bin/true")
    loads[f"{name} pending"] = lambda m: m.submit(*array, "--", "/bin/true")
    with ExitStack() as stack:
        contenders = []
        for name, load in loads.items():
            machine = stack.enter_context(bench.machine("--cpus", str(bench.cpus + 1)))
            machine.submit("-o", "/dev/null", "--", "sleep", "infinity")
            load(machine)
            contenders.append(Contender(name, partial(_array, machine, sizes.small_array)))
        bench.interleave(row, contenders)
    for name in loads:
        if name != NOTHING:
            bench.record.ratio(row, RATE, (name, NOTHING))


def _array(machine: Machine, count: int) -> Sample:
    """Run an array that goes before all that waits."""
    sample = ours(machine, count, "/dev/null", "--priority", "100")
    kept = {measure: sample[measure] for measure in (RATE, OWN, "manager µs")}
    return {**kept, **machine.resident_mb()}


def _fill(count: int, machine: Machine, **values: object) -> None:
    fill(machine.state, count, **values)
