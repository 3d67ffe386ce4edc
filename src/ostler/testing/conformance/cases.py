"""What a case is, and those that are found."""

from collections.abc import Callable
from typing import NamedTuple

from ostler.testing.conformance.trial import Trial


class Case(NamedTuple):
    """One thing that must hold of a driver. run: raises `Failed` or `Skipped`."""

    name: str
    title: str
    run: Callable[[Trial], None]


FOUND: dict[str, Case] = {}


def case(function: Callable[[Trial], None]) -> Callable[[Trial], None]:
    """Take a function in: its name is the case's, its docstring the title."""
    name = function.__name__.replace("_", "-")
    FOUND[name] = Case(name, (function.__doc__ or "").strip().removesuffix("."), function)
    return function
