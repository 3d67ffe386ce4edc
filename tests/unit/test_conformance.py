"""The suite for drivers passes a good one, and catches one fault of each kind."""

import pytest

from ostler.testing.conformance import CASES, Bench, Verdict, check, run
from ostler.testing.conformance.apart import lose_patience
from tests.toy_faults import FAULTS, Hangs
from tests.toy_rm import Toy, ToyBench


def test_a_driver_without_a_fault_passes_all_cases() -> None:
    bench = ToyBench()
    found = [finding for finding in check(bench) if finding.verdict is not Verdict.PASSED]
    bench.close()
    assert found == []


@pytest.mark.parametrize(("faulty", "name", "text"), FAULTS)
def test_a_driver_with_one_fault_is_caught(faulty: type[Toy], name: str, text: str) -> None:
    bench = ToyBench(faulty)
    bench.deadline = 0.05 if faulty is Hangs else Bench.deadline
    finding = run(name, bench)
    bench.close()
    assert finding.verdict is Verdict.FAILED
    assert text in finding.text
    assert "; expected " in finding.text


def test_each_case_catches_a_fault() -> None:
    assert set(CASES) == {name for _, name, _ in FAULTS}


def test_a_driver_that_never_answers_is_not_waited_for_all_the_time() -> None:
    bench = Bench(Toy)  # type: ignore[arg-type]  # nothing is asked of it
    lose_patience(bench, 1.0)
    assert (bench.polls, bench.deadline) == (300, 10.0)
    lose_patience(bench, 31.0)
    assert (bench.polls, bench.deadline) == (30, 2.0)
    lose_patience(bench, 5.0)
    assert (bench.polls, bench.deadline) == (10, 1.0)
