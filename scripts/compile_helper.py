"""A step of the build of a wheel: compile the loops of long replays, where there is a compiler.

`ostler sim` runs with what this makes or without it. CC names the compiler; CC=false goes without,
and the wheel is then for every platform.
"""

import hashlib
import os
import shlex
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDER = Path("src/ostler/sim")
SOURCES = ("counted.c", "counted.h")
LIBRARY = "_counted.so"
WORDS = ("-std=c11", "-O2", "-fPIC", "-shared")


class Helper(BuildHookInterface):  # type: ignore[type-arg,misc,unused-ignore]  # not installed here
    """What hatchling calls."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Make the library beside its source; a wheel that is no link to a checkout has it."""
        folder = Path(self.root) / FOLDER
        trouble = compiled(folder)
        if trouble:
            self.app.display_warning(f"long replays will run in Python: {trouble}")
        elif version != "editable":
            platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
            build_data["force_include"][str(folder / LIBRARY)] = f"ostler/sim/{LIBRARY}"
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{platform}"  # it knows nothing of Python


def compiled(folder: Path) -> str:
    """Compile; return what went wrong, or nothing. An old library stays, and is not used."""
    text = b"".join((folder / name).read_bytes() for name in SOURCES)
    digest = hashlib.sha256(text).hexdigest()
    library = folder / LIBRARY
    made = library.with_suffix(".new")
    compiler = shlex.split(os.environ.get("CC") or "cc")
    words = [*compiler, *WORDS, f'-DSOURCE="{digest}"', str(folder / SOURCES[0]), "-o", str(made)]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            made.replace(library)  # whoever has the old one open keeps it
            return ""
        trouble = done.stderr.strip()[-500:] or f"{words[0]} failed"
    except OSError as error:
        trouble = f"{words[0]}: {error.strerror}"
    return trouble
