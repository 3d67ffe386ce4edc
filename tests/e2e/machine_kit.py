"""A real machine in a folder of its own, driven by the real command."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from ostler.client.link import Link

OSTLER = str(Path(sys.executable).parent / "ostler")
PATIENCE = 60.0  # seconds: bounds hanging, never a measure


def eventually(what: str, condition: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """Return the condition's first true value; fail when it stays false."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.02)  # polls what other processes do; no event reaches a test from there
    msg = f"not within {patience:.0f} s: {what}"
    raise AssertionError(msg)


class Host:
    """One machine of one host: its state folder, and commands against it."""

    def __init__(self, folder: Path, *up: str) -> None:
        self.state = folder / "state"
        self.work = folder / "work"
        self.work.mkdir(exist_ok=True)
        self.up_options = up

    def ostler(
        self, *words: str, check: bool = True, stdin: str | None = None, **env: str
    ) -> subprocess.CompletedProcess[str]:
        """Run one command; fail the test if it fails and that was not expected."""
        done = subprocess.run(
            [OSTLER, "--state", str(self.state), *words],
            cwd=self.work,
            env=os.environ | env,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=PATIENCE * 3,
            check=False,
        )
        if check and done.returncode:
            msg = f"{words} exited with {done.returncode}\n{done.stdout}\n{done.stderr}\n{self.logs()}"
            raise AssertionError(msg)
        return done

    def json(self, *words: str) -> Any:
        """Return the document that a command prints."""
        return json.loads(self.ostler(*words, "--json").stdout)

    def up(self) -> None:
        """Bring the machine up, or back up."""
        self.ostler("up", *self.up_options)

    def down(self) -> None:
        """Stop everything."""
        self.ostler("down", "--kill", check=False)

    def pids(self) -> dict[str, int]:
        """Return the daemons that are alive, by name."""
        return {k: v for k, v in self.json("status")["processes"].items() if v}

    def kill(self, name: str) -> None:
        """Kill a daemon with SIGKILL."""
        os.kill(self.pids()[name], signal.SIGKILL)

    def submit(self, *words: str) -> str:
        """Submit and return the id."""
        return self.ostler("submit", *words).stdout.strip()

    def job(self, ident: str) -> dict[str, Any]:
        """Return one job's row."""
        row: dict[str, Any] = self.json("job", ident)["jobs"][0]
        return row

    def wait_for(self, ident: str, *states: str) -> dict[str, Any]:
        """Wait until a job is in one of the states."""

        def there() -> dict[str, Any] | None:
            row: dict[str, Any] = self.look("job", ident)["jobs"][0]
            return row if row["state"] in states else None

        row: dict[str, Any] = eventually(f"{ident} is {states}", there)
        return row

    def look(self, what: str, ref: str = "") -> Any:
        """Ask what a command would ask, without one: whoever looks often leaves others the CPUs."""
        with closing(Link(str(self.state))) as link:
            return link.call("read", what=what, ref=ref)

    def logs(self) -> str:
        """Return the last lines of the daemons' logs."""
        parts = [
            f"--- {path.name}\n{path.read_text(errors='replace')[-3000:]}"
            for path in sorted((self.state / "log").glob("*.log"))
        ]
        return "\n".join(parts)


@contextmanager
def machine(folder: Path, *up: str) -> Iterator[Host]:
    """Run a machine for a test; nothing of it is left afterwards."""
    host = Host(folder, *up)
    try:
        host.up()
        yield host
    finally:
        host.down()
        kill_leftovers(host.state)


def kill_leftovers(state: Path) -> None:
    """Kill whatever still names the state folder, until nothing does: they start one another."""
    eventually("nothing of the machine is left", lambda: not _killed(state))


def _killed(state: Path) -> bool:
    """Kill what names the state folder as an argument or a variable; say whether there was any."""
    found = [int(e.name) for e in Path("/proc").iterdir() if e.name.isdigit() and names(e, state)]
    for number in (signal.SIGSTOP, signal.SIGKILL):  # stopped first, so that none starts another
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
    return bool(found)


def names(process: Path, state: Path) -> bool:
    """Say whether another process has a folder among its arguments or variables."""
    if int(process.name) == os.getpid():
        return False
    try:
        told = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
    except OSError:
        return False
    return os.fsencode(state) in told
