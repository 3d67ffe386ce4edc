"""Where mails and webhooks end up in tests: a server of SMTP and one of HTTP, on ports of their own."""

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from typing import Any, NamedTuple

PATIENCE = 30.0  # seconds


class Sink(NamedTuple):
    """A server that keeps what it gets."""

    port: int
    got: "Queue[Any]"

    def next(self) -> Any:
        """Return what came next."""
        return self.got.get(timeout=PATIENCE)


@contextmanager
def _serving(server: socketserver.TCPServer, got: "Queue[Any]") -> Iterator[Sink]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield Sink(server.server_address[1], got)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def http_sink() -> Iterator[Sink]:
    """Serve HTTP: keeps (path, document) of each POST."""
    got: Queue[tuple[str, Any]] = Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.put((self.path, json.loads(body)))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with _serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler), got) as sink:
        yield sink


@contextmanager
def smtp_sink() -> Iterator[Sink]:
    """Serve SMTP, as much of it as a mail needs: keeps the messages. RFC 5321."""
    got: Queue[Message] = Queue()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 sink\r\n")
            for line in self.rfile:
                word = line.split(None, 1)[0].upper()
                if word == b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    got.put(message_from_bytes(b"".join(self._lines())))
                self.wfile.write(b"221 bye\r\n" if word == b"QUIT" else b"250 ok\r\n")
                if word == b"QUIT":
                    return

        def _lines(self) -> Iterator[bytes]:
            for line in self.rfile:
                if line == b".\r\n":
                    return
                yield line.removeprefix(b".") if line.startswith(b"..") else line

    with _serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler), got) as sink:
        yield sink
