"""What `ostler sim TRACE…` does: reads its options, replays, and hands on what came out."""

import os
import time
from math import isfinite, nan

from ostler.cli.ask import number
from ostler.cli.options import Given
from ostler.cli.output import chosen, json_text, say
from ostler.cli.progress import Line, Pace
from ostler.cli.sim_decisions import replay_decisions
from ostler.cli.sim_text import COLUMNS, described, row_of
from ostler.model.errors import OstlerError, UsageError
from ostler.schedule.counted import Rule
from ostler.schedule.policy import Policy, parse_policy
from ostler.sim import plots, swf
from ostler.sim.runs import Replayed, Run, carry_out

_MOST_PROCS = 100_000_000
_LOADS = (0.01, 100.0)  # beyond, nothing is left of the trace
_EVERY = 0.2  # seconds between looks at the progress
_BAR = 20  # columns


def replay_traces(given: Given) -> int:
    """Replay each trace under each policy and print what came out."""
    policies = _policies(given.many("sim_policy"))
    if (path := given.text("sim_replay")) is not None:
        named = policies if given.many("sim_policy") else []
        return replay_decisions(given, path, named)
    if not given.words:
        raise UsageError(
            "missing argument TRACE", hint="name a file, - for stdin, or --replay FILE"
        )
    rule = _rule(given.text("sim_rule"))
    load = _load(given.text("sim_load"))
    names = _names(given.words)
    per_job, drawn = given.text("per_job"), given.many("plot")
    _check_files(names, per_job, drawn, len(names) * len(policies))
    if (keys := given.text("format")) is not None:
        chosen([], keys, COLUMNS)  # refuses what could not be shown after the work
    traces = [_trace(given, name, load) for name in names]
    runs = [Run(trace, policy, rule) for trace in traces for policy in policies]
    done = _carried_out(runs, told=not (given.flag("quiet") or given.flag("json")))
    if per_job is not None:
        _write_waits(per_job, done[0])
    for path in drawn:
        plots.draw(done, path)
    rows = [row_of(replayed, load) for replayed in done]
    if given.flag("json"):
        say(json_text({"runs": rows}))
    elif keys is not None:
        say(chosen(rows, keys, COLUMNS, heading=not given.flag("quiet")))
    else:
        heading = not given.flag("quiet")
        say(described(done, classes=given.flag("sim_classes"), heading=heading))
    return 0


def _policies(texts: list[str]) -> list[Policy]:
    """Return the policies that are named, each once; EASY unless told."""
    found = [parse_policy(name.strip()) for text in texts for name in text.split(",")]
    return list(dict.fromkeys(found)) or [parse_policy("easy")]


def _rule(text: str | None) -> Rule:
    try:
        return Rule(text or Rule.EVENT)
    except ValueError:
        raise UsageError(f"--rule cannot be {text!r}", expected=" or ".join(Rule)) from None


def _load(text: str | None) -> float:
    least, most = _LOADS
    try:
        load = float(text or 1)
    except ValueError:
        load = nan
    if not (isfinite(load) and least <= load <= most):
        raise UsageError(
            f"--load cannot be {text!r}",
            expected=f"a factor from {least:g} to {most:g}",
            hint="1.2 lets a fifth more work arrive in the same time",
        )
    return load


def _names(words: list[str]) -> list[str]:
    for name in words:
        if words.count(name) > 1:
            raise UsageError(f"trace {name!r} is named twice", expected="each once")
    return words


def _trace(given: Given, name: str, load: float) -> swf.Trace:
    """Return one trace as the options want it; raise `UsageError`."""
    procs = None
    if (text := given.text("sim_procs")) is not None:
        procs = number("--procs", text, _MOST_PROCS)
        if procs == 0:
            raise UsageError("--procs cannot be 0", expected="processors of the machine")
    trace = swf.read(name, procs)
    return trace if load == 1 else swf.scaled(trace, load)


def _check_files(names: list[str], per_job: str | None, drawn: list[str], runs: int) -> None:
    """Refuse before the work what could not be written after it."""
    if per_job is not None and runs > 1:
        raise UsageError(
            "--per-job is for one replay",
            expected="one trace and one policy",
            hint="call it once for each",
        )
    for path in drawn:
        plots.check(path)
    for path in drawn if per_job is None else [per_job, *drawn]:
        folder = os.path.dirname(path) or "."
        if not path or os.path.isdir(path) or not os.path.isdir(folder):
            raise UsageError(
                f"{path!r} cannot be written", expected="the name of a file in a folder that exists"
            )
        if path == "-":
            raise UsageError(
                "'-' names no file to write", expected="a name", hint="/dev/stdout is one"
            )
        if any(_same(path, name) for name in names):
            raise UsageError(f"{path!r} is the trace itself", expected="another name")


def _same(path: str, trace: str) -> bool:
    try:
        return os.path.samefile(path, trace)
    except (OSError, ValueError):  # not there, or no name of a file
        return False


def _write_waits(path: str, replayed: Replayed) -> None:
    """Write a line for each job in the order of the replay. Raises `OstlerError`."""
    trace = replayed.run.trace
    jobs = zip(trace.numbers, trace.submits, replayed.starts, strict=True)
    try:
        with open(path, "w", encoding="ascii", newline="\n") as file:
            file.write("job,wait\n")
            file.writelines(f"{job},{start - submit}\n" for job, submit, start in jobs)
    except OSError as error:
        raise OstlerError(f"{path!r} cannot be written: {error.strerror}") from None


def _carried_out(runs: list[Run], *, told: bool) -> list[Replayed]:
    """Make the runs; `told`: a line on standard error, if a terminal, tells how far they are."""
    if not told or not os.isatty(2):
        return carry_out(runs, lambda _run, _jobs: None)
    bar = _Bar(runs)
    try:
        return carry_out(runs, bar.told)
    finally:
        bar.clear()


class _Bar:
    """The line of progress: how many jobs of all runs together were submitted."""

    def __init__(self, runs: list[Run]) -> None:
        self._done = [0] * len(runs)
        self._total = sum(len(run.trace) for run in runs)
        self._pace = Pace(self._total, "jobs")
        self._line = Line()
        self._next = 0.0

    def told(self, run: int, jobs: int) -> None:
        """Note how many jobs of a run were submitted."""
        self._done[run] = jobs
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _EVERY
        done = sum(self._done)
        full = done * _BAR // self._total
        self._line.write(f"[{'#' * full}{'.' * (_BAR - full)}] {self._pace.text(now, done)}")

    def clear(self) -> None:
        """Take the line away."""
        self._line.clear()
