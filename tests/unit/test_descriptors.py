"""Descriptors of others are closed without waiting, whatever they are."""

import contextlib
import os
import socket
import struct
from pathlib import Path

from ostler.wire.descriptors import let_go


def test_a_socket_that_would_linger_for_an_hour_holds_nobody_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        peer, _ = server.accept()
        with peer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 3600))
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while client.send(b"x" * 65536):
                    pass
            let_go([client.detach()])  # the last reference: an ordinary close waits for its peer


def test_what_is_quick_to_close_is_closed_at_once(tmp_path: Path) -> None:
    readable, writable = os.pipe()
    let_go([writable, os.open(os.devnull, os.O_RDONLY), os.open(tmp_path, os.O_RDONLY)])
    assert os.read(readable, 1) == b""
    os.close(readable)
