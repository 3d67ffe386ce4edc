"""When nodes were last heard of and looked at: written without haste, shown as it is in memory."""

from pathlib import Path

import pytest

from ostler.model.errors import Refused, StaleEpoch
from ostler.model.record import Moment
from ostler.store import query
from ostler.store.sqlite import sandbox
from tests.store.builders import Held, a_node

SEEN = "SELECT name, last_update, checked_at FROM nodes"


def test_moments_are_kept_beside_the_record_and_survive_its_changes(tmp_path: Path) -> None:
    held = Held(tmp_path / "a.db")
    held.commit(a_node("n1"), a_node("n2"))
    held.store.put_moments([Moment("n1", 5.0, 6.0), Moment("n9", 1.0, 1.0)], held.epoch)
    held.commit(a_node("n1", word_reason="new disk"))
    rows = {row["name"]: row for row in held.store.nodes()}
    assert rows.keys() == {"n1", "n2"}
    assert (rows["n1"]["last_update"], rows["n1"]["checked_at"]) == (5.0, 6.0)
    assert rows["n1"]["word_reason"] == "new disk"
    assert rows["n2"]["last_update"] is None
    with pytest.raises(StaleEpoch):
        held.store.put_moments([Moment("n1", 7.0, 7.0)], held.epoch + 1)
    held.store.close()


def test_a_query_sees_moments_as_they_are_now(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    held = Held(path)
    held.commit(a_node("n1"), a_node("n2"))
    held.store.put_moments([Moment("n1", 5.0, 6.0)], held.epoch)
    fresh = [Moment("n1", 8.0, None), Moment("n2", None, 9.0)]
    found = sandbox.run(str(path), query.Ask(SEEN, "bob", moments=fresh))
    assert found.rows == [("n1", 8.0, 6.0), ("n2", None, 9.0)]
    counted = sandbox.run(str(path), query.Ask("SELECT count(*) FROM nodes", "bob", moments=fresh))
    assert counted.rows == [(2,)]
    held.store.close()


def test_the_daemons_are_a_table(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    held = Held(path)
    held.commit(a_node("n1"), a_node("n2"), a_node("n3", gone=True))
    held.store.put_moments([Moment("n1", 5.0, 6.0, 77, 4.0)], held.epoch)
    found = sandbox.run(str(path), query.Ask("SELECT * FROM servers", "bob"))
    assert found.columns == ["daemon", "host", "pid", "started_at", "status"]
    manager, *agents = found.rows
    assert manager[0::4] == ("manager", "running")
    assert manager[3] > 1e9
    assert agents == [("agent", "n1", 77, 4.0, "no_agent"), ("agent", "n2", None, None, "no_agent")]
    now = [Moment("n1", None, 8.0, 78, 7.0), Moment("n2", None, 8.0)]
    found = sandbox.run(str(path), query.Ask("SELECT pid FROM servers", "bob", moments=now))
    assert found.rows[1:] == [(78,), (None,)]
    held.store.close()


@pytest.mark.parametrize("sql", ["DELETE FROM events", "UPDATE events SET text = 'nothing was'"])
def test_what_is_on_record_cannot_be_changed_by_anybody(tmp_path: Path, sql: str) -> None:
    """R-RMS-8: refused, which is exit status 3."""
    path = tmp_path / "a.db"
    held = Held(path)
    with pytest.raises(Refused) as caught:
        sandbox.run(str(path), query.Ask(sql, "root", admin=True))
    assert caught.value.exit_status == 3
    held.store.close()


@pytest.mark.parametrize("sql", ["SELECT * FROM fresh_", "SELECT * FROM temp.fresh_"])
def test_what_is_laid_over_the_table_cannot_be_named(tmp_path: Path, sql: str) -> None:
    path = tmp_path / "a.db"
    held = Held(path)
    with pytest.raises(Refused, match="may not be read"):
        sandbox.run(str(path), query.Ask(sql, "bob", moments=[Moment("n1", 1.0, 1.0)]))
    held.store.close()
