"""A scheduler in shadow: how its plan differs from what was done."""

from typing import NamedTuple

from ostler.model.nodeset import fold
from ostler.schedule.snapshot import Line, Plan, Snapshot, Start
from ostler.schedule.views import Views
from ostler.schedule.words import jobs

_TOLD = 5  # jobs of each kind
_KEPT = 32  # plans that wait to be compared; those that come meanwhile are not

Where = dict[int, list[str]]  # job -> the nodes of each of its elements, folded


def parted(plan: Plan, shot: Snapshot, decided: frozenset[str]) -> tuple[Plan, Plan | None]:
    """Return what of a plan is carried out, and what is only compared; None: nothing could be."""
    partition = {view.job: view.partition for view in shot.waiting}
    of = {view.alloc: view.partition for view in shot.running}

    def is_own(line: Line) -> bool:
        where = partition.get(line.job) if isinstance(line, Start) else of.get(line.alloc)
        return where in decided

    own = [line for line in plan.lines if is_own(line)]
    others = [line for line in plan.lines if not is_own(line)]
    waits = {job: wait for job, wait in plan.waits.items() if partition.get(job) in decided}
    compared = any(view.partition not in decided for view in shot.nodes)
    return Plan(own, waits), Plan(others, {}) if compared else None


class _Kept(NamedTuple):
    """A plan, and the jobs that could have been in it."""

    waited: frozenset[int]
    plan: Plan


class Shadow:
    """Remembers plans until they are compared, and what was told last, so that it is told once."""

    def __init__(self) -> None:
        self._told = ""
        self._kept: dict[int, _Kept] = {}

    def keep(self, number: int, shot: Snapshot, plan: Plan) -> None:
        """Keep a plan that was made of this snapshot."""
        if len(self._kept) < _KEPT:
            waited = frozenset(view.job for view in shot.waiting if view.blocked is None)
            self._kept[number] = _Kept(waited, plan)

    def forget(self) -> None:
        """Forget the plans: allocations have other numbers now."""
        self._kept.clear()

    def difference(self, views: Views, number: int, granted: tuple[int, int] | None) -> str:
        """Return one sentence on what it would have started otherwise; empty if nothing is new.

        number: of the snapshot, whose plan is forgotten now. granted: allocations that were granted
        from the same one, from the first on and before the second; None: nobody knows.
        """
        kept = self._kept.pop(number, None)
        if kept is None or granted is None:
            return ""
        jobs_known = views.waiting.keys() | {view.job for view in views.running.values()}
        would: Where = {}
        for line in kept.plan.lines:
            if isinstance(line, Start) and line.job in jobs_known:  # else it has run, and is over
                would.setdefault(line.job, []).append(fold(p.node for p in line.placements))
        done: Where = {}
        for view in (views.running[n] for n in range(*granted) if n in views.running):
            if view.job in kept.waited:
                done.setdefault(view.job, []).append(fold(p.node for p in view.placements))
        text = _sentence(
            {job: nodes for job, nodes in would.items() if job not in done},
            {job: nodes for job, nodes in done.items() if job not in would},
            {
                job: nodes
                for job, nodes in would.items()
                if job in done and sorted(nodes) != sorted(done[job])
            },
        )
        if text == self._told:
            return ""
        self._told = text
        return text


def _sentence(more: Where, fewer: Where, elsewhere: Where) -> str:
    told = []
    if more:
        told.append(f"it would have started {_listed(more)}")
    if fewer:
        told.append(f"it would not have started {_listed(fewer)}")
    if elsewhere:
        told.append(f"it would have started elsewhere: {_listed(elsewhere)}")
    return "; ".join(told)


def _listed(where: Where) -> str:
    shown = sorted(where.items())[:_TOLD]
    if len(where) > _TOLD:
        return f"{jobs([str(job) for job, _ in shown])} and {len(where) - _TOLD} more"
    return ", ".join(f"job {job} on {' and '.join(sorted(set(nodes)))}" for job, nodes in shown)
