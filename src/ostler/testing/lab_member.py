"""One member of a lab as seen from outside: its host, what runs below it, and how to end that."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress

from ostler.agent import proc
from ostler.model.errors import NotNow
from ostler.wire.address import dial
from ostler.wire.supervise import open_process, write_json

_HOST = os.path.join(os.path.dirname(os.path.abspath(__file__)), "lab_host.py")
_DAEMONS = (b"ostler.agent.supervisor", b"ostler.agent", b"ostler.manager")
_ENVIRONMENT = ("PATH", "HOME", "LANG")  # as `ostler up` hands it on
_STEP = 0.01  # seconds between looks at other processes: no event tells what becomes of them
_PATIENCE = 20.0  # seconds for a process to end, to stop, or for a host to answer


def until(what: str, missing: Callable[[], str], patience: float, *, hint: str = "") -> None:
    """Wait until nothing is missing; raise `NotNow` with what still is."""
    deadline = time.monotonic() + patience
    while why := missing():
        if time.monotonic() > deadline:
            raise NotNow(f"{what}: {why}", hint=hint)
        time.sleep(_STEP)


class Member:
    """A node or the manager of a lab.

    told: its machine.json. relay: the manager's socket; empty for the manager.
    """

    def __init__(self, name: str, state: str, told: dict[str, object], relay: str = "") -> None:
        self.name = name
        self.state = state
        self._told = told
        self._relay = relay
        self._booting = 0  # process id of a host that is our child

    def make_folder(self) -> None:
        """Make the state folder."""
        for path in (self.state, f"{self.state}/log"):
            os.mkdir(path, 0o700)

    # -- looks -----------------------------------------------------------------------------

    @property
    def host_pid(self) -> int:
        """Return the process id of the living host; 0 if there is none."""
        try:
            with open(f"{self.state}/host.json", encoding="utf-8") as file:
                record = json.load(file)
        except (OSError, ValueError):
            return 0
        fd = open_process(record)
        if fd is None:
            return 0
        os.close(fd)
        return int(record["pid"])

    def _below(self) -> list[int]:
        """Return what lives below the host, parents first."""
        host = self.host_pid
        return [p for p in proc.descendants(host) if not proc.is_zombie(p)] if host else []

    @property
    def daemons(self) -> list[int]:
        """Return the living daemons: the supervisor, and the agent or the manager."""
        return [pid for pid in self._below() if self._is_daemon(pid)]

    def _is_daemon(self, pid: int) -> bool:
        words = proc.arguments(pid)
        at = words.index(b"-m") + 1 if b"-m" in words else 0
        return words[at : at + 1] in [[name] for name in _DAEMONS] and self._is_ours(words)

    def _is_ours(self, words: list[bytes]) -> bool:
        at = words.index(b"--state") + 1 if b"--state" in words else 0
        return words[at : at + 1] == [os.fsencode(self.state)]

    @property
    def doing(self) -> str:
        """Return down, crashed, killed, frozen or runs."""
        if not self.host_pid:
            return "down" if os.path.exists(self._down) else "crashed"
        daemons = self.daemons
        if not daemons:
            return "killed"
        return "frozen" if all(map(proc.is_stopped, daemons)) else "runs"

    @property
    def _down(self) -> str:
        """Return the file that tells a lab which was ended from one whose hosts died."""
        return f"{self.state}/down"

    @property
    def is_cut(self) -> bool:
        """Say whether its line is cut."""
        return bool(self._relay and self.host_pid) and self.order("look") == "cut"

    @property
    def load(self) -> float | None:
        """Return the load that it was told to report; None: the host's own."""
        try:
            with open(f"{self.state}/load", encoding="ascii") as file:
                return float(file.read())
        except (OSError, ValueError):
            return None

    # -- verbs -----------------------------------------------------------------------------

    def boot(self) -> None:
        """Start a host, with a boot id of its own, unless one lives; it starts the supervisor."""
        if self.host_pid:
            return
        self._end(self._left)
        for left in (f"{self.state}/host", self._down):  # nobody is to find it and wait
            with suppress(FileNotFoundError):
                os.unlink(left)
        self._tell()
        words = [sys.executable, "-I", _HOST, "--state", self.state]
        words += ["--manager", self._relay] if self._relay else []
        log = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._booting = os.posix_spawn(
            sys.executable,
            words,
            {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, f"{self.state}/log/host.log", log, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
            setsigmask=(),
            setsigdef=(signal.SIGPIPE, signal.SIGINT),
        )

    def _left(self) -> list[int]:
        """Return what lives on of a boot whose host was killed as no kernel can be."""
        if not os.path.exists(f"{self.state}/supervisor.json"):
            return []  # it is booted for the first time
        tops = [pid for pid in proc.all_pids() if self._is_part(pid)]
        found = {pid for top in tops for pid in (top, *proc.descendants(top))}
        return [pid for pid in sorted(found) if not proc.is_zombie(pid)]

    def _is_part(self, pid: int) -> bool:
        words = proc.arguments(pid)
        at = words.index(b"-m") + 1 if b"-m" in words else len(words)
        return any(w.startswith(b"ostler.") for w in words[at : at + 1]) and self._is_ours(words)

    def await_host(self) -> None:
        """Wait until the host answers; raise `NotNow`."""

        def missing() -> str:
            if self._booting and os.waitpid(self._booting, os.WNOHANG)[0]:
                self._booting = 0
                raise NotNow(f"the host of {self.name} ended", hint=f"see {self.state}/log/*.log")
            try:
                self.order("look")
            except NotNow as error:
                return str(error)
            return ""

        until(f"{self.name} does not boot", missing, _PATIENCE)

    def order(self, word: str) -> str:
        """Tell the host something and return its answer; raise `NotNow`."""
        try:
            sock = dial(f"{self.state}/host", _PATIENCE)
        except OSError:
            word = "is down" if self.doing == "down" else "has crashed"
            why = f"{self.name} {word}: it has no host"
            raise NotNow(why, hint=f"ostler lab start {self.name}") from None
        with sock:
            sock.sendall(word.encode() + b"\n")
            answer = sock.makefile("rb").readline().decode().strip()
        if answer not in ("ok", "open", "cut"):
            raise NotNow(f"{self.name}: {answer or 'its host does not answer'}")
        return answer

    def start(self) -> None:
        """Start the supervisor unless it runs; raise `NotNow` if it is frozen."""
        doing = self.doing
        if doing == "frozen":
            raise NotNow(f"{self.name} is frozen", hint=f"ostler lab thaw {self.name}")
        if doing == "killed":
            self._tell()
            self.order("start")

    def _tell(self) -> None:
        """Write machine.json: an ordinary `ostler down` takes it away."""
        write_json(f"{self.state}/machine.json", self._told)

    def kill(self) -> None:
        """End the daemons, and none of them may start another meanwhile."""
        self._end(lambda: self.daemons)

    def put_down(self) -> None:
        """End all of it, as the lab ends."""
        self.crash()
        with open(self._down, "w", encoding="ascii"):
            pass

    def crash(self) -> None:
        """End all of it: parents first, so that nobody can tell of the end of another."""
        host = self.host_pid
        if not host:
            return
        ended: dict[int, int] = {}  # process id -> start time

        def below() -> list[int]:
            found = self._below()
            ended.update((pid, proc.start_time(pid)) for pid in found)
            return found

        self._end(below)
        with suppress(NotNow, OSError):  # a host that does not answer is ended all the same
            self.order(" ".join(["sweep", *(f"{pid}-{began}" for pid, began in ended.items())]))
        with suppress(ProcessLookupError):
            os.kill(host, signal.SIGKILL)
        until(f"{self.name} lives on", lambda: str(self.host_pid or ""), _PATIENCE)
        with suppress(ChildProcessError):  # it is a child of whoever booted it
            os.waitpid(host, os.WNOHANG)

    def _end(self, living: Callable[[], list[int]]) -> None:
        def missing() -> str:
            found = living()
            for number in (signal.SIGSTOP, signal.SIGKILL):
                for pid in found:
                    with suppress(ProcessLookupError):
                        os.kill(pid, number)
            return ", ".join(map(str, found))

        until(f"{self.name} lives on", missing, _PATIENCE)

    def freeze(self) -> None:
        """Stop the daemons, until thawed."""
        if not self.daemons:
            raise NotNow(
                f"{self.name} is {self.doing}: there is nothing to freeze",
                hint=f"ostler lab start {self.name}",
            )

        def missing() -> str:
            found = [pid for pid in self.daemons if not proc.is_stopped(pid)]
            for pid in found:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)
            return ", ".join(map(str, found))

        until(f"{self.name} does not stop", missing, _PATIENCE)

    def thaw(self) -> None:
        """Let the daemons go on."""
        for pid in self.daemons:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def set_load(self, load: float) -> None:
        """Write the load that its agent is to report."""
        draft = f"{self.state}/load.new"
        with open(draft, "w", encoding="ascii") as file:
            file.write(f"{load}\n")
        os.replace(draft, f"{self.state}/load")
