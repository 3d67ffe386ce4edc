"""What `road.py` runs: loads Ostler's modules without a search, and calls `main`.

Python's own import asks every folder of `sys.path` for every suffix, and reads through several
layers; a short command spends more time on that than on its work. Here a module is looked for only
where it must be, and its `.pyc` file, which is Python's own, is read with three calls. Whatever is
not as expected is left to Python: it finds, compiles, and writes `.pyc` files.
"""

import gc
import posix
import sys
from _frozen_importlib_external import (  # type: ignore[attr-defined]
    MAGIC_NUMBER,
    SourceFileLoader,
    _compile_bytecode,
    spec_from_file_location,
)

TYPE_CHECKING = False  # as in typing, which is not loaded here
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import CodeType

_MANY = 50_000  # objects, which no short command makes
_LARGEST = 1 << 16  # bytes of a .pyc file that is read here
# A .pyc file begins with the version, 0 for "made from a source of this time and size", and those
# two, each in 4 bytes (PEP 552).
_HEAD = MAGIC_NUMBER + bytes(4)
_WORD = 0xFFFF_FFFF
_SUFFIX = f".{sys.implementation.cache_tag}.pyc"


class Loader(SourceFileLoader):
    """Python's loader, but for a .pyc file that is up to date.

    info: what `stat` says of the source.
    """

    def __init__(self, name: str, file: str, cached: str, info: posix.stat_result) -> None:
        super().__init__(name, file)
        self._cached = cached
        self._info = info

    def get_code(self, fullname: str) -> "CodeType | None":
        """Return the module's code."""
        made_from = (self._info.st_size & _WORD) << 32 | int(self._info.st_mtime) & _WORD
        try:
            fd = posix.open(self._cached, posix.O_RDONLY | posix.O_CLOEXEC)
            data = posix.read(fd, _LARGEST)
            posix.close(fd)
        except OSError:
            data = b""
        if data[:16] != _HEAD + made_from.to_bytes(8, "little") or len(data) == _LARGEST:
            return super().get_code(fullname)
        code: CodeType = _compile_bytecode(memoryview(data)[16:], fullname, self._cached, self.path)
        return code


class Finder:
    """Finds this package's modules: PARENT/NAME/__init__.py up to the second level, then PARENT/NAME.py.

    root: the folder that holds the package. What is elsewhere is left to the finders behind.
    """

    def __init__(self, root: str) -> None:
        self._root = root

    def find_spec(
        self, name: str, path: "Sequence[str] | None" = None, _target: object = None
    ) -> "ModuleSpec | None":
        """Return how to load the module; None if it is not ours, or not there."""
        if not name.startswith("ostler"):
            return None
        parent, _, last = name.rpartition(".")
        folder = path[0] if path else self._root
        is_package = "." not in parent
        if is_package:
            folder, last = f"{folder}/{last}", "__init__"
        file = f"{folder}/{last}.py"
        try:
            info = posix.stat(file)
        except OSError:
            return None
        cached = f"{folder}/__pycache__/{last}{_SUFFIX}"
        spec = spec_from_file_location(
            name,
            file,
            loader=Loader(name, file, cached, info),
            submodule_search_locations=[folder] if is_package else None,
        )
        if spec is not None:
            spec.cached = cached
        return spec


def start(root: str) -> None:
    """Run the command and end the process. root: the folder that holds the package."""
    gc.set_threshold(_MANY)  # to look for circles costs more than those few keep
    sys.path.append(root)  # without site nobody adds it
    sys.meta_path.insert(0, Finder(root))
    from ostler.cli.main import main

    status = main(sys.argv[1:])
    try:
        if sys.stdout is not None:  # as where the caller has closed it
            sys.stdout.flush()  # help, which click prints; all else is written at once
    except OSError:
        status = status or 1
    # Nothing is left to tidy up, and taking the interpreter apart costs as much as the request.
    posix._exit(status)  # noqa: SLF001 - its name everywhere


if __name__ == "__main__":  # as `road.py` runs it
    start(__file__.rsplit("/", 3)[0])  # .../ostler/cli/road.py
