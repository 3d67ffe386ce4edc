"""What accounts used: attempts count by the part of their time that lies in a period."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostler.model.errors import UsageError
from ostler.model.ids import step_id
from ostler.model.job import Usage
from ostler.model.record import Accounting
from ostler.store import query
from ostler.store.sqlite import sandbox
from ostler.store.usage import rows_of, usage
from tests.store.builders import Held, an_attempt

Rows = list[dict[str, Any]]
Ask = Callable[..., Rows]


def answers(path: Path) -> Ask:
    def ask(*spans: tuple[str, float, float], by: tuple[str, ...] = (), **only: str) -> Rows:
        sql, values = usage(spans, by, **only)
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
        usage([("", 0.0, 1.0)], ["uid) FROM x --"])


moments = st.integers(0, 100).map(float)


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
    ask = answers(path)
    marks = sorted({0.0, *edges, 101.0})
    parts = ask(*((f"{low}", low, high) for low, high in pairwise(marks)))
    [whole] = ask(("", 0.0, 101.0))
    held.store.close()
    for key in ("attempts", "held_cpu_seconds"):
        assert sum(row[key] for row in parts) == pytest.approx(whole[key])
    assert whole["held_cpu_seconds"] == sum((r.ended_at - r.granted_at) * r.cpus for r in rows)
