"""A WIKI server on loopback, before a simulated resource manager; it fails on command.

From tests: `with WikiSim({"n1": 4}) as sim: ...`. From a shell, `python -m ostler.testing.wiki_sim
--nodes n1:4,n2:4 --port 7000 --key 42`: it says its port, then reads orders from its input, one a
line, of which `help` lists all.
"""

import contextlib
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from ostler.testing.wiki_rm import SimJob, SimNode, WikiRm
from ostler.wire.wiki import HEADER, MAX_REQUEST, Malformed, open_up, pack, size_of
from ostler.wire.wiki_words import Reply, Request, format_reply, parse_request

_READING = 5.0  # seconds for which it waits for the rest of a request
_CALLS = 100_000  # requests that it remembers


class Fault(StrEnum):
    """What goes wrong with answers."""

    HANG = "hang"  # it takes the request and says nothing
    LATE = "late"  # it does as told, and answers after some seconds
    DRIP = "drip"  # it answers a byte at a time
    LOST = "lost"  # it does as told, and closes without an answer
    DEAF = "deaf"  # it closes at once, and does nothing
    GARBAGE = "garbage"  # bytes that are no WIKI
    CHECKSUM = "checksum"  # one that is wrong
    CLOCK = "clock"  # an answer of a day ago
    COUNT = "count"  # one record more is announced than there is
    TORN = "torn"  # the last record ends within a field
    SHORT = "short"  # the frame ends before its length
    LONG = "long"  # the frame says that it is 99,999,999 bytes long
    REFUSE = "refuse"  # SC=-1
    EMPTY = "empty"  # SC=0 and no record


@dataclass(slots=True)
class _Planned:
    """A fault that is to be. left: how often; None: until it is cleared."""

    fault: Fault
    left: int | None


class WikiSim:
    """The server, in threads of its own. `rm` may be changed under `lock` alone."""

    def __init__(
        self,
        nodes: dict[str, int],
        *,
        key: int | None = 42,
        port: int = 0,
        clock: Callable[[], float] = time.time,
        late: float = 3.0,
        drip: float = 0.05,
    ) -> None:
        self.rm = WikiRm(clock, {name: SimNode(cpus) for name, cpus in nodes.items()})
        self.lock = threading.Lock()
        self.calls: deque[Request] = deque(maxlen=_CALLS)  # all that came, in order
        self._key, self._late, self._drip = key, late, drip
        self._faults: dict[str, _Planned] = {}
        self._closed = threading.Event()
        self._threads: list[threading.Thread] = []
        self._socket = socket.create_server(("127.0.0.1", port), backlog=128)
        self.port: int = self._socket.getsockname()[1]
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening, and end whatever hangs."""
        self._closed.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._acceptor.join()
        self._socket.close()
        for thread in self._threads:
            thread.join()

    def add(self, job: SimJob) -> SimJob:
        """Take a job in, as one of its users would submit it."""
        with self.lock:
            return self.rm.add(job)

    def invent(self, job: SimJob, *nodes: str) -> SimJob:
        """Have a job run that nobody asked it to start."""
        with self.lock:
            return self.rm.run(job, *nodes)

    def lose(self, job: str) -> None:
        """Forget a job altogether."""
        with self.lock:
            del self.rm.jobs[job]

    def rename(self, node: str, name: str) -> None:
        """Call a node by another name."""
        with self.lock:
            self.rm.rename(node, name)

    def fail(self, verb: str, fault: Fault, times: int | None = None) -> None:
        """Let answers to this verb (`*`: to all) go wrong, so often or until `mend`."""
        with self.lock:
            self._faults[verb] = _Planned(fault, times)

    def mend(self) -> None:
        """Let nothing go wrong any more."""
        with self.lock:
            self._faults.clear()

    def count(self, kind: type[Request]) -> int:
        """Return how many requests of a kind have come."""
        with self.lock:
            return sum(isinstance(call, kind) for call in self.calls)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads = [t for t in self._threads if t.is_alive()]
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(_READING)
            try:
                header = _receive(connection, HEADER)
                payload = _receive(connection, size_of(header, MAX_REQUEST))
                request = parse_request(open_up(payload, self._key).data)
            except Malformed as error:
                connection.sendall(self._frame(Reply(error.code, str(error))))
                return
            for piece in self._answer(request):
                connection.sendall(piece)

    def _answer(self, request: Request) -> Iterator[bytes]:
        """Yield the bytes of an answer, spoiled as was ordered."""
        verb = type(request).__name__.upper()
        with self.lock:
            self.calls.append(request)
            fault = self._take_fault(verb)
            ignored = fault in {Fault.HANG, Fault.DEAF}
            reply = Reply(0) if ignored else self.rm.answer(request)
        match fault:
            case Fault.HANG:
                self._closed.wait()
            case Fault.LATE:
                self._closed.wait(self._late)
                yield self._frame(reply)
            case Fault.DRIP:
                for byte in self._frame(reply):
                    if self._closed.wait(self._drip):
                        return
                    yield bytes([byte])
            case Fault.DEAF | Fault.LOST:
                return
            case None:
                yield self._frame(reply)
            case _:
                yield self._spoiled(fault, reply)

    def _spoiled(self, fault: Fault, reply: Reply) -> bytes:
        text = format_reply(reply)
        now = int(time.time())
        match fault:
            case Fault.GARBAGE:
                return bytes(range(256)) * 4
            case Fault.CHECKSUM:
                return pack(text, (self._key or 0) + 1, "sim", now)
            case Fault.CLOCK:
                return pack(text, self._key, "sim", now - 86_400)
            case Fault.SHORT:
                return self._frame(reply)[:-3]
            case Fault.LONG:
                return b"99999999" + self._frame(reply)[8:]
            case Fault.COUNT if reply.records is not None:
                more = text.replace(f"ARG={len(reply.records)}#", f"ARG={len(reply.records) + 1}#")
                return pack(more, self._key, "sim", now)
            case Fault.TORN:
                return pack(text[:-3], self._key, "sim", now)
            case Fault.EMPTY:
                return self._frame(Reply(0, "", ()))
            case _:
                return self._frame(Reply(-1, "refused on command"))

    def _take_fault(self, verb: str) -> Fault | None:
        planned = self._faults.get(verb) or self._faults.get("*")
        if planned is None or planned.left == 0:
            return None
        if planned.left is not None:
            planned.left -= 1
        return planned.fault

    def _frame(self, reply: Reply) -> bytes:
        return pack(format_reply(reply), self._key, "sim", int(time.time()))


def _receive(connection: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            break
        data += piece
    return bytes(data)


if __name__ == "__main__":
    from ostler.testing.wiki_orders import main

    main()
