"""Draws what replays came to, with matplotlib, which only the extra `ostler[plot]` brings."""

import os
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import groupby
from typing import TYPE_CHECKING, Any

from ostler.model.errors import OstlerError, Unsupported, UsageError
from ostler.model.units import format_duration
from ostler.sim.metrics import LENGTHS, Group, usage
from ostler.sim.runs import Replayed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

_SUFFIXES = (".png", ".svg")
_PARTS = 150  # of the time axis
_MOST_TRACES = 20  # in one picture
_DAY = 86_400
_UNITS = ((3 * _DAY, _DAY, "days"), (3 * 3600, 3600, "hours"), (0, 1, "seconds"))
_FAR = 5  # times the least value
# The palette of Okabe and Ito, which the colour-blind can tell apart; marks and dashes differ too.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_CROWDED = 32  # letters along one axis
_MARKS = ("o", "s", "^", "D", "v", "P", "X")
_DASHES = ("-", "--", "-.", ":")
_TIMES = {0: "0", 10: "10 s", 60: "1 min", 600: "10 min", 3600: "1 h", 6 * 3600: "6 h"} | {
    days * _DAY: f"{days:,} d" for days in (1, 10, 100, 1000, 10_000)
}  # marks of an axis of waits


def check(path: str) -> None:
    """Refuse what could not be drawn there; raises `UsageError` or `Unsupported`."""
    if not path.lower().endswith(_SUFFIXES):
        raise UsageError(
            f"{path!r} names no kind of picture",
            expected=f"a name that ends in {' or '.join(_SUFFIXES)}",
        )
    if find_spec("matplotlib") is None:
        raise Unsupported(
            "plots need matplotlib, which is not installed here",
            hint="get it: pip install 'ostler[plot]'",
        )


def draw(done: Sequence[Replayed], path: str) -> None:
    """Draw all replays into one file, a part for each trace. Raises `OstlerError`."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    traces = [list(group) for _, group in groupby(done, key=lambda each: id(each.run.trace))]
    if len(traces) > _MOST_TRACES:
        raise UsageError(
            f"{len(traces)} traces are too many for one picture", expected="20 at most"
        )
    settings: dict[Any, object] = {
        "font.size": 9,
        "axes.titlesize": 10,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "grid.color": "#DDDDDD",
        "legend.frameon": False,
        "svg.hashsalt": "ostler",  # the same picture is the same file
    }
    with mpl.rc_context(settings), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # letters that the font lacks
        figure = Figure(figsize=(12, 7.5 * len(traces)), dpi=120, layout="constrained")
        parts = figure.subfigures(len(traces), 1, squeeze=False)[:, 0]
        for part, runs in zip(parts, traces, strict=True):
            _draw_trace(part, runs)
        try:
            figure.savefig(path, metadata={"Date": None} if path.lower().endswith("svg") else None)
        except OSError as error:
            raise OstlerError(f"{path!r} cannot be written: {error.strerror}") from None


def _draw_trace(figure: "FigureBase", runs: Sequence[Replayed]) -> None:
    """Draw use over time, waits by size and by length, and the policies beside one another."""
    trace = runs[0].run.trace
    name = os.path.basename(trace.name).encode(errors="replace").decode()
    figure.suptitle(
        f"{name}: {trace.described()}, rule {runs[0].run.rule}",
        fontsize=12,
        parse_math=False,  # a $ in a name is a $
    )
    panels = figure.subplot_mosaic(
        [["use", "use", "waits"], ["size", "length", "slowdowns"]], width_ratios=[1, 1, 0.8]
    )
    _draw_use(panels["use"], runs)
    by_size = [each.measured.sizes for each in runs]
    by_length = [each.measured.lengths for each in runs]
    _draw_classes(panels["size"], runs, by_size, [group.span for group in by_size[0]])
    panels["size"].set(title="Waits of narrow and wide jobs", xlabel="processors of the job")
    _draw_classes(panels["length"], runs, by_length, [*map(format_duration, LENGTHS), "longer"])
    panels["length"].set(title="Waits of short and long jobs", xlabel="run time of the job, up to")
    waits = [each.measured.mean_wait for each in runs]
    slowdowns = [each.measured.mean_bounded_slowdown for each in runs]
    _draw_policies(panels["waits"], runs, waits)
    panels["waits"].set(title="Policies compared: waits", xlabel="mean wait (seconds)")
    _draw_policies(panels["slowdowns"], runs, slowdowns)
    panels["slowdowns"].set(title="Policies compared: slowdowns", xlabel="mean bounded slowdown")
    figure.legend(
        *panels["size"].get_legend_handles_labels(), loc="outside lower center", ncols=len(_COLOURS)
    )


def _colour(number: int) -> str:
    return _COLOURS[number % len(_COLOURS)]


def _dashes(number: int) -> str:
    return _DASHES[number % len(_DASHES)]


def _mark(number: int) -> str:
    return _MARKS[number % len(_MARKS)]


def _draw_use(axes: "Axes", runs: Sequence[Replayed]) -> None:
    """Draw the share of the machine in use, as means of short times."""
    span = max(each.measured.makespan for each in runs)
    parts = min(_PARTS, span)
    width = span / parts
    unit, name = next((unit, name) for least, unit, name in _UNITS if span >= least)
    edges = [part * width / unit for part in range(parts + 1)]
    for number, each in enumerate(runs):
        values = [100 * value for value in usage(each.run.trace, each.starts, width, parts)]
        axes.stairs(
            values,
            edges,
            linewidth=1.2,
            baseline=None,
            color=_colour(number),
            linestyle=_dashes(number),
        )
    axes.set(
        title=f"Use of the machine (means of {format_duration(width)})",
        xlabel=f"{name} since the first submission",
        ylabel="processors in use (%)",
        ylim=(0, 102),
        xlim=(0, edges[-1]),
    )


def _draw_classes(
    axes: "Axes", runs: Sequence[Replayed], groups: Sequence[tuple[Group, ...]], names: list[str]
) -> None:
    """Draw the mean wait of each class, a line for each policy."""
    for number, column in enumerate(groups):
        at = [i for i, group in enumerate(column) if group.mean_wait is not None]
        means = [group.mean_wait for group in column if group.mean_wait is not None]
        used = 100 * runs[number].measured.utilisation
        label = f"{runs[number].run.policy.name} ({used:.1f} % used)"
        axes.plot(
            at,
            means,
            marker=_mark(number),
            label=label,
            color=_colour(number),
            linestyle=_dashes(number),
            clip_on=False,  # marks at zero are whole
        )
    waits = [group.mean_wait or 0 for column in groups for group in column if group.jobs]
    bottom = max(mark for mark in _TIMES if mark <= min(waits) / 2)
    axes.set_yscale("symlog", linthresh=10)
    axes.set_yticks([*_TIMES], [*_TIMES.values()])
    axes.minorticks_off()
    axes.set(ylim=(bottom, max(2 * max(waits), 20)), ylabel="mean wait")
    axes.set(xlim=(-0.3, len(names) - 0.7))
    if sum(map(len, names)) > _CROWDED:
        axes.set_xticks(range(len(names)), names, rotation=30, ha="right", rotation_mode="anchor")
    else:
        axes.set_xticks(range(len(names)), names)


def _draw_policies(axes: "Axes", runs: Sequence[Replayed], values: list[float]) -> None:
    """Draw one number of each policy, the first one on top; far apart, on a scale of powers."""
    for number, value in enumerate(values):
        axes.plot(value, number, _mark(number), color=_colour(number), markersize=8, clip_on=False)
        axes.annotate(
            f"{value:,.1f}",
            (value, number),
            xytext=(0, 8),
            textcoords="offset points",
            ha="center",
        )
    most = max(*values, 1.0)
    if min(values) > 0 and most > _FAR * min(values):
        axes.set_xscale("log")
        axes.set_xlim(min(values) / 3, most * 3)
        axes.minorticks_off()
    else:
        axes.set_xlim(0, 1.25 * most)
        axes.locator_params("x", nbins=4)
    axes.xaxis.set_major_formatter("{x:,.0f}" if most > _FAR else "{x:g}")
    axes.grid(visible=False, axis="y")
    axes.set(ylim=(len(runs) - 0.5, -0.7), yticks=range(len(runs)))
    axes.set_yticklabels([each.run.policy.name for each in runs])
