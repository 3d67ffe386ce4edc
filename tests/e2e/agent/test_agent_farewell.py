"""A node that is a job of another resource manager, which ends what runs there along with it."""

import time
from pathlib import Path

import pytest

from ostler.model.orders import Ended
from tests.e2e.agent.kit import node
from tests.e2e.agent.slots import Slot

pytestmark = pytest.mark.e2e

MOMENT = "from ostler.agent import farewell; farewell.MOMENT = {}"  # seconds


def test_what_failed_just_before_the_node_ends_has_not_failed(tmp_path: Path) -> None:
    with node(tmp_path, start=False, until=time.time() + 3600) as pilot:
        pilot.start(MOMENT.format(3600))
        pilot.manager.greeting()
        slot = Slot(pilot, ((0, 3),), gates=(1, 3)).order().is_at(1)
        pilot.manager.until("the first was told", slot.told)
        job = pilot.job("kill -TERM $$").run()
        job.release()
        slot.release(1)
        slot.is_at(3)
        good = pilot.job("exit 0").run()
        good.release()
        assert good.ended().cause == ""  # is told at once
        pilot.manager.quiet()
        pilot.stop()
        pilot.manager.quiet()
        assert slot.codes() == {0: 0}
        assert [row.alloc for row in pilot.manager.rows if isinstance(row, Ended)] == [good.alloc]


def test_what_fails_on_a_node_that_stays_is_told_in_order(tmp_path: Path) -> None:
    with node(tmp_path, start=False, until=time.time() + 3600) as pilot:
        pilot.start(MOMENT.format(0.1))
        pilot.manager.greeting()
        slot = Slot(pilot, ((0, 5),)).order()
        assert slot.ended().cause == ""
        assert slot.codes() == {index: index % 3 for index in range(6)}
