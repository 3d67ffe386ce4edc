"""The newest jobs of one user are found in order, whatever ended, ran again or is a step."""

from hypothesis import given
from hypothesis import strategies as st

from ostler.core.own import OwnJobs
from ostler.model.ids import step_id

numbers = st.integers(1, 12) | st.integers(0, 3).map(lambda step: step_id(7, step))


@given(st.lists(st.tuples(st.booleans(), numbers)), st.integers(1, 6))
def test_the_newest_are_those_with_the_highest_numbers(
    changes: list[tuple[bool, int]], most: int
) -> None:
    own, right = OwnJobs(), set[int]()
    for comes, number in changes:
        if comes:
            own.add(number)
            right.add(number)
        else:
            own.discard(number)
            right.discard(number)
        jobs = sorted(n for n in right if n < step_id(1, 0))
        assert own.newest(most) == (jobs[-most:], max(0, len(jobs) - most))
        assert (set(own), len(own)) == (right, len(right))
