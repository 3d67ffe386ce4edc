"""What the table of `ostler jobs` is made of: a part of `core.view.job_row`, as tuples.

Two hundred whole rows cost the manager's loop milliseconds that others wait for, and most of a row
is never shown.
"""

from typing import Any

from ostler.core.entry import Entry
from ostler.core.foreign.names import names_there
from ostler.core.foreign.words import unknown_since as missing_since
from ostler.core.state import State
from ostler.core.view import nodes_of, unknown_since
from ostler.model.ranges import format_ranges

LISTED: tuple[str, ...] = (
    "id", "name", "user", "state", "result", "array", "elements", "elements_done",
    "tasks", "cpus", "submitted_at", "started_at", "ended_at", "rule", "reason",
    "allocation_nodes", "rm_jobs", "unknown_since",
)  # fmt: skip


def listed(s: State, entry: Entry) -> tuple[Any, ...]:
    """Return what `core.view.job_row` tells under the keys of `LISTED`, in their order."""
    job, spec = entry.job, entry.job.spec
    nodes, since = [], None
    if entry.slots:
        nodes = nodes_of(s, entry)
        since = unknown_since(s, nodes)
    return (
        job.name,
        spec.name,
        job.user,
        job.state,
        job.result,
        format_ranges(list(spec.array)) or None if spec.array else None,
        entry.total if spec.array else 1,
        entry.ended if entry.results else 0,
        spec.request.tasks,
        spec.request.cpus,
        job.submitted_at,
        job.started_at,
        job.ended_at,
        job.rule,
        job.reason,
        nodes,
        names_there(s, entry) if s.rms else [],
        since or (missing_since(s, entry) if s.rms else None),
    )
