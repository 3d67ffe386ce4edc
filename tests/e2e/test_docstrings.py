"""Every example in a docstring of the Python API does what it says, on a real machine."""

import asyncio
import doctest
import importlib
from collections.abc import Iterator

import pytest

import ostler
from tests.e2e.machine_kit import Host

MODULES = ("aio", "executor.executor", "session")


def examples() -> Iterator[doctest.DocTest]:
    finder = doctest.DocTestFinder(exclude_empty=True)
    for name in MODULES:
        found = finder.find(importlib.import_module(f"ostler.client.{name}"))
        yield from (test for test in found if test.examples)


@pytest.mark.parametrize("example", list(examples()), ids=lambda test: str(test.name))
def test_the_example_of_a_docstring_does_what_it_says(
    example: doctest.DocTest, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OSTLER_STATE", str(host.state))
    monkeypatch.chdir(host.work)
    told: list[str] = []
    with ostler.connect() as machine:
        example.globs = {"asyncio": asyncio, "machine": machine, "ostler": ostler}
        done = doctest.DocTestRunner(verbose=False).run(example, out=told.append)
    assert done.attempted
    assert not done.failed, "".join(told)
