"""Jobs that are submitted together: all or none, in an order, once."""

from collections.abc import Mapping
from typing import Any

import pytest

from ostler.core.events import ShutdownAsked, SubmittedAll
from ostler.core.violations import violations
from ostler.model import limits
from ostler.model.errors import Missing, NotNow, OstlerError, Refused, UsageError
from ostler.model.job import Dependency, Job, JobSpec, Link
from ostler.model.resources import Request
from tests.unit.core_kit import ANN, ROOT, Box, saved


def spec(name: str = "", **named: Any) -> JobSpec:
    return JobSpec(argv=(b"true",), name=name, **named)


def submit(
    box: Box,
    *specs: JobSpec,
    links: Mapping[int, tuple[Link, ...]] | None = None,
    rid: str = "all",
    dry: bool = False,
) -> Any:
    """Submit jobs together. links: what the job at a place waits for."""
    known = links or {}
    all_links = tuple(known.get(at, ()) for at in range(len(specs)))
    return box.ask(SubmittedAll, ANN, rid, specs, all_links, {}, dry)


def test_jobs_get_ids_in_order_and_wait_for_each_other() -> None:
    box = Box(cpus=4)
    links = {0: (Link(2),), 1: (Link(0, "any"), Link(2, "fail"))}
    body = submit(box, spec("a"), spec("b"), spec("c"), links=links)
    assert body == {
        "jobs": [{"id": "1", "name": "a"}, {"id": "2", "name": "b"}, {"id": "3", "name": "c"}]
    }
    assert [box.state(job) for job in (1, 2, 3)] == ["pending", "pending", "starting"]
    assert box.machine.state.jobs[2].job.spec.after == (Dependency(1, "any"), Dependency(3, "fail"))
    assert box.rule(1) == "dependency"
    box.end(box.alloc(3))
    assert box.state(1) == "starting"
    assert box.state(2) == "dependency"
    assert not list(violations(box.machine.state))


def test_a_job_may_wait_for_others_and_for_one_that_was_there() -> None:
    box = Box(cpus=4)
    first = box.submit()
    submit(box, spec("a"), spec("b", after=(Dependency(first),)), links={1: (Link(0),)})
    assert box.machine.state.jobs[3].unmet == {first, 2}


@pytest.mark.parametrize(
    ("bad", "error", "match"),
    [
        (spec("b", request=Request(cpus=5)), Refused, "job 'b': it asks for 5 CPUs on one node"),
        (spec("b", partition="gpu"), Missing, "job 'b': there is no partition 'gpu'"),
        (spec("b", after=(Dependency(77),)), Missing, "job 'b': there is no job 77 to wait for"),
        (spec("", priority=90), Refused, "job number 2: only an operator"),
        (spec("b", after=(Dependency(3),)), Missing, "job 'b': there is no job 3 to wait for yet"),
        (JobSpec(name="b"), UsageError, "job 'b': there is nothing to run"),
        (spec("b", output=b"%%-%r"), UsageError, "job 'b': '%r' in the name of its output file"),
        (spec("b", error=b"100%"), UsageError, "job 'b': '%' in the name of its error file"),
    ],
)
def test_one_that_is_refused_refuses_all(
    bad: JobSpec, error: type[OstlerError], match: str
) -> None:
    box = Box(cpus=4)
    with pytest.raises(error, match=match):
        submit(box, spec("a"), bad, spec("c"))
    assert not box.machine.state.jobs
    assert not [write for write in saved(box.done) if isinstance(write, Job)]
    assert box.submit() == 1


def test_a_circle_is_refused_with_its_members() -> None:
    box = Box()
    specs = [spec(name) for name in ("alone", "a", "b", "c", "behind")]
    links = {1: (Link(2),), 2: (Link(3), Link(0)), 3: (Link(1),), 4: (Link(1),)}
    with pytest.raises(UsageError, match="3 jobs wait for each other: 'a' after 'b' after 'c' af"):
        submit(box, *specs, links=links)
    with pytest.raises(UsageError, match="job 'alone' waits for itself"):
        submit(box, spec("alone"), links={0: (Link(0),)})
    long = [spec(f"j{at}") for at in range(50)]
    with pytest.raises(UsageError, match=r"50 jobs .* 'j8' after 41 more after 'j0'"):
        submit(box, *long, links={at: (Link((at + 1) % 50),) for at in range(50)})


def test_what_no_client_of_ours_sends_is_refused() -> None:
    box = Box()
    with pytest.raises(UsageError, match="0 jobs"):
        submit(box)
    with pytest.raises(UsageError, match="job 'a' waits for a job that is not among the others"):
        submit(box, spec("a"), links={0: (Link(1),)})
    with pytest.raises(UsageError, match="1 jobs have the links of 0"):
        box.ask(SubmittedAll, ANN, "x", (spec("a"),), (), {}, False)
    with pytest.raises(UsageError, match="ok, any"):
        submit(box, spec("a"), spec("b"), links={1: (Link(0, "soon"),)})
    many = (Link(0),) * (limits.MAX_LINKS + 1)
    with pytest.raises(UsageError, match="100001 dependencies among them"):
        submit(box, spec("a"), spec("b"), links={1: many})
    many = (Link(0),) * (limits.MAX_DEPENDENCIES + 1)
    with pytest.raises(UsageError, match="the list of dependencies is too large"):
        submit(box, spec("a"), spec("b"), links={1: many})


def test_a_repeated_submission_is_the_same_jobs() -> None:
    box = Box(cpus=4)
    first = submit(box, spec("a"), spec("b", hold=True))
    assert submit(box, spec("a"), spec("b", hold=True)) == first
    assert len(box.machine.state.jobs) == 2
    assert submit(box, spec("a"), rid="other")["jobs"][0]["id"] == "3"


def test_half_of_a_submission_that_memory_has_lost_is_no_new_one() -> None:
    box = Box()
    submit(box, spec("a"), spec("b"))
    del box.machine.state.requests[ANN.uid, "all/0"]  # as for one that ended long ago
    with pytest.raises(NotNow, match="some of it has ended"):
        submit(box, spec("a"), spec("b"))


def test_the_limit_of_a_user_counts_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_WAITING", 3)
    box = Box()
    box.submit(hold=True)
    with pytest.raises(Refused, match="over 3 unfinished jobs"):
        submit(box, spec("a"), spec("b"), spec("c"))
    submit(box, spec("a"), spec("b"))


def test_nothing_is_taken_while_the_machine_stops() -> None:
    box = Box()
    box.ask(ShutdownAsked, ROOT, "wait")
    with pytest.raises(NotNow, match="being stopped"):
        submit(box, spec("a"))


def test_a_dry_one_tells_of_each_and_leaves_nothing() -> None:
    box = Box(cpus=4)
    links = {2: (Link(0), Link(1, "any"))}
    would = submit(box, spec("a"), spec("b", hold=True), spec(""), links=links, dry=True)["would"]
    assert [(r["name"], r["starts_now"], r["rule"], r["after"]) for r in would] == [
        ("a", 1, "", None),
        ("b", 0, "hold", None),
        ("number 3", 0, "dependency", "a,b:any"),
    ]
    assert all("id" not in row for row in would)
    assert would[0]["expected_start"] == box.now
    assert not box.machine.state.jobs
    assert box.submit() == 1


def test_a_long_chain_ends_with_its_first_job() -> None:
    box = Box()
    specs = [spec(f"j{at}", hold=not at) for at in range(3000)]
    submit(box, *specs, links={at: (Link(at - 1),) for at in range(1, 3000)})
    box.act("cancel", "1")
    assert box.state(3000) == "dependency"
    assert not box.machine.state.jobs
    assert not list(violations(box.machine.state))


def test_the_work_of_a_submission_grows_with_its_size_and_no_faster(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One look at the nodes for each shape, whatever the number of jobs."""
    looked = []

    def holds(*_: object) -> bool:
        looked.append(1)
        return True

    monkeypatch.setattr("ostler.core.fitting.Fitting.holds", holds)
    box = Box()
    box.drain("n1")
    specs = [spec(f"j{at}", request=Request(cpus=1 + at % 2)) for at in range(500)]
    submit(box, *specs, links={at: (Link(at - 1),) for at in range(1, 500)})
    assert len(box.machine.state.jobs) == 500
    assert len(looked) == 2
