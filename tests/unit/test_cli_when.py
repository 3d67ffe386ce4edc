"""Points in time as people type them."""

import pytest

from ostler.cli.when import parse_moment
from ostler.model.errors import UsageError

NOW = 1e9


@pytest.mark.parametrize(
    ("text", "seconds"), [("now", 0), ("+5m", 300), ("5m", 300), ("now+5m", 300), ("1h30m", 5400)]
)
def test_a_duration_counts_forwards_to_a_beginning(text: str, seconds: int) -> None:
    assert parse_moment("--not-before", text, now=NOW) == NOW + seconds


def test_a_duration_counts_backwards_to_what_was() -> None:
    assert parse_moment("--since", "2h", past=True, now=NOW) == NOW - 7200


@pytest.mark.parametrize("text", ["tomorrow", "5", "", "-5m", "2026-13-01"])
def test_what_is_no_time_is_refused_with_examples(text: str) -> None:
    with pytest.raises(UsageError, match="as in"):
        parse_moment("--not-before", text, now=NOW)
