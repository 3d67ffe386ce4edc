"""Slurm, as Debian packages it (22.05), with munge: one node on this host, nothing of the system's.

Its batch jobs are started by a loop that turns once a second, so slots beyond the CPUs are what
makes it fast: 32 was the best count found.
"""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.peers.daemons import Daemons
from bench.processes import Timed, Unavailable, program, timed

SLOTS = 32
PORTS = range(26_800, 27_800)  # below those that the kernel gives away
POLL = 0.05  # seconds between looks at a job

# config_overrides: more CPUs than the host has. proctrack and task need no cgroups like this.
CONFIG = """\
ClusterName=bench
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmdLogFile={folder}/slurmd-%n.log
SlurmdSpoolDir={folder}/spool-%n
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/completions
MpiDefault=none
SwitchType=switch/none
MailProg=/bin/true
ReturnToService=2
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=5,bf_continue,batch_sched_delay=0,sched_min_interval=10000
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MaxArraySize=20001
MaxJobCount=50000
MinJobAge=300
KillWait=5
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


NODE = (
    "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={slots} State=UNKNOWN"
)


class Slurm:
    """munged, slurmctld and slurmds below a folder: of nodes bench1, bench2 and so on."""

    def __init__(self, folder: Path, nodes: int = 1, slots: int = SLOTS) -> None:
        self.folder = folder / "slurm"
        self.nodes = [f"bench{number}" for number in range(1, nodes + 1)]
        self._slots = slots
        self._control: subprocess.Popen[str]
        self._daemons = Daemons(self.folder)
        self.version = ""
        self.env: Mapping[str, str] = os.environ | {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def __enter__(self) -> Self:
        munged, node = (program(name) for name in ("munged", "slurmd"))
        self._daemons.__enter__()
        self._write_config()
        socket_path = f"{self.folder}/munge.socket"
        paths = [f"--{name}={self.folder}/munge.{name}" for name in ("pid-file", "log-file")]
        own = [f"--socket={socket_path}", f"--key-file={self.folder}/key", *paths]
        self._daemons.start(
            [munged, "--foreground", *own, f"--seed-file={self.folder}/munge.seed"], self.env
        )
        self._daemons.wait("munged", lambda: os.path.exists(socket_path))
        self.begin_controller()
        for name in self.nodes:
            self._daemons.start([node, "-D", "-N", name], self.env)
        self.wait_for_nodes()
        self.version = self._ask("sinfo", "--version").split()[-1]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ask("scancel", "--partition=main")
        self._daemons.__exit__(kind, error, trace)

    def begin_controller(self) -> None:
        """Start slurmctld, which goes on where it was."""
        self._control = self._daemons.start([program("slurmctld"), "-D"], self.env)

    def signal_controller(self, number: int) -> None:
        """Send slurmctld a signal; wait for its end if it is one that ends it."""
        self._control.send_signal(number)
        if number in (signal.SIGKILL, signal.SIGTERM):
            self._control.wait()

    def wait_for_nodes(self) -> None:
        """Wait until the controller answers, and has heard of its nodes."""
        self._daemons.wait("its nodes", self._has_nodes)

    def wait_for_saved(self, job: str) -> None:
        """Wait until the controller has written down a job: what it has not, it forgets if killed."""
        now = time.time()
        self._ask("scontrol", "update", f"JobId={job}", "Nice=1")
        state = self.folder / "state" / "job_state"
        self._daemons.wait("its state", lambda: state.stat().st_mtime > now)

    def _has_nodes(self) -> bool:
        words = self._ask("sinfo", "-h", "-N", "-o", "%t").split()
        return len(words) == len(self.nodes) and {"idle", "mix", "alloc"}.issuperset(words)

    @property
    def roots(self) -> list[int]:
        """Return its daemons."""
        return self._daemons.pids

    def run(self, count: int) -> float:
        """Run /bin/true so often, as one array; return seconds from submission to end."""
        began = time.perf_counter()
        self.wait(self.submit("--array", f"1-{count}", "--wrap", "/bin/true"))
        return time.perf_counter() - began

    def submit(self, *words: str) -> str:
        """Submit a job, its output discarded, and return its id."""
        job = self._ask("sbatch", "--parsable", "-o", "/dev/null", *words).strip()
        if not job:
            raise Unavailable("sbatch gave no job id")
        return job

    def wait(self, job: str) -> None:
        """Wait until nothing of a job is left."""
        while self._ask("squeue", "-h", "-j", job, "-t", "PD,CF,R,CG", "-o", "%i").strip():
            time.sleep(POLL)

    def timed(self, *words: str) -> Timed:
        """Run one of its commands and return what it took; raise `Unavailable` if it fails."""
        try:
            return timed([program(words[0]), *words[1:]], env=self.env)
        except subprocess.CalledProcessError as error:
            raise Unavailable(f"{words[0]} ended with {error.returncode}") from None

    def _ask(self, name: str, *words: str) -> str:
        done = subprocess.run(
            [program(name), *words],
            env=self.env,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return done.stdout

    def _write_config(self) -> None:
        for name in ("state", *(f"spool-{node}" for node in self.nodes)):
            (self.folder / name).mkdir()
        port, *node_ports = free_ports(1 + len(self.nodes))
        host = socket.gethostname().partition(".")[0]
        lines = [
            NODE.format(name=name, host=host, port=its, slots=self._slots)
            for name, its in zip(self.nodes, node_ports, strict=True)
        ]
        text = CONFIG.format(
            folder=self.folder,
            host=host,
            user=Path.home().owner(),
            port=port,
            nodes="\n".join(lines),
        )
        (self.folder / "slurm.conf").write_text(text, encoding="utf-8")
        (self.folder / "cgroup.conf").write_text("CgroupAutomount=no\n", encoding="utf-8")
        key = self.folder / "key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)  # munged takes no other


def free_ports(count: int) -> list[int]:
    """Return ports of this host that nobody listens on."""
    found: list[int] = []
    for port in PORTS:
        with socket.socket() as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                tried.bind(("", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            break
    return found
