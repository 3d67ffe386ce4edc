"""What a case has found."""

from enum import StrEnum
from unittest import SkipTest

from msgspec import Struct


class Verdict(StrEnum):
    """How a case came out."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


class Failed(AssertionError):
    """The driver has not kept the contract. Its text: what came, and what was expected."""


class Skipped(SkipTest):
    """The case says nothing about this driver. Its text: why."""


class Finding(Struct, frozen=True):
    """The outcome of one case. text: what came and what was expected, or why it was skipped."""

    case: str
    title: str
    verdict: Verdict
    text: str = ""
    seconds: float = 0.0

    def demand(self) -> None:
        """Raise `Failed` or `Skipped`, unless it passed: the last line of a test."""
        if self.verdict is Verdict.FAILED:
            raise Failed(f"{self.case} ({self.title}): {self.text}")
        if self.verdict is Verdict.SKIPPED:
            raise Skipped(self.text)


def expect(holds: object, came: str, wanted: str) -> None:
    """Raise `Failed` with both unless it holds."""
    if not holds:
        raise Failed(f"{came}; expected {wanted}")
