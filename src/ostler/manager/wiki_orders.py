"""What a WIKI scheduler asks for, as reads and events of the core."""

import asyncio
import os
from collections import Counter
from collections.abc import Callable

from ostler.core.charge import check_charge
from ostler.core.entry import Entry
from ostler.core.events import Acted, Planned
from ostler.core.foreign.intake import check_whole
from ostler.core.planning import check_start
from ostler.core.state import State
from ostler.manager.inner import Inner
from ostler.manager.turns import Turns
from ostler.manager.wiki_halts import due, going_on, halting
from ostler.manager.wiki_say import SCHEDULER, active_jobs, ref_of
from ostler.manager.wiki_view import View
from ostler.model.caller import Caller
from ostler.model.errors import OstlerError, Refused
from ostler.model.ids import Ref
from ostler.model.resources import Placement, Request
from ostler.model.states import Rule
from ostler.schedule.room import Room, mask_of
from ostler.schedule.snapshot import Line, Plan, Start, Wait
from ostler.wire.wiki import INTERNAL, NO_JOB, NOT_STARTED
from ostler.wire.wiki_records import Job, format_job, format_node
from ostler.wire.wiki_words import (
    CancelJob,
    GetJobs,
    GetNodes,
    Reply,
    ResumeJob,
    StartJob,
    SuspendJob,
    format_reply,
)
from ostler.wire.wiki_words import (
    Request as Asked,
)

WAITING = ("Idle", "Hold")
MOST = 2_000_000  # bytes of records: Maui takes 2 MiB, or nothing


class Orders:
    """Answers requests, one at a time or several, from the core as it is."""

    def __init__(self, turns: Turns, inner: Inner, view: View, clock: Callable[[], float]) -> None:
        self._turns, self._inner, self._view, self._clock = turns, inner, view, clock
        self._waits: dict[int, Wait] = {}  # why jobs wait that WIKI cannot carry,
        self._offered: set[int] = set()  # jobs that it could have started
        self._told: object = None  # and the machine that knows it
        who = (os.geteuid(), os.getegid(), SCHEDULER)
        self._caller = Caller(*who, owner=True)  # it was proven by the key

    async def answer(self, asked: Asked) -> str:
        """Return the text of the answer; whatever it tells of is durable."""
        try:
            match asked:
                case GetNodes():
                    return await self._nodes(asked.names)
                case GetJobs():
                    return await self._jobs(asked.names)
                case StartJob():
                    return format_reply(await self._start(asked))
                case CancelJob():
                    return format_reply(await self._cancel(asked))
                case SuspendJob() | ResumeJob():
                    return format_reply(await self._halt(asked))
        except OstlerError as error:
            return format_reply(Reply(INTERNAL, error.message))

    @property
    def _state(self) -> State:
        return self._turns.machine.state

    async def _nodes(self, names: tuple[str, ...]) -> str:
        await self._turns.barrier()
        told = self._view.nodes(self._state, self._clock())
        wanted = set(names)
        chosen = [node for node in told if not names or node.name in wanted]
        return await asyncio.to_thread(
            lambda: format_reply(Reply(0, "", tuple(map(format_node, chosen))))
        )

    async def _jobs(self, names: tuple[str, ...]) -> str:
        await self._turns.barrier()
        told = self._view.jobs(self._state, self._clock())
        wanted = set(names)
        chosen = [job for job in told if not names or job.id in wanted]
        if names and not chosen:
            return format_reply(Reply(NO_JOB, f"there is no job {names[0]} here"))
        self._tell_waits(told)
        return await asyncio.to_thread(_format_jobs, chosen)

    def _tell_waits(self, told: list[Job]) -> None:
        """Let people know why jobs wait that it cannot start, or has not started at once."""
        s = self._state
        why = {n: f"WIKI has no words for {what}" for n, what in self._view.left_out(s).items()}
        late = {int(job.id) for job in told if job.state == "Idle" and job.id.isdigit()}
        for number in late & s.immediate & self._offered:
            why[number] = "it has not started it when it was told of it"
        self._offered = late
        waits = {n: Wait(Rule.SCHEDULER, {"why": text}) for n, text in why.items()}
        machine = self._turns.machine
        if waits != self._waits or (waits and self._told is not machine):
            self._waits, self._told = waits, machine
            self._turns.put(Planned(Plan([], waits), SCHEDULER))

    async def _start(self, asked: StartJob) -> Reply:
        s, now = self._state, self._clock()
        if s.stopping:
            return Reply(NOT_STARTED, "the machine is being stopped")
        ref = self._known(asked.job)
        if ref is None:
            return Reply(NO_JOB, f"there is no job {asked.job} here")
        entry = s.jobs.get(ref.job)
        runs = {job.id: job.task_list for job in active_jobs(s, now, entry)} if entry else {}
        if asked.job in runs or not _waits(entry, ref):
            where = runs.get(asked.job) or self._view.task_list(asked.job)
            if Counter(where) == Counter(asked.tasks):
                await self._turns.barrier()
                return Reply(0, f"job {asked.job} has been started there already")
            return Reply(NO_JOB, f"job {asked.job} does not wait: it runs elsewhere or has ended")
        try:
            line = self._line(s, now, asked, ref)
        except Refused as error:
            return Reply(NOT_STARTED, error.message)
        self._propose([line])
        self._view.started(self._state, now, ref)
        await self._turns.barrier()
        return Reply(0, f"job {asked.job} is started")

    def _line(self, s: State, now: float, asked: StartJob, ref: Ref) -> Start:
        """Return the line of a plan, which the core accepts at this moment; raise `Refused`."""
        entry = s.jobs[ref.job]
        request = entry.job.spec.request
        places: list[Placement] = []
        rank = 0
        for name, tasks in Counter(asked.tasks).items():
            places.append(_place(s, request, name, tasks, rank))
            rank += tasks
        line = Start(ref.job, tuple(places), ref.elements[0][0] if ref.elements else None)
        check_charge(s, line, SCHEDULER)
        check_whole(s, line)
        check_start(s, now, entry, line)
        return line

    async def _cancel(self, asked: CancelJob) -> Reply:
        ref = self._known(asked.job)
        if ref is None:
            return Reply(NO_JOB, f"there is no job {asked.job} here")
        why = "its time is over, says the WIKI scheduler" if asked.overdue else ""
        body = await self._inner.ask(
            lambda to: Acted(to, self._caller, "cancel", (ref,), reason=why)
        )
        (row,) = body["jobs"]
        return Reply(0 if row["ok"] else NO_JOB, f"job {asked.job}: {row['message']}")

    async def _halt(self, asked: SuspendJob | ResumeJob) -> Reply:
        ref = self._known(asked.job)
        if ref is None:
            return Reply(NO_JOB, f"there is no job {asked.job} here")
        stops = isinstance(asked, SuspendJob)
        try:
            lines = halting(self._state, ref) if stops else going_on(self._state, ref)
            for line in lines:
                check_whole(self._state, line)
        except Refused as error:
            return Reply(NO_JOB, error.message)
        self._propose(lines)
        await self._turns.barrier()
        return Reply(0, f"job {asked.job} {'stands still' if stops else 'goes on'}")

    def resume(self) -> None:
        """Let go on what people have resumed."""
        self._propose(due(self._state))

    def _propose(self, lines: list[Line]) -> None:
        if lines:
            self._turns.put(Planned(Plan(lines, self._waits), SCHEDULER))

    def _known(self, name: str) -> Ref | None:
        ref = ref_of(name)
        return ref if ref is not None and self._view.has(self._state, ref) else None


def _format_jobs(jobs: list[Job]) -> str:
    """Return the text. If it is too long, the last that wait are left for another time."""
    text = format_reply(Reply(0, "", tuple(map(format_job, jobs))))
    while len(text) > MOST and (waiting := [job for job in jobs if job.state in WAITING]):
        dropped = {job.id for job in waiting[len(waiting) // 2 :]}
        jobs = [job for job in jobs if job.id not in dropped]
        text = format_reply(Reply(0, "", tuple(map(format_job, jobs))))
    return text


def _waits(entry: Entry | None, ref: Ref) -> bool:
    """Say whether this waits, if only until it is released."""
    index = ref.elements[0][0] if ref.elements else 0
    return entry is not None and index not in entry.live and entry.result_of(index) is None


def _place(s: State, request: Request, name: str, tasks: int, rank: int) -> Placement:
    """Return what so many tasks get on a node as it is now; raise `Refused`."""
    entry = s.nodes.get(name)
    if entry is None:
        raise Refused(f"there is no node {name} here")
    if entry.unusable:
        raise Refused(f"{name} cannot be used: {entry.unusable}")
    books = entry.books
    cpus, gpus = mask_of(tuple(books.cpus)), mask_of(tuple(books.gpus))
    features, users = entry.node.facts.features, len(entry.allocations)
    room = Room(name, cpus, books.memory, gpus, books.generic, features, users)
    if room.capacity(request) < tasks:
        raise Refused(f"{name} has room for {room.capacity(request)} of its tasks, not {tasks}")
    return room.place(request, tasks, rank)
