"""WIKI's nodes and jobs in the terms of the contract."""

from ostler.model.foreign import (
    End,
    ForeignJob,
    ForeignNode,
    ForeignState,
    NodeState,
    Share,
)
from ostler.model.states import Result
from ostler.wire.wiki_records import VACATED, Job, Node, tasks_of
from ostler.wire.wiki_words import is_name

NODE_STATES = {
    "Idle": NodeState.UP,
    "Running": NodeState.UP,
    "Busy": NodeState.UP,
    "Draining": NodeState.DRAINING,
    "Drain": NodeState.DRAINING,
    "Drained": NodeState.DRAINING,
    "Flush": NodeState.DRAINING,
    "Reserved": NodeState.DRAINING,
    "Down": NodeState.DOWN,
    "Unknown": NodeState.UNKNOWN,
    "None": NodeState.UNKNOWN,
}
JOB_STATES: dict[str, ForeignState | str] = {
    "Idle": ForeignState.IDLE,
    "Hold": ForeignState.HELD,
    "Starting": ForeignState.STARTING,
    "Running": ForeignState.RUNNING,
    "Suspended": ForeignState.SUSPENDED,
    VACATED: ForeignState.VACATED,
    "Unknown": ForeignState.UNKNOWN,
}
END_WORDS: dict[str, ForeignState | str] = {
    "Completed": Result.SUCCESS,
    "Removed": Result.CANCELLED,
}


def node_of(node: Node) -> ForeignNode:
    """Return a node; a state that no table has is unknown, and its word is kept."""
    state = NODE_STATES.get(node.state, NodeState.UNKNOWN)
    used = None if node.free_cpus is None else max(0, node.cpus - node.free_cpus)
    return ForeignNode(
        name=node.name,
        state=state,
        cpus=node.cpus,
        memory=node.memory,
        features=tuple(name[:200] for name in node.features[:64]),
        used_cpus=used,
        queues=tuple(name[:200] for name in node.classes),
        reason="" if state is NodeState.UP else f"WIKI says {node.state[:100] or 'nothing'}",
        native_state=node.state[:200],
        host=node.name,
    )


def job_of(job: Job) -> ForeignJob:
    """Return a job that has not ended."""
    state = JOB_STATES.get(job.state, ForeignState.UNKNOWN)
    return ForeignJob(
        id=job.id,
        state=ForeignState(state),
        user=job.user,
        incarnation=str(job.submitted_at or ""),
        project=job.project,
        queue=job.classes[0][:200] if job.classes else "",
        tasks=job.tasks,
        cpus=job.cpus,
        memory=job.memory,
        nodes=job.nodes,
        features=job.features,
        nodelist=tuple(filter(is_name, job.host_list)),
        time_limit=job.time_limit,
        submitted_at=float(job.submitted_at),
        not_before=float(job.not_before),
        started_at=float(job.started_at) if job.started_at else None,
        shares=tuple(
            Share(node, tasks, tasks * job.cpus, tasks * job.memory)
            for node, tasks in tasks_of(job.task_list).items()
            if is_name(node)
        ),
        command=job.command,
        reason=job.message,
        native_state=job.state[:200],
    )


def end_of(job: Job) -> End:
    """Return the proof of an end. WIKI tells no exit status."""
    result = END_WORDS[job.state]
    return End(
        id=job.id,
        result=str(result),
        proof=f"GETJOBS: STATE={job.state}",
        incarnation=str(job.submitted_at or ""),
        user=job.user,
        started_at=float(job.started_at) if job.started_at else None,
        ended_at=float(job.ended_at),
        reason=job.message,
    )
