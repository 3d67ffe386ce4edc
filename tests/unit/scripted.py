"""A manager that answers by script, over a real socket, in the real protocol."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from ostler.model.errors import OstlerError
from ostler.wire import messages
from ostler.wire.address import listen
from ostler.wire.frames import Splitter, frame

ROOT = Path(__file__).resolve().parents[2]
ROAD = ROOT / "src" / "ostler" / "cli" / "road.py"

Request = messages.Request | messages.FromAgent
Answer = Any  # a body, an OstlerError, a list of messages, HANG_UP or SILENCE

HANG_UP = object()  # close the connection without an answer, as a manager that dies
SILENCE = object()  # answer later, or never


class Manager:
    """Serves one socket in a thread of its own; `answer` is called for each request.

    `requests` holds what came, decoded by the manager's own decoder.
    """

    def __init__(self, state: Path, answer: Callable[[Request], Answer]) -> None:
        self.state = state
        self.answer = answer
        self.requests: list[Request] = []
        self.links: list[socket.socket] = []
        self.arrived = threading.Condition()
        self._listener = listen(str(state / "sock"), 0o600)
        self._listener.setblocking(True)
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def _start(self, work: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                link, _ = self._listener.accept()
                self.links.append(link)
                self._start(self._serve, link)

    def _serve(self, link: socket.socket) -> None:
        splitter = Splitter()
        with contextlib.suppress(OSError):
            while data := link.recv(1 << 16):
                for payload in splitter.feed(data):
                    if not self._one(link, payload):
                        return

    def _one(self, link: socket.socket, payload: bytes) -> bool:
        request = messages.decode_request(payload)
        with self.arrived:
            self.requests.append(request)
            self.arrived.notify_all()
        answer = self.answer(request)
        if answer is HANG_UP:
            link.shutdown(socket.SHUT_RDWR)
            return False
        if answer is not SILENCE:
            for message in self._messages(request, answer):
                link.sendall(frame(messages.encode(message)))
        return True

    def _messages(self, request: Request, answer: Answer) -> list[messages.ToClient]:
        number = getattr(request, "id", 0)
        if isinstance(answer, OstlerError):
            parts = (answer.code, answer.message, answer.expected, answer.hint)
            return [messages.Failure(number, *parts)]
        if isinstance(answer, list):
            return answer
        return [messages.Reply(number, answer)]

    def tell(self, message: messages.ToClient) -> None:
        """Send a message on the newest connection."""
        self.links[-1].sendall(frame(messages.encode(message)))

    def await_requests(self, count: int, *, besides: type[Request] | None = None) -> None:
        """Wait until so many requests have come, besides those of one kind."""

        def come() -> bool:
            return sum(not (besides and isinstance(r, besides)) for r in self.requests) >= count

        with self.arrived:
            assert self.arrived.wait_for(come, 30)

    def close(self) -> None:
        """End it, with all connections."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join(10)  # it may just be taking one more connection
        self._listener.close()
        for link in self.links:
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for link in self.links:
            link.close()
        (self.state / "sock").unlink(missing_ok=True)


@contextlib.contextmanager
def manager(state: Path, answer: Callable[[Request], Answer]) -> Iterator[Manager]:
    """A manager for the length of a block."""
    made = Manager(state, answer)
    try:
        yield made
    finally:
        made.close()


def play_supervisor(state: Path) -> None:
    """Write that this very process is the supervisor: somebody keeps the machine up."""
    stat = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    told = {"pid": os.getpid(), "start_time": int(stat[19])}
    (state / "supervisor.json").write_text(json.dumps(told))


class Done(msgspec.Struct):
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Return what it printed as JSON."""
        return json.loads(self.out)


def ostler(
    state: Path | None,
    *words: str | bytes,
    env: dict[str, str] | None = None,
    stdin: str = "",
    cwd: Path | None = None,
) -> Done:
    """Run the command as a user does, without site."""
    before: list[str | bytes] = [] if state is None else ["--state", str(state)]
    done = subprocess.run(
        [sys.executable, "-SEI", str(ROAD), *before, *words],
        input=stdin.encode(),
        capture_output=True,
        env=env,
        cwd=cwd,
        timeout=60,
        check=False,
    )
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode())


def by_column(request: messages.Read, answer: Answer) -> Answer:
    """Return jobs as a manager tells of them where columns are asked for."""
    if not request.options.columns or not isinstance(answer, dict) or "jobs" not in answer:
        return answer
    rows = answer["jobs"]
    columns = {key: [row.get(key) for row in rows] for key in request.options.columns}
    parts = [{"rows": len(rows), "columns": columns}] if rows else []
    return {key: value for key, value in answer.items() if key != "jobs"} | {"parts": parts}
