"""Simulated prologs and epilogs: they take time in which everybody can die, and they can fail."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ostler.core.agent_words import ShareEnded
from ostler.model.orders import Launch

if TYPE_CHECKING:  # each agent has them
    from ostler.testing.agent import SimAgent

MOST = 0.5  # seconds that one takes


class SimPrograms:
    """What one agent runs around its shares."""

    def __init__(self, agent: "SimAgent") -> None:
        self.preparing: set[int] = set()  # allocations whose prolog runs
        self._agent = agent
        self._clearing: set[int] = set()

    def prepare(self, launch: Launch, then: Callable[[str], None]) -> None:
        """Run a prolog."""
        self.preparing.add(launch.alloc)
        self._agent.host.dirty.add(launch.alloc)

        def prepared() -> None:
            self.preparing.discard(launch.alloc)
            then(self._failure("prolog"))

        self._later(prepared)

    def clears(self, end: ShareEnded) -> bool:
        """Say whether an epilog has to end before this end is told; it is told again then."""
        host, alloc = self._agent.host, end.row.alloc
        if alloc not in host.dirty:
            return False
        if alloc not in self._clearing:
            self._clearing.add(alloc)

            def cleared() -> None:
                host.dirty.discard(alloc)
                row = end.row
                why = self._failure("epilog")
                self._agent.do(ShareEnded(replace(row, drain=row.drain or why) if why else row))

            self._later(cleared)
        return True

    def _later(self, action: Callable[[], None]) -> None:
        rng = self._agent.host.rng
        self._agent.process.later(rng.uniform(0.0, MOST), action)

    def _failure(self, what: str) -> str:
        host = self._agent.host
        if not host.fail_programs:
            return ""
        host.fail_programs -= 1
        return f"{what} /site/{what} exited with status 1: no scratch"
