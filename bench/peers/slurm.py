"""Slurm, as Debian packages it (22.05), with munge: one node on this host, nothing of the system's.

Its batch jobs are started by a loop that turns once a second, so slots beyond the CPUs are what
makes it fast: 32 was the best count found.
"""

import os
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
SlurmdPidFile={folder}/slurmd.pid
SlurmdLogFile={folder}/slurmd.log
SlurmdSpoolDir={folder}/spool
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
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
NodeName=bench1 NodeHostname={host} NodeAddr=127.0.0.1 Port={node_port} CPUs={slots} State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


class Slurm:
    """munged, slurmctld and one slurmd below a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "slurm"
        self._daemons = Daemons(self.folder)
        self.version = ""
        self.env: Mapping[str, str] = os.environ | {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def __enter__(self) -> Self:
        munged, control, node = (program(name) for name in ("munged", "slurmctld", "slurmd"))
        self._daemons.__enter__()
        self._write_config()
        socket_path = f"{self.folder}/munge.socket"
        paths = [f"--{name}={self.folder}/munge.{name}" for name in ("pid-file", "log-file")]
        own = [f"--socket={socket_path}", f"--key-file={self.folder}/key", *paths]
        self._daemons.start(
            [munged, "--foreground", *own, f"--seed-file={self.folder}/munge.seed"], self.env
        )
        self._daemons.wait("munged", lambda: os.path.exists(socket_path))
        self._daemons.start([control, "-D"], self.env)
        self._daemons.start([node, "-D", "-N", "bench1"], self.env)
        self._daemons.wait("an idle node", lambda: "idle" in self._ask("sinfo", "-h", "-o", "%t"))
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

    @property
    def roots(self) -> list[int]:
        """Return its three daemons."""
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
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        port, node_port = free_ports(2)
        text = CONFIG.format(
            folder=self.folder,
            host=socket.gethostname().partition(".")[0],
            user=Path.home().owner(),
            port=port,
            node_port=node_port,
            slots=SLOTS,
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
