"""Names of policies."""

import pytest

from ostler.model.errors import UsageError
from ostler.schedule.policy import MOST_RESERVED, Policy, Scan, parse_policy


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("fcfs", Policy("fcfs", 0)),
        ("easy", Policy("easy", 1)),
        ("easy-sjbf", Policy("easy-sjbf", 1, Scan.SHORTEST)),
        ("conservative", Policy("conservative", None)),
        ("reserved-1", Policy("reserved-1", 1)),
        ("reserved-64", Policy("reserved-64", 64)),
        (f"reserved-{MOST_RESERVED}", Policy(f"reserved-{MOST_RESERVED}", MOST_RESERVED)),
    ],
)
def test_a_name_means_its_policy(text: str, policy: Policy) -> None:
    assert parse_policy(text) == policy


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("esay", "did you mean 'easy'"),
        ("conservativ", "did you mean 'conservative'"),
        ("reserve-3", "did you mean 'reserved-K'"),
        ("", "no policy is named ''"),
        ("EASY", "easy-sjbf"),
        ("x" * 10_000, "no policy is named 'xxx"),
        ("reserved-0", "reserved-1 to reserved-100000"),
        ("reserved--1", "reserved-1 to reserved-100000"),
        ("reserved-100001", "reserved-1 to reserved-100000"),
        ("reserved-\u00b2", "reserved-1 to reserved-100000"),
        ("reserved-" + "9" * 5000, "reserved-1 to reserved-100000"),
    ],
)
def test_no_policy_is_an_error_that_says_which_there_are(text: str, told: str) -> None:
    with pytest.raises(UsageError) as error:
        parse_policy(text)
    assert told in str(error.value)
    assert len(str(error.value)) < 250
