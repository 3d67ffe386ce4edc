"""The smallest driver keeps the contract, with real processes."""

from collections.abc import Iterator

import pytest

from ostler.drivers.local import Local
from ostler.testing.conformance import CASES, run
from ostler.testing.conformance.shipped import LocalBench


@pytest.fixture(scope="module")
def bench() -> Iterator[LocalBench]:
    bench = LocalBench(Local)
    yield bench
    bench.close()


@pytest.mark.parametrize("name", CASES)
def test_the_local_driver_keeps_the_contract(name: str, bench: LocalBench) -> None:
    run(name, bench).demand()
