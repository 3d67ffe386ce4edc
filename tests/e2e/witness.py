"""A task that leaves one short line each time it runs: proof of how often each element ran."""

import os
import shutil
import subprocess
from collections import Counter
from pathlib import Path

_SOURCE = r"""
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
int main(int argc, char **argv) {
    char line[64];
    const char *element = getenv("OSTLER_ELEMENT");
    int size = snprintf(line, sizeof line, "%s\n", element ? element : "?");
    int fd = argc > 1 ? open(argv[1], O_WRONLY | O_APPEND | O_CREAT, 0666) : -1;
    return fd < 0 || write(fd, line, size) != size;
}
"""


class Witness:
    """The task's command, and what its runs have written. All write to one file, a line a time."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._lines = folder / "ran"
        self._lines.touch()
        self.argv = [*_program(folder), str(self._lines)]

    @property
    def seen(self) -> int:
        """Return about how many elements have run: their bytes, by the shortest line of many."""
        return self._lines.stat().st_size

    def runs(self) -> Counter[int]:
        """Return how often each element ran."""
        return Counter(map(int, self._lines.read_text().split()))


def _program(folder: Path) -> list[str]:
    """Return a command that costs as little as can be: compiled where there is a compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return ["sh", "-c", 'echo "$OSTLER_ELEMENT" >>"$0"']
    program = folder / "witness"
    # Static where that library is there: then no loader runs.
    for static, must in ((["-static"], False), ([], True)):
        command = [compiler, "-O1", *static, "-x", "c", "-", "-o", os.fspath(program)]
        done = subprocess.run(command, input=_SOURCE.encode(), capture_output=True, check=must)
        if not done.returncode:
            break
    return [os.fspath(program)]
