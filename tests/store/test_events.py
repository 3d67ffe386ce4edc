"""Events that grow old, and how far subscribers have read."""

import pytest

from ostler.model.errors import StaleEpoch
from ostler.model.record import Answered, Dealt, Posting, Subscriber
from tests.store.builders import Held, an_event


def serials(held: Held) -> list[int]:
    return [row["serial"] for row in held.store.events()]


def test_old_events_go_some_at_a_time_and_the_newest_stays(held: Held) -> None:
    held.commit(*[an_event(serial) for serial in range(1, 6)])  # each at 100 + its serial
    held.store.drop_events(held.epoch, 103.0, 1 << 62, 1)
    assert serials(held) == [2, 3, 4, 5]
    held.store.drop_events(held.epoch, 104.0, 3, 100)
    assert serials(held) == [3, 4, 5]
    held.store.drop_events(held.epoch, 1e9, 1 << 62, 100)
    assert serials(held) == [5]
    assert (held.store.oldest_event(), held.store.load().next_event) == (5, 6)


def test_nothing_is_dropped_in_the_name_of_an_old_epoch(held: Held) -> None:
    held.commit(an_event(1), an_event(2))
    with pytest.raises(StaleEpoch):
        held.store.drop_events(held.epoch - 1, 1e9, 1 << 62, 100)
    assert serials(held) == [1, 2]


def test_a_request_to_post_is_known_as_long_as_its_event(held: Held) -> None:
    held.commit(an_event(1), Posting(1000, "r", 1), an_event(2))
    found = held.store.find_post("r", 1000)
    assert found is not None
    assert found["serial"] == 1
    assert held.store.find_post("r", 1001) is None
    held.store.drop_events(held.epoch, 1e9, 1 << 62, 100)
    assert held.store.find_post("r", 1000) is None


def test_what_a_change_was_answered_is_known_as_long_as_the_events_of_its_time(held: Held) -> None:
    held.commit(an_event(1), Answered(0, "r", 101.0, "{}"))  # an event is at 100 + its serial
    held.commit(an_event(2))
    assert held.store.find_answered("r", 0) == "{}"
    assert held.store.find_answered("r", 1000) is None
    held.store.drop_events(held.epoch, 1e9, 1 << 62, 100)
    assert held.store.find_answered("r", 0) is None


def test_subscribers_come_back_until_they_are_forgotten(held: Held) -> None:
    held.commit(Subscriber(1000, "mirror", "ann", 4, 1.0))
    held.commit(
        Subscriber(1000, "mirror", "ann", 9, 2.0), Subscriber(1001, "mirror", "bob", 1, 1.0)
    )
    assert [(row.uid, row.serial) for row in held.store.load().subscribers] == [
        (1000, 9),
        (1001, 1),
    ]
    held.commit(Subscriber(1000, "mirror", "ann", None, 3.0))
    assert [row.uid for row in held.store.load().subscribers] == [1001]


def test_who_first_dealt_with_an_event_stays_the_one(held: Held) -> None:
    held.commit(an_event(1, "user/fire"), an_event(2))
    held.commit(Dealt(1, "ann", 5.0, "water"), Dealt(7, "ann", 5.0, "no such event"))
    held.commit(Dealt(1, "bob", 6.0, "sand"))
    assert held.store.dealt([1, 2, 7]) == {1: ("ann", 5.0, "water")}
    [row] = held.store.handled(user="ann", handler="by-hand", unfinished=False)
    assert (row["event"], row["kind"], row["reason"]) == (1, "user/fire", "water")
