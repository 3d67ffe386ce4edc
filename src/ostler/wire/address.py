"""Unix sockets of a state folder: paths of any length, and who is on the other side."""

import os
import socket
import struct

_PEER = struct.Struct("3i")  # pid, uid, gid


def _near(path: str) -> tuple[int, str]:
    """Return a descriptor of the folder and a short path through it: a socket's holds 107 bytes."""
    folder, name = os.path.split(os.path.abspath(path))
    fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    return fd, f"/proc/self/fd/{fd}/{name}"


def listen(path: str, mode: int) -> socket.socket:
    """Return a listening socket; a file left there by a dead process is replaced."""
    fd, near = _near(path)
    try:
        if os.path.lexists(path):
            os.unlink(path)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        old = os.umask(0o177)
        try:
            sock.bind(near)
        finally:
            os.umask(old)
        os.chmod(path, mode)
        sock.listen(512)
        sock.setblocking(False)
        return sock
    finally:
        os.close(fd)


def dial(path: str, timeout: float | None = None) -> socket.socket:
    """Return a connected, blocking socket; raise OSError."""
    fd, near = _near(path)
    try:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(timeout)
        try:
            sock.connect(near)
        except OSError:
            sock.close()
            raise
        return sock
    finally:
        os.close(fd)


def peer(sock: socket.socket) -> tuple[int, int, int]:
    """Return (pid, uid, gid) of the other side as the kernel recorded them at connect."""
    pid, uid, gid = _PEER.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    return pid, uid, gid
