"""An administrator moves a job up the queue."""

import pytest

from ostler.core.delta import snapshot
from ostler.core.events import Modified
from ostler.model.caller import Caller
from ostler.model.errors import Refused, UsageError
from ostler.model.ids import parse_ref
from tests.unit.core_kit import ANN, ROOT, Box


def boost(box: Box, job: int, by: Caller, **changes: object) -> None:
    box.ask(Modified, by, parse_ref(str(job)), changes)


def test_a_boost_is_an_administrators_to_give() -> None:
    box = Box(cpus=1)
    box.submit()
    job = box.submit()
    with pytest.raises(Refused, match="ann may not give a job a boost; an operator may"):
        boost(box, job, ANN, boost=1)
    with pytest.raises(Refused, match="ann may not give a job a boost; an operator may"):
        box.submit(boost=1)
    with pytest.raises(UsageError, match="--boost cannot be 101"):
        boost(box, job, ROOT, boost=101)
    boost(box, job, ROOT, boost=40)
    assert [(v.job, v.boost) for v in snapshot(box.machine.state, box.now).waiting] == [(job, 40)]


def test_its_owner_may_change_the_rest_of_a_boosted_job_and_give_the_boost_back() -> None:
    box = Box(cpus=1)
    box.submit()
    job = box.submit()
    boost(box, job, ROOT, boost=40)
    boost(box, job, ANN, time_limit=60)
    boost(box, job, ANN, boost=10)
    with pytest.raises(Refused):
        boost(box, job, ANN, boost=11)
