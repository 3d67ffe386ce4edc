"""A job that runs until the test lets it end, and tells how often it ran."""

import os
import signal
import time
from contextlib import suppress

from ostler.agent.spool import SpoolState, read_spool
from ostler.wire.supervise import process_start
from tests.e2e.machine_kit import PATIENCE, Host, eventually


class Gated:
    """One such job, submitted; it exits with `code` when its gate is opened."""

    def __init__(self, host: Host, name: str, code: int = 0, *options: str, more: str = "") -> None:
        self.host = host
        self._ran = host.work / f"{name}.ran"
        self._gate = host.work / f"{name}.gate"
        os.mkfifo(self._gate)
        script = f"{more} echo $$ >>{self._ran}; read word <{self._gate}; exit {code}"
        self.id = host.submit("-o", "/dev/null", *options, "--", "sh", "-c", script)

    @property
    def pids(self) -> list[int]:
        """Return the pid of each time that it ran; of a task, it leads its session."""
        return [int(line) for line in self._ran.read_text().split()] if self._ran.exists() else []

    def running(self) -> "Gated":
        """Wait until it runs and the machine knows."""
        eventually(f"job {self.id} runs", lambda: self.pids)
        self.host.wait_for(self.id, "running")
        return self

    def open(self) -> None:
        """Let it end, and wait until its process is gone."""
        deadline = time.monotonic() + PATIENCE
        while any(map(process_start, self.pids)):
            try:
                # Not to wait for a reader that was killed.
                os.close(os.open(self._gate, os.O_WRONLY | os.O_NONBLOCK))
            except OSError:
                assert time.monotonic() < deadline, f"job {self.id} never came to its gate"
            time.sleep(0.01)  # no event of it reaches us, who are not its parent

    def spool(self) -> SpoolState:
        """Return what its starter has written."""
        for state in spools(self.host):
            if state.accepted is not None and str(state.accepted.get("job")) == self.id:
                return state
        msg = f"no spool tells of job {self.id}"
        raise AssertionError(msg)

    def kill_starter(self) -> None:
        """Kill its starter with SIGKILL."""
        pid = self.spool().pid
        os.kill(pid, signal.SIGKILL)
        eventually("its starter is gone", lambda: not process_start(pid))

    def ended(self) -> tuple[str, int]:
        """Wait for its end; return its result and exit status."""
        row = self.host.wait_for(self.id, "done")
        return row["result"], row["exit_status"]


def spools(host: Host) -> list[SpoolState]:
    """Return what starters, idle ones too, have written; the files of some go while we look."""
    found = []
    for path in (host.state / "node" / "spool").iterdir():
        with suppress(FileNotFoundError):
            found += [read_spool(str(path))] if path.name not in ("agent", "supervisor") else []
    return found


def starters(host: Host) -> list[int]:
    """Return the starters, idle ones too, by their spools."""
    return [state.pid for state in spools(host)]
