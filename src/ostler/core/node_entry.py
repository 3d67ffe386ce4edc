"""One node in memory: its row, what is free there, and why nothing new may start."""

from ostler.core.books import Books
from ostler.model.node import Node
from ostler.model.states import NodeStatus, NodeWord
from ostler.schedule.words import counted


class NodeEntry:
    """A node, what is free on it, and whether its agent listens."""

    __slots__ = (
        "allocations", "books", "connected", "extra", "fault", "faults", "guests", "node", "restless",
        "silence", "strays", "try_at",
    )  # fmt: skip

    def __init__(self, node: Node) -> None:
        self.node = node
        self.books = Books(node.facts)
        self.allocations: set[int] = set()
        self.guests: set[int] = set()  # of another partition: nothing starts before they have ended
        self.connected = False
        self.silence = ""  # of a foreign node: why nothing new starts there; empty: it may
        self.extra: frozenset[int] = frozenset()  # CPUs of it that nobody known uses
        self.strays: set[int] = set()  # runs there, and was given up: its CPUs are not free
        self.faults = 0  # starts in a row that failed through no fault of the jobs
        self.fault = ""  # why nothing is started there before `try_at`; empty: it may
        self.try_at = 0.0  # Unix seconds
        self.restless = 0  # times it was lost of late, if that is too often; else 0

    @property
    def unusable(self) -> str:
        """Return one phrase on why nothing new starts on the node; empty when it may."""
        node = self.node
        if node.gone:
            return "it left the machine"
        if node.word is not NodeWord.IN:
            return f"{node.word}: {node.word_reason}" if node.word_reason else str(node.word)
        if self.silence:
            return self.silence
        if node.status is not NodeStatus.RUNNING:
            return f"its status is {node.status}"
        if not self.connected:
            return "its agent has not greeted this manager yet"
        if self.strays:
            return f"it is ending {len(self.strays)} allocations that had been given up"
        if self.guests:
            return f"it changes its partition: {counted(len(self.guests), 'allocation')} of the old one left"
        if self.fault:
            return f"nothing could be started there: {self.fault}"
        lost = f"it was lost {self.restless} times of late; it has to be steady for a while"
        return lost if self.restless else ""
