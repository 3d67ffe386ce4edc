"""A request that is repeated when memory has forgotten it is answered from the database."""

from types import SimpleNamespace
from typing import Any

from ostler.core.events import Submitted, SubmittedAll
from ostler.core.workflow import part_id
from ostler.manager.native import Blobs
from ostler.manager.submissions import Submissions
from ostler.model.caller import Caller
from ostler.model.job import JobSpec
from ostler.model.site import SHIPPED
from ostler.wire import messages
from tests.store.builders import Held, a_job

ANN = Caller(1000, 1000, "ann")


class Said(list[Any]):
    """A client that keeps what it is told."""

    caller = ANN
    say = list.append


def without_memory(held: Held) -> Submissions:
    state = SimpleNamespace(requests={}, next_job=1, ended=(), recent=(), site=SHIPPED)
    turns: Any = SimpleNamespace(machine=SimpleNamespace(state=state))
    reads: Any = None  # what the jobs here name has to be recalled from nowhere
    return Submissions(held.store, turns, Blobs(held.store.blob), reads, system=False)


def test_one_is_the_same_job(held: Held) -> None:
    submissions, client = without_memory(held), Said()
    request = messages.Submit(7, "r", JobSpec())
    asker: Any = client
    assert isinstance(submissions.one(asker, request, 1), Submitted)
    held.commit(a_job(5, uid=1000, request_id="r"))
    assert submissions.one(asker, request, 2) is None
    assert client == [messages.Reply(7, {"job": "5"})]


def test_several_are_the_same_jobs(held: Held) -> None:
    submissions, client = without_memory(held), Said()
    parts = [messages.Part(JobSpec(name="a")), messages.Part(JobSpec(name="b"))]
    request = messages.SubmitAll(7, "r", parts)
    asker: Any = client
    assert isinstance(submissions.several(asker, request, 1), SubmittedAll)
    held.commit(*(a_job(5 + n, uid=1000, request_id=part_id("r", n)) for n in range(2)))
    assert submissions.several(asker, request, 2) is None
    rows = [{"id": "5", "name": "a"}, {"id": "6", "name": "b"}]
    assert client == [messages.Reply(7, {"jobs": rows})]
