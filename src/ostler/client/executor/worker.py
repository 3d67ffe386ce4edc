"""The worker: a task of the user's own job that runs the user's functions, one after another.

`python -m ostler.client.executor.worker SOCKET` connects to its executor, sets itself up, and
calls what it is sent until it hears that nothing more comes.
"""

import io
import os
import pickle
import socket
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from ostler.client.executor.parcels import Inbox, Kind, Parcel, Part, pickled, unpickled, wrap
from ostler.wire.address import dial, peer


class Channel:
    """Parcels over the connection to the executor."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._inbox = Inbox()
        self._here: list[Parcel] = []

    def next(self) -> Parcel | None:
        """Wait for the next parcel; None: the executor is gone."""
        while not self._here:
            count = self._sock.recv_into(self._inbox.space())
            if not count:
                return None
            self._here = self._inbox.received(count)
        return self._here.pop(0)

    def send(self, kind: Kind, number: int = 0, parts: Sequence[Part] = ()) -> None:
        """Send all of a parcel."""
        for piece in wrap(kind, number, parts):
            self._sock.sendall(piece)


def serve(channel: Channel) -> int:
    """Answer until it is over; return the exit status."""
    whose = f"{os.environ.get('OSTLER_JOB', '')} {os.environ.get('OSTLER_ELEMENT', '')}"
    channel.send(Kind.HELLO, 0, [whose.encode()])
    while (parcel := channel.next()) is not None:
        match parcel.kind:
            case Kind.SETUP:
                kind, parts = outcome(set_up, parcel.parts)
                channel.send(Kind.READY if kind is Kind.RESULT else kind, 0, parts)
            case Kind.CALL:
                channel.send(*answer(parcel))
            case _:
                return 0
    return complain("the executor is gone")


def answer(parcel: Parcel) -> tuple[Kind, int, Sequence[Part]]:
    """Call the function of a parcel; return what is to be sent."""
    kind, parts = outcome(call, parcel.parts)
    return kind, parcel.number, parts


def call(parts: Sequence[Part]) -> Any:
    """Call what was sent."""
    function, args, kwargs = unpickled(parts)
    return function(*args, **kwargs)


def set_up(parts: Sequence[Part]) -> None:
    """Make this process like the caller's: where it finds modules; then what the user wants."""
    sys.path[:] = unpickled(parts[:1])
    initializer, args = unpickled(parts[1:])
    if initializer is not None:
        initializer(*args)


def outcome(
    function: Callable[[Sequence[Part]], Any], parts: Sequence[Part]
) -> tuple[Kind, list[Part]]:
    """Return what a function returned, or raised, as it is to be sent."""
    try:
        value = function(parts)
    except BaseException as error:  # noqa: BLE001 - all that it raises is its caller's
        return Kind.ERROR, _raised(error)
    try:
        return Kind.RESULT, _portable(value)
    except Exception as error:  # noqa: BLE001 - pickling runs the user's code, too
        return Kind.ERROR, _raised(_unsendable(value, error))


def _portable(value: object) -> list[Part]:
    """Return the value pickled: by the fast one, else by the one that knows more."""
    try:
        return pickled(value)
    except Exception:  # noqa: BLE001 - an inner function, a class of the caller's program, ...
        import cloudpickle  # type: ignore[import-untyped]

        return pickled(value, cloudpickle.dumps)


def _unsendable(value: object, error: Exception) -> pickle.PicklingError:
    made = pickle.PicklingError(f"its result, a {type(value).__name__}, cannot be sent: {error}")
    made.__cause__ = error
    return made


def _raised(error: BaseException) -> list[Part]:
    """Return the traceback as text, without our own frames, then the exception or nothing."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    lines = traceback.format_exception(type(error), error, trace)
    text = "".join(lines).encode(errors="backslashreplace")
    try:
        return [text, *_portable(error)]
    except Exception:  # noqa: BLE001 - the exception holds what cannot be sent
        return [text]


def complain(text: str) -> int:
    """Tell the job's error file; return the exit status for that."""
    sys.stderr.write(f"ostler: {text}\n")
    return 1


def main() -> int:
    """Connect to the executor, which must be of the same user."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True)  # for who looks on with `ostler logs -f`
    with dial(sys.argv[1]) as sock:
        if peer(sock)[1] != os.geteuid():
            return complain("the executor belongs to somebody else")
        try:
            return serve(Channel(sock))
        except (BrokenPipeError, ConnectionResetError):
            return complain("the executor is gone")


if __name__ == "__main__":
    sys.exit(main())
