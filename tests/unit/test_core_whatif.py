"""What is supposed of a job or of the machine is answered, and nothing of it happens."""

import pickle
from typing import Any

import pytest

from ostler.client import spec
from ostler.core.explain import settled
from ostler.core.whatif import prepare_if
from ostler.model.errors import Missing, NotNow, Refused, UsageError
from ostler.model.ids import Ref
from ostler.model.job import JobSpec
from ostler.model.resources import Request
from ostler.model.suppose import REQUEST_KEYS, SPEC_KEYS, MoreNodes, Supposed
from tests.unit.core_kit import ANN, BOB, Box

MORE = (MoreNodes(1),)


@pytest.fixture
def box() -> Box:
    """A node of 4 CPUs, of which 3 are busy for 600 s; job 2 needs all for an hour, job 3 one."""
    box = Box()
    box.submit(request=Request(cpus=3), time_limit=600)
    box.start(1)
    box.submit(request=Request(cpus=4), time_limit=3600)
    box.submit(time_limit=3600)
    return box


def ask(box: Box, job: int | None = None, **supposed: Any) -> dict[str, Any]:
    """Return the answer."""
    ref = Ref(job) if job is not None else None
    s = box.machine.state
    return settled(s, box.now, prepare_if(s, box.now, ANN, ref, Supposed(**supposed)))


def test_both_starts_and_their_difference_are_told(box: Box) -> None:
    answer = ask(box, 3, time_limit=600)
    assert answer["before"]["rule"] == "behind"
    assert answer["before"]["expected_start"] == 100 + 600 + 3600
    assert answer["after"]["expected_start"] == 100
    assert answer["after"]["starts_now"] == 1
    assert answer["difference_seconds"] == -(600 + 3600)
    assert answer["answer"] == "it would start now on n1"


def test_more_nodes_are_enough_for_all(box: Box) -> None:
    answer = ask(box, 2, more=MORE)
    assert answer["answer"] == "it would start now on more1"
    assert answer["supposed_nodes"][0].startswith("1 more node of 4 CPUs")


def test_a_new_job_is_told_when_it_would_start(box: Box) -> None:
    answer = ask(box, cpus=2, time_limit=60)
    assert (answer["id"], answer["before"]) == (None, None)
    assert answer["after"]["expected_start"] == 100 + 600 + 3600
    assert answer["answer"] == "it would start in 1h 10m"


def test_of_a_new_job_on_another_machine_before_is_that_job_on_this_one(box: Box) -> None:
    answer = ask(box, cpus=2, time_limit=60, more=(MoreNodes(2),))
    assert answer["before"]["expected_start"] == 100 + 600 + 3600
    assert answer["answer"] == "it would start now on more2"  # job 2 takes more1
    assert answer["difference_seconds"] == -(600 + 3600)


def test_what_no_machine_here_could_hold_may_fit_on_more_nodes(box: Box) -> None:
    with pytest.raises(Refused, match="asks for 8 tasks"):
        ask(box, tasks=8)
    assert ask(box, tasks=8, more=(MoreNodes(2),))["after"]["starts_now"] == 0


def test_an_array_is_told_how_much_of_it_would_start(box: Box) -> None:
    answer = ask(box, array=((0, 9),), time_limit=60, more=(MoreNodes(2),))
    assert answer["answer"] == "4 of its elements would start now, the first on more2"
    assert answer["difference_seconds"] == 0  # one of them could start as it is


def test_no_start_is_told_with_what_keeps_everybody_from_telling(box: Box) -> None:
    answer = ask(box, 2, without=("n1",))
    assert answer["after"]["rule"] == "nodes"
    assert answer["answer"] == (
        "it would wait, and nobody can tell how long:"
        " nobody knows when node n1 will be usable again"
    )


def test_nothing_of_it_happens(box: Box) -> None:
    before = pickle.dumps(box.machine.state)
    ask(box, 3, time_limit=600, priority=90, more=MORE)
    ask(box, cpus=2, partition="main", array=((0, 9),))
    with pytest.raises(Refused):
        ask(box, 2, cpus=400)
    assert pickle.dumps(box.machine.state) == before


@pytest.mark.parametrize(
    ("job", "supposed", "error", "text"),
    [
        (3, {}, UsageError, "nothing is supposed"),
        (9, {"cpus": 1}, Missing, "no job 9"),
        (1, {"cpus": 1}, NotNow, "nothing of job 1 waits; it is running"),
        (3, {"cpus": 0}, UsageError, "--cpus cannot be 0"),
        (3, {"partition": "nowhere"}, Missing, "there is no partition 'nowhere'"),
        (3, {"without": ("n7",)}, Missing, "there is no node 'n7'"),
        (3, {"nodelist": ("n7",)}, Refused, "nodes that partition 'main' has not"),
    ],
)
def test_what_cannot_be_is_refused(
    box: Box, job: int, supposed: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        ask(box, job, **supposed)


def test_a_limit_of_the_user_refuses_what_alone_exceeds_it(box: Box) -> None:
    box.configure("max-cpus-per-user", "3")
    with pytest.raises(Refused, match="ann may hold 3"):
        ask(box, cpus=4)


def test_anybody_may_suppose_any_priority(box: Box) -> None:
    s = box.machine.state
    answer = settled(s, box.now, prepare_if(s, box.now, BOB, Ref(3), Supposed(priority=90)))
    assert answer["after"]["starts_now"] == 1


def test_what_may_be_supposed_are_fields_of_a_job() -> None:
    assert Request.__struct_fields__ == spec.REQUEST_KEYS  # what clients know without msgspec
    assert set(REQUEST_KEYS) <= set(Request.__struct_fields__)
    assert set(SPEC_KEYS) <= set(JobSpec.__struct_fields__)
    assert {*SPEC_KEYS, *REQUEST_KEYS, "more", "without"} == set(Supposed.__struct_fields__)
