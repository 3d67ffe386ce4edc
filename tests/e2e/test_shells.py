"""Completion in the shells themselves: what Tab makes of a line that somebody types."""

import os
import pty
import re
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.machine_kit import PATIENCE, Host

SHELLS = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config"],
}
LOAD = {
    "bash": 'eval "$(ostler completion bash)"',
    "zsh": 'bindkey -e; eval "$(ostler completion zsh)"',
    "fish": "ostler completion fish | source",
}


def need(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(
            f"NOT TESTED: completion in {shell}, which is not installed: apt-get install {shell}"
        )


class Shell:
    """A shell on a terminal."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._text = ""

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def until(self, pattern: str) -> str:
        """Read until the pattern is there; return its group, and forget what came up to there."""
        while not (found := re.search(pattern, self._text)):
            ready, _, _ = select.select([self._fd], [], [], PATIENCE)
            assert ready, f"{pattern!r} never came: {self._text!r}"
            self._text += os.read(self._fd, 65_536).decode(errors="replace")
        self._text = self._text[found.end() :]
        return found.group(1)

    def completed(self, line: str) -> str:
        """Return what the line is after Tab: the shell itself is made to print it."""
        self.type(f"{line}\t\x01: '\x05'; echo \"[$_]\"\n")
        return self.until(r"[\r\n]\[([^\r\n]*?) ?\]\r")


def environment(host: Host) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    state = {"OSTLER_STATE": str(host.state), "HOME": str(host.work)}
    return os.environ | state | {"PATH": path, "TERM": "xterm", "LC_ALL": "C.UTF-8"}


@contextmanager
def shell(name: str, host: Host) -> Iterator[Shell]:
    need(name)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        SHELLS[name],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=host.work,
        env=environment(host),
        start_new_session=True,
    )
    os.close(theirs)
    try:
        typed = Shell(ours)
        typed.type(f"{LOAD[name]}; echo '<'ready'>'\n")
        typed.until("(<ready>)")
        yield typed
    finally:
        process.kill()
        process.wait(PATIENCE)
        os.close(ours)


@pytest.mark.parametrize("name", ["bash", "zsh"])
def test_tab_completes_commands_options_values_ids_and_files(own_host: Host, name: str) -> None:
    host = own_host
    ident = host.submit("--hold", "-J", "fit", "--", "true")
    (host.work / "a job.sh").touch()
    with shell(name, host) as typed:
        assert typed.completed("ostler canc") == "ostler cancel"
        assert typed.completed("ostler jobs --wat") == "ostler jobs --watch"
        assert typed.completed("ostler jobs --state=runn") == "ostler jobs --state=running"
        assert typed.completed("ostler nodes und") == "ostler nodes undrain"
        assert typed.completed("ostler release ") == f"ostler release {ident}"
        assert typed.completed(f"ostler submit --after {ident}:a") == (
            f"ostler submit --after {ident}:any"
        )
        assert typed.completed("ostler submit a") == "ostler submit a\\ job.sh"
        assert typed.completed("ostler submit --output=a") == "ostler submit --output=a\\ job.sh"
        host.down()
        assert typed.completed("ostler release ") == "ostler release"


def test_fish_completes_commands_options_values_ids_and_files(own_host: Host) -> None:
    need("fish")
    host = own_host
    ident = host.submit("--hold", "-J", "fit", "--", "true")
    (host.work / "a job.sh").touch()
    assert fish(host, "ostler canc") == ["cancel"]
    assert fish(host, "ostler jobs --wat") == ["--watch"]
    assert fish(host, "ostler jobs --state=runn") == ["--state=running"]
    assert fish(host, "ostler release ") == [ident]
    assert fish(host, f"ostler submit --after {ident}:a") == [f"{ident}:any"]
    assert fish(host, "ostler submit a") == ["a job.sh"]
    assert fish(host, "ostler submit --output=a") == ["--output=a job.sh"]
    assert "echo" in fish(host, "ostler run ech")
    host.down()
    assert fish(host, "ostler release ") == []


def fish(host: Host, line: str) -> list[str]:
    """Return what fish would offer, without the descriptions."""
    done = subprocess.run(
        [*SHELLS["fish"], "-c", f"{LOAD['fish']}; complete -C '{line}'"],
        cwd=host.work,
        env=environment(host),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    assert done.stderr == ""
    return [text.partition("\t")[0] for text in done.stdout.splitlines()]
