"""What SQLite reports, as a sentence: what happened and what to do."""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from ostler.model.errors import NotNow, OstlerError, Refused

SLOW = 10.0  # seconds to wait for a lock before it counts as a fault

_DAMAGED = "stop the machine, put a copy of the file in its place or move it away, and start again"
_CAUSES = {
    "SQLITE_IOERR_SHMSIZE": (  # the WAL's index could not grow
        "the disk of {path} is full",
        "free some space; work then goes on by itself",
    ),
    "SQLITE_FULL": ("the disk of {path} is full", "free some space; work then goes on by itself"),
    "SQLITE_READONLY": (
        "{path} cannot be written: it is read-only here",
        "make the file and its folder writable; work then goes on by itself",
    ),
    "SQLITE_PERM": ("{path} may not be read or written", "check who owns it and its folder"),
    "SQLITE_CANTOPEN": (
        "{path} cannot be opened",
        "check that its folder exists and may be written by this user",
    ),
    "SQLITE_IOERR": (
        "the disk of {path} reports an error ({name})",
        "see the kernel's log; work goes on by itself once the disk does",
    ),
    "SQLITE_BUSY": (
        "another process has kept {path} locked",
        "see who has it open with `fuser`; work then goes on by itself",
    ),
    "SQLITE_LOCKED": ("another connection keeps {path} locked", "try again"),
    "SQLITE_CORRUPT": ("{path} is damaged", _DAMAGED),
    "SQLITE_NOTADB": ("{path} is no database, or its beginning is damaged", _DAMAGED),
    "SQLITE_NOMEM": ("there is no memory left to work on {path}", "free some memory"),
}


def explain(error: sqlite3.Error, path: str) -> OstlerError:
    """Return what the error means for whoever runs the machine."""
    name = getattr(error, "sqlite_errorname", None) or type(error).__name__
    for kind, (what, hint) in _CAUSES.items():
        if name == kind or name.startswith(kind + "_"):
            return NotNow(what.format(path=path, name=name), hint=hint)
    if str(error).startswith(("Could not decode", "unsupported file format", "no such")):
        what, _, _ = str(error).partition(" with text ")  # which may be private
        return NotNow(f"{path} is damaged: {what}", hint=_DAMAGED)
    return NotNow(f"the database {path} refused ({name}): {error}", hint="see the manager's log")


@contextmanager
def explained(path: str) -> Iterator[None]:
    """Raise what SQLite reports inside as `NotNow` with the cause."""
    try:
        yield
    except sqlite3.Error as error:
        raise explain(error, path) from error
    except UnicodeDecodeError as error:
        raise NotNow(f"{path} is damaged: {error.reason}", hint=_DAMAGED) from error
    except (OverflowError, UnicodeEncodeError) as error:
        raise NotNow(
            f"{path} cannot hold a value: {error}",
            expected="whole numbers of 64 bits and text that is Unicode",
        ) from error


@contextmanager
def sensible(path: str) -> Iterator[None]:
    """Raise as `NotNow` that a row read inside is none that Ostler has written."""
    try:
        yield
    except (msgspec.MsgspecError, LookupError, TypeError, ValueError) as error:
        raise NotNow(f"a row of {path} is damaged: {error!r}", hint=_DAMAGED) from error


def gone(path: str) -> OstlerError:
    """Return the error for a file that is not where it was."""
    return NotNow(
        f"{path} was moved or deleted while it was in use",
        hint="put it back; or stop the machine, see what is left, and start it again",
    )


def unusable(path: str, error: OSError) -> OstlerError:
    """Return the error for a file that the system does not let us open."""
    hint = "make the folder writable" if error.errno != errno.ENOSPC else "free some space"
    return NotNow(f"{path} cannot be opened for writing: {error.strerror}", hint=hint)


def newer(path: str, found: int, known: int) -> Refused:
    """Return the error for a database that a later release has written."""
    return Refused(
        f"{path} has version {found}, and this Ostler knows versions up to {known}",
        hint="start it with the release that wrote it, or a later one",
    )


def foreign(path: str) -> Refused:
    """Return the error for somebody else's database."""
    return Refused(
        f"{path} is a database, and not one of Ostler's",
        hint="name another state folder, or move the file away",
    )
