"""One manager at a time may write, and the next one's epoch is higher."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ostler.model.errors import NotNow, StaleEpoch
from ostler.store.sqlite.store import SqliteStore
from tests.store.builders import Held, a_job, take


def test_the_first_manager_gets_the_first_epoch(held: Held) -> None:
    assert held.epoch == 1


def test_a_role_in_use_is_refused_with_its_holder(held: Held) -> None:
    with pytest.raises(NotNow, match=r"'manager-10' \(pid 10\) has the role machine for another 4"):
        take(held.store, pid=11, now=6.0)
    held.commit(a_job())


@pytest.mark.parametrize(
    ("pid", "boot_id", "now", "alive"),
    [
        pytest.param(11, "boot-1", 10.0, True, id="its lease is over"),
        pytest.param(11, "boot-2", 1.0, True, id="its lease is of another boot"),
        pytest.param(11, "boot-1", 1.0, False, id="its holder is dead"),
        pytest.param(10, "boot-1", 1.0, True, id="its holder asks again"),
    ],
)
def test_a_role_is_taken_over_when(
    held: Held, pid: int, boot_id: str, now: float, *, alive: bool
) -> None:
    epoch = take(held.store, pid=pid, boot_id=boot_id, now=now, alive=alive)
    assert epoch == held.epoch + 1
    with pytest.raises(StaleEpoch):
        held.commit(a_job())
    held.store.commit([a_job()], epoch)


def test_of_several_roles_all_are_taken_or_none(held: Held) -> None:
    held.store.drop_role(held.epoch)
    other = take(held.store, ["partition:main"], pid=11)
    with pytest.raises(NotNow, match="partition:main"):
        take(held.store, ["machine", "partition:main"], pid=12)
    assert take(held.store, ["machine"], pid=13) == other + 1


def test_an_epoch_never_comes_again(held: Held) -> None:
    held.store.drop_role(held.epoch)
    assert take(held.store, ["partition:night"]) == held.epoch + 1
    assert take(held.store) == held.epoch + 2


def test_a_renewed_lease_lasts_from_then_on(held: Held) -> None:
    held.store.renew(held.epoch, now_boottime=9.0, lease_seconds=10.0)
    with pytest.raises(NotNow, match="another 1 seconds"):
        take(held.store, pid=11, now=18.0)
    assert take(held.store, pid=11, now=19.0) == held.epoch + 1


def test_a_lease_that_was_taken_over_cannot_be_renewed(held: Held) -> None:
    take(held.store, pid=11, now=60.0)
    with pytest.raises(StaleEpoch):
        held.store.renew(held.epoch, now_boottime=61.0, lease_seconds=10.0)


def test_a_role_that_was_given_back_is_free_at_once(held: Held) -> None:
    held.store.drop_role(held.epoch)
    with pytest.raises(StaleEpoch):
        held.store.renew(held.epoch, now_boottime=1.0, lease_seconds=10.0)
    assert take(held.store, pid=11) == held.epoch + 1


def test_giving_back_an_old_epoch_takes_nothing_from_the_new_holder(held: Held) -> None:
    epoch = take(held.store, pid=11, now=60.0)
    held.store.drop_role(held.epoch)
    held.store.commit([a_job()], epoch)


def test_of_many_who_ask_at_once_one_is_granted(path: Path) -> None:
    def ask(pid: int) -> int | None:
        store = SqliteStore.open(str(path))
        try:
            return take(store, pid=pid)
        except NotNow:
            return None
        finally:
            store.close()

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(1, 9)))
    assert [epoch for epoch in answers if epoch] == [1]
