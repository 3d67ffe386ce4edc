"""`ostler jobs --tree`: what is drawn of a graph."""

import pytest

from ostler.cli.output import Row
from ostler.cli.tree import drawn, edges


def row(number: int, after: str = "", **more: object) -> Row:
    return {
        "id": str(number),
        "name": f"j{number}",
        "state": "pending",
        "elements": "-",
        "rule": "dependency",
        "after": after or None,
    } | more


@pytest.mark.parametrize(
    ("rows", "lines"),
    [
        ([row(1), row(2)], ["1  j1  pending", "2  j2  pending"]),
        (
            [row(1), row(2, "1"), row(3, "1:any"), row(4, "2,3")],
            [
                "1  j1  pending",
                "├─ 2  j2  pending",
                "└─ 3  j3  pending  (any)",
                "   └─ 4  j4  pending  after 2",
            ],
        ),
        (
            [row(1), row(2, "1"), row(3, "2"), row(4, "1"), row(5)],
            [
                "1  j1  pending",
                "├─ 2  j2  pending",
                "│  └─ 3  j3  pending",
                "└─ 4  j4  pending",
                "5  j5  pending",
            ],
        ),
        ([row(7, "3,4:any")], ["7  j7  pending  after 3, 4:any"]),
        ([row(2, "9"), row(9)], ["9  j9  pending", "└─ 2  j2  pending"]),
        (
            [row(1, rule="", state="running", elements="3/9", why="n1"), row(10)],
            ["1   j1  running  3/9  n1", "10  j10  pending"],
        ),
    ],
)
def test_each_job_stands_once_below_what_it_waits_for(rows: list[Row], lines: list[str]) -> None:
    assert drawn(rows, 0).splitlines() == lines


def test_a_long_chain_fits_the_terminal() -> None:
    rows = [row(1)] + [row(n, str(n - 1)) for n in range(2, 2001)]
    lines = drawn(rows, 60).splitlines()
    assert len(lines) == 2000
    assert max(map(len, lines)) <= 60
    assert all(f"  j{n}  pending" in line for n, line in enumerate(lines, 1))


def test_many_edges_make_no_more_lines_than_jobs() -> None:
    wide = ",".join(map(str, range(1, 101)))
    rows = [row(n) for n in range(1, 101)] + [row(n, wide) for n in range(101, 201)]
    assert len(drawn(rows, 80).splitlines()) == 200
    assert len(edges(rows)) == 10_000


def test_edges_name_both_ends_and_the_kind() -> None:
    assert edges([row(1), row(2, "1"), row(3, "1:any,2:fail")]) == [
        {"from": "1", "to": "2", "kind": "ok"},
        {"from": "1", "to": "3", "kind": "any"},
        {"from": "2", "to": "3", "kind": "fail"},
    ]
