"""Forks starters on request: small, warm, single-threaded, with all a starter needs loaded.

Whatever a starter may ever need is imported here, so that an installation can be replaced under
running starters.
"""

import _socket
import gc
import os
import resource
import signal
import sys
from collections.abc import Callable

from ostler.agent import relay, relay_socket, starter
from ostler.agent.output import why_not
from ostler.agent.relay_order import Order
from ostler.agent.starter_protocol import SCRIPTS, SPOOL, TWIN
from ostler.wire.cgroup import Base, find_bases
from ostler.wire.pack import pack, unpack
from ostler.wire.slices import take_usual_slices
from ostler.wire.streams import FOLDER

_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")
PACKET = 4096  # bytes, more than any request


def main(arguments: list[str]) -> None:
    """Serve the agent at descriptor 0 until it is gone."""
    state = os.path.abspath(os.fsencode(arguments[arguments.index("--state") + 1]))
    if "--descriptors" in arguments:  # the agent has raised its own, which tasks must not inherit
        soft = int(arguments[arguments.index("--descriptors") + 1])
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    _detach()
    take_usual_slices()  # the agent's are not for tasks
    os.umask(0o077)
    for folder in (SPOOL, SPOOL + TWIN, SCRIPTS, FOLDER):
        _make_folder(os.path.join(state, folder.encode()))
    os.chdir("/")
    bases = find_bases()
    agent = _socket.socket(fileno=os.dup(0))
    agent.setblocking(True)
    os.set_inheritable(agent.fileno(), False)
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 0)
    os.close(null)
    gc.collect()
    gc.freeze()
    while packet := _receive(agent):
        _answer(agent, packet, state, bases)


def _detach() -> None:
    """Stand apart from the terminal and its signals, and let the kernel reap starters."""
    if os.getpgrp() != os.getpid():  # else the agent did it already
        os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)


def _make_folder(path: bytes) -> None:
    """Make a folder of the daemons; others may pass through a system machine's, not look."""
    os.makedirs(path, exist_ok=True)
    if os.geteuid() == 0:
        for one in (os.path.dirname(path), path):
            os.chmod(one, 0o711)  # noqa: S103 - users run their scripts from there


def _receive(agent: _socket.socket) -> bytes:
    try:
        return agent.recv(PACKET)
    except ConnectionError:
        return b""


def _answer(agent: _socket.socket, packet: bytes, state: bytes, bases: list[Base]) -> None:
    try:
        request = unpack(packet)
        kind, name = request["type"], request["name"]
    except (ValueError, KeyError, TypeError):
        request, kind, name = {}, "", ""
    known = kind in ("fork", "relay") and isinstance(name, str)
    if not known or not name or not _LETTERS.issuperset(name):
        answer = {"type": "forked", "name": str(name), "pid": 0, "why": "not a starter's name"}
    elif kind == "relay":
        answer = {"type": "relayed", "name": name, "why": _relay(agent, name, state, request)}
    else:
        answer = _fork(agent, name, state, bases)
    try:
        agent.send(pack(answer), _socket.MSG_NOSIGNAL)
    except ConnectionError:
        return  # the next read says so too


def _relay(agent: _socket.socket, name: str, state: bytes, request: dict[str, object]) -> str:
    """Have a relay under this name, where none listens; return why not, or nothing."""
    folder = os.path.join(state, FOLDER.encode())
    try:
        order = Order(request)
        listener = relay_socket.listen(folder, name, order.uid, order.gid)
    except ValueError as error:
        return str(error)
    except OSError as error:
        return why_not(error)
    if listener is None:
        return ""  # one of an agent before this one, or of an attempt before this one
    path = os.path.join(folder, name.encode())
    try:
        _child(agent, lambda: relay.main(order, listener, path))
    except OSError as error:
        os.unlink(path)
        return why_not(error)
    finally:
        listener.close()
    return ""


def _fork(agent: _socket.socket, name: str, state: bytes, bases: list[Base]) -> dict[str, object]:
    try:
        pid = _child(agent, lambda: starter.main(state, name, bases))
    except OSError as error:
        return {"type": "forked", "name": name, "pid": 0, "why": os.strerror(error.errno or 0)}
    return {"type": "forked", "name": name, "pid": pid}


def _child(agent: _socket.socket, main: Callable[[], None]) -> int:
    """Fork a process that does this and ends; return its pid. Raises OSError."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        agent.close()
        main()
        status = 0
    except BaseException:  # noqa: BLE001 - the edge: what comes here is told, and ends the process
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main(sys.argv[1:])
