"""Decisions that a machine wrote down, replayed: the same bytes, or what another policy had done."""

import asyncio
import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from ostler.cli.options import Given
from ostler.cli.sim_decisions import replay_decisions
from ostler.cli.table import COMMANDS
from ostler.core.events import (
    Acted,
    Administered,
    AgentGreeted,
    AgentReported,
    Event,
    Planned,
    Submitted,
)
from ostler.core.machine import Machine
from ostler.manager.decisions import NAME, OLDER, Recorder
from ostler.manager.planning import Planning
from ostler.model.errors import Missing, UsageError
from ostler.model.ids import Ref
from ostler.model.job import JobSpec
from ostler.model.orders import Ended
from ostler.model.resources import Request
from ostler.model.site_changes import Change, attribute
from ostler.schedule.decisions import (
    HEADER,
    Asked,
    Decided,
    Told,
    encode,
    framed,
    plain,
    plan_of,
)
from ostler.schedule.policy import parse_policy
from ostler.schedule.snapshot import Piece, Plan, Start
from ostler.sim.decisions import otherwise, read, replay
from ostler.testing.play import NOTHING
from tests.unit.core_kit import ANN, ROOT, facts


class Recorded:
    """A machine that plans for itself, and whose decisions are written into a folder."""

    def __init__(self, folder: Path, limit: int = 1, nodes: int = 1_000) -> None:
        self.now = 100.0
        self.machine = Machine(NOTHING, epoch=1, now=self.now)
        self.recorder = Recorder(folder)
        self.news: asyncio.Queue[Plan] = asyncio.Queue()
        self.planning = Planning(self, lambda: self.now, nodes, self.recorder)
        self.asked = 0
        self.do(AgentGreeted("n1", facts(4), "boot", ()))
        self.do(Administered(0, ROOT, (attribute("record-decisions", str(limit)),)))

    def do(self, event: Event) -> None:
        self.now += 1
        self.machine.handle(self.now, event)

    def submit(self, cpus: int = 4, seconds: int = 600) -> int:
        self.asked += 1
        request = Request(cpus=cpus)
        spec = JobSpec(argv=(b"true",), request=request, time_limit=seconds)
        self.do(Submitted(0, ANN, f"r{self.asked}", spec, {}))
        return self.asked

    def planned(self, machine: Machine, plan: Plan, piece: Piece) -> None:
        assert machine is self.machine
        assert piece.last
        self.news.put_nowait(plan)

    def barrier(self) -> asyncio.Future[None]:
        raise AssertionError

    def planner_lost(self, why: str) -> None:
        raise AssertionError(why)

    def plan_again(self) -> None:
        raise AssertionError

    async def plan(self) -> Plan:
        plan = self.planning.propose(self.machine, self.now) or await self.news.get()
        self.do(Planned(plan))
        return plan


async def story(folder: Path, nodes: int = 1_000) -> None:
    """Three jobs: the second needs all that is there, the third would fit before it."""
    box = Recorded(folder, nodes=nodes)
    box.submit(cpus=2, seconds=1000)
    await box.plan()
    box.submit(cpus=4)
    box.submit(cpus=1, seconds=60)
    await box.plan()
    await box.plan()
    box.do(Acted(0, ROOT, "cancel", (Ref(3),)))
    await box.plan()
    await box.planning.close()


@pytest.mark.parametrize("nodes", [1_000, 1], ids=["in the manager", "in a process"])
def test_replayed_decisions_are_the_same_byte_for_byte(tmp_path: Path, nodes: int) -> None:
    asyncio.run(story(tmp_path, nodes))
    done = replay(str(tmp_path / NAME))
    assert done.first is None
    assert (done.decisions, done.starts) == (4, 2)
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o600


def test_each_plan_carries_the_number_of_the_last_thing_that_was_told_before(
    tmp_path: Path,
) -> None:
    asyncio.run(story(tmp_path))
    told, asked_of, plans = 0, [], []
    for record in read(str(tmp_path / NAME)):
        match record:
            case Told(delta):
                told = delta.number
            case Asked():
                asked_of.append(told)
            case Decided(data):
                plans.append(plan_of(data).number)
    assert plans == asked_of
    assert plans == sorted(set(plans))


def test_what_comes_while_a_plan_is_made_is_seen_by_the_next(tmp_path: Path) -> None:
    async def work() -> None:
        box = Recorded(tmp_path, nodes=1)
        assert box.planning.propose(box.machine, box.now) is None
        while box.machine.wants_plan:  # noqa: ASYNC110 - until it is asked for
            await asyncio.sleep(0)
        job = box.submit()
        assert (await box.news.get()).lines == []
        [line] = (await box.plan()).lines
        assert isinstance(line, Start)
        assert line.job == job
        await box.planning.close()

    asyncio.run(work())
    assert replay(str(tmp_path / NAME)).first is None


def test_starts_are_held_against_what_was_promised_first(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The second job is promised the end of the first, and starts 907 seconds before."""

    async def work() -> None:
        box = Recorded(tmp_path)
        box.submit(seconds=1000)
        await box.plan()
        box.submit()
        await box.plan()
        box.now += 90
        box.do(AgentReported("n1", 1, (Ended(1, box.now, box.now - 1),)))
        await box.plan()
        await box.planning.close()

    asyncio.run(work())
    path = str(tmp_path / NAME)
    assert [round(seconds) for seconds in replay(path).late] == [-907]
    given = Given(COMMANDS["sim"], {"sim_replay": path}, [], separated=False)
    assert replay_decisions(given, path, []) == 0
    assert "of 1 job with a promised start 0 began later" in capfd.readouterr().out


def test_partitions_that_another_scheduler_plans_are_named(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async def work() -> None:
        box = Recorded(tmp_path)
        scheduler = Change("create", "scheduler", ("theirs",), {"command": "/bin/theirs"})
        box.do(Administered(0, ROOT, (scheduler,)))
        theirs = Change("set", "partition", ("main",), {"scheduler": "theirs"})
        box.do(Administered(0, ROOT, (theirs,)))
        box.submit()
        await box.plan()
        await box.planning.close()

    asyncio.run(work())
    path = str(tmp_path / NAME)
    assert replay(path).others == {"main": "theirs"}
    given = Given(COMMANDS["sim"], {"sim_replay": path}, [], separated=False)
    assert replay_decisions(given, path, []) == 0
    assert "; what theirs planned in partition main is not in it; every plan is the same" in (
        capfd.readouterr().out
    )


def test_another_policy_is_held_against_what_was_done(tmp_path: Path) -> None:
    asyncio.run(story(tmp_path))
    other = otherwise(str(tmp_path / NAME), parse_policy("fcfs"))
    assert (other.earlier, other.later, other.differing) == ((), (3,), 1)
    assert otherwise(str(tmp_path / NAME), parse_policy("easy")).differing == 0


def test_a_plan_that_is_not_the_same_is_found(tmp_path: Path) -> None:
    asyncio.run(story(tmp_path))
    path = tmp_path / NAME
    data = HEADER
    for record in read(str(path)):
        if isinstance(record, Decided) and (plan := plan_of(record.plan)).number == 2:
            record.plan = plain(replace(plan, lines=[]))
        data += framed(encode(record))
    path.write_bytes(data)
    found = replay(str(path)).first
    assert found is not None
    assert (found.decision, found.recorded.lines) == (2, [])
    assert len(found.replayed.lines) == 1


@pytest.mark.parametrize(("kept", "decisions", "number"), [(-7, 3, 12), (len(HEADER) + 2, 0, 1)])
def test_a_file_that_is_cut_is_replayed_as_far_as_it_is_whole_and_told(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], kept: int, decisions: int, number: int
) -> None:
    asyncio.run(story(tmp_path))
    path = tmp_path / NAME
    path.write_bytes(path.read_bytes()[:kept])

    given = Given(COMMANDS["sim"], {"sim_replay": str(path), "json": True}, [], separated=False)
    assert replay_decisions(given, str(path), []) == 1

    told = capfd.readouterr()
    (row,) = json.loads(told.out)["replays"]
    assert (row["decisions"], row["same"], row["cut"]["record"]) == (decisions, True, number)
    assert row["cut"]["byte"] + row["cut"]["size"] == path.stat().st_size
    assert f"is cut: it ends {row['cut']['size']} bytes into record {number}," in told.err


def test_a_damaged_record_is_told(tmp_path: Path) -> None:
    asyncio.run(story(tmp_path))
    path = tmp_path / NAME
    data = path.read_bytes()
    at = len(HEADER) + 4
    path.write_bytes(data[:at] + b"\xc1" + data[at + 1 :])
    with pytest.raises(UsageError, match=f"is damaged: the record at byte {len(HEADER)}"):
        replay(str(path))


@pytest.mark.parametrize("data", [b"", b"something else", HEADER[:-2] + b"9\n"])
def test_other_files_are_told_apart(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(data)
    with pytest.raises(UsageError, match="holds no decisions"):
        replay(str(path))
    with pytest.raises(Missing):
        replay(str(tmp_path / "y"))


def test_a_full_file_makes_room_for_one_that_begins_with_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        box = Recorded(tmp_path)
        for number in range(60):
            box.submit(seconds=100 + number)
            await box.plan()
        await box.planning.close()

    monkeypatch.setattr("ostler.manager.decisions._MIB", 20_000)
    asyncio.run(work())
    assert {path.name for path in tmp_path.iterdir()} == {NAME, OLDER}
    for name in (NAME, OLDER):
        assert (tmp_path / name).stat().st_size < 20_000
        assert replay(str(tmp_path / name)).first is None
    assert replay(str(tmp_path / NAME)).decisions


def test_nothing_is_written_unless_it_is_asked_for(tmp_path: Path) -> None:
    async def work() -> None:
        box = Recorded(tmp_path, limit=0)
        box.submit()
        await box.plan()
        await box.planning.close()

    asyncio.run(work())
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_costs_the_record_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        box = Recorded(tmp_path / "missing")
        box.submit()
        assert (await box.plan()).lines
        await box.planning.close()

    asyncio.run(work())
    assert [record.message for record in caplog.records] == ["decisions are not written"]
