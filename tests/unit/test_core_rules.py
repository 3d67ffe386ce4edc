"""What administrators set becomes the rules of the scheduler."""

import pytest

from ostler.core.rules import rules_of
from ostler.model.errors import UsageError
from ostler.model.site import SHIPPED
from ostler.model.site_changes import Change
from ostler.schedule.rules import DAY, PartitionRules, Rules
from tests.unit.core_kit import Box


def test_as_shipped_the_rules_are_the_schedulers_own_defaults() -> None:
    assert rules_of(SHIPPED, {}) == Rules()


def test_settings_become_rules() -> None:
    box = Box()
    for key, text in (
        ("scheduler-policy", "conservative"),
        ("weight-age", "30"),
        ("max-age", "2d"),
        ("small-jobs-first", "1"),
        ("share-half-life", "1d"),
        ("max-cpus-per-user", "8"),
        ("licences", "cad:3"),
    ):
        box.configure(key, text)
    box.change(
        Change("create", "partition", ("gpu",), {"factor": "1"}),
        Change("create", "partition", ("night",), {"policy": "fcfs"}),
    )
    rules = box.machine.state.rules
    assert rules.default == PartitionRules("conservative")
    assert rules.partitions == {
        "gpu": PartitionRules("conservative", factor=1.0),
        "night": PartitionRules("fcfs"),
    }
    assert (rules.weights.age, rules.weights.max_age) == (30, 2 * DAY)
    assert rules.weights.small_first
    assert rules.shares.half_life == DAY
    assert rules.max_cpus_per_user == 8
    assert rules.licences == {"cad": 3}
    box.change(Change("set", "partition", ("night",), {"policy": "none"}))
    box.configure("scheduler-policy", None)
    assert box.machine.state.rules.of("night").policy == "easy"


@pytest.mark.parametrize(
    ("key", "text", "why"),
    [
        ("scheduler-policy", "esay", "no policy is named 'esay'"),
        ("weight-age", "1000001", "a whole number from 0 to 1000000"),
        ("max-age", "0", "from 1 to"),
    ],
)
def test_what_means_nothing_is_refused_and_changes_nothing(key: str, text: str, why: str) -> None:
    box = Box()
    with pytest.raises(UsageError) as found:
        box.configure(key, text)
    assert why in f"{found.value} {found.value.expected}"
    assert box.machine.state.settings == {}
