"""A whole machine under hostile bursts, and what must hold after each of them."""

import os
import pwd
import re
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from hypothesis import HealthCheck, Phase, Verbosity, seed, settings

from ostler.model.limits import MAX_FRAME
from ostler.wire.address import dial
from tests.e2e.machine_kit import Host
from tests.fuzz.bursts import PATIENCE, SEED, Poke, send_all, told
from tests.fuzz.bystander import Bystander, Dialler
from tests.soak.vitals import Vitals, of_process

BURSTS = int(os.environ.get("OSTLER_BURSTS", "6"))  # of one test

# What a daemon logs when it met what nobody thought of.
DEFECT = re.compile(r"Traceback|a defect was met|never retrieved|scheduler failed|commit failed")
WARM = 5  # bursts after which the daemons are measured for the first time
# That all bursts together may leave. The allocator keeps what the longest frames took once.
GROWTH = {"fds": 12.0, "threads": 6.0, "RSS": 4.0 * MAX_FRAME}

Test = Callable[..., None]


def fuzzed(test: Test, examples: int = BURSTS) -> Test:
    """Run a test on so many examples drawn from `SEED`; a failure tells how to replay it."""
    rare = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]
    # Not shrunk: daemons that were hit once are not what they were, and each try takes a while.
    phases = [Phase.explicit, Phase.generate]
    setting = settings(
        max_examples=examples,
        phases=phases,
        suppress_health_check=rare,
        verbosity=Verbosity.quiet,  # `told` keeps what is too long to be printed
        print_blob=False,
    )
    seeded: Test = seed(SEED)(setting(test))
    return seeded


class Logs:
    """The daemons' logs, from now on."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._seen = {path: path.stat().st_size if path.exists() else 0 for path in paths}

    def new(self) -> str:
        """Return what was added since the last time."""
        parts: list[str] = []
        for path in self._paths:
            if path.exists():
                with path.open("rb") as file:
                    file.seek(self._seen.get(path, 0))
                    data = file.read()
                self._seen[path] = self._seen.get(path, 0) + len(data)
                parts.append(data.decode(errors="replace"))
        return "".join(parts)

    def tell_no_defect(self) -> None:
        text = self.new()
        assert not DEFECT.search(text), text[-6000:]


class Rig:
    """A machine with a bystander. `stranger`: who sends the bursts, where it is not the owner."""

    def __init__(
        self, host: Host, user: pwd.struct_passwd | None, stranger: Dialler | None
    ) -> None:
        self.host = host
        self._bystander = Bystander(host, user)
        self._stranger = stranger
        self._logs = Logs(sorted((host.state / "log").glob("*.log")))
        self._pids = host.pids()
        self._bursts = 0
        self._before: dict[str, Vitals] = {}

    def dial(self, door: str) -> socket.socket:
        path = self.host.state / door
        return dial(str(path), PATIENCE) if self._stranger is None else self._stranger(path)

    def burst(self, door: str, burst: Sequence[Poke]) -> None:
        """Send a burst and hold the machine to its promises."""
        with told(burst):
            send_all(burst, lambda: self.dial(door))
            self.holds()

    def holds(self) -> None:
        """Assert that all daemons live, others are served, and nobody met a defect."""
        self._logs.tell_no_defect()
        self._bystander.served()
        pids, self._pids = self._pids, self.host.pids()
        assert pids == self._pids, f"{pids} were the daemons, and now {self._pids}"
        self._bursts += 1
        if self._bursts == WARM:
            self._before = self._vitals()

    def _vitals(self) -> dict[str, Vitals]:
        return {kind: of_process(pid) for kind, pid in self._pids.items()}

    def has_not_grown(self) -> None:
        """Assert that the bursts left nothing behind in the daemons, and nothing disturbed."""
        for kind, before in self._before.items():
            now = of_process(self._pids[kind])
            gained = {name: now[name] - before[name] for name in GROWTH}
            assert all(gained[name] <= GROWTH[name] for name in GROWTH), f"{kind}: {gained}"
        self._bystander.leave()

    def close(self) -> None:
        self._bystander.close()


@contextmanager
def rig(
    host: Host,
    user: pwd.struct_passwd | None = None,
    stranger: pwd.struct_passwd | None = None,
) -> Iterator[Rig]:
    """Put a bystander beside a machine; user: who it is; stranger: who sends the bursts."""
    with ExitStack() as stack:
        dialler = None
        if stranger is not None:
            dialler = Dialler(stranger)
            stack.callback(dialler.close)
        made = Rig(host, user, dialler)
        stack.callback(made.close)
        yield made
        made.has_not_grown()
