"""A run as text. Pure."""

from collections.abc import Iterable, Sequence

from bench.compare import Change
from bench.record import Figure, Record, Series
from bench.stats import median, spread

_GAP = "  "


def number(value: float) -> str:
    """Return a value with three digits that count, and thousands apart."""
    size = abs(value)
    digits = 0 if size >= 100 or not size else 1 if size >= 10 else 2 if size >= 1 else 3
    return f"{value:,.{digits}f}"


def columns(lines: Sequence[Sequence[str]]) -> list[str]:
    """Return lines whose cells stand below one another: the first to the left, others right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        _GAP.join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]


def row_text(record: Record, row: str, about: str) -> str:
    """Return one row: its contenders, what was not measured, and its figures."""
    series = [s for s in record.series if s.row == row]
    parts = [f"{row}: {about}"]
    if series:
        parts += [_GAP + line for line in columns(_cells(series))]
    parts += [f"  {g.contender}: NOT MEASURED: {g.why}" for g in record.gaps if g.row == row]
    figures = [_judged(figure) for figure in record.figures if figure.row == row]
    if figures:
        parts += ["", *(_GAP + line for line in columns(figures))]
    return "\n".join(parts)


def _cells(series: Sequence[Series]) -> list[list[str]]:
    contenders = list(dict.fromkeys(s.contender for s in series))
    measures = list(dict.fromkeys(s.measure for s in series))
    known = {(s.contender, s.measure): s.values for s in series}
    heading = ["", *measures, "rounds"]
    lines = [heading]
    for contender in contenders:
        found = [known.get((contender, measure)) for measure in measures]
        rounds = max(len(values) for values in found if values)
        cells = ["" if not values else _cell(values) for values in found]
        lines.append([contender, *cells, str(rounds)])
    return lines


def _cell(values: Sequence[float]) -> str:
    wide = round(100 * spread(values))
    return number(median(values)) + (f" ±{wide}%" if wide else "")


def _judged(figure: Figure) -> list[str]:
    aim = verdict = ""
    if figure.aim is not None:
        aim = f"aim: {'at most' if figure.less else 'at least'} {number(figure.aim)}"
        verdict = "met" if figure.met else "MISSED"
    return [figure.name, f"{_cell(figure.values)} {figure.unit}", aim, verdict]


def changes_text(found: Iterable[Change]) -> str:
    """Return what a check compared, a line for each figure."""
    lines = [["", "reference", "now", "worse by", "may be", ""]]
    for change in found:
        name = f"{change.figure.row}: {change.figure.name}"
        unit = change.figure.unit
        lines.append(
            [
                name,
                f"{number(change.then)} {unit}",
                f"{number(change.now)} {unit}",
                f"{change.worse:.0%}",
                f"{change.tolerance:.0%}",
                "SLOWER" if change.slower else "",
            ]
        )
    return "\n".join(columns(lines))
