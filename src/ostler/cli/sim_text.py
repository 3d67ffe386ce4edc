"""How replays are shown: as rows for --json and as tables to read."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from itertools import groupby
from math import isnan

from ostler.cli.output import Column, Row, cell, table
from ostler.model.units import format_duration
from ostler.sim.metrics import Group
from ostler.sim.runs import Replayed
from ostler.sim.swf import told_dropped


@dataclass(frozen=True)
class _Shown:
    """One replay as an object of the document. load: what the trace was scaled by."""

    trace: str
    policy: str
    rule: str
    jobs: int
    procs: int
    mean_wait: float
    median_wait: float
    mean_bounded_slowdown: float
    utilisation: float
    makespan: int
    seconds: float
    jobs_per_second: float
    compiled: bool
    load: float
    offered_load: float | None  # None: all came at one time
    dropped: dict[str, int]
    size_classes: tuple[Group, ...]
    length_classes: tuple[Group, ...]


COLUMNS = tuple(field.name for field in fields(_Shown))


def row_of(replayed: Replayed, load: float) -> Row:
    """Return one replay by column."""
    run, found = replayed.run, replayed.measured
    trace = run.trace
    offered = trace.offered_load()
    shown = _Shown(
        trace=trace.name,
        policy=run.policy.name,
        rule=str(run.rule),
        jobs=len(trace),
        procs=trace.procs,
        mean_wait=found.mean_wait,
        median_wait=found.median_wait,
        mean_bounded_slowdown=found.mean_bounded_slowdown,
        utilisation=found.utilisation,
        makespan=found.makespan,
        seconds=replayed.seconds,
        jobs_per_second=len(trace) / replayed.seconds,
        compiled=replayed.compiled,
        load=load,
        offered_load=None if isnan(offered) else offered,
        dropped=trace.dropped,
        size_classes=found.sizes,
        length_classes=found.lengths,
    )
    return asdict(shown)


def described(done: Sequence[Replayed], *, classes: bool, heading: bool) -> str:
    """Return all replays as text: for each trace a sentence and a table of its policies."""
    parts = []
    for _, group in groupby(done, key=lambda replayed: id(replayed.run.trace)):
        runs = list(group)
        if heading:
            parts.append(_sentence(runs[0]))
        parts.append(_policies(runs, heading=heading))
        if classes:
            parts += _classes(runs)
        parts.append("")
    return "\n".join(parts[:-1])


def _sentence(replayed: Replayed) -> str:
    trace = replayed.run.trace
    told = f"{cell('', trace.name)}: {trace.described()}, rule {replayed.run.rule}"
    return f"{told}; left out: {told_dropped(trace.dropped)}" if trace.dropped else told


def _policies(runs: Sequence[Replayed], *, heading: bool) -> str:
    rows: list[list[str]] = []
    for replayed in runs:
        found = replayed.measured
        rows.append(
            [
                replayed.run.policy.name,
                f"{found.mean_wait:.3f}",
                f"{found.median_wait:.1f}",
                f"{found.mean_bounded_slowdown:.6f}",
                f"{found.utilisation:.5f}",
                format_duration(found.makespan),
                f"{len(replayed.run.trace) / replayed.seconds:.0f}",
            ]
        )
    titles = ["POLICY", "MEAN-WAIT", "MEDIAN", "SLOWDOWN", "USED", "MAKESPAN", "JOBS/S"]
    return _aligned(titles, rows, heading=heading)


def _classes(runs: Sequence[Replayed]) -> list[str]:
    """Return four tables: waits and slowdowns by processors and by run time, policies beside."""
    by_size = [replayed.measured.sizes for replayed in runs]
    by_length = [replayed.measured.lengths for replayed in runs]
    sizes = [group.span for group in by_size[0]]
    lengths = [_lengths(group) for group in by_length[0]]
    policies = [replayed.run.policy.name for replayed in runs]
    found = []
    for title, names, groups in (
        ("PROCESSORS", sizes, by_size),
        ("RUN-TIME", lengths, by_length),
    ):
        waits = [[_decimals(g.mean_wait, 3) for g in column] for column in groups]
        slowdowns = [[_decimals(g.mean_bounded_slowdown, 6) for g in column] for column in groups]
        jobs = [str(group.jobs) for group in groups[0]]
        for what, columns in (("mean wait", waits), ("mean bounded slowdown", slowdowns)):
            rows = [list(row) for row in zip(names, jobs, *columns, strict=True)]
            found += ["", what, _aligned([title, "JOBS", *policies], rows, heading=True)]
    return found


def _decimals(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _lengths(group: Group) -> str:
    if group.most is None:
        return f"over {format_duration(group.least - 1)}"
    return f"up to {format_duration(group.most)}"


def _aligned(titles: list[str], rows: list[list[str]], *, heading: bool) -> str:
    """Return a table of words; all columns but the first stand to the right."""
    lines = [titles, *rows] if heading else rows
    sizes = [max(map(len, column)) for column in zip(*lines, strict=True)]
    columns: list[Column] = [(str(i), t.rjust(sizes[i]) if i else t) for i, t in enumerate(titles)]
    shown: list[Row] = [
        {str(i): text.rjust(sizes[i]) if i else text for i, text in enumerate(row)} for row in rows
    ]
    return table(shown, columns, room=0, heading=heading)  # rather wrapped than without digits
