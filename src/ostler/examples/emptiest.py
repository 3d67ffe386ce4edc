"""A scheduler as a class: first come, first served, each on the node with the most free CPUs."""

from ostler.schedule.proposal import Begin, Proposal, Why
from ostler.schedule.snapshot import Snapshot


class Emptiest:
    """What `ostler scheduler add emptiest ostler.examples.emptiest:Emptiest` has plan."""

    def plan(self, snapshot: Snapshot, now: float) -> Proposal:
        """Return what to start where, and why the rest waits. now: Unix seconds."""
        free = {node.name: len(node.free_cpus) for node in snapshot.nodes if node.usable}
        start: list[Begin] = []
        waits: dict[int, Why] = {}
        for job in sorted(snapshot.waiting, key=lambda job: (-job.priority, job.submitted_at)):
            if job.blocked:
                continue
            cpus = job.request.cpus * job.request.tasks
            for _ in range(job.elements):
                node = max(free, key=lambda name: free[name], default="")
                if not node or free[node] < cpus:
                    waits[job.job] = Why(f"no node has {cpus} CPUs free", now + 600)
                    break
                free[node] -= cpus
                start.append(Begin(job.job, {node: job.request.tasks}))
        return Proposal(start=start, waits=waits)
