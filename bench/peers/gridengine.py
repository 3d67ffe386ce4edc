"""Grid Engine, as Debian packages it (8.1.9): a cell of its own with one queue on this host."""

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.peers.daemons import Daemons
from bench.peers.slurm import free_ports
from bench.processes import Unavailable, program

LIB = Path("/usr/lib/gridengine")
SHARE = Path("/usr/share/gridengine")
SYSTEM = Path("/var/lib/gridengine")
BOOTSTRAP = """\
admin_user              sgeadmin
default_domain          none
ignore_fqdn             true
spooling_method         classic
spooling_lib            libspoolc
spooling_params         {common};{spool}/qmaster
binary_path             {lib}
qmaster_spool_dir       {spool}/qmaster
security_mode           none
listener_threads        2
worker_threads          2
scheduler_threads       1
"""
PE = """\
pe_name smp
slots 9999
user_lists NONE
xuser_lists NONE
start_proc_args NONE
stop_proc_args NONE
allocation_rule $pe_slots
control_slaves FALSE
job_is_first_task TRUE
urgency_slots min
accounting_summary FALSE
qsort_args NONE
"""


class GridEngine:
    """sge_qmaster and sge_execd below a folder."""

    def __init__(self, folder: Path, slots: int = 4) -> None:
        self.folder = folder / "sge"
        self.host = socket.gethostname()
        self._slots = slots
        self._daemons = Daemons(self.folder)
        self._master: subprocess.Popen[str]
        self.ports = ",".join(str(port) for port in free_ports(2))
        master, execd = self.ports.split(",")
        self.env: Mapping[str, str] = os.environ | {
            "SGE_ROOT": str(self.folder),
            "SGE_CELL": "default",
            "SGE_QMASTER_PORT": master,
            "SGE_EXECD_PORT": execd,
            "SGE_ND": "1",  # stay in the foreground
            "LD_LIBRARY_PATH": str(LIB),
        }

    def __enter__(self) -> Self:
        if os.geteuid() != 0:
            raise Unavailable("only root can start its daemons")
        program("qsub")
        for path in (LIB / "sge_qmaster", LIB / "sge_execd", LIB / "spoolinit"):
            if not path.exists():
                raise Unavailable(f"there is no {path}")
        self._daemons.__enter__()
        self._make_cell()
        self.begin_master()
        self._daemons.wait("sge_qmaster", self.answers)
        self._configure()
        self._daemons.start([str(LIB / "sge_execd")], self.env)
        self.wait_for_queue()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.ask("qdel", "-u", "*")
        self._daemons.__exit__(kind, error, trace)

    def begin_master(self) -> None:
        """Start sge_qmaster, which goes on where it was."""
        self._master = self._daemons.start([str(LIB / "sge_qmaster")], self.env)

    def signal_master(self, number: int) -> None:
        """Send sge_qmaster a signal; wait for its end if it is one that ends it."""
        self._master.send_signal(number)
        if number in (signal.SIGKILL, signal.SIGTERM):
            self._master.wait()

    def answers(self) -> bool:
        """Tell whether the master does."""
        return self.ask("qconf", "-sh").strip() != ""

    def wait_for_queue(self) -> None:
        """Wait until the queue takes jobs."""
        self._daemons.wait("its queue", self._is_up)

    def _is_up(self) -> bool:
        lines = [line.split() for line in self.ask("qstat", "-f", "-q", "all.q").splitlines()]
        return any(line[0].startswith("all.q@") and len(line) == 5 for line in lines if line)

    def ask(self, name: str, *words: str) -> str:
        """Run one of its commands; return what it writes, whatever its exit status."""
        path = LIB / name
        try:
            done = subprocess.run(
                [str(path) if path.exists() else program(name), *words],
                env=self.env,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=30,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return ""
        return done.stdout

    def _make_cell(self) -> None:
        common, spool = self.folder / "default" / "common", self.folder / "spool"
        for path in (common, spool / "qmaster" / "job_scripts", spool / "execd"):
            path.mkdir(parents=True)
        for name in ("bin", "lib", "util", "utilbin"):  # they look for each other there
            (self.folder / name).symlink_to(SYSTEM / name)
        where = {"common": common, "spool": spool, "lib": LIB}
        (common / "bootstrap").write_text(BOOTSTRAP.format(**where))
        (common / "act_qmaster").write_text(f"{self.host}\n")
        (common / "host_aliases").write_text(f"{self.host} localhost\n")
        conf = changed(
            (SHARE / "default-configuration").read_text(),
            execd_spool_dir=str(spool / "execd"),
            min_uid="0",
            min_gid="0",
            mailer="/bin/true",
            reporting_params="accounting=true reporting=false flush_time=00:00:01 "
            "joblog=false sharelog=00:00:00",
        )
        (self.folder / "global.conf").write_text(conf)
        self._own()
        params = ["classic", "libspoolc", f"{common};{spool}/qmaster", "init"]
        self.ask("spoolinit", *params)
        resources = SHARE / "util" / "resources"
        self.ask("spooldefaults", "configuration", str(self.folder / "global.conf"))
        self.ask("spooldefaults", "complexes", str(resources / "centry"))
        self.ask("spooldefaults", "usersets", str(resources / "usersets"))
        self.ask("spooldefaults", "managers", "root", "sgeadmin")
        self.ask("spooldefaults", "adminhosts", self.host)
        self._own()

    def _own(self) -> None:
        for name in ("default", "spool"):
            for path in [self.folder / name, *(self.folder / name).rglob("*")]:
                shutil.chown(path, "sgeadmin")

    def _configure(self) -> None:
        self.ask("qconf", "-as", self.host)
        soon = {"schedule_interval": "0:0:1", "flush_submit_sec": "1", "flush_finish_sec": "1"}
        self._given("-Msconf", changed(self.ask("qconf", "-ssconf"), **soon))
        self._given("-Ahgrp", f"group_name @allhosts\nhostlist {self.host}\n")
        self._given("-Ap", PE)
        queue = changed(
            self.ask("qconf", "-sq"),
            qname="all.q",
            hostlist="@allhosts",
            slots=str(self._slots),
            load_thresholds="NONE",
            pe_list="smp",
            shell_start_mode="unix_behavior",
        )
        self._given("-Aq", queue)

    def _given(self, option: str, text: str) -> None:
        path = self.folder / "given"
        path.write_text(text)
        self.ask("qconf", option, str(path))


def changed(text: str, **settings: str) -> str:
    """Return a configuration of its with other values; one value may go over several lines."""
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        name = line.split(maxsplit=1)[0] if line.strip() else ""
        found.append(f"{name} {settings[name]}" if name in settings else line)
    return "\n".join(found) + "\n"
