"""The WIKI server before a core with hand-made nodes: what it tells, obeys, and will not hear."""

import asyncio
import contextlib
import json
import logging
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import pytest

from ostler.core.effects import Fail, Reply
from ostler.core.events import Event, ShutdownAsked
from ostler.core.explain import explain
from ostler.manager import wiki_orders, wiki_server
from ostler.manager.inner import Inner
from ostler.manager.turns import Turns
from ostler.manager.wiki_server import WikiServer
from ostler.model.errors import NotNow, OstlerError
from ostler.model.ids import Ref
from ostler.model.orders import Ended
from ostler.model.resources import Request
from ostler.model.site_changes import Change
from ostler.wire.wiki import open_up, pack, size_of
from ostler.wire.wiki_records import Job, Node, parse_job, parse_node
from ostler.wire.wiki_words import (
    CancelJob,
    GetJobs,
    GetNodes,
    ResumeJob,
    StartJob,
    SuspendJob,
    format_request,
    parse_reply,
)
from ostler.wire.wiki_words import Reply as Told
from ostler.wire.wiki_words import Request as Asked
from tests.unit.core_kit import ROOT, Box, orders

KEY = 42


class FakeTurns:
    """Turns over a box: whatever is put is durable at once."""

    def __init__(self, box: Box) -> None:
        self.box, self.machine = box, box.machine
        self.down: OstlerError | None = None
        self.inner: Inner

    def put(self, event: Event) -> None:
        for effect in self.box.do(event):
            if isinstance(effect, Reply | Fail) and effect.to < 0:
                self.inner.answered(effect)

    def barrier(self) -> Awaitable[None]:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


class Rig:
    """A server, the machine behind it, and a scheduler that comes to it."""

    def __init__(self, folder: Path, box: Box) -> None:
        self.box = box
        self.folder = folder
        self.turns = FakeTurns(box)
        self.turns.inner = Inner(self.turns.put)
        self.port = free_port()
        box.configure("wiki-port", str(self.port))
        self.server = self.serve()

    def serve(self) -> WikiServer:
        """Return a server, as a manager that starts makes it."""
        turns = cast("Turns", self.turns)
        return WikiServer(turns, self.turns.inner, str(self.folder), lambda: self.box.now)

    async def send(self, data: bytes, *, ends: bool = False) -> bytes:
        """Send these bytes; return what comes back until the server closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(data)
        if ends:
            writer.write_eof()
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""
        finally:
            writer.close()

    def frame(self, asked: Asked, at: float | None = None, key: int | None = KEY) -> bytes:
        made = int(self.box.now if at is None else at)
        return pack(format_request(asked), key, "maui", made)

    async def ask(self, asked: Asked) -> Told:
        self.box.now += 1  # so that no request is the repetition of another
        return signed(await self.send(self.frame(asked)))

    async def jobs(self, *names: str) -> dict[str, Job]:
        told = await self.ask(GetJobs(0, names))
        return {name: parse_job(name, fields) for name, fields in told.records or ()}

    async def nodes(self) -> dict[str, Node]:
        told = await self.ask(GetNodes())
        return {name: parse_node(name, fields) for name, fields in told.records or ()}


def signed(frame: bytes) -> Told:
    """Return a reply, which is also one that Maui 3.3.1 reads as it is meant."""
    assert size_of(frame[:9], 2 << 20) == len(frame) - 9
    text = open_up(frame[9:], KEY).data
    assert frame.index(b"DT=SC=") == frame.index(b"DT=")  # all it finds by their first occurrence
    told = parse_reply(text)
    if told.records is not None:
        assert not set(text) & set('\\"\n')  # it takes escapes for text, at first
        assert text.count(" ") == 1
        assert "=;" not in text  # it reads on behind an empty value
        for record in text.partition("#")[2].split("#") if told.records else ():
            name, _, fields = record.partition(":")
            assert fields.startswith("STATE=")  # the first STATE that it sees
            assert fields.endswith(";")  # else it drops the last field
            assert len(name) < 64
    return told


def unsigned(frame: bytes) -> Told:
    return parse_reply(open_up(frame[9:], None).data)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def named(box: Box, scheduler: str | None = "wiki") -> None:
    box.change(Change("set", "partition", ("main",), {"scheduler": scheduler}))


@pytest.fixture
def box() -> Box:
    box = Box(("n1", "n2"), cpus=2)
    named(box)
    return box


@pytest.fixture
def rig(box: Box, tmp_path: Path) -> Rig:
    (tmp_path / "wiki-key").write_text(f"{KEY}\n")
    (tmp_path / "wiki-key").chmod(0o600)
    return Rig(tmp_path, box)


def served(rig: Rig, story: Callable[[], Awaitable[None]]) -> None:
    """Run a story while the server listens."""

    async def run() -> None:
        await rig.server.look()
        try:
            await story()
        finally:
            rig.server.close()
            await asyncio.sleep(0)

    asyncio.run(run())


def explained(box: Box, job: int) -> dict[str, Any]:
    return explain(box.machine.state, box.now, Ref(job))


# -- what is told --------------------------------------------------------------------------------


def test_nodes_tell_what_is_free_and_stay_when_they_go(rig: Rig, box: Box) -> None:
    async def story() -> None:
        job = str(box.submit(request=Request(cpus=2)))
        other = str(box.submit())
        await rig.ask(StartJob(job, ("n1",)))
        await rig.ask(StartJob(other, ("n2",)))
        nodes = await rig.nodes()
        assert (nodes["n1"].state, nodes["n1"].cpus, nodes["n1"].free_cpus) == ("Busy", 2, 0)
        assert (nodes["n2"].state, nodes["n2"].free_cpus) == ("Running", 1)
        assert nodes["n1"].classes == ("main",)
        box.drain("n2")
        assert (await rig.nodes())["n2"].state == "Drain"
        box.end(box.alloc(int(other)), "n2")
        assert (await rig.nodes())["n2"].state == "Drained"
        box.change(
            Change("create", "partition", ("night",)),
            Change("set", "configuration", ("default",), {"nodes": {"night": "n1"}}),
        )
        assert (await rig.nodes())["n1"].state == "Down"  # what vanishes Maui keeps as it was

    served(rig, story)


def test_jobs_tell_what_maui_needs(rig: Rig, box: Box) -> None:
    async def story() -> None:
        request = Request(tasks=2, cpus=1, nodes=2, memory=5 << 20)
        job = str(box.submit(request=request, time_limit=90))
        unlimited, held = str(box.submit()), str(box.submit(hold=True))
        jobs = await rig.jobs()
        told = jobs[job]
        assert (told.state, told.user, told.tasks, told.nodes) == ("Idle", "ann", 2, 2)
        assert (told.time_limit, told.memory, told.tasks_per_node) == (90, 5 << 20, 1)
        assert (told.classes, told.submitted_at) == (("main",), 100)
        assert jobs[unlimited].time_limit > 86_400  # none at all is an error there
        assert jobs[held].state == "Hold"

    served(rig, story)


def test_a_start_is_seen_in_the_next_listing_and_the_end_after_it(rig: Rig, box: Box) -> None:
    async def story() -> None:
        job = str(box.submit(request=Request(tasks=3)))
        assert (await rig.jobs())[job].state == "Idle"
        assert (await rig.ask(StartJob(job, ("n2", "n1", "n2")))).status == 0
        told = (await rig.jobs())[job]
        assert (told.state, told.task_list) == ("Starting", ("n2", "n2", "n1"))
        alloc = box.alloc(int(job))
        box.made(alloc, "n1"), box.made(alloc, "n2")
        box.start(alloc, "n1")
        assert (await rig.jobs())[job].state == "Running"
        box.end(alloc, "n1"), box.end(alloc, "n2")
        told = (await rig.jobs())[job]
        assert (told.state, told.task_list) == ("Completed", ("n2", "n2", "n1"))
        box.now += 1_000
        for _ in range(5):  # the last one stays: a list without a record is a failure to Maui
            assert (await rig.jobs())[job].state == "Completed"
        another = str(box.submit())
        assert list(await rig.jobs()) == [another]

    served(rig, story)


def test_what_ran_and_waits_again_is_told_as_vacated_first(rig: Rig, box: Box) -> None:
    """Maui would take it for a start that was refused, and defer it for an hour."""

    async def story() -> None:
        job = str(box.submit())
        await rig.jobs()
        assert (await rig.ask(StartJob(job, ("n1",)))).status == 0
        alloc = box.alloc(int(job))
        box.made(alloc, "n1"), box.start(alloc, "n1")
        assert (await rig.jobs())[job].state == "Running"
        box.do_act("requeue", int(job))
        box.end(alloc, "n1")
        told = (await rig.jobs())[job]
        assert (told.state, told.task_list) == ("Vacated", ("n1",))
        box.now += 1_000
        assert (await rig.jobs())[job].state == "Idle"
        assert (await rig.ask(StartJob(job, ("n1",)))).status == 0
        assert (await rig.jobs())[job].state == "Starting"

    served(rig, story)


def test_the_true_beginning_has_no_record(rig: Rig) -> None:
    async def story() -> None:
        told = await rig.ask(GetJobs())
        assert (told.status, told.records) == (0, ())
        assert (await rig.ask(GetJobs(0, ("7",)))).status == -700

    served(rig, story)


def test_elements_of_an_array_are_jobs_of_their_own(rig: Rig, box: Box) -> None:
    async def story() -> None:
        job = box.submit(array=((0, 999),))
        jobs = await rig.jobs()
        assert len(jobs) == 100  # at a time
        assert (await rig.ask(StartJob(f"{job}_7", ("n1",)))).status == 0
        jobs = await rig.jobs()
        assert jobs[f"{job}_7"].state == "Starting"
        assert jobs[f"{job}_6"].state == "Idle"
        state = box.machine.state
        (alloc,) = state.jobs[job].slots
        assert not state.allocations[alloc].slot  # what follows is planned as well
        assert state.allocations[alloc].element == 7
        box.start(alloc), box.end(alloc)
        assert (await rig.jobs())[f"{job}_7"].state == "Completed"

    served(rig, story)


def test_what_ended_while_no_manager_was_there_is_told_by_the_next(rig: Rig, box: Box) -> None:
    async def story() -> None:
        job = str(box.submit())
        await rig.ask(StartJob(job, ("n1",)))
        await rig.jobs()
        box.end(box.alloc(int(job)))
        rig.server.close()
        rig.server = rig.serve()
        await rig.server.look()
        assert (await rig.jobs())[job].state == "Completed"

    served(rig, story)


def test_what_wiki_has_no_words_for_is_held_there_and_explained(rig: Rig, box: Box) -> None:
    async def story() -> None:
        job = box.submit(request=Request(exclusive=True))
        assert (await rig.jobs())[str(job)].state == "Hold"
        reason = explained(box, job)["reason"]
        assert reason == (
            "scheduler wiki plans partition main and says: WIKI has no words for whole nodes"
        )

    served(rig, story)


# -- what is obeyed ------------------------------------------------------------------------------


def test_a_start_that_comes_again_starts_nothing_more(rig: Rig, box: Box) -> None:
    async def story() -> None:
        job = str(box.submit())
        for _ in range(3):
            assert (await rig.ask(StartJob(job, ("n1",)))).status == 0
        assert (await rig.ask(StartJob(job, ("n2",)))).status == -700
        assert len(orders(box.done)) == 1
        box.start(box.alloc(int(job))), box.end(box.alloc(int(job)))
        assert (await rig.ask(StartJob(job, ("n1",)))).status == 0  # it had been, and has ended

    served(rig, story)


@pytest.mark.parametrize(
    ("tasks", "why"),
    [
        (("n9",), "there is no node n9 here"),
        (("n1", "n1", "n1"), "n1 has room for 2 of its tasks, not 3"),
        (("n1",), "job 1 asks for 2 tasks"),
        (("n2", "n2"), "n2 cannot be used: draining: new disk"),
    ],
)
def test_a_start_that_cannot_be_is_refused_with_the_reason(
    rig: Rig, box: Box, tasks: tuple[str, ...], why: str
) -> None:
    async def story() -> None:
        job = str(box.submit(request=Request(tasks=2)))
        box.drain("n2")
        told = await rig.ask(StartJob(job, tasks))
        assert (told.status, told.text) == (-910, why.replace(":", ""))
        assert not orders(box.done)
        assert box.state(int(job)) == "pending"

    served(rig, story)


def test_held_and_unknown_jobs_are_not_started(rig: Rig, box: Box) -> None:
    async def story() -> None:
        held = str(box.submit(hold=True))
        told = await rig.ask(StartJob(held, ("n1",)))
        assert (told.status, told.text) == (-910, "job 1 may not start rule hold")
        for name in ("9", "1_0", "nonsense", "1.0"):
            assert (await rig.ask(StartJob(name, ("n1",)))).status == -700

    served(rig, story)


def test_jobs_are_cancelled_suspended_and_resumed(rig: Rig, box: Box) -> None:
    async def story() -> None:
        job = str(box.submit())
        await rig.ask(StartJob(job, ("n1",)))
        alloc = box.alloc(int(job))
        box.start(alloc)
        assert (await rig.ask(SuspendJob(job))).status == 0
        assert (await rig.jobs())[job].state == "Suspended"
        assert (await rig.ask(ResumeJob(job))).status == 0
        assert (await rig.jobs())[job].state == "Running"
        assert (await rig.ask(CancelJob(job, overdue=True))).status == 0
        box.report("n1", Ended(alloc, box.now, box.now, "cancelled"))
        assert (await rig.jobs())[job].state == "Removed"
        assert (await rig.ask(CancelJob(job))).status == 0  # it is so already
        assert (await rig.ask(SuspendJob(job))).status == -700

    served(rig, story)


def test_jobs_of_other_partitions_are_out_of_its_reach(rig: Rig, box: Box) -> None:
    async def story() -> None:
        box.change(
            Change("create", "partition", ("night",)),
            Change("set", "configuration", ("default",), {"nodes": {"night": "n2"}}),
        )
        job = str(box.submit(partition="night"))
        assert box.state(int(job)) == "starting"  # the one that is built in plans there
        assert not await rig.jobs()
        assert (await rig.ask(CancelJob(job))).status == -700
        assert box.state(int(job)) == "starting"

    served(rig, story)


# -- who is not heard, and who is silent ---------------------------------------------------------


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda rig: rig.frame(GetJobs(), key=KEY + 1), -422),
        (lambda rig: rig.frame(GetJobs(), key=None), -422),
        (lambda rig: rig.frame(GetJobs(), at=rig.box.now - 301), -350),
        (lambda rig: rig.frame(GetJobs(), at=rig.box.now + 301), -350),
        (lambda rig: b"01048577\n" + b"x" * 20, -244),
        (lambda rig: b"GET / HTTP/1.1\r\n\r\n", -244),
        (lambda rig: rig.frame(GetJobs())[:30], -246),
        (lambda rig: rig.frame(GetJobs())[:4], -246),
    ],
)
def test_what_cannot_be_trusted_is_refused_without_a_signature(
    rig: Rig, caplog: pytest.LogCaptureFixture, spoil: Callable[[Rig], bytes], code: int
) -> None:
    async def story() -> None:
        rig.box.now += 1_000
        with caplog.at_level(logging.WARNING):
            assert unsigned(await rig.send(spoil(rig), ends=True)).status == code
            await rig.send(spoil(rig), ends=True)
        assert rig.server.refused == 2
        assert sum("refused" in record.message for record in caplog.records) == 1  # of each kind
        assert (await rig.nodes()).keys() == {"n1", "n2"}

    served(rig, story)


def test_a_frame_that_comes_again_later_is_refused_and_an_order_done_once(
    rig: Rig, box: Box
) -> None:
    async def story() -> None:
        job = str(box.submit())
        start, look = rig.frame(StartJob(job, ("n1",))), rig.frame(GetJobs())
        assert signed(await rig.send(start)).status == 0
        assert signed(await rig.send(look)).status == 0
        assert signed(await rig.send(look)).status == 0  # Maui may ask twice in one second
        box.now += 5
        assert signed(await rig.send(look)).status == -350
        alloc = box.alloc(int(job))
        box.start(alloc)
        halt = rig.frame(SuspendJob(job))
        assert signed(await rig.send(halt)).status == 0
        assert (await rig.ask(ResumeJob(job))).status == 0
        assert signed(await rig.send(halt)).status == 0  # as answered before; it goes on
        assert (await rig.jobs())[job].state == "Running"

    served(rig, story)


def test_a_server_that_begins_anew_takes_nothing_of_before(rig: Rig, box: Box) -> None:
    async def story() -> None:
        job = str(box.submit())
        await rig.ask(StartJob(job, ("n1",)))
        box.start(box.alloc(int(job)))
        halt = rig.frame(SuspendJob(job))
        rig.server.close()
        box.now += 5
        rig.server = rig.serve()
        await rig.server.look()
        assert unsigned(await rig.send(halt)).status == -350
        assert box.state(int(job)) == "running"
        assert (await rig.ask(SuspendJob(job))).status == 0

    served(rig, story)


def test_slow_senders_hold_up_nobody(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        monkeypatch.setattr(wiki_server, "CONNECTIONS", 4)
        slow = [await asyncio.open_connection("127.0.0.1", rig.port) for _ in range(12)]
        for _, writer in slow:
            writer.write(b"000000")
        assert (await rig.nodes()).keys() == {"n1", "n2"}
        monkeypatch.setattr(wiki_server, "READING", 0.01)
        assert unsigned(await rig.send(b"0000")).status == -246
        for reader, writer in slow[:8]:  # the first to come were the first to go
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
            writer.close()
        for _, writer in slow[8:]:
            writer.close()

    served(rig, story)


def test_a_scheduler_that_is_silent_is_stood_in_for_until_it_comes_back(rig: Rig, box: Box) -> None:
    async def story() -> None:
        await rig.ask(GetJobs())
        job = box.submit()
        assert (box.state(job), box.rule(job)) == ("pending", "scheduler")
        box.now += 180
        await rig.server.look()
        assert box.state(job) == "pending"
        box.now += 1
        await rig.server.look()
        assert box.state(job) == "starting"
        assert "scheduler/lost" in box.events()
        await rig.ask(GetJobs())
        assert "scheduler/back" in box.events()
        later = box.submit()
        assert box.rule(later) == "scheduler"
        assert json.dumps(explained(box, later)["reason"]).count("wiki")

    served(rig, story)


def test_without_a_port_the_one_that_is_built_in_plans(rig: Rig, box: Box) -> None:
    async def story() -> None:
        box.configure("wiki-port", None)
        await rig.server.look()
        assert box.state(box.submit()) == "starting"

    served(rig, story)


def test_a_key_that_others_can_read_is_not_used(rig: Rig, box: Box) -> None:
    (rig.folder / "wiki-key").chmod(0o644)

    async def story() -> None:
        assert box.state(box.submit()) == "starting"
        (rig.folder / "wiki-key").chmod(0o600)
        await rig.server.look()
        assert (await rig.nodes()).keys() == {"n1", "n2"}

    served(rig, story)


def test_a_key_is_made_where_there_is_none(rig: Rig) -> None:
    path = rig.folder / "wiki-key"
    path.unlink()

    async def story() -> None:
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.read_text().strip().isdigit()
        assert unsigned(await rig.send(rig.frame(GetJobs()))).status == -422

    served(rig, story)


def test_while_nothing_can_be_written_it_says_so(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> Awaitable[None]:
        raise NotNow("the disk is full")

    async def story() -> None:
        monkeypatch.setattr(rig.turns, "barrier", full)
        told = await rig.ask(GetJobs())
        assert (told.status, told.text) == (-1, "the disk is full")

    served(rig, story)


def test_a_listing_is_never_longer_than_maui_takes(
    rig: Rig, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wiki_orders, "MOST", 1_000)

    async def story() -> None:
        first = str(box.submit())
        await rig.ask(StartJob(first, ("n1",)))
        for _ in range(20):
            box.submit()
        jobs = await rig.jobs()
        assert jobs[first].state == "Starting"
        assert 1 < len(jobs) < 21

    served(rig, story)


def test_a_machine_that_is_being_stopped_starts_nothing(rig: Rig, box: Box) -> None:
    async def story() -> None:
        first, job = str(box.submit()), str(box.submit())
        await rig.ask(StartJob(first, ("n1",)))
        box.ask(ShutdownAsked, ROOT, "wait")
        told = await rig.ask(StartJob(job, ("n1",)))
        assert (told.status, told.text) == (-910, "the machine is being stopped")

    served(rig, story)


def test_what_was_to_start_at_once_and_did_not_is_rejected(rig: Rig, box: Box) -> None:
    async def story() -> None:
        job = box.submit(immediate=True)
        await rig.jobs()
        assert box.state(job) == "pending"  # the scheduler has been told of it
        await rig.jobs()
        assert box.state(job) == "rejected"

    served(rig, story)


def test_what_a_limit_keeps_waiting_is_held_there_and_not_started(rig: Rig, box: Box) -> None:
    async def story() -> None:
        box.change(Change("set", "access", ("main", "user", "ann"), {"running": "1"}))
        first, second = str(box.submit()), str(box.submit())
        assert (await rig.ask(StartJob(first, ("n1",)))).status == 0
        assert (await rig.jobs())[second].state == "Hold"
        told = await rig.ask(StartJob(second, ("n1",)))
        assert told.status == -910
        assert "ann in partition main may have 1 jobs running" in told.text
        box.start(box.alloc(int(first))), box.end(box.alloc(int(first)))
        assert (await rig.jobs())[second].state == "Idle"

    served(rig, story)


def test_words_that_maui_would_misread_are_changed(rig: Rig, box: Box) -> None:
    async def story() -> None:
        box.change(
            Change("create", "project", ("two words;STATE",)),
            Change("set", "user", ("ann",), {"projects": "two words;STATE"}),
        )
        job = str(box.submit(project="two words;STATE"))
        assert (await rig.jobs())[job].project == "two_words_STATE"

    served(rig, story)


NONSENSE = (
    "",
    "CMD=",
    "CMD=FORMAT ARG=0:ALL",
    "CMD=GETJOBS ARG=:ALL",
    "CMD=GETJOBS ARG=0:" + ":".join(["n"] * 5_000) + ":",
    "CMD=STARTJOB ARG=1 TASKLIST=" + "n1:" * 3_000,
    "CMD=STARTJOB ARG=1_[0-9] TASKLIST=n1",
    "CMD=STARTJOB ARG=99999999999999999999 TASKLIST=n1",
    "CMD=CANCELJOB ARG=1_99999999 TYPE=ADMIN",
    "CMD=CANCELJOB ARG=1.0 TYPE=ADMIN",
    "CMD=SUSPENDJOB ARG=\u2028\ud83d\ude00",
    "SC=0 ARG=0#",
)


@pytest.mark.parametrize("data", NONSENSE)
def test_nonsense_with_a_good_signature_is_refused_and_changes_nothing(
    rig: Rig, box: Box, data: str
) -> None:
    async def story() -> None:
        job = box.submit(array=((0, 9),))
        frame = pack(data.encode(errors="replace").decode(), KEY, "maui", int(box.now))
        assert signed(await rig.send(frame)).status < 0
        assert box.state(job) == "pending"
        assert not orders(box.done)

    served(rig, story)


def test_what_people_suspend_is_theirs_and_what_they_resume_goes_on(rig: Rig, box: Box) -> None:
    async def story() -> None:
        job = str(box.submit())
        await rig.ask(StartJob(job, ("n1",)))
        box.start(box.alloc(int(job)))
        box.act("suspend", job)
        assert (await rig.jobs())[job].state == "Suspended"
        told = await rig.ask(ResumeJob(job))
        assert (told.status, told.text) == (
            -700,
            "job 1 was suspended by its user, who lets it go on",
        )
        box.act("resume", job)
        await rig.server.look()
        assert (await rig.jobs())[job].state == "Running"
        assert (await rig.ask(SuspendJob(job))).status == 0
        await rig.server.look()
        assert (await rig.jobs())[job].state == "Suspended"  # until the scheduler lets it go on

    served(rig, story)
