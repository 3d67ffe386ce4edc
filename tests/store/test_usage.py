"""What accounts used: attempts count by the part of their time that lies in a period."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ostler.model.errors import UsageError
from ostler.model.ids import step_id
from ostler.model.job import Usage
from ostler.model.record import Accounting
from ostler.model.states import JobState
from ostler.store import query
from ostler.store.days import day_of
from ostler.store.sqlite import sandbox
from ostler.store.sqlite.connection import connect
from ostler.store.usage import rows_of, usage
from tests.store.builders import Held, a_job, an_allocation, an_attempt

Rows = list[dict[str, Any]]
Ask = Callable[..., Rows]


NOW = 1e9


def answers(path: Path, now: float = NOW) -> Ask:
    def ask(*spans: tuple[str, float, float], by: tuple[str, ...] = (), **only: str) -> Rows:
        sql, values = usage(spans, by, now=now, **only)
        found = sandbox.run(str(path), query.Ask(sql, "bob", values=values))
        return rows_of({"columns": found.columns, "rows": found.rows})

    return ask


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    path = tmp_path_factory.mktemp("usage") / "ostler.db"
    held = Held(path)
    used = Usage(30.0, 10.0, 1 << 20, 500, 700, 20.0)  # 20 s of it suspended
    held.commit(
        an_attempt(1, cpus=4, gpus=1, memory=100, granted_at=100.0, ended_at=220.0, usage=used),
        an_attempt(2, job=2, user="bob", project="p", granted_at=150.0, ended_at=250.0),
        an_attempt(3, job=2, attempt=2, user="bob", project="p", granted_at=250.0, ended_at=260.0),
        an_attempt(4, job=3, user="bob", granted_at=255.0, ended_at=255.0, result="failed"),
        an_attempt(5, job=4, user="bob", granted_at=100.0, ended_at=110.0, result="requeued"),
        an_attempt(6, job=step_id(4, 0), user="bob", granted_at=100.0, ended_at=110.0),
    )
    yield answers(path)
    held.store.close()


def test_all_of_it_is_summed_and_steps_are_not_counted_twice(ask: Ask) -> None:
    [ann, bob] = ask(("", 0.0, 1e9), by=("user",))
    assert (ann["user"], ann["jobs"], ann["attempts"], ann["unsuccessful"]) == ("ann", 1, 1, 0)
    assert (ann["held_cpu_seconds"], ann["used_cpu_seconds"]) == (400.0, 40.0)
    assert (ann["held_gpu_seconds"], ann["held_memory_byte_seconds"]) == (100.0, 10_000.0)
    assert (ann["read_bytes"], ann["written_bytes"], ann["max_rss"]) == (500, 700, 1 << 20)
    assert ann["efficiency"] == 0.1
    assert (bob["jobs"], bob["attempts"], bob["unsuccessful"]) == (3, 4, 1)
    assert bob["held_cpu_seconds"] == 120.0


def test_an_attempt_across_an_edge_counts_in_both_periods_by_its_parts(ask: Ask) -> None:
    [early, late] = ask(("a", 0.0, 160.0), ("b", 160.0, 300.0), by=("user",), user="ann")
    assert (early["period"], early["attempts"], early["held_cpu_seconds"]) == ("a", 0, 200.0)
    assert (late["period"], late["attempts"], late["held_cpu_seconds"]) == ("b", 1, 200.0)


def test_only_what_is_asked_for_is_counted(ask: Ask) -> None:
    [row] = ask(("", 0.0, 1e9), by=("project", "user"), project="p")
    assert (row["project"], row["user"], row["attempts"]) == ("p", "bob", 2)
    assert ask(("", 0.0, 1e9), partition="nosuch") == []
    assert ask(("", 300.0, 400.0)) == []


def test_a_key_that_is_no_column_of_an_account_is_refused() -> None:
    with pytest.raises(UsageError, match="user, project, partition"):
        usage([("", 0.0, 1.0)], ["uid) FROM x --"], now=NOW)


def test_what_runs_counts_until_now_and_not_as_ended(tmp_path: Path) -> None:
    held = Held(tmp_path / "ostler.db")
    held.commit(
        *(a_job(n, state=JobState.RUNNING) for n in (1, 2, 3)),
        replace(an_allocation(1, job=1), granted_at=900.0),
        replace(an_allocation(2, job=2), granted_at=900.0, suspended_at=960.0, suspended=10.0),
        replace(an_allocation(3, job=3), granted_at=900.0, slot=True, running=4, since=980.0),
        replace(an_allocation(4, job=3), granted_at=900.0, state="released"),
        an_attempt(4, job=3, granted_at=900.0, ended_at=980.0, usage=Usage(20.0)),
    )
    ask = answers(tmp_path / "ostler.db", now=1000.0)
    cpus = sum(len(share.cpus) for share in an_allocation(1).placements)
    [whole] = ask(("", 0.0, 2000.0))
    assert (whole["running"], whole["jobs"], whole["attempts"]) == (3, 1, 1)
    assert whole["held_cpu_seconds"] == pytest.approx(80 + cpus * (100 + 50 + 20))
    assert whole["efficiency"] == 0.25  # what the kernel told of the ended one
    parts = ask(("a", 0.0, 950.0), ("b", 950.0, 990.0), ("c", 990.0, 2000.0))
    assert sum(row["held_cpu_seconds"] for row in parts) == pytest.approx(whole["held_cpu_seconds"])
    assert ask(("", 1001.0, 2000.0)) == []
    held.store.close()


def test_a_job_counts_once_on_the_day_on_which_its_first_attempt_ended(tmp_path: Path) -> None:
    held = Held(tmp_path / "ostler.db")
    monday = day_of(NOW - 5 * 86_400)
    for attempt, at in enumerate((monday.until - 60.0, monday.until + 60.0), start=1):
        held.commit(
            *(an_attempt(i, job=1, element=i, attempt=attempt, granted_at=at - 5, ended_at=at)
              for i in (1, 2))
        )  # fmt: skip
    tuesday = day_of(monday.until)
    ask = answers(tmp_path / "ostler.db")
    rows = ask(("mon", *monday), ("tue", *tuesday))
    assert [(row["jobs"], row["attempts"]) for row in rows] == [(1, 2), (0, 2)]
    held.store.close()


def test_whole_days_are_read_from_their_sums(tmp_path: Path) -> None:
    held = Held(tmp_path / "ostler.db")
    day = day_of(NOW - 5 * 86_400)
    attempt = an_attempt(1, granted_at=day.since, ended_at=day.since + 100.0)
    held.commit(attempt)
    held.store.drop_accounts(held.epoch, [(1, attempt.job, 0, 1, 0)])  # its time is over
    ask = answers(tmp_path / "ostler.db")
    assert [row["held_cpu_seconds"] for row in ask(("", *day))] == [100.0]
    assert ask(("", day.since, day.since + 200.0)) == []
    held.store.close()


# Hours over some days, in which this host's calendar may change its clocks.
moments = st.integers(0, 150).map(lambda hours: NOW + 1_800.0 + 3_600.0 * hours)


@settings(max_examples=25)  # each makes a database
@given(
    st.lists(st.tuples(moments, moments, st.integers(1, 8)), min_size=1, max_size=8),
    st.lists(moments, max_size=4),
)
def test_the_parts_of_a_time_add_up_to_the_whole(
    tmp_path_factory: pytest.TempPathFactory,
    attempts: list[tuple[float, float, int]],
    edges: list[float],
) -> None:
    rows: list[Accounting] = [
        an_attempt(i, job=i, granted_at=min(a, b), ended_at=max(a, b), cpus=cpus)
        for i, (a, b, cpus) in enumerate(attempts)
    ]
    path = tmp_path_factory.getbasetemp() / "parts.db"
    path.unlink(missing_ok=True)
    held = Held(path)
    held.commit(*rows)
    ask = answers(path, now=1.5 * NOW)
    days = {day_of(edge).since for edge in edges[::2]}
    marks = sorted({0.0, *edges, *days, 2 * NOW})
    parts = ask(*((f"{low}", low, high) for low, high in pairwise(marks)))
    [whole] = ask(("", 0.0, 2 * NOW))
    held.store.close()
    for key in ("attempts", "held_cpu_seconds"):
        assert sum(row[key] for row in parts) == pytest.approx(whole[key])
    total = sum((r.ended_at - r.granted_at) * r.cpus for r in rows)
    assert whole["held_cpu_seconds"] == pytest.approx(total)


def test_the_ends_of_a_stretch_are_found_by_time_and_not_by_looking_at_all(tmp_path: Path) -> None:
    held = Held(tmp_path / "ostler.db")
    held.commit(an_attempt(1))
    sql, values = usage([("", NOW - 100_000.0, NOW - 50_000.0)], ("user",), now=NOW)
    conn = connect(str(tmp_path / "ostler.db"), read_only=True)
    plan = [row[3] for row in conn.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
    conn.close()
    held.store.close()
    assert "SEARCH a USING INDEX accounting_by_end (ended_at>?)" in plan
    assert "SCAN a USING INDEX allocations_held" in plan
