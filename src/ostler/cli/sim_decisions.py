"""What `ostler sim --replay FILE` does: decisions of a machine, replayed and compared."""

from typing import Any

from msgspec import to_builtins

from ostler.cli.options import Given
from ostler.cli.output import complain, json_text, moment, say
from ostler.model.errors import UsageError
from ostler.model.units import format_duration
from ostler.schedule.policy import Policy
from ostler.schedule.snapshot import Plan, Start
from ostler.schedule.words import counted
from ostler.sim import decisions

_FAILED = 1  # exit status: a plan is not the same, or the file ends too early
_OF_TRACES = ("sim_rule", "sim_procs", "sim_load", "sim_classes", "per_job", "plot", "format")


def replay_decisions(given: Given, path: str, policies: list[Policy]) -> int:
    """Replay a file and print what came out; return the exit status."""
    if given.words:
        raise UsageError("--replay takes decisions of a machine, and no trace beside them")
    if any(name in given.values for name in _OF_TRACES):
        raise UsageError(
            "--replay goes with --policy alone", hint="the other options are of traces"
        )
    done = decisions.replay(path)
    others = [decisions.otherwise(path, policy) for policy in policies]
    if given.flag("json"):
        first = None if done.first is None else _difference(done.first)
        row = {
            "file": path,
            "decisions": done.decisions,
            "starts": done.starts,
            "same": done.first is None,
            "cut": done.cut and done.cut._asdict(),
            "first_difference": first,
            "promised": _promised(done.late),
            "planned_by_others": [
                {"partition": partition, "scheduler": name}
                for partition, name in sorted(done.others.items())
            ],
            "policies": [_row(other) for other in others],
        }
        say(json_text({"replays": [row]}))
    else:
        say("\n".join([_told(path, done), *map(_otherwise, others)]))
    if done.cut is not None:
        number, byte, size = done.cut
        complain(
            f"{path} is cut: it ends {counted(size, 'byte')} into record {number}, "
            f"which begins at byte {byte}; what is before it was replayed"
        )
    return _FAILED if done.first or done.cut else 0


def _promised(late: list[float]) -> dict[str, Any]:
    """Return how starts came out that were promised: what was promised first counts."""
    return {
        "jobs": len(late),
        "later": sum(seconds >= 1 for seconds in late),
        "median_late_seconds": late[len(late) // 2] if late else None,
        "most_late_seconds": late[-1] if late else None,
    }


def _row(other: decisions.Otherwise) -> dict[str, Any]:
    return {
        "policy": other.policy,
        "differs": other.differing,
        "earlier": [str(job) for job in other.earlier],
        "later": [str(job) for job in other.later],
        "first_differences": [_difference(each) for each in other.differences],
    }


def _difference(each: decisions.Difference) -> dict[str, Any]:
    return {
        "decision": each.decision,
        "at": each.now,
        "recorded": to_builtins(each.recorded.lines),
        "replayed": to_builtins(each.replayed.lines),
    }


def _told(path: str, done: decisions.Replay) -> str:
    what = f"{path}: {counted(done.decisions, 'decision')}, {counted(done.starts, 'start')}"
    if done.late:
        after = sum(seconds >= 1 for seconds in done.late)
        what += f"; of {counted(len(done.late), 'job')} with a promised start {after} began later"
        if after:
            what += f", {format_duration(done.late[-1])} at most"
    for partition, name in sorted(done.others.items()):
        what += f"; what {name} planned in partition {partition} is not in it"
    if done.first is None:
        return f"{what}; every plan is the same byte for byte"
    return f"{what}; then a plan is another one\n{_lines(done.first)}"


def _otherwise(other: decisions.Otherwise) -> str:
    if not other.differing:
        return f"{other.policy}: would have started the same jobs at each decision"
    first = "\n".join(_lines(each) for each in other.differences)
    if more := other.differing - len(other.differences):
        first += f"\n  and {counted(more, 'more decision')}"
    return (
        f"{other.policy}: {counted(other.differing, 'decision')} would have been another;"
        f" {counted(len(other.earlier), 'job')} started earlier, {len(other.later)} later\n{first}"
    )


def _lines(each: decisions.Difference) -> str:
    at = f"decision {each.decision} ({moment(each.now)})"
    return f"  {at}: recorded {_starts(each.recorded)}; replayed {_starts(each.replayed)}"


def _starts(plan: Plan) -> str:
    """Return what a plan does, in a few words."""
    starts = [line for line in plan.lines if isinstance(line, Start)]
    told = [f"{line.job} on {','.join(p.node for p in line.placements)}" for line in starts[:5]]
    if len(starts) > len(told):
        told.append(f"{len(starts) - len(told)} more")
    if rest := len(plan.lines) - len(starts):
        told.append(counted(rest, "other line"))
    return f"starts {', '.join(told)}" if told else "starts nothing"
