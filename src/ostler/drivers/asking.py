"""Nodes asked for one by one, several at a time: a call that hangs costs one thread, not the load."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

import msgspec

from ostler.drivers.contract import Trouble
from ostler.model.foreign import ForeignNode, NodeState
from ostler.model.limits import MAX_SENTENCE
from ostler.wire.drivers import Spent

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(ForeignNode).decode

STACK = 512 << 10  # bytes of address space for one thread's


class Round:
    """One question to each of many nodes. What could not be found out is told as unknown."""

    def __init__(self, ask: Callable[[str], ForeignNode], names: Sequence[str], seconds: float):
        """Begin. seconds: that one call may take."""
        self._ask, self._seconds = ask, seconds
        self._left = deque(names)
        self._names = names
        self._found: dict[str, ForeignNode] = {}
        self._under_way: dict[int, tuple[str, float]] = {}  # thread -> node, when it began
        self._changed = threading.Condition()
        self._living = 0  # threads that do not hang
        self._failure: BaseException | None = None  # one that is not of a single node
        self.spent = Spent()

    @property
    def stuck(self) -> bool:
        """Say whether a call still hangs."""
        return bool(self._under_way)

    def run(self, workers: int, until: float) -> list[ForeignNode]:
        """Return the nodes in the order of their names. until: monotonic, of the whole."""
        self._living = min(workers, len(self._names))
        usual = threading.stack_size(STACK)
        try:
            for number in range(self._living):
                threading.Thread(target=self._work, args=(number,), daemon=True).start()
        finally:
            threading.stack_size(usual)
        with self._changed:
            while self._living and not self._failure and (now := time.monotonic()) < until:
                self._give_up(now)
                if self._living:
                    self._changed.wait(min(self._next(), until) - now)
            if self._failure:
                raise self._failure
            asked = {name for name, _ in self._under_way.values()}
            self._left.clear()
            for name in self._names:
                if name not in self._found:
                    late = f"did not answer in {self._seconds:g} s"
                    self._found[name] = _unknown(name, late if name in asked else "was not asked")
                    self.spent.late += name in asked
            return [self._found[name] for name in self._names]

    def _next(self) -> float:
        """Return when the next call is late, as far as is known now."""
        began = [at for name, at in self._under_way.values() if name not in self._found]
        return min(began, default=time.monotonic()) + self._seconds

    def _give_up(self, now: float) -> None:
        """Let threads be whose call has taken too long."""
        for name, began in self._under_way.values():
            if name not in self._found and now >= began + self._seconds:
                self._found[name] = _unknown(name, f"did not answer in {self._seconds:g} s")
                self._living -= 1
                self.spent.late += 1

    def _work(self, number: int) -> None:
        while True:
            with self._changed:
                if not self._left or self._failure:
                    self._living -= 1
                    self._changed.notify()
                    return
                name = self._left.popleft()
                began = time.monotonic()
                self._under_way[number] = name, began
            failed = True
            try:
                node = _checked(name, self._ask(name))
                failed = False
            except Trouble as error:
                node = _unknown(name, str(error))
            except MemoryError as error:
                self._fail(error)
                return
            except Exception as error:  # noqa: BLE001 - a driver's own
                node = _unknown(name, f"{type(error).__name__}: {error}")
            with self._changed:
                if self._over(number, name, node):
                    self._spend(time.monotonic() - began, failed=failed)

    def _over(self, number: int, name: str, node: ForeignNode) -> bool:
        """Take an answer; say whether it came in time."""
        del self._under_way[number]
        if name in self._found:
            self._living += 1  # it does not hang any more
            return False
        self._found[name] = node
        return True

    def _spend(self, took: float, *, failed: bool) -> None:
        self.spent.count += 1
        self.spent.failed += failed
        self.spent.total += took
        self.spent.most = max(self.spent.most, took)

    def _fail(self, error: BaseException) -> None:
        with self._changed:
            self._failure = error
            self._changed.notify()


def _checked(name: str, node: ForeignNode) -> ForeignNode:
    """Return it; raise `Trouble` if it is no answer."""
    try:
        _decode(_encode(node))
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError) as error:
        raise Trouble(f"what was told of it makes no sense: {error}") from None
    if node.name != name:
        raise Trouble(f"another node was told of: {node.name}")
    return node


def _unknown(name: str, why: str) -> ForeignNode:
    return ForeignNode(name, NodeState.UNKNOWN, reason=why[:MAX_SENTENCE])
