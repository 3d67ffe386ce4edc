"""Which state folder is meant, and whether somebody keeps a machine there.

Loaded by everyday commands: no `os`, no `json` on the ordinary path.
"""

import posix
import sys

SYSTEM_STATE = "/var/lib/ostler"

TYPE_CHECKING = False  # as in typing, which is not loaded here
if TYPE_CHECKING:
    from collections.abc import Mapping


def decode(raw: bytes) -> str:
    """Return the name of a file as Python writes it: bytes that are no text are kept."""
    return raw.decode(sys.getfilesystemencoding(), "surrogateescape")


def encode(name: str) -> bytes:
    """Return the bytes of a file's name or an argument, as they came in."""
    return name.encode(sys.getfilesystemencoding(), "surrogateescape")


def find_state(
    given: str | None = None,
    environ: "Mapping[bytes, bytes] | None" = None,
    *,
    new: bool = False,
    system: bool = False,
) -> str:
    """Return the absolute path of the state folder.

    given, else OSTLER_STATE, else the user's own (XDG_STATE_HOME/ostler, by default
    ~/.local/state/ostler); where that has no socket the system's, if there is one.
    new: the folder is about to be made, so the system's is meant only with `system`.
    """
    env: Mapping[bytes, bytes] = posix.environ if environ is None else environ
    named = given or decode(env.get(b"OSTLER_STATE", b""))
    if named:
        return absolute(named)
    if system:
        return SYSTEM_STATE
    base = decode(env.get(b"XDG_STATE_HOME", b""))
    if not base.startswith("/"):  # the standard: a relative one is to be ignored
        base = f"{decode(env.get(b'HOME', b'')) or _home()}/.local/state"
    own = absolute(f"{base}/ostler")
    if not new and not exists(f"{own}/sock") and exists(f"{SYSTEM_STATE}/sock"):
        return SYSTEM_STATE
    return own


def identity() -> str:
    """Return the test identity of a lab that this process is to be; empty: none."""
    return decode(posix.environ.get(b"OSTLER_AS", b""))


def absolute(name: str) -> str:
    """Return the path from the root, without `//` and `.` but with links and `..` untouched."""
    if not name.startswith("/"):
        name = f"{posix.getcwd()}/{name}"
    return "/" + "/".join(part for part in name.split("/") if part not in ("", "."))


def exists(path: str) -> bool:
    """Say whether there is such a file."""
    try:
        posix.stat(path)
    except OSError:
        return False
    return True


def _home() -> str:
    import pwd

    try:
        return pwd.getpwuid(posix.getuid()).pw_dir
    except KeyError:
        return "/"


def supervisor(state: str) -> int:
    """Return the pid of the machine's living supervisor; 0 if there is none."""
    import json

    try:
        with open(f"{state}/supervisor.json", "rb") as file:
            told = json.load(file)
        pid, start_time = int(told["pid"]), int(told["start_time"])
        with open(f"/proc/{pid}/stat", "rb") as file:
            words = file.read().rpartition(b")")[2].split()
    except (OSError, ValueError, KeyError, TypeError):
        return 0
    # After the name come the state, then from field 4 on; field 22 is the start time. A pid that
    # was given out again has another start time.
    return pid if words[0] not in (b"Z", b"X") and int(words[19]) == start_time else 0
