"""Submissions on the wire: packed before the clock starts, sent without waiting for answers."""

import os
import select
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from ostler.client import link
from ostler.client.spec import join_environment, make_spec, new_request_id
from ostler.wire.frames import Splitter, frame

_READ = 1 << 18


def frames(count: int, **values: object) -> list[bytes]:
    """Return so many submissions of /bin/true, ready to be sent.

    values: more of `ostler.client.spec.make_spec`; the environment is this process's.
    """
    whole: dict[str, object] = {
        "argv": [b"/bin/true"],
        "name": "true",
        "cwd": b"/",
        "output": b"/dev/null",
        "env": join_environment(os.environb),
        **values,
    }
    spec, blobs = make_spec(whole)
    pack = msgspec.msgpack.Encoder().encode
    return [
        frame(
            pack(
                {
                    "type": "submit",
                    "id": number,
                    "request_id": new_request_id(),
                    "spec": spec,
                    "blobs": blobs,
                }
            )
        )
        for number in range(1, count + 1)
    ]


def pour(state: Path, requests: Sequence[bytes], *, at_once: int) -> float:
    """Send requests over one connection and return the seconds until all are answered.

    at_once: how many may be without an answer. Raises RuntimeError at the first refusal.
    """
    waiting = select.poll()
    splitter = Splitter()
    with _connected(state) as sock:
        data = b""
        sent = answered = 0
        began = time.perf_counter()
        while answered < len(requests):
            if not data and (room := min(answered + at_once, len(requests)) - sent):
                data = b"".join(requests[sent : sent + room])
                sent += room
            waiting.register(sock.fileno(), select.POLLIN | (select.POLLOUT if data else 0))
            ((_, events),) = waiting.poll()
            if events & select.POLLOUT:
                data = data[sock.send(data[:_READ]) :]
            if events & ~select.POLLOUT:
                answers = splitter.feed(sock.recv(_READ))
                answered += len(answers)
                _check(answers)
        return time.perf_counter() - began


def fill(state: Path, count: int, **values: object) -> float:
    """Submit so many jobs with an environment of nothing; return the seconds."""
    small: Mapping[str, object] = {"env": b"", **values}
    return pour(state, frames(count, **small), at_once=count)


def _connected(state: Path) -> socket.socket:
    return socket.socket(fileno=link.connect(f"{state}/sock").detach())


def _check(answers: Sequence[bytes]) -> None:
    for answer in answers:
        body = msgspec.msgpack.decode(answer)
        if body["type"] != "ok":
            msg = f"a submission was refused: {body}"
            raise RuntimeError(msg)


def main(state: str, count: str) -> None:
    """Be one client: pack, say so, and when stdin ends submit one job after another."""
    requests = frames(int(count))
    print("packed", flush=True)
    sys.stdin.read()
    pour(Path(state), requests, at_once=1)


if __name__ == "__main__":
    main(*sys.argv[1:])
