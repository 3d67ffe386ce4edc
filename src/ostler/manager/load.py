"""One load of a resource manager: the answers to both questions, as they come in pieces."""

from itertools import chain
from typing import Any

from ostler.core.events import RmLoaded
from ostler.model.foreign import About, Jobs, Nodes
from ostler.wire.drivers import QUERIES, Done, Part


class Load:
    """What has been answered of one load."""

    def __init__(self, numbers: tuple[int, int], began: float) -> None:
        self.began = began  # Unix seconds
        self.open = dict(zip(numbers, QUERIES, strict=True))  # calls that are not answered
        self.parts: list[Part] = []
        self.done: dict[str, Done] = {}
        self.why = ""
        self.pause = 0.0  # seconds until it can be asked again

    @property
    def whole(self) -> bool:
        """Say whether both queries have an answer."""
        return len(self.done) == len(QUERIES)

    def traced(self, loaded: RmLoaded) -> dict[str, Any]:
        """Return how long its parts took, in seconds; None: there was nothing to ask."""
        nodes, jobs = self.done.get("list_nodes"), self.done.get("list_jobs")
        details = nodes.nodes.total if nodes and nodes.nodes else None
        return {
            "rm": loaded.rm,
            "began_at": loaded.began,
            "at": None,
            "because": None,
            "nodes_seconds": nodes.took if nodes else None,
            "node_details_seconds": details,
            "jobs_seconds": jobs.took if jobs else None,
            "queues_seconds": None,  # no driver has any to tell beside its nodes
            "load_seconds": loaded.took,
            "why": loaded.why,
        }

    def loaded(self, rm: str, about: About, took: float) -> RmLoaded:
        """Return it as the core takes it."""
        nodes = jobs = None
        if done := self.done.get("list_nodes"):
            found = tuple(chain.from_iterable(part.nodes for part in self.parts))
            nodes = Nodes(found, done.complete, done.at or done.began)
        if done := self.done.get("list_jobs"):
            live = tuple(chain.from_iterable(part.jobs for part in self.parts))
            over = tuple(chain.from_iterable(part.ended for part in self.parts))
            jobs = Jobs(live, over, done.complete, done.at or done.began)
        return RmLoaded(rm, about, nodes, jobs, self.began, took, self.why)
