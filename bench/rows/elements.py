"""Elements per second: ours, a bare loop in C, xargs, and the peers."""

from collections.abc import Callable
from pathlib import Path

from bench.bench import Bench, Contender
from bench.machine import Machine
from bench.native import compiled
from bench.processes import cpu_of_tree, program, timed
from bench.record import Sample

TRUE = "/bin/true"
RATE = "elements/s"
OWN = "own µs"  # CPU of an element beyond that of its task
TASK = "task µs"  # CPU that the task itself was billed: fork, exec, dynamic linking, exit
BOTH = "CPU µs"  # where the two cannot be told apart


def discarded(bench: Bench) -> None:
    """Output goes to /dev/null on all sides."""
    row, count = "elements", bench.sizes.elements
    with bench.machine() as machine:
        bench.interleave(
            row,
            [
                Contender("ours", lambda: ours(machine, count, "/dev/null")),
                *_loops(bench, list),
                Contender("xargs", lambda: _xargs(bench, ["-n1", TRUE], _numbers(bench))),
                Contender("HyperQueue", lambda: _hyperqueue(bench)),
                Contender("parallel", lambda: _parallel(bench)),
                Contender("Slurm", lambda: _slurm(bench)),
            ],
        )
    aims = {"C pinned": 0.9, "C": None, "xargs": 1.2, "HyperQueue": 10, "parallel": 10, "Slurm": 20}
    for other, aim in aims.items():
        bench.record.ratio(row, RATE, ("ours", other), aim=aim)
    _judge_cpu(bench, row)


def with_output(bench: Bench) -> None:
    """Each element has an output file of its own, in a folder that nobody used before."""
    row, count = "elements-output", bench.sizes.elements
    with bench.machine() as machine:
        bench.interleave(
            row,
            [
                Contender("ours", lambda: ours(machine, count, f"{_new(bench)}/%a")),
                *_loops(bench, lambda: [_new(bench)]),
                # xargs cannot redirect: a shell has to, and its start is in the figure.
                Contender(
                    "xargs sh",
                    lambda: _xargs(
                        bench, ["-n1", "/bin/sh", "-c", f'exec {TRUE} >"$0"'], _paths(bench)
                    ),
                ),
            ],
        )
    for other, aim in {"C pinned": 0.9, "C": None, "xargs sh": 1.2}.items():
        bench.record.ratio(row, RATE, ("ours", other), aim=aim)
    _judge_cpu(bench, row)


def _judge_cpu(bench: Bench, row: str) -> None:
    """Our own work against the loop's: a ratio that waiting for a CPU does not move."""
    bench.record.ratio(row, OWN, ("ours", "C pinned"), less=True)
    bench.record.count(row, "ours", OWN, aim=250)


def ours(machine: Machine, count: int, output: str, *options: str) -> Sample:
    """Submit an array and wait for it; the clock covers both commands."""
    before = machine.cpu()
    words = ("--array", f"0-{count - 1}", "-o", output, *options, "--", TRUE)
    submitted, job = machine.timed_submit(*words)
    waited = machine.timed("wait", job)
    used = machine.cpu().since(before)
    tasks = machine.cpu_of_tasks(job)
    each = 1e6 / count
    return {
        RATE: count / (submitted.seconds + waited.seconds),
        OWN: (used.all - tasks) * each,
        TASK: tasks * each,
        "manager µs": used.manager * each,
        "agent µs": used.agent * each,
        "starters µs": (used.all - tasks - used.manager - used.agent) * each,
        "commands µs": (submitted.cpu_seconds + waited.cpu_seconds) * each,
    }


def _loops(bench: Bench, folder: Callable[[], list[str]]) -> list[Contender]:
    count, slots = str(bench.sizes.elements), str(bench.cpus)

    def loop(how: str) -> Sample:
        words = [str(compiled("spawn_loop", bench.folder)), count, slots, how, *folder()]
        answer = bench.new_folder("loop") / "answer"
        timed(words, stdout=answer)
        seconds, own, tasks = map(float, answer.read_text(encoding="ascii").split())
        each = 1e6 / bench.sizes.elements
        return {RATE: bench.sizes.elements / seconds, OWN: own * each, TASK: tasks * each}

    return [
        Contender("C pinned", lambda: loop("pinned")),
        Contender("C", lambda: loop("free")),
    ]


def _xargs(bench: Bench, words: list[str], stdin: Path) -> Sample:
    took = timed([program("xargs"), "-P", str(bench.cpus), *words], stdin=stdin)
    count = bench.sizes.elements
    return {RATE: count / took.seconds, BOTH: took.cpu_seconds * 1e6 / count}


def _hyperqueue(bench: Bench) -> Sample:
    peer, count = bench.peers.hyperqueue(), bench.sizes.elements_hyperqueue
    before = cpu_of_tree(*peer.roots)
    seconds = peer.run(count)
    used = cpu_of_tree(*peer.roots) - before
    return {RATE: count / seconds, BOTH: used * 1e6 / count}


def _parallel(bench: Bench) -> Sample:
    bench.peers.check()
    count = bench.sizes.elements_parallel
    # -n0: the number is read and not passed on, as ours passes none.
    words = [program("parallel"), "--will-cite", "-n0", "-j", str(bench.cpus), TRUE]
    took = timed(words, stdin=_lines(bench, [str(n) for n in range(count)]))
    return {RATE: count / took.seconds, BOTH: took.cpu_seconds * 1e6 / count}


def _slurm(bench: Bench) -> Sample:
    count = bench.sizes.elements_slurm
    return {RATE: count / bench.peers.slurm().run(count)}


def _new(bench: Bench) -> str:
    return str(bench.new_folder("output"))


def _numbers(bench: Bench) -> Path:
    return _lines(bench, [str(n) for n in range(bench.sizes.elements)])


def _paths(bench: Bench) -> Path:
    folder = _new(bench)
    return _lines(bench, [f"{folder}/{n}" for n in range(bench.sizes.elements)])


def _lines(bench: Bench, lines: list[str]) -> Path:
    path = bench.new_folder("list") / "lines"
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path
