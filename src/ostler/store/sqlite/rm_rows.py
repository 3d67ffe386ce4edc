"""What is kept of other resource managers' nodes and jobs, as rows."""

from typing import Any

from msgspec import convert

from ostler.model.foreign_rows import Discrepancy, RmJob, RmNode, Stage

Values = tuple[Any, ...]


def job_values(job: RmJob) -> Values:
    """Return the row of a job of a resource manager."""
    return (
        *(job.job, job.element, job.attempt, job.rm, job.id, job.incarnation, job.token),
        *(job.allocation or None, job.theirs, job.stage, job.since, job.state, job.native_state),
        *(job.reason, job.missing_since, job.differs, " ".join(job.before) or None),
    )


def job_of(row: dict[str, Any]) -> RmJob:
    """Return the job of a whole row."""
    stage, allocation, theirs = Stage(row["stage"]), row["allocation"] or 0, bool(row["theirs"])
    before = tuple((row["before"] or "").split())
    return RmJob(
        **row | {"stage": stage, "allocation": allocation, "theirs": theirs, "before": before}
    )


def node_values(node: RmNode) -> Values:
    """Return the row of a node of a resource manager."""
    return (
        *(node.name, node.rm, node.state, node.native_state, node.reason, node.host),
        node.missing_since,
    )


def node_of(row: dict[str, Any]) -> RmNode:
    """Return the node of a whole row."""
    return convert(row, RmNode)


def discrepancy_values(each: Discrepancy) -> Values:
    """Return the row of a discrepancy."""
    return (
        *(each.serial, each.at, each.rm, each.kind, each.object, each.before, each.after),
        *(each.done, each.over_at),
    )


def discrepancy_of(row: dict[str, Any]) -> Discrepancy:
    """Return the discrepancy of a whole row."""
    return convert(row, Discrepancy)
