"""The bench's arithmetic: what it makes of rounds, ratios and a reference."""

from pathlib import Path

import pytest

from bench.bench import Bench, Contender, rotated
from bench.compare import changes, missing, tolerance
from bench.peers import Peers
from bench.processes import Unavailable
from bench.record import RATIO, Figure, Record, Sample, load, save
from bench.sizes import Sizes
from bench.stats import quantile, spread
from bench.table import changes_text, number, row_text


def figure(*values: float, less: bool = False, aim: float | None = None) -> Figure:
    return Figure("elements", "ours / xargs", RATIO, list(values), less, aim)


def record_of(*figures: Figure) -> Record:
    record = Record(figures=list(figures))
    record.add("elements", "ours", {"elements/s": 1.0})
    return record


@pytest.mark.parametrize(
    ("values", "part", "found"),
    [([5.0], 0.99, 5.0), ([3.0, 1.0, 2.0], 0.5, 2.0), (range(1, 101), 0.99, 99), ([1, 2], 0.0, 1)],
)
def test_a_quantile_is_a_value_that_was_measured(
    values: list[float], part: float, found: float
) -> None:
    assert quantile(values, part) == found


def test_the_spread_is_the_sigma_over_the_median_and_a_stray_does_not_move_it() -> None:
    assert spread([9.0, 10.0, 11.0]) == pytest.approx(0.148, abs=0.001)
    assert spread([9.0, 10.0, 10.5, 11.0, 900.0]) < 0.15
    assert spread([7.0]) == spread([0.0, 0.0]) == 0.0


def test_each_contender_is_first_once_in_as_many_rounds() -> None:
    contenders = [Contender(name, dict) for name in ("a", "b", "c")]
    orders = ["".join(c.name for c in rotated(contenders, turn)) for turn in range(4)]
    assert orders == ["abc", "bca", "cab", "abc"]
    assert rotated([], 1) == []


def test_a_ratio_is_taken_round_by_round() -> None:
    record = Record()
    for ours, theirs in [(2.0, 1.0), (30.0, 10.0), (800.0, 200.0)]:
        record.add("elements", "ours", {"elements/s": ours})
        record.add("elements", "xargs", {"elements/s": theirs})
    record.ratio("elements", "elements/s", ("ours", "xargs"), aim=1.2)
    assert record.figures == [
        Figure("elements", "ours / xargs, elements/s", RATIO, [2.0, 3.0, 4.0], aim=1.2)
    ]


@pytest.mark.parametrize(
    ("found", "met"),
    [
        (figure(0.9, aim=0.9), True),
        (figure(0.89, aim=0.9), False),
        (figure(0.6, less=True, aim=0.6), True),
        (figure(0.61, less=True, aim=0.6), False),
        (figure(0.1), True),
    ],
)
def test_an_aim_is_the_least_or_where_less_is_better_the_most(found: Figure, *, met: bool) -> None:
    assert found.met is met


def test_who_cannot_go_on_leaves_and_is_named_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    turns = iter([{"elements/s": 7.0}])

    def breaks_down() -> Sample:
        for sample in turns:
            return sample
        raise Unavailable("it ended without an answer")

    record = Record()
    bench = Bench(tmp_path, Sizes(rounds=3), Peers(tmp_path, wanted=False), record)
    steady = Contender("ours", lambda: {"elements/s": 5.0})
    bench.interleave("elements", [Contender("peer", breaks_down), steady])
    record.ratio("elements", "elements/s", ("ours", "peer"))
    assert [(s.contender, s.values) for s in record.series] == [("ours", [5.0, 5.0, 5.0])]
    assert record.figures == []
    assert [gap.contender for gap in record.gaps] == ["peer"]
    text = row_text(record, "elements", "many of them")
    assert "peer: NOT MEASURED: it ended without an answer" in text
    assert "NOT MEASURED" in capsys.readouterr().err


def test_the_short_form_starts_no_peer(tmp_path: Path) -> None:
    peers = Peers(tmp_path, wanted=False)
    with pytest.raises(Unavailable, match="short form"):
        peers.slurm()
    assert list(tmp_path.iterdir()) == []


def test_a_table_shows_medians_spreads_figures_and_misses() -> None:
    record = Record()
    for rate in (1900.0, 2000.0, 2100.0):
        record.add("elements", "ours", {"elements/s": rate, "own µs": 150.0})
        record.add("elements", "xargs", {"elements/s": 1000.0})
    record.ratio("elements", "elements/s", ("ours", "xargs"), aim=1.2)
    record.count("elements", "ours", "own µs", aim=100)
    assert row_text(record, "elements", "many of them").splitlines() == [
        "elements: many of them",
        "         elements/s  own µs  rounds",
        "  ours    2,000 ±7%     150       3",
        "  xargs       1,000               3",
        "",
        "  ours / xargs, elements/s  2.00 ±7% x  aim: at least 1.20     met",
        "  ours, own µs                  150 µs    aim: at most 100  MISSED",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.0404, "0.040"), (1.234, "1.23"), (61.26, "61.3"), (1e6, "1,000,000")],
)
def test_numbers_have_the_digits_that_count(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("then", "allowed"),
    [
        (figure(2.0, 2.0, 2.0), 0.10),
        (figure(1.9, 2.0, 2.1), 0.22),
        (figure(1.0, 2.0, 3.0), 0.5),
    ],
)
def test_the_tolerance_grows_with_the_spread_of_the_reference(then: Figure, allowed: float) -> None:
    assert tolerance(then) == pytest.approx(allowed, abs=0.005)


@pytest.mark.parametrize(
    ("now", "less", "slower"),
    [
        (1.85, False, False),
        (1.75, False, True),
        (4.0, False, False),
        (2.15, True, False),
        (2.3, True, True),
        (1.0, True, False),
    ],
)
def test_what_got_slower_by_more_than_its_tolerance_is_found(
    now: float, *, less: bool, slower: bool
) -> None:
    then = record_of(figure(2.0, less=less))
    (change,) = changes(then, record_of(figure(now, less=less)))
    assert change.slower is slower
    assert ("SLOWER" in changes_text([change])) is slower


def test_a_rough_check_judges_ratios_only_and_forgives_what_hosts_differ_by() -> None:
    count = Figure("elements", "ours, own µs", "µs", [100.0], less=True)
    then = record_of(figure(2.0), count)
    slow = Figure("elements", "ours, own µs", "µs", [900.0], less=True)
    assert [c.slower for c in changes(then, record_of(figure(0.61), slow), rough=True)] == [False]
    assert [c.slower for c in changes(then, record_of(figure(0.59), slow), rough=True)] == [True]


def test_a_rough_check_takes_no_noise_for_a_loss() -> None:
    then = record_of(figure(2.0, 2.0, 2.0))
    steady, noisy = figure(0.5, 0.5, 0.5), figure(0.3, 0.5, 0.7)
    assert [c.slower for c in changes(then, record_of(steady), rough=True)] == [True]
    assert [c.slower for c in changes(then, record_of(noisy), rough=True)] == [False]


def test_a_figure_that_is_gone_is_named_if_its_row_was_run() -> None:
    elsewhere = Figure("latency", "ours / sbatch", RATIO, [0.1], less=True)
    then = record_of(figure(2.0), elsewhere)
    assert missing(then, record_of()) == ["elements: ours / xargs"]


def test_a_stored_run_reads_back_the_same(tmp_path: Path) -> None:
    record = record_of(figure(1.0, 2.0, aim=0.9))
    record.facts["commit"] = "abc"
    record.drop("elements", "Slurm", "it is not installed")
    save(record, tmp_path / "run.json")
    assert load(tmp_path / "run.json") == record
