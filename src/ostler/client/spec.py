"""From values to what goes over the wire: the job's specification and its blobs.

Shared by the command line and the Python API. Loaded by everyday commands, so plain dictionaries
with the field names of `model.job.JobSpec` stand for the records; the manager checks them again.
"""

import posix

from ostler.model import limits
from ostler.model.errors import UsageError

TYPE_CHECKING = False  # as in typing, which is not loaded here
if TYPE_CHECKING:
    from collections.abc import Mapping

Spec = dict[str, object]

REQUEST_KEYS = (
    "tasks",
    "cpus",
    "memory",
    "gpus",
    "generic",
    "nodes",
    "nodelist",
    "exclude",
    "tasks_per_node",
    "constraint",
    "exclusive",
    "spread",
    "licences",
    "reservation",
)
_BOUNDS = {
    "tasks": (1, limits.MAX_TASKS),
    "cpus": (1, limits.MAX_CPUS),
    "memory": (0, 1 << 60),
    "gpus": (0, limits.MAX_CPUS),
    "nodes": (0, limits.MAX_TASKS),
    "tasks_per_node": (1, limits.MAX_TASKS),
    "priority": (0, 100),
    "umask": (0, 0o777),
    "retries": (0, limits.MAX_RETRIES),
    "array_cap": (0, limits.MAX_ARRAY),
}
_LENGTHS = {
    "name": limits.MAX_NAME,
    "project": limits.MAX_NAME,
    "partition": limits.MAX_NAME,
    "rm": limits.MAX_NAME,
    "cwd": limits.MAX_PATH,
    "output": limits.MAX_PATH,
    "error": limits.MAX_PATH,
    "input": limits.MAX_PATH,
    "argv": limits.MAX_ARGUMENTS,
    "after": limits.MAX_DEPENDENCIES,
    "generic": limits.MAX_GENERIC,
    "licences": limits.MAX_LICENCES,
    "constraint": limits.MAX_CONSTRAINT,
    "reservation": limits.MAX_NAME,
    "script": limits.MAX_SCRIPT,
    "env": limits.MAX_ENVIRONMENT,
    "items": limits.MAX_ITEMS,
}
_BLOBS = ("env", "script", "items")
_rlimits: "dict[str, int]" = {}  # name -> the kernel's number, once they were wanted


def make_spec(values: "Mapping[str, object]") -> tuple[Spec, list[bytes]]:
    """Return the specification and the blobs its digests stand for; raise `UsageError`.

    values: fields of `JobSpec` and of `Request` by name; `env`, `script` and `items` are the bytes
    themselves. None means: not given.
    """
    spec: Spec = {}
    request: dict[str, object] = {}
    blobs: list[bytes] = []
    for name, value in values.items():
        if value is None:
            continue
        check(name, value)
        if name in REQUEST_KEYS:
            request[name] = value
        elif name in _BLOBS and isinstance(value, bytes):
            spec[name] = sha256(value)
            blobs.append(value)
        else:
            spec[name] = value
    each, nodes = request.get("tasks_per_node"), request.get("nodes") or 1
    if "tasks" not in request and isinstance(each, int) and isinstance(nodes, int):
        request |= {"tasks": each * nodes, "nodes": nodes}  # exactly so many on each
    if request:
        spec["request"] = request
    return spec, blobs


def check(name: str, value: object) -> None:
    """Raise `UsageError` if a value is out of its bounds."""
    wrong = expected = ""
    if name in _BOUNDS and isinstance(value, int):
        least, most = _BOUNDS[name]
        if not least <= value <= most:
            wrong, expected = f"{name} cannot be {value}", f"from {least} to {most}"
    elif name in _LENGTHS and isinstance(value, str | bytes | list | tuple | dict):
        if len(value) > _LENGTHS[name]:
            wrong, expected = f"{name} is too long: {len(value)}", f"most: {_LENGTHS[name]}"
        elif isinstance(value, str) and not _is_text(value):
            wrong, expected = f"{name} {value!r} is not text", "UTF-8, no control characters"
    if name == "argv" and isinstance(value, list | tuple):
        size = sum(len(part) + 1 for part in value)
        if size > limits.MAX_ARGV:
            wrong, expected = f"the command is too long: {size} bytes", f"most: {limits.MAX_ARGV}"
        elif any(b"\0" in part for part in value):
            wrong = "an argument of the command holds a NUL byte"
    if wrong:
        raise UsageError(wrong, expected=expected)


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return value.isprintable()


def sha256(data: bytes) -> str:
    """Return the digest in hexadecimal, without loading OpenSSL where Python has its own."""
    try:
        from _sha256 import sha256 as digest  # type: ignore[import-not-found]
    except ImportError:  # from Python 3.12 on
        from _sha2 import sha256 as digest  # type: ignore[import-not-found]
    return str(digest(data).hexdigest())


def new_request_id() -> str:
    """Return a name by which a repeated submission is known as the same."""
    return posix.urandom(16).hex()


def own_environment() -> bytes:
    """Return this process's first environment, as the kernel keeps it: KEY=VALUE, NUL after each.

    Not `os.environb`: under LANG=C Python adds a variable of its own to that.
    """
    try:
        with open("/proc/self/environ", "rb", buffering=0) as file:
            found = file.read()
    except OSError:
        found = b"".join(k + b"=" + v + b"\0" for k, v in posix.environ.items())
    return b"".join(pair + b"\0" for pair in found.split(b"\0") if pair.find(b"=") > 0)


def own_limits() -> dict[str, int]:
    """Return this process's soft limits by name, in the kernel's units; -1: unlimited."""
    from resource import getrlimit

    if not _rlimits:
        import resource

        for name in limits.RLIMITS:
            _rlimits[name] = getattr(resource, f"RLIMIT_{name.upper()}")
    return {name: getrlimit(number)[0] for name, number in _rlimits.items()}


def join_environment(environ: "Mapping[bytes, bytes]") -> bytes:
    """Return the variables as one blob; raise `UsageError` for a name that cannot be one."""
    for key, value in environ.items():
        if not key or b"=" in key or b"\0" in key or b"\0" in value:
            raise UsageError(f"{key!r} cannot be the name of a variable, or its value has a NUL")
    return b"".join(k + b"=" + v + b"\0" for k, v in environ.items())


def split_environment(blob: bytes) -> dict[bytes, bytes]:
    """Return the variables of a blob."""
    pairs = (entry.partition(b"=") for entry in blob.split(b"\0") if entry)
    return {key: value for key, _, value in pairs}


def count_lines(data: bytes) -> int:
    """Return how many elements a list of `--each` makes; the manager counts the same way."""
    return len(data.splitlines())
