"""Where mails and webhooks end up in tests: a server of SMTP and one of HTTP, on ports of their own."""

import base64
import json
import socketserver
import ssl
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
def smtp_sink(
    context: ssl.SSLContext | None = None, *, at_once: bool = False, password: str = ""
) -> Iterator[Sink]:
    """Serve SMTP, as much of it as a mail needs: keeps the messages. RFC 5321.

    context: with it STARTTLS is offered, or at_once spoken. password: without it no mail is taken.
    """
    got: Queue[Message] = Queue()

    class Handler(socketserver.StreamRequestHandler):
        known = not password

        def handle(self) -> None:
            if context is not None and at_once:
                self._secure(context)
            self.wfile.write(b"220 sink\r\n")
            while line := self.rfile.readline():
                word = line.split(None, 1)[0].upper()
                self.wfile.write(self._answer(word, line))
                if word == b"QUIT":
                    return
                if word == b"STARTTLS" and context is not None:
                    self._secure(context)

        def _answer(self, word: bytes, line: bytes) -> bytes:
            secure = isinstance(self.connection, ssl.SSLSocket)
            if word == b"EHLO":
                offers = [b"sink"] + [b"STARTTLS"] * (context is not None and not secure)
                offers += [b"AUTH PLAIN"] * bool(password and secure)
                return b"".join(b"250-%s\r\n" % each for each in offers) + b"250 8BITMIME\r\n"
            if word == b"AUTH":
                told = base64.b64decode(line.split()[2]).split(b"\0")[2].decode()
                self.known = told == password
            if word in (b"AUTH", b"MAIL") and not self.known:
                return b"535 who are you\r\n"
            if word == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                got.put(message_from_bytes(b"".join(self._lines())))
            known = {b"QUIT": b"221 bye", b"AUTH": b"235 welcome", b"STARTTLS": b"220 go on"}
            return known.get(word, b"250 ok") + b"\r\n"

        def finish(self) -> None:
            super().finish()
            self.connection.close()

        def _secure(self, context: ssl.SSLContext) -> None:
            self.connection = context.wrap_socket(self.connection, server_side=True)
            self.rfile = self.connection.makefile("rb")
            self.wfile = self.connection.makefile("wb", buffering=0)

        def _lines(self) -> Iterator[bytes]:
            while (line := self.rfile.readline()) not in (b".\r\n", b""):
                yield line.removeprefix(b".") if line.startswith(b"..") else line

    class Server(socketserver.ThreadingTCPServer):
        def handle_error(self, *_: object) -> None:
            """Say nothing of clients that do not trust it."""

    with _serving(Server(("127.0.0.1", 0), Handler), got) as sink:
        yield sink
