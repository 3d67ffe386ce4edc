"""`ostler run`: descriptors, signals and the job's own exit status, against a scripted machine."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ostler.wire import messages
from ostler.wire.address import listen
from ostler.wire.frames import Splitter
from ostler.wire.pack import unpack
from tests.unit.scripted import (
    HANG_UP,
    ROAD,
    SILENCE,
    Answer,
    Manager,
    Request,
    manager,
    ostler,
    play_supervisor,
)


class Agent:
    """Takes the descriptors that clients leave, as the agent does."""

    def __init__(self, state: Path) -> None:
        self.left: list[tuple[str, list[int]]] = []
        self.changed = threading.Condition()
        self._listener = listen(str(state / "agent.sock"), 0o600)
        self._listener.setblocking(True)
        self._links: list[socket.socket] = []
        thread = threading.Thread(target=self._accept, daemon=True)
        thread.start()
        self._threads = [thread]

    def _accept(self) -> None:
        while True:
            try:
                link, _ = self._listener.accept()
            except OSError:
                return
            self._links.append(link)
            thread = threading.Thread(target=self._serve, args=(link,), daemon=True)
            thread.start()
            self._threads.append(thread)

    def _serve(self, link: socket.socket) -> None:
        data, fds, _, _ = socket.recv_fds(link, 4096, 3)
        if not data:
            return  # somebody only looked whether there is an agent
        [payload] = Splitter().feed(data)
        message = unpack(payload)
        assert message["type"] == "leave"
        with self.changed:
            self.left.append((message["token"], fds))
            self.changed.notify_all()
        with contextlib.suppress(OSError):
            link.recv(1)  # until the client is gone, or we are
        for fd in fds:
            os.close(fd)

    def await_left(self, count: int) -> None:
        """Wait until descriptors have been left so many times."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.left) >= count, 30)

    def drop(self) -> None:
        """Close all connections, as an agent that dies."""
        for link in self._links:
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End it."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop()
        for thread in self._threads:
            thread.join(10)
        for link in self._links:
            link.close()


@contextmanager
def agent(state: Path) -> Iterator[Agent]:
    made = Agent(state)
    try:
        yield made
    finally:
        made.close()


@contextmanager
def running(state: Path, **pipes: int) -> Iterator[subprocess.Popen[str]]:
    """A `run` that is waited for, and killed if the test fails meanwhile."""
    words = [sys.executable, "-SEI", str(ROAD), "--state", str(state), "run", "true"]
    with subprocess.Popen(words, text=True, **pipes) as process:  # type: ignore[call-overload]
        try:
            yield process
            process.wait(30)
        finally:
            process.kill()


def ended(**columns: Any) -> dict[str, Any]:
    row = {"id": "12", "state": "done", "result": "success", "exit_status": 0, "reason": "fine"}
    return {"jobs": [row | columns]}


def finishing(**columns: Any) -> Callable[[Request], Answer]:
    """A machine on which the job ends at once, in this way."""

    def answer(request: Request) -> Answer:
        return {"job": "12"} if isinstance(request, messages.Submit) else ended(**columns)

    return answer


@pytest.mark.parametrize(
    ("columns", "status", "sentence"),
    [
        ({}, 0, ""),
        ({"result": "failed", "exit_status": 48}, 48, ""),
        ({"result": "failed", "exit_status": 137, "reason": "killed"}, 137, ""),
        (
            {"result": "timeout", "exit_status": 125, "reason": "it ran for 2 s, its limit"},
            125,
            "ostler: job 12 ended: timeout: it ran for 2 s, its limit\n",
        ),
        ({"result": "failed", "exit_status": 127, "reason": "it exited with status 127"}, 127, ""),
        (
            {"result": "rejected", "exit_status": 125, "reason": "no user ann on n1"},
            125,
            "ostler: job 12 ended: rejected: no user ann on n1\n",
        ),
        (
            {"result": "dependency", "exit_status": None, "reason": "job 3 failed"},
            125,
            "ostler: job 12 ended: dependency: job 3 failed\n",
        ),
    ],
)
def test_run_ends_as_its_job(
    tmp_path: Path, columns: dict[str, Any], status: int, sentence: str
) -> None:
    with agent(tmp_path), manager(tmp_path, finishing(**columns)):
        done = ostler(tmp_path, "run", "-n", "2", "sh", "-c", "exit 3")
    assert (done.status, done.out, done.err) == (status, "", sentence)


def test_the_job_has_our_own_descriptors(tmp_path: Path) -> None:
    go = threading.Event()

    def answer(request: Request) -> Answer:
        assert go.wait(30)
        return finishing()(request)

    with agent(tmp_path) as taker, manager(tmp_path, answer) as made:
        out, into = os.pipe()
        with running(tmp_path, stdout=into) as process:
            os.close(into)
            taker.await_left(1)
            token, fds = taker.left[0]
            os.write(fds[1], b"from the task\n")
            go.set()
        assert process.returncode == 0
        assert os.read(out, 100) == b"from the task\n"
        os.close(out)
    submit, wait = made.requests
    assert isinstance(submit, messages.Submit)
    assert (submit.spec.stdio, submit.spec.kind) == (token, "run")
    assert isinstance(wait, messages.Wait)
    assert wait.attach


class Signalled:
    """A machine on which the job ends when it is cancelled, or at a second signal."""

    def __init__(self, *, runs: bool) -> None:
        self.acts: list[str] = []
        self._runs = runs
        self._wait = 0
        self.made: Manager

    def __call__(self, request: Request) -> Answer:
        if isinstance(request, messages.Submit):
            return {"job": "12"}
        if isinstance(request, messages.Wait):
            self._wait = request.id
            return SILENCE
        if isinstance(request, messages.Read):
            return {"id": "12", "state": "running"}
        assert isinstance(request, messages.Act)
        self.acts.append(f"{request.verb} {request.signal}".removesuffix(" 0"))
        ok = request.verb == "cancel" or self._runs
        answer: list[Any] = [messages.Reply(request.id, {"jobs": [{"id": "12", "ok": ok}]})]
        if request.verb == "cancel":
            columns = {"result": "cancelled", "exit_status": 130, "reason": "cancelled by ann"}
            answer.append(messages.Reply(self._wait, ended(**columns)))
        return answer


@pytest.mark.parametrize(
    ("signals", "runs", "acts"),
    [
        ([signal.SIGINT, signal.SIGINT], True, ["signal 2", "cancel"]),
        ([signal.SIGTERM, signal.SIGTERM], True, ["signal 15", "cancel"]),
        ([signal.SIGINT], False, ["signal 2", "cancel"]),
    ],
)
def test_the_first_signal_goes_to_the_job_and_the_second_cancels_it(
    tmp_path: Path, signals: list[signal.Signals], *, runs: bool, acts: list[str]
) -> None:
    machine = Signalled(runs=runs)
    with (
        agent(tmp_path),
        manager(tmp_path, machine) as made,
        running(tmp_path, stderr=subprocess.PIPE) as process,
    ):
        for count, number in enumerate(signals):
            # submit and wait, then one act for each signal; on a busy host it asks why it waits
            made.await_requests(2 + count, besides=messages.Read)
            process.send_signal(number)
        _, err = process.communicate(timeout=30)
    assert machine.acts == acts
    assert err == "ostler: job 12 ended: cancelled: cancelled by ann\n"
    assert process.returncode == 130


def test_run_goes_on_when_the_manager_and_the_agent_come_back(tmp_path: Path) -> None:
    play_supervisor(tmp_path)
    waits = 0

    def answer(request: Request) -> Answer:
        nonlocal waits
        if isinstance(request, messages.Submit):
            return {"job": "12"}
        waits += 1
        if waits == 1:
            taker.await_left(1)  # else it may lie unaccepted, and nobody notices the death
            taker.drop()
            return HANG_UP
        taker.await_left(2)
        return ended(exit_status=7, result="failed")

    with agent(tmp_path) as taker, manager(tmp_path, answer) as made:
        done = ostler(tmp_path, "run", "-q", "true")
        tokens = {token for token, _ in taker.left}
    assert (done.status, done.err) == (7, "")
    assert len(tokens) == 1
    assert sum(isinstance(r, messages.Submit) for r in made.requests) == 1


def test_run_says_why_it_waits(tmp_path: Path) -> None:
    def answer(request: Request) -> Answer:
        if isinstance(request, messages.Submit):
            return {"job": "12"}
        if isinstance(request, messages.Read):
            return {"id": "12", "state": "pending", "rule": "resources", "reason": "job 7 has all"}
        return SILENCE

    with (
        agent(tmp_path),
        manager(tmp_path, answer),
        running(tmp_path, stderr=subprocess.PIPE) as process,
    ):
        assert process.stderr is not None
        assert process.stderr.readline() == "ostler: job 12 waits (resources): job 7 has all\n"
        process.kill()
