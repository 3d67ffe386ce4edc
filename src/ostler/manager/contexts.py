"""What each agent holds, asked of the agents themselves: the manager's own records are no proof."""

import asyncio
from typing import Any

import msgspec

from ostler.core.state import State
from ostler.manager.native import Agents
from ostler.wire import messages

PATIENCE = 2.0  # seconds in which an agent must have answered


class _Round:
    """One question to all agents that are connected."""

    def __init__(self, asked: set[str]) -> None:
        self.open = asked
        self.rows: list[dict[str, Any]] = []
        self.done = asyncio.Event()
        if not asked:
            self.done.set()

    def heard(self, node: str, rows: list[messages.ContextRow]) -> None:
        """Take the answer of a node: its first."""
        if node in self.open:
            self.open.discard(node)
            self.rows += [{"node": node, **msgspec.structs.asdict(row)} for row in rows]
            if not self.open:
                self.done.set()


class Contexts:
    """Asks, and gathers the answers."""

    def __init__(self, agents: Agents) -> None:
        self._agents = agents
        self._rounds: dict[int, _Round] = {}
        self._next = 1

    def heard(self, node: str, answer: messages.ContextsHeld) -> None:
        """Take an agent's answer; one that comes too late is left."""
        found = self._rounds.get(answer.number)
        if found is not None:
            found.heard(node, answer.rows)

    async def read(self, state: State) -> dict[str, Any]:
        """Return the document: the contexts by number and node, and the nodes that did not say."""
        number, self._next = self._next, self._next + 1
        asked = self._agents.tell_all(messages.ContextsAsked(number))
        mine = self._rounds[number] = _Round(set(asked))
        try:
            async with asyncio.timeout(PATIENCE):
                await mine.done.wait()
        except TimeoutError:
            pass
        finally:
            del self._rounds[number]
        members = {name for name, entry in state.nodes.items() if not entry.node.gone}
        silent = mine.open | (members - set(asked))
        rows = sorted(mine.rows, key=lambda row: (row["context"], row["node"]))
        return {"contexts": rows, "silent": sorted(silent)}
