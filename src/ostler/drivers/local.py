"""The smallest complete driver, over the smallest resource manager (`ostler.drivers.spool`).

docs/tutorials/new-resource-manager.md explains it line by line.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from msgspec import json
from msgspec.structs import replace

from ostler.drivers import spool
from ostler.drivers.contract import Trouble
from ostler.model import foreign as rm


class Local:
    """Four verbs, which hold nothing that a new object could not find out anew."""

    about = rm.About(
        name="local",
        title="Processes of the manager's own user, on its own host",
        options=frozenset({rm.Option.SUBMIT}),
        settings={
            "folder": "Where the jobs' folders are; it must be there.",
            "cpus": "How many this host offers; all.",
        },
        job_states={
            "queued": rm.ForeignState.STARTING,
            "running": rm.ForeignState.RUNNING,
            "dying": rm.ForeignState.ENDING,
            "exited": "failed",  # "success" with status 0
            "killed": "cancelled",
            "gone": "lost",
        },
        limits=(
            "A command is started once, whatever its tasks; CPUs and memory are not bounded.",
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
        """There is one, and it is up."""
        used = sum(job.shares[0].cpus for job in self.list_jobs().jobs)
        return rm.Nodes((rm.ForeignNode("local", rm.NodeState.UP, self._cpus, used_cpus=used),))

    def list_jobs(self) -> rm.Jobs:
        """Look at each."""
        facts = [self._translated(spool.look(path)) for path in self._folders()]
        unfinished = tuple(fact for fact in facts if isinstance(fact, rm.ForeignJob))
        return rm.Jobs(unfinished, tuple(fact for fact in facts if isinstance(fact, rm.End)))

    def start(self, order: rm.Start) -> rm.Outcome:
        """Write down what is asked, then begin it. What is written down already is begun again."""
        folder, note = self._folder / order.token, json.encode(replace(order, env=b"", script=b""))
        if not (folder / "job").exists():
            if refusal := self._refusal(order):
                return refusal
            spool.submit(folder, note, order.script)
        elif (folder / "job").read_bytes() != note:
            return rm.Outcome(rm.Did.NEVER, text=f"job {folder.name} is something else")
        script = (bytes(folder / "script"),) if order.script else ()
        files = (order.cwd, order.input, order.output, order.error or order.output)
        env = dict(pair.split(b"=", 1) for pair in order.env.split(b"\0") if pair)
        spool.begin(folder, (*script, *order.argv), files, env, order.umask)
        return rm.Outcome(rm.Did.ACCEPTED, folder.name)

    def cancel(self, job: str, token: str) -> rm.Outcome:
        """Kill it. Here, a job's token is its id."""
        folder = self._folder / (job or token)
        if folder not in self._folders():
            return rm.Outcome(rm.Did.NEVER, text=f"there is no job {folder.name}")
        if spool.look(folder).state in {"exited", "killed", "gone"}:
            return rm.Outcome(rm.Did.ALREADY, folder.name)
        spool.kill(folder)
        return rm.Outcome(rm.Did.DONE, folder.name)

    def _folders(self) -> list[Path]:
        try:
            return [path for path in self._folder.iterdir() if (path / "job").exists()]
        except OSError as error:  # one that cannot be read is not an empty one
            raise Trouble(f"cannot read {self._folder}: {error}") from error

    def _refusal(self, order: rm.Start) -> rm.Outcome | None:
        if order.id or order.uid != os.geteuid() or [s.node for s in order.shares] != ["local"]:
            return rm.Outcome(rm.Did.NEVER, text=f"new jobs of uid {os.geteuid()}, on local only")
        node = self.list_nodes().nodes[0]
        free = node.cpus - (node.used_cpus or 0)
        if order.shares[0].cpus > free:
            return rm.Outcome(rm.Did.REFUSED, text=f"{free} of {node.cpus} CPUs are free")
        return None

    def _translated(self, job: spool.Record) -> rm.ForeignJob | rm.End:
        order = json.decode(job.note, type=rm.Start)
        token, state = order.token, self.about.job_states.get(job.state, rm.ForeignState.UNKNOWN)
        if isinstance(state, rm.ForeignState):
            fact = rm.ForeignJob(job.name, state, order.user, token=token, shares=order.shares)
            return replace(fact, name=order.name, native_state=job.state)
        result = "success" if job.status == 0 else state
        proof = f"its folder: {job.state}"
        return rm.End(job.name, result, proof, "", token, order.user, job.status)
