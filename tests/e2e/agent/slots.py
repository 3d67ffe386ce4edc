"""A share that runs elements of a chunk one after the other, and what became of each."""

import os
from collections import Counter

from ostler.model.orders import Chunk, ElementEnd, Ended, Feed, Progress, Spans, Started
from tests.e2e.agent.kit import Node, eventually, open_gate, replaced


class Slot:
    """Each element notes that it ran, waits if it has a gate, and exits with its number mod 3."""

    def __init__(
        self,
        node: Node,
        elements: Spans,
        gates: tuple[int, ...] = (),
        *,
        last: bool = True,
        **fields: object,
    ) -> None:
        self._node = node
        self.elements = elements
        self._job = node.job(
            "", chunk=Chunk(elements, last=last), is_array=True, element=elements[0][0], **fields
        )
        self._gates = f"{node.state}/gates-{self.alloc}-"
        for index in gates:
            os.mkfifo(self._gates + str(index))
        script = (
            f"echo $OSTLER_ELEMENT >>'{self._job.notes}'; gate='{self._gates}'$OSTLER_ELEMENT\n"
            "[ ! -p $gate ] || read word <$gate\n"
            "exit $((OSTLER_ELEMENT % 3))"
        )
        self.launch = replaced(self._job.launch, argv=(b"/bin/sh", b"-c", script.encode()))

    @property
    def alloc(self) -> int:
        return self._job.alloc

    def order(self) -> "Slot":
        """Order it, and wait until its first element was started."""
        self._node.manager.order(self.launch)
        self._node.manager.row(Started, self.alloc)
        return self

    def feed(self, elements: Spans, *, last: bool = True) -> None:
        """Hand it more, or the same anew, but for what was reported of as ended."""
        heard = max((row.serial for row in self._progress()), default=0)
        named = {index for low, high in elements for index in range(low, high + 1)}
        left = tuple((index, index) for index in sorted(named - self.told().keys()))
        self._node.manager.order(Feed(self.alloc, Chunk(left, last=last), heard))

    def runs(self) -> Counter[int]:
        """Return how often each element was started."""
        notes = self._job.notes
        return Counter(map(int, notes.read_text().split())) if notes.exists() else Counter()

    def is_at(self, index: int) -> "Slot":
        """Wait until this element runs."""
        eventually(f"element {index} runs", lambda: index in self.runs())
        return self

    def release(self, index: int) -> None:
        """Let an element pass its gate."""
        open_gate(self._gates + str(index))

    def _progress(self) -> list[Progress]:
        rows = self._node.manager.rows
        return [row for row in rows if isinstance(row, Progress) and row.alloc == self.alloc]

    def told(self) -> dict[int, ElementEnd]:
        """Return how elements ended, as told so far; a serial that was heard counts for nothing."""
        heard, ends = 0, dict[int, ElementEnd]()
        for row in self._progress():
            if row.serial > heard:
                heard = row.serial
                for end in row.ended:
                    ends.setdefault(end.index, end)
        return ends

    def returned(self) -> list[tuple[int, int]]:
        """Return the elements that were given back."""
        return [span for row in self._progress() for span in row.returned]

    def codes(self) -> dict[int, int | str]:
        """Return exit statuses as told, or causes."""
        return {i: end.cause or end.tasks[0].code for i, end in sorted(self.told().items())}

    @property
    def is_over(self) -> bool:
        """Say whether its end was told."""
        rows = self._node.manager.rows
        return any(isinstance(row, Ended) and row.alloc == self.alloc for row in rows)

    def ended(self) -> Ended:
        """Wait for the end of the slot."""
        return self._job.ended()

    def told_some(self) -> None:
        """Wait until some of its elements were told of."""
        self._node.manager.until(f"progress of {self.alloc}", self.told)


def codes_of(elements: range) -> dict[int, int]:
    """Return what `Slot.codes` says when all of these went well."""
    return {index: index % 3 for index in elements}
