"""Pools of nodes that are jobs in other resource managers: submitted, watched, and given back.

Nothing here is durable: what there is stands in the machine as jobs and nodes, and is found again
by their names. Whatever is to be done is asked of the core like a client would.
"""

import asyncio
import logging
import os
import pwd
import secrets
import sys
import time
from collections import deque
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from ostler.core import pool
from ostler.core.events import Acted, NodesWorded, Submitted
from ostler.core.pool import Pilot, rm_of
from ostler.core.state import State
from ostler.manager.inner import Inner
from ostler.model.caller import Caller
from ostler.model.errors import OstlerError
from ostler.model.ids import Ref
from ostler.model.job import JobSpec
from ostler.model.resources import Request
from ostler.model.site import Pool
from ostler.model.states import JobState, NodeWord
from ostler.model.units import format_duration

log = logging.getLogger("ostler.manager")

LOOK = 0.25  # seconds between looks, while there is a pool,
NONE = 1.0  # and while there is none;
REST = 20.0  # or so many times as long as one took: it may be at all that waits
_SEEN = 8  # looks that are remembered
_KEPT = ("PATH", "HOME", "LANG")  # of our environment


class Pools:
    """All pools of the machine."""

    def __init__(self, state: Callable[[], State], inner: Inner, folder: str) -> None:
        """Begin. folder: of the machine's state."""
        self._state, self._inner, self._folder = state, inner, folder
        uid = os.geteuid()
        self._caller = Caller(uid, os.getegid(), pwd.getpwuid(uid).pw_name, owner=True)
        self._jobs: dict[str, int] = {}  # node -> the job that is to bring it
        self._came: set[int] = set()  # jobs whose nodes have come
        self._idle: dict[str, float] = {}  # node -> since when it has had nothing to do
        self._failures: dict[str, int] = {}  # pool -> nodes in a row that never came
        self._later: dict[str, float] = {}  # pool -> when nodes may be asked for again
        self._last: dict[str, str] = {}  # pool -> what became of the last job without a node
        self._asked: dict[int, float] = {}  # job -> when it was asked for
        self._failed_at: dict[str, float] = {}  # pool -> when that was
        self._known: dict[str, Pool] = {}  # pool -> its row at the last look
        self._wanted: dict[str, deque[tuple[float, int]]] = {}  # pool -> CPUs, at the last looks
        self._found = False  # whether it was looked what an earlier manager had begun
        self._why: dict[str, str] = {}  # pool -> why it could do nothing, last time
        self._clock = time.time

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        spent = 0.0
        while True:
            rows = self._state().site.pools
            await asyncio.sleep(max(LOOK if rows or self._jobs else NONE, REST * spent))
            began = time.monotonic()
            rows = self._state().site.pools
            for name in [*rows, *({rm_of(node) for node in self._jobs} - rows.keys())]:
                try:
                    await self.look(name)
                    self._why.pop(name, None)
                except OstlerError as error:
                    why = f"no node can be asked for: {error.message}"
                    if self._why.get(name) != why:
                        log.warning("pool", extra={"pool": name, "why": str(error)})
                    self._why[name] = why
            spent = time.monotonic() - began

    def rows(self) -> list[dict[str, Any]]:
        """Return what is to be told of each pool."""
        s = self._state()
        found = []
        for row in s.site.pools.values():
            now = self._clock()
            pilots, wants = self._pilots(s, row, now), pool.demand(s, now, row)
            pilots = [pilot for pilot in pilots if not pilot.goes]
            nodes = sum(pilot.came for pilot in pilots)
            found.append(
                {
                    **{name: getattr(row, name) for name in row.__struct_fields__},
                    "options": list(row.options),
                    "nodes": nodes,
                    "idle_nodes": sum(pilot.idle_since is not None for pilot in pilots),
                    "asked": len(pilots) - nodes,
                    "wanted_cpus": wants.cpus,
                    "failures": self._failures.get(row.name, 0),
                    "why": self._why.get(row.name)
                    or self._pause(row.name, now)
                    or _waits(s, pilots)
                    or wants.why,
                }
            )
        return found

    async def look(self, name: str) -> None:
        """Do what a pool needs now; raise a refusal of the core. One that is removed lets go."""
        s, now = self._state(), self._clock()
        if not self._found:
            self._found = True
            self._find(s)
        await self._let_go(s, name, now)
        row = s.site.pools.get(name)
        if row is None:
            self._wanted.pop(name, None)
            self._known.pop(name, None)
            return
        if self._known.get(name) not in (None, row):
            await self._changed(s, row)
        self._known[name] = row
        pilots = self._pilots(s, row, now)
        failures = self._failures.get(row.name, 0)
        seen = self._wanted.setdefault(name, deque(maxlen=_SEEN))
        seen.append((now, pool.demand(s, now, row).cpus))
        todo = pool.step(row, now, pool.steady(seen, now), pilots, failures)
        if now >= self._later.get(row.name, 0.0):
            for slot in todo.start:
                await self._start(row, slot)
        for pilot in todo.stop:
            await self._stop(row, pilot, f"nothing to do for {row.idle} s")

    def _pause(self, name: str, now: float) -> str:
        """Return why no node is asked for, if those before have never come."""
        wait = self._later.get(name, 0.0) - now
        if wait <= 0:
            return ""
        return f"{self._last[name]}; the next one is asked for in {format_duration(wait)}"

    async def _changed(self, s: State, row: Pool) -> None:
        """Begin anew with a pool that is another: what waits and would bring other nodes goes."""
        for what in (self._failures, self._later):
            what.pop(row.name, None)
        for name, number in list(self._jobs.items()):
            entry = s.jobs.get(number)
            if rm_of(name) != row.name or entry is None or entry.slots:
                continue
            spec = entry.job.spec
            has = spec.request.cpus, spec.request.memory, spec.time_limit, spec.rm_options
            if has == (row.cpus, row.memory, row.time, row.options):
                continue
            del self._jobs[name]
            await self._end(number, f"pool {row.name} asks for other nodes now")

    def _find(self, s: State) -> None:
        """Find the jobs of an earlier manager."""
        for number, entry in s.jobs.items():
            name = entry.job.spec.name
            rm, slot = rm_of(name), name.rpartition("-")[2]
            ours = entry.job.spec.rm == rm and entry.job.uid == self._caller.uid
            if rm and ours and slot.isdecimal():
                self._jobs[name] = number
                self._asked[number] = entry.job.submitted_at
                if name in s.nodes and entry.job.state is JobState.RUNNING:
                    self._came.add(number)

    def _pilots(self, s: State, row: Pool, now: float) -> list[Pilot]:
        found = []
        for name, number in self._jobs.items():
            if rm_of(name) != row.name or number not in s.jobs:
                continue
            entry = s.nodes.get(name)
            came = entry is not None and entry.connected and not entry.node.gone
            idle = None
            if came and entry is not None and not entry.allocations:
                idle = self._idle.setdefault(name, now)
                self._came.add(number)
            else:
                self._idle.pop(name, None)
            if came:
                self._came.add(number)
                self._failures.pop(row.name, None)
            goes = s.jobs[number].job.state is JobState.FINISHING
            found.append(Pilot(int(name.rpartition("-")[2]), number, came, idle, goes))
        return found

    async def _let_go(self, s: State, rm: str, now: float) -> None:
        """Let nodes go whose jobs have ended: their processes have ended, too."""
        for name, number in list(self._jobs.items()):
            if rm_of(name) != rm or number in s.jobs:
                continue
            entry = s.nodes.get(name)
            if entry is not None and not entry.node.gone:
                if entry.connected:
                    continue  # its agent is about to hear of it
                await self._say("separate", name, f"its job {number} in {rm} has ended")
            del self._jobs[name]
            self._idle.pop(name, None)
            asked = self._asked.pop(number, now)
            if number in self._came:
                self._came.discard(number)
            else:
                self._never_came(s, rm, name, number, now=now, asked=asked)

    def _never_came(
        self, s: State, rm: str, name: str, number: int, *, now: float, asked: float
    ) -> None:
        """Note that a job has ended that brought no node; of those asked for at once one counts."""
        ended, path = s.recent.get(number), os.path.join(self._folder, "log", f"{name}.log")
        why = f": {ended.job.reason}" if ended is not None else ""
        why += f" (see {path})" if os.path.exists(path) else ""
        self._last[rm] = f"job {number} has brought no node{why}"
        log.warning("a node of a pool never came", extra={"pool": rm, "job": number})
        if asked > self._failed_at.get(rm, 0.0):
            self._failed_at[rm] = now
            failures = self._failures[rm] = self._failures.get(rm, 0) + 1
            self._later[rm] = now + pool.pause(failures)

    async def _start(self, row: Pool, slot: int) -> None:
        name = pool.node_name(row.name, slot)
        known = self._state().nodes.get(name)
        if known is not None and known.node.word is not NodeWord.IN:
            await self._say("undrain", name)
        env = b"".join(
            f"{key}={os.environ[key]}".encode() + b"\0" for key in _KEPT if key in os.environ
        )
        digest = sha256(env).hexdigest()
        seconds = row.time - pool.margin(row)
        words = [sys.executable, "-I", "-m", "ostler.agent.pilot", "--machine", self._folder]
        words += ["--node", name, "--cpus", str(row.cpus), "--memory", str(row.memory)]
        words += ["--seconds", f"{seconds:g}"]
        spec = JobSpec(
            argv=tuple(map(os.fsencode, words)),
            env=digest,
            cwd=os.fsencode(self._folder),
            umask=0o077,
            name=name,
            request=Request(cpus=row.cpus, memory=row.memory),
            time_limit=row.time,
            output=os.fsencode(os.path.join(self._folder, "log", f"{name}.log")),
            rm=row.name,
            rm_options=row.options,
        )
        asked = secrets.token_hex(16)
        body = await self._inner.ask(
            lambda to: Submitted(to, self._caller, asked, spec, {digest: env})
        )
        self._jobs[name] = number = int(body["job"])
        self._asked[number] = self._clock()

    async def _stop(self, row: Pool, pilot: Pilot, why: str) -> None:
        """Give a node back, unless something has begun there."""
        name = pool.node_name(row.name, pilot.slot)
        await self._say("drain", name, f"pool: {why}")
        entry = self._state().nodes[name]
        if entry.allocations:
            await self._say("undrain", name)
            return
        await self._end(pilot.job, f"{name} had {why}")

    async def _end(self, job: int, why: str) -> None:
        reference = (Ref(job),)
        await self._inner.ask(lambda to: Acted(to, self._caller, "cancel", reference, reason=why))

    async def _say(self, verb: str, node: str, why: str = "") -> None:
        await self._inner.ask(lambda to: NodesWorded(to, self._caller, verb, (node,), why))


def _waits(s: State, pilots: list[Pilot]) -> str:
    """Return why a job waits that is to bring a node; empty: none does."""
    for pilot in pilots:
        job = s.jobs[pilot.job].job
        if job.state is JobState.PENDING:
            why = job.reason or f"for {job.rule}, see `ostler explain {job.name}`"
            return f"job {job.id}, which is to bring a node, waits: {why}"
    return ""
