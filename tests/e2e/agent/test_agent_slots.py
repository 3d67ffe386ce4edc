"""Slots: fed, withdrawn from, and brought to an end whoever of agent and starter is killed."""

import os
import random
import signal
from collections import Counter

import pytest

from ostler.model.job import TaskExit
from ostler.model.orders import Ended, EndShare, Held, Progress, SignalTasks, Started, Withdraw
from ostler.wire.supervise import process_start
from tests.e2e.agent.kit import Node, children, eventually
from tests.e2e.agent.slots import Slot, codes_of

pytestmark = pytest.mark.e2e

ALL = 400  # elements


def test_a_chunk_runs_and_each_end_is_told_once_before_the_slots_own(alone: Node) -> None:
    slot = Slot(alone, ((3, 5), (8, 9))).order()
    assert (slot.ended().cause, slot.ended().tasks) == ("", ())
    assert slot.codes() == {3: 0, 4: 1, 5: 2, 8: 2, 9: 0}
    assert set(slot.runs().values()) == {1}
    told = [end.index for row in alone.manager.rows if isinstance(row, Progress)
            for end in row.ended]  # fmt: skip
    assert told == [3, 4, 5, 8, 9]
    eventually("the spools are empty", lambda: all(s.alloc is None for s in alone.spools()))


def test_what_is_fed_is_run_once_however_often_it_is_fed(alone: Node) -> None:
    slot = Slot(alone, ((0, 2),), gates=(1,), last=False).order().is_at(1)
    for _ in range(3):
        slot.feed(((0, 5),), last=False)
    slot.release(1)
    alone.manager.until("all were told", lambda: len(slot.told()) == 6)
    eventually("its starter knows that it is heard", lambda: not alone.spool_of(slot.alloc).ends)
    slot.feed((), last=True)
    assert slot.ended().cause == ""
    assert slot.codes() == codes_of(range(6))
    assert set(slot.runs().values()) == {1}


def test_what_is_withdrawn_does_not_run_and_is_given_back(alone: Node) -> None:
    slot = Slot(alone, ((0, 5),), gates=(1,)).order().is_at(1)
    alone.manager.order(Withdraw(slot.alloc, ((3, 4),)))
    alone.manager.until("they are given back", lambda: slot.returned() == [(3, 4)])
    alone.manager.order(SignalTasks(slot.alloc, signal.SIGKILL, 2))  # it does not run
    alone.manager.order(Withdraw(slot.alloc, ((1, 1),), "cancelled", "somebody cancelled it", 5))
    assert slot.ended().cause == ""
    assert slot.codes() == {0: 0, 1: "cancelled", 2: 2, 5: 2}
    assert slot.runs().keys() == {0, 1, 2, 5}


LOSES_A_FEED = """
from ostler.agent import hand
tell = hand.Hand.tell
def lose(self, message):
    if message["type"] == "feed" and not hasattr(hand, "lost"):
        hand.lost = True
        self.starter.link.close("the test cuts it")
    tell(self, message)
hand.Hand.tell = lose
"""


def test_a_starter_that_had_to_connect_again_is_fed_anew(idle: Node) -> None:
    idle.start(LOSES_A_FEED)
    idle.manager.greeting()
    slot = Slot(idle, ((0, 2),), gates=(1,), last=False).order().is_at(1)
    slot.feed(((3, 5),))
    idle.manager.greeting()  # asks to be told what each share holds
    slot.release(1)
    slot.feed(((0, 5),))
    assert slot.ended().cause == ""
    assert slot.runs() == dict.fromkeys(range(6), 1)


def test_a_cancellation_that_died_with_its_starter_reaches_the_element(alone: Node) -> None:
    slot = Slot(alone, ((0, 9),), gates=(1,)).order().is_at(1)
    os.kill(alone.spool_of(slot.alloc).pid, signal.SIGSTOP)
    why = "somebody cancelled it"
    alone.manager.order(
        Withdraw(slot.alloc, ((1, 1),), "cancelled", why, 5), EndShare(999, "cancelled", why)
    )
    alone.manager.row(Ended, 999)  # so the starter was told
    alone.kill_starter(slot.alloc)
    assert slot.ended().cause == ""
    assert slot.codes() == {0: 0, 1: "cancelled"}


def test_the_next_agent_goes_on_with_a_slot_and_tells_what_was_not_acknowledged(
    alone: Node,
) -> None:
    alone.manager.acknowledges = False
    slot = Slot(alone, ((0, 9),), gates=(5,)).order().is_at(5)
    slot.told_some()
    alone.kill_agent()
    alone.start()
    started = alone.manager.row(Started, slot.alloc)
    assert alone.manager.greeting().holds == [Held(slot.alloc, "started", started.at)]
    alone.manager.acknowledges = True
    alone.manager.rows.clear()
    slot.feed(((0, 9),))
    slot.release(5)
    slot.ended()
    assert slot.codes() == codes_of(range(10))
    assert slot.runs() == dict.fromkeys(range(10), 1)


def test_the_next_agent_tells_all_elements_of_a_slot_that_is_over(alone: Node) -> None:
    alone.manager.acknowledges = False
    slot = Slot(alone, ((0, 9),)).order()
    slot.ended()
    alone.kill_agent()
    alone.manager.rows.clear()
    alone.start()
    slot.ended()
    assert slot.codes() == codes_of(range(10))


def test_a_dead_starters_element_goes_on_and_those_behind_it_are_left_to_the_manager(
    alone: Node,
) -> None:
    slot = Slot(alone, ((0, 9),), gates=(5,)).order().is_at(5)
    alone.kill_starter(slot.alloc)
    alone.manager.quiet()
    assert slot.runs().keys() == set(range(6))
    slot.release(5)
    row = slot.ended()
    assert (row.cause, row.started_at) == ("", alone.manager.row(Started, slot.alloc).at)
    assert slot.codes() == codes_of(range(6))
    assert slot.told()[5].tasks == (TaskExit(0, 2),)
    assert slot.runs() == dict.fromkeys(range(6), 1)
    eventually("its spool is gone", lambda: all(s.alloc is None for s in alone.spools()))


def test_a_dead_starters_elements_are_told_by_the_next_agent_too(alone: Node) -> None:
    slot = Slot(alone, ((0, 9),), gates=(5,)).order().is_at(5)
    alone.manager.acknowledges = False
    alone.kill_starter(slot.alloc)
    slot.release(5)
    slot.ended()
    alone.kill_agent()
    alone.manager.rows.clear()
    alone.start()
    slot.ended()
    assert slot.codes().keys() >= {5}
    assert slot.codes().items() <= codes_of(range(6)).items()


def test_a_dead_starters_time_limit_is_the_elements_own(alone: Node) -> None:
    slot = Slot(alone, ((0, 9),), gates=(1,), time_limit=2, grace=1).order().is_at(1)
    alone.kill_starter(slot.alloc)
    assert slot.ended().cause == ""
    assert slot.codes() == {0: 0, 1: "timeout"}


def test_a_slot_whose_starter_dies_before_it_began_is_over_and_did_not_run(alone: Node) -> None:
    first = alone.job().run()
    first.release()
    first.ended()
    eventually("its starter is idle", lambda: all(s.alloc is None for s in alone.spools()))
    [zygote] = children(alone.agent)
    for pid in (zygote, *children(zygote)):
        os.kill(pid, signal.SIGSTOP)
    journal = alone.state / "node" / "journal"
    before = journal.read_bytes().count(b"handed")
    slot = Slot(alone, ((0, 9),))
    alone.manager.order(slot.launch)
    slot.feed(((10, 12),))
    eventually("it is handed out", lambda: journal.read_bytes().count(b"handed") > before)
    for pid in children(zygote):
        os.kill(pid, signal.SIGKILL)
    os.kill(zygote, signal.SIGCONT)
    row = slot.ended()
    assert (row.started_at, row.cause, slot.told(), slot.runs()) == (None, "", {}, {})


def test_agent_and_starter_die_together_in_the_middle_of_a_chunk(kept: Node) -> None:
    slot = Slot(kept, ((0, 9),), gates=(5,)).order().is_at(5)
    os.kill(kept.agent, signal.SIGSTOP)
    os.kill(kept.agent, signal.SIGKILL)
    kept.kill_starter(slot.alloc)
    slot.release(5)
    assert slot.ended().cause == ""
    assert slot.codes() == codes_of(range(6))
    assert slot.runs() == dict.fromkeys(range(6), 1)


def test_only_the_element_that_ran_without_a_reaper_of_ours_is_lost(alone: Node) -> None:
    slot = Slot(alone, ((0, 9),), gates=(5,)).order().is_at(5)
    starter = alone.spool_of(slot.alloc).pid
    alone.kill_agent()
    os.kill(starter, signal.SIGKILL)
    slot.release(5)
    alone.start()
    assert slot.ended().cause == ""
    assert slot.codes() == {**codes_of(range(5)), 5: "lost"}


def test_no_element_is_lost_or_runs_twice_whoever_is_killed(kept: Node) -> None:
    rng = random.Random(11)
    waiting, codes, runs = set(range(ALL)), dict[int, int | str](), Counter[int]()
    while waiting:
        halves = [sorted(waiting)[part::2] for part in (0, 1)]
        now = [Slot(kept, tuple((i, i) for i in half)) for half in halves if half]
        for slot in now:
            slot.order()
        now[0].told_some()
        victims = [kept.agent, *(s.pid for s in kept.spools())]
        for pid in rng.sample(victims, rng.randint(1, len(victims))):
            if process_start(pid):
                os.kill(pid, signal.SIGKILL)
        kept.manager.hang_up()
        held = {held.alloc for held in kept.manager.greeting().holds}
        for slot in now:
            assert slot.alloc in held or slot.is_over
            slot.feed(slot.elements)
        for slot in now:
            assert slot.ended().cause == ""
            codes.update(slot.codes())
            runs += slot.runs()
        waiting -= codes.keys()
    assert codes == codes_of(range(ALL))
    assert runs == dict.fromkeys(range(ALL), 1)
