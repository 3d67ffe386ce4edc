"""A relay: holds the standard streams of one job's tasks on this node, for whoever reads them.

Forked by the zygote before the tasks start; it outlives agent, manager and starter, and what it
holds is bounded: see `wire.streams`. Runs as the job's user.
"""

import _socket
import array
import contextlib
import gc
import os
import resource
import select
import signal
import time
from collections.abc import Callable
from math import inf

from ostler.agent import linux
from ostler.agent.link import peer_uid
from ostler.agent.output import complain, why_not
from ostler.agent.relay_ends import Held, Input, Pty, Sink, Source
from ostler.agent.relay_order import Message, Order, Window, number, ranks_of, window_of
from ostler.agent.relay_peer import Peer, accept
from ostler.wire import streams
from ostler.wire.frames import frame
from ostler.wire.pack import pack, unpack

_LINGER = 60.0  # seconds that unread output waits for a client after the tasks' end
_LINGER_LONG = 3600.0  # the same where the job is to go on without a client
_MOST_PEERS = 16
_MOST_ENDS = 3  # of streams for each task; what one starter gets comes on top
_READ = 1 << 17
_IN, _OUT = select.EPOLLIN, select.EPOLLOUT


class Relay:
    """The process: its peers, the tasks' ends, and what is on its way between them."""

    def __init__(self, order: Order, listener: _socket.socket) -> None:
        self._order = order
        self._listener = listener
        self._epoll = select.epoll()
        self._on: dict[int, Callable[[], None]] = {}
        self._peers: dict[int, Peer] = {}
        self._client: Peer | None = None
        self._held = Held()
        self._input = Input(is_terminal=order.is_terminal)
        self._input.is_over = not self._reads_stdin()
        self._sources: dict[int, Source] = {}
        self._pty: Pty | None = None
        self._is_paused = False
        self._is_started = False  # some starter has said that the tasks have their ends
        self._is_end_told = False
        self._is_complained = False
        self._starters = 0  # that have asked for the tasks' ends and are here yet
        self._shut: set[int] = set()
        self._keep = order.keep
        self._quit = False
        self._alone_since = time.monotonic()
        self._watch(listener.fileno(), self._accept)

    def run(self) -> None:
        """Serve until nobody can need it any more."""
        while (due := self._due()) > time.monotonic():
            timeout = -1 if due == inf else max(0.0, due - time.monotonic()) + 0.01
            for fd, _ in self._epoll.poll(timeout):
                call = self._on.get(fd)
                if call is not None:
                    call()

    def _due(self) -> float:
        """Return the monotonic time at which to go; inf: not as things are."""
        if self._client is not None or self._sources or len(self._peers) > 0:
            return inf
        if self._quit or (self._is_started and not self._held.size):
            return 0.0
        wait = _LINGER_LONG if self._keep and self._held.size else _LINGER
        return self._alone_since + wait

    def _reads_stdin(self) -> bool:
        if self._order.stdin == streams.NONE:
            return False
        return self._order.stdin == streams.ALL or self._order.first_rank == 0

    # ── descriptors ──────────────────────────────────────────────────────────────────────────
    def _watch(self, fd: int, call: Callable[[], None], events: int = _IN) -> None:
        self._on[fd] = call
        self._epoll.register(fd, events)

    def _unwatch(self, fd: int) -> None:
        if self._on.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    # ── peers ────────────────────────────────────────────────────────────────────────────────
    def _accept(self) -> None:
        sock = accept(self._listener)
        if sock is None:
            return
        if peer_uid(sock) not in (0, os.geteuid()) or len(self._peers) >= _MOST_PEERS:
            sock.close()
            return
        peer = self._peers[sock.fileno()] = Peer(sock, self._epoll)
        self._watch(sock.fileno(), lambda: self._serve(peer))

    def _serve(self, peer: Peer) -> None:
        """Read what a peer says, and send what it had no room for."""
        if peer.is_blocked:
            self._pump(peer)
        try:
            data = peer.sock.recv(_READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(peer)
            return
        try:
            for payload in peer.splitter.feed(data):
                message = unpack(payload)
                if not isinstance(message, dict):
                    raise ValueError  # noqa: TRY301 - as what cannot be unpacked
                self._take(peer, message)
                if peer.sock.fileno() < 0:
                    return  # that was its last word, whatever it said behind it
        except ValueError:
            self._drop(peer)
            return
        if self._client is peer:
            self._pump(peer)

    def _drop(self, peer: Peer) -> None:
        if self._peers.pop(peer.sock.fileno(), None) is None:
            return
        self._unwatch(peer.sock.fileno())
        peer.sock.close()
        if self._client is peer:
            self._client = None
            self._held.rewind()
            self._is_end_told = False
        self._starters -= peer.is_starter
        self._alone_since = time.monotonic()
        self._tell_end()

    def _take(self, peer: Peer, message: Message) -> None:
        kind = message.get("type")
        if kind == "attach":
            self._attach(peer, message)
        elif kind == "tasks":
            self._hand_out(peer, ranks_of(message, self._order.tasks))
        elif kind == "quit":
            self._quit = True
            self._drop(peer)
        elif peer.is_starter and kind == "started":
            self._is_started = True
        elif peer is self._client:
            self._obey(peer, str(kind), message)

    def _obey(self, peer: Peer, kind: str, message: Message) -> None:
        if kind == "ack":
            self._held.acknowledge(number(message, "bytes"))
            self._resume()
        elif kind == "in":
            data = message.get("data")
            if isinstance(data, bytes) and not self._input.is_over:
                self._input.put(data)
                self._feed()
        elif kind == "eof":
            self._input.end()
            self._feed()
        elif kind == "window":
            self._resize(window_of(message.get("window")))
        elif kind == "shut":
            self._shut |= {number(message, "stream")} & {1, 2}
            self._close_shut()
        elif kind == "keep":
            self._keep = True
        self._pump(peer)

    def _attach(self, peer: Peer, message: Message) -> None:
        old, self._client = self._client, peer
        if old is not None and old is not peer:
            self._say(old, {"type": "taken"})
            self._drop(old)
            self._client = peer
        self._held.rewind()
        self._is_end_told = False
        self._resize(window_of(message.get("window")))
        self._say(
            peer,
            {
                "type": "attached",
                "version": streams.VERSION,
                "stdin": not self._input.is_over,
                "waits": self._input.size,
                "pty": self._order.is_terminal,
            },
        )
        self._pump(peer)

    # ── to the client ────────────────────────────────────────────────────────────────────────
    def _say(self, peer: Peer | None, message: Message) -> None:
        """Send a short message behind what is on its way."""
        if peer is not None and not peer.say(message):
            self._drop(peer)

    def _pump(self, peer: Peer) -> None:
        """Send output for as long as there is some and the peer has room."""
        if not peer.send() or peer is not self._client:
            return
        while not self._held.is_sent:
            if not peer.send(self._held.next_frame()):
                return
        self._tell_end()

    def _tell_end(self) -> None:
        over = not self._sources and not self._starters and self._held.is_sent
        if over and self._client is not None and not self._is_end_told:
            self._is_end_told = True
            self._say(self._client, {"type": "end"})

    # ── output of the tasks ──────────────────────────────────────────────────────────────────
    def _listen(self, source: Source) -> None:
        os.set_blocking(source.fd, False)
        self._sources[source.fd] = source
        if not self._is_paused:
            self._watch(source.fd, lambda: self._read(source))

    def _read(self, source: Source) -> None:
        if self._held.is_full:
            self._pause()
            return
        data = source.read()
        if data is None:
            self._held.put(source.stream, source.rest())
            self._close(source)
        else:
            self._held.put(source.stream, data)
        if self._client is not None:
            self._pump(self._client)

    def _close(self, source: Source) -> None:
        if self._sources.pop(source.fd, None) is not None:
            self._unwatch(source.fd)
            os.close(source.fd)
            if not self._sources:
                self._alone_since = time.monotonic()

    def _close_shut(self) -> None:
        """Close what nobody reads any more, so that who writes to it learns that."""
        for source in list(self._sources.values()):
            if source.stream in self._shut and not self._order.is_terminal:
                self._close(source)

    def _pause(self) -> None:
        """Read nothing more: the tasks will wait."""
        self._is_paused = True
        for fd in self._sources:
            self._unwatch(fd)

    def _resume(self) -> None:
        if self._is_paused and self._held.size <= streams.WINDOW // 2:
            self._is_paused = False
            for source in self._sources.values():
                self._watch(source.fd, lambda source=source: self._read(source))  # type: ignore[misc]

    # ── input of the tasks ───────────────────────────────────────────────────────────────────
    def _feed(self) -> None:
        """Write what waits to all who have room; tell the client what was taken."""
        for sink in list(self._input.sinks):
            self._write(sink)
        self._fed()

    def _on_room(self, sink: Sink) -> None:
        self._write(sink)
        self._fed()

    def _write(self, sink: Sink) -> None:
        if not self._input.write(sink):
            self._unwatch(sink.fd)
            os.close(sink.fd)
            self._input.sinks.remove(sink)
        elif not self._input.waits(sink):
            self._unwatch(sink.fd)
        elif sink.fd not in self._on:
            self._watch(sink.fd, lambda: self._on_room(sink), _OUT)

    def _fed(self) -> None:
        took = self._input.trim()
        if self._is_started and not self._input.sinks:
            took += self._input.forget_all()
            if not self._input.is_over:
                self._input.is_over = True
                self._say(self._client, {"type": "shut", "stream": 0})
        if took:
            self._say(self._client, {"type": "took", "bytes": took})

    # ── handing out ──────────────────────────────────────────────────────────────────────────
    def _hand_out(self, peer: Peer, ranks: list[int]) -> None:
        """Make pipes, or a terminal, and give the tasks' ends to a starter."""
        if len(self._sources) + len(self._input.sinks) > _MOST_ENDS * self._order.tasks:
            self._drop(peer)  # whoever asked before keeps them all
            return
        self._starters += not peer.is_starter
        peer.is_starter = True
        if self._is_end_told:
            self._is_end_told = False
            self._say(self._client, {"type": "again"})
        fds: list[int] = []
        try:
            terminal = self._order.is_terminal
            threes = self._terminal(fds, ranks) if terminal else self._pipes(fds, ranks)
            self._give(peer, fds, threes)
        except OSError as error:
            if not self._is_complained:
                complain(2, f"relay {os.getpid()}: {why_not(error)}")
            self._is_complained = True  # its user could fill the log
            self._drop(peer)
        finally:
            for fd in fds:
                os.close(fd)
        self._close_shut()
        self._feed()

    def _give(self, peer: Peer, fds: list[int], threes: list[list[int]]) -> None:
        most = streams.MOST_FDS
        for at in range(0, len(fds), most):
            part = fds[at : at + most]
            left = len(fds) - at - len(part)
            data = frame(pack({"type": "fds", "count": len(part), "left": left}))
            rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array.array("i", part))]
            peer.sock.sendmsg([data], rights, _socket.MSG_NOSIGNAL)
        self._say(peer, {"type": "threes", "threes": threes})

    def _terminal(self, fds: list[int], ranks: list[int]) -> list[list[int]]:
        self._pty = self._pty or Pty(self._order.window)
        fds.append(self._pty.other_end())
        if not self._sources:
            self._listen(Source(self._pty.dup(), 1))
        if not self._input.sinks and self._reads_stdin():
            self._input.add(self._pty.dup())
        return [[0, 0, 0]] * len(ranks)

    def _pipes(self, fds: list[int], ranks: list[int]) -> list[list[int]]:
        order = self._order
        null = len(fds)
        fds.append(os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC))
        both: list[int] = []
        threes: list[list[int]] = []
        for rank in ranks:
            if order.label or not both:
                label = b"%d: " % rank if order.label else b""
                both = [self._output(fds, 1, label), self._output(fds, 2, label)]
            reads = order.stdin == streams.ALL or (order.stdin == streams.FIRST and rank == 0)
            threes.append([self._input_end(fds) if reads else null, *both])
        return threes

    def _output(self, fds: list[int], stream: int, label: bytes) -> int:
        """Make a pipe to be read here; return the place of its other end."""
        out, into = os.pipe2(os.O_CLOEXEC)
        fds.append(into)
        self._listen(Source(out, stream, label))
        return len(fds) - 1

    def _input_end(self, fds: list[int]) -> int:
        """Make a pipe to be written here; return the place of its other end."""
        out, into = os.pipe2(os.O_CLOEXEC)
        fds.append(out)
        os.set_blocking(into, False)
        self._input.add(into)
        return len(fds) - 1

    def _resize(self, window: Window | None) -> None:
        if window is not None:
            self._order.window = window
            if self._pty is not None:
                self._pty.resize(window)


def main(order: Order, listener: _socket.socket, path: bytes) -> None:
    """Be a relay, in a process that was just forked for it."""
    linux.set_name(b"ostler-relay")
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    gc.freeze()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if os.geteuid() != order.uid:
        os.initgroups(order.user, order.gid)
        os.setgid(order.gid)
        os.setuid(order.uid)
        linux.forbid_tracing()
    try:
        Relay(order, listener).run()
    finally:
        with contextlib.suppress(OSError):
            os.unlink(path)  # else the next relay's birth removes it
