"""The smallest complete driver: a resource manager that is a folder, and processes of this host.

Each job has a folder in it, named by its token. `job` says what was asked for; `pid`, what the
kernel said of its process; `exit`, how its command ended; `cancel`, that somebody wants its end.
As all that is known stands in files, whoever runs this may be killed at any moment.
"""

import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from msgspec import json
from msgspec.structs import replace

from ostler.drivers.contract import Trouble
from ostler.model import foreign as rm

# Runs in a session of its own. Who links `pid` is the job, so to begin this twice does no harm.
WRAPPER = b"""
read -r stat </proc/$$/stat && echo "$stat" >.$$ && /bin/ln .$$ pid 2>/dev/null || exit
trap "echo \\$? >'$PWD/exit'" EXIT
cd "$1" && exec <"$2" >>"$3" 2>>"$4" && shift 4 && "$@"
"""


class Local:
    """Four verbs over a folder."""

    about = rm.About(
        name="local",
        title="Processes of the manager's own user, on its own host",
        options=frozenset({rm.Option.SUBMIT}),
        settings={
            "folder": "Where the jobs' folders are; it must be there.",
            "cpus": "How many this host offers; all.",
        },
        limits=(
            "A command is started once, whatever its tasks. CPUs and memory are not bounded.",
            "A process that leaves its session outlives a cancel.",
            "Folders of jobs that have ended stay until somebody removes them.",
        ),
    )

    def __init__(self, settings: Mapping[str, str]) -> None:
        if not settings.get("folder", "").startswith("/"):
            raise ValueError("local needs folder=/an/absolute/path")
        self._folder = Path(settings["folder"])
        self._cpus = int(settings.get("cpus") or os.cpu_count() or 1)

    def list_nodes(self) -> rm.Nodes:
        used = sum(job.shares[0].cpus for job in self.list_jobs().jobs)
        return rm.Nodes((rm.ForeignNode("local", rm.NodeState.UP, self._cpus, used_cpus=used),))

    def list_jobs(self) -> rm.Jobs:
        try:
            facts = [fact(path) for path in self._folder.iterdir() if (path / "job").exists()]
        except OSError as error:  # a folder that cannot be read is not an empty one
            raise Trouble(f"cannot read {self._folder}: {error}") from error
        jobs = tuple(each for each in facts if isinstance(each, rm.ForeignJob))
        return rm.Jobs(jobs, tuple(each for each in facts if isinstance(each, rm.End)))

    def start(self, order: rm.Start) -> rm.Outcome:
        folder, asked = self._folder / order.token, json.encode(replace(order, env=b""))
        if not (folder / "job").exists():
            if order.id or order.uid != os.geteuid() or [s.node for s in order.shares] != ["local"]:
                return rm.Outcome(rm.Did.NEVER, text=f"new jobs of uid {os.geteuid()}, on local")
            if (free := self._cpus - (self.list_nodes().nodes[0].used_cpus or 0)) < order.shares[
                0
            ].cpus:
                return rm.Outcome(rm.Did.REFUSED, text=f"{free} of {self._cpus} CPUs are free")
            folder.mkdir(mode=0o700, exist_ok=True)
            (folder / "script").write_bytes(order.script)
            (folder / "script").chmod(0o700)
            (folder / ".job").write_bytes(asked)
            (folder / ".job").rename(folder / "job")  # from here on there is a job
        if (folder / "job").read_bytes() != asked:
            return rm.Outcome(rm.Did.NEVER, text=f"job {folder.name} was something else")
        begin(folder, order)
        return rm.Outcome(rm.Did.ACCEPTED, folder.name)

    def cancel(self, job: str, token: str) -> rm.Outcome:
        folder = self._folder / (job or token)
        if not (folder / "job").exists():
            return rm.Outcome(rm.Did.NEVER, text=f"there is no job {folder.name}")
        if isinstance(fact(folder), rm.End):
            return rm.Outcome(rm.Did.ALREADY, folder.name)
        (folder / "cancel").touch()
        try:
            (folder / "pid").touch(exist_ok=False)  # what has not begun never will
        except FileExistsError:
            with suppress(ProcessLookupError):
                os.killpg(int((folder / "pid").read_text().split()[0]), signal.SIGKILL)
        return rm.Outcome(rm.Did.DONE, folder.name)


def begin(folder: Path, order: rm.Start) -> None:
    """Start the wrapper, which goes on without us. What cannot be had shows in its exit status."""
    files = [order.cwd, order.input, order.output, order.error or order.output]
    script = [bytes(folder / "script")] if order.script else []
    words = [b"/usr/bin/setsid", b"--fork", b"/bin/sh", b"-c", WRAPPER, b"sh", *files, *script]
    env = dict(pair.split(b"=", 1) for pair in order.env.split(b"\0") if pair)
    subprocess.run([*words, *order.argv], cwd=folder, env=env, umask=order.umask, check=True)


def fact(folder: Path) -> rm.ForeignJob | rm.End:
    """Say how far a job has come, or prove its end."""
    order = json.decode((folder / "job").read_bytes(), type=rm.Start)
    token, user, cancelled = order.token, order.user, (folder / "cancel").exists()
    began = (folder / "pid").read_text() if (folder / "pid").exists() else None
    if began is None or alive(began.split()):
        state = rm.ForeignState.STARTING if began is None else rm.ForeignState.RUNNING
        state = rm.ForeignState.ENDING if cancelled else state
        return rm.ForeignJob(token, state, user, "", token, order.name, shares=order.shares)
    if (folder / "exit").exists():
        status = int((folder / "exit").read_text())
        result, proof = "failed" if status else "success", f"it exited with {status}"
        return rm.End(token, result, proof, "", token, user, status)
    proof = "its process is gone, and left no exit status"
    return rm.End(token, "cancelled" if cancelled else "lost", proof, "", token, user)


def alive(began: list[str]) -> bool:
    """Tell whether the process of this line of /proc/PID/stat is still that one."""
    try:
        now = Path("/proc", began[0], "stat").read_text().split()
    except (OSError, IndexError):  # an empty file: a cancel came first
        return False
    return now[2] != "Z" and now[21] == began[21]
