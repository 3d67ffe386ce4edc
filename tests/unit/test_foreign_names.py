"""Several resource managers behind one queue: how jobs are named there, and where they may go."""

import pytest
from msgspec.structs import replace

from ostler.core.events import Modified
from ostler.core.foreign.names import read_ref
from ostler.core.foreign.rms import Rm
from ostler.core.foreign.view import rm_rows
from ostler.core.view import job_row
from ostler.model.errors import Missing, Refused
from ostler.model.foreign_rows import RmJob, Stage
from ostler.model.ids import Ref
from ostler.model.resources import Request
from ostler.model.site import ResourceManager
from ostler.model.site_changes import Change
from ostler.testing.rm import ScriptedRm
from tests.unit.core_kit import ANN
from tests.unit.foreign_kit import SCHEDULES, Foreign


def both() -> Foreign:
    """Return a machine with two resource managers and two nodes of its own, all in one partition."""
    box = Foreign(
        ScriptedRm("a", ["x1", "x2"]), ScriptedRm("b", ["y1", "y2", "y3"]), native=("n1",)
    )
    nodes = {"main": None, "all": "n1,a/*,b/*"}
    box.change(
        Change("create", "partition", ("all",), {"is_default": True}),
        Change("set", "configuration", ("",), {"nodes": nodes}),
    )
    return box


def where(box: Foreign, job: int) -> set[str]:
    """Return the resource managers of the nodes on which a job is."""
    s = box.machine.state
    allocs = (s.allocations[number] for number in s.jobs[job].slots)
    return {s.nodes[p.node].node.rm for alloc in allocs for p in alloc.placements}


def test_a_job_is_known_by_the_name_that_its_resource_manager_gave_it() -> None:
    box = Foreign(ScriptedRm("a", ["x1"]))
    job = box.submit(rm="a")
    s = box.machine.state
    assert job_row(s, s.jobs[job])["rm_jobs"] == ["a/1"]
    assert read_ref(s, "a/1") == Ref(job)
    assert read_ref(s, "12_3") == Ref(12, ((3, 3),))


def test_elements_are_known_one_by_one() -> None:
    box = Foreign(ScriptedRm("a", ["x1"]))
    job = box.submit(rm="a", array=((4, 5),))
    s = box.machine.state
    assert job_row(s, s.jobs[job])["rm_jobs"] == ["a/1", "a/2"]
    assert read_ref(s, "a/2") == Ref(job, ((5, 5),))


def test_a_job_that_its_own_users_submitted_has_its_name_while_it_waits() -> None:
    rm = ScriptedRm("a", ["x1"], options=SCHEDULES)
    box = Foreign(rm)
    rm.submit("4711", "eve")
    box.load()
    s = box.machine.state
    number = read_ref(s, "a/4711").job
    assert job_row(s, s.jobs[number])["rm_jobs"] == ["a/4711"]


@pytest.mark.parametrize(
    ("text", "why"),
    [("c/1", "there is no resource manager 'c'"), ("a/9", "a has not told of a job '9'")],
)
def test_what_nobody_knows_is_missing(text: str, why: str) -> None:
    with pytest.raises(Missing, match=why):
        read_ref(both().machine.state, text)


def test_a_job_goes_where_it_names() -> None:
    box = both()
    assert where(box, box.submit(rm="a")) == {"a"}
    assert where(box, box.submit(rm="b")) == {"b"}
    native = [box.submit(rm="native", request=Request(cpus=2)) for _ in range(3)]
    assert [where(box, job) for job in native] == [{""}, {""}, set()]
    with pytest.raises(Missing, match="known: native, a, b"):
        box.submit(rm="c")


def test_without_a_partition_it_goes_to_the_one_of_that_name() -> None:
    box = Foreign(ScriptedRm("a", ["x1"]), native=("n1",))
    job = box.submit(rm="a")
    assert box.machine.state.jobs[job].job.spec.partition == "a"


def test_a_scheduler_chooses_where_a_job_of_one_node_starts_first() -> None:
    box = both()
    jobs = [box.submit(request=Request(cpus=4)) for _ in range(6)]
    assert [len(where(box, job)) for job in jobs] == [1] * 6
    assert {rm for job in jobs for rm in where(box, job)} == {"", "a", "b"}


def test_tasks_of_one_job_are_in_one_resource_manager() -> None:
    box = both()
    wide = box.submit(request=Request(tasks=3, cpus=4))
    assert where(box, wide) == {"b"}  # only it has three nodes
    two = box.submit(request=Request(tasks=2, cpus=4))
    assert where(box, two) == {"a"}  # where there is room now
    third = box.submit(request=Request(tasks=2, cpus=4))
    assert where(box, third) == set()
    with pytest.raises(Refused, match="no resource manager has room for all"):
        box.submit(request=Request(tasks=4, cpus=4))


def test_a_job_never_moves_to_another() -> None:
    """R-MAU-5: what one resource manager was given stays there."""
    box = both()
    job = box.submit(rm="native", request=Request(cpus=4))
    other = box.submit(rm="native", request=Request(cpus=4))
    assert (where(box, job), where(box, other)) == ({""}, set())
    with pytest.raises(Refused, match="stays where it was submitted to"):
        box.ask(Modified, ANN, Ref(other), {"rm": "b"})


def test_rows_count_what_each_has() -> None:
    box = both()
    box.submit(rm="a", request=Request(cpus=3))
    rows = {row["name"]: row for row in rm_rows(box.machine.state)}
    keys = ("state", "nodes", "cpus", "free_cpus", "jobs")
    assert [rows["a"][key] for key in keys] == ["up", 2, 8, 5, 1]
    assert [rows["b"][key] for key in keys] == ["up", 3, 12, 12, 0]
    box.fail("b", "its controller is away")
    row = next(row for row in rm_rows(box.machine.state) if row["name"] == "b")
    assert (row["state"], row["why"], row["free_cpus"]) == ("down", "its controller is away", 0)


def test_a_token_that_another_job_has_told_since_is_that_ones() -> None:
    rm = Rm(ResourceManager("slurm", driver="slurm"), 0.0)
    first = RmJob("slurm", 1, 0, 1, Stage.OVER, 0.0, token="m-1")
    rm.keep(first)
    rm.keep(replace(first, job=2))
    rm.forget(first.key)
    assert rm.by_token == {"m-1": (2, 0, 1)}
    rm.forget((2, 0, 1))
    assert rm.by_token == {}
