"""The machine's secret: from it the keys of contexts are made, so that none is in the database."""

import hmac
import os
from contextlib import suppress
from pathlib import Path

from ostler.model.errors import NotNow

_SIZE = 32  # bytes


def read_secret(state: Path) -> bytes:
    """Return the secret, made at the first time; raise `NotNow` if that cannot be done now."""
    path = state / "secret"
    try:
        found = path.read_bytes() if path.exists() else b""
        return found if len(found) == _SIZE else _make(path)
    except OSError as error:
        raise NotNow(f"{path} cannot be used: {error.strerror}") from None


def identity_of(secret: bytes) -> str:
    """Return by what other resource managers tell the machine's jobs from those of others."""
    return hmac.digest(secret, b"machine", "sha256").hex()[:10]


def _make(path: Path) -> bytes:
    """Put a new one in its place, whole or not at all."""
    secret = os.urandom(_SIZE)
    draft = path.with_name("secret.new")
    with suppress(FileNotFoundError):
        draft.unlink()
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, secret)
        os.fsync(fd)
    finally:
        os.close(fd)
    draft.replace(path)
    return secret
