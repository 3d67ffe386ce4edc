"""The worker of an executor, without a machine."""

import os
import socket
import sys
import threading
from pathlib import Path

import pytest

from ostler.client.executor import worker
from ostler.client.executor.parcels import Kind, Parcel, pickled, unpickled
from ostler.wire.address import listen


def test_a_worker_serves_nobody_but_its_own_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / "sock")
    monkeypatch.setattr(worker, "peer", lambda _: (1, os.geteuid() + 1, 1))
    monkeypatch.setattr(sys, "argv", ["worker", path])
    with listen(path, 0o600):
        assert worker.main() == 1
    assert "belongs to somebody else" in capfd.readouterr().err


def served(*parcels: tuple[Kind, int, list[bytes]]) -> tuple[int, list[Parcel]]:
    """Let a worker answer parcels; return its exit status, and its answers without the first."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        channel = worker.Channel(ours)
        status: list[int] = []

        def work() -> None:
            with theirs:
                status.append(worker.serve(worker.Channel(theirs)))

        thread = threading.Thread(target=work)
        thread.start()
        for parcel in parcels:
            channel.send(*parcel)
        ours.shutdown(socket.SHUT_WR)
        answers = []
        while (answer := channel.next()) is not None:
            answers.append(answer)
        thread.join(30)
    assert answers[0].kind == Kind.HELLO
    return status[0], answers[1:]


def test_a_worker_answers_until_it_hears_that_it_is_over() -> None:
    call = [bytes(part) for part in pickled((divmod, (7, 2), {}))]
    status, answers = served((Kind.CALL, 4, call), (Kind.BYE, 0, []))
    assert status == 0
    assert [(a.kind, a.number, unpickled(a.parts)) for a in answers] == [(Kind.RESULT, 4, (3, 1))]


def test_a_worker_whose_executor_is_gone_ends_and_says_so(
    capfd: pytest.CaptureFixture[str],
) -> None:
    status, answers = served((Kind.CALL, 1, [b"no pickle"]))
    assert status == 1
    assert [answer.kind for answer in answers] == [Kind.ERROR]
    assert "the executor is gone" in capfd.readouterr().err
