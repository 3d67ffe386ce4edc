"""What administrators have set, as the rules of a scheduler."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TypeVar

from msgspec.structs import replace

from ostler.model.errors import UsageError
from ostler.model.settings import ATTRIBUTES, licences, parse_choices
from ostler.schedule.policy import parse_policy
from ostler.schedule.rules import PartitionRules, Rules, ShareRules, Weights

T = TypeVar("T")


def rules_of(settings: Mapping[str, str]) -> Rules:
    """Return the rules in force. settings: what is not as shipped. Raises `UsageError`."""
    return _rules(tuple(sorted(settings.items())))


@lru_cache(maxsize=4)
def _rules(changed: tuple[tuple[str, str], ...]) -> Rules:
    settings = {key: str(known.default) for key, known in ATTRIBUTES.items()} | dict(changed)
    default, partitions = _partitions(settings)
    return Rules(
        default,
        partitions,
        _weights(settings),
        max_cpus_per_user=int(settings["max-cpus-per-user"]),
        licences=dict(licences(settings["licences"])),
        shares=ShareRules(half_life=float(settings["share-half-life"])),
    )


def _weights(settings: Mapping[str, str]) -> Weights:
    names = ("priority", "age", "size", "share", "partition", "boost")
    weights = {name: int(settings[f"weight-{name}"]) for name in names}
    return Weights(
        **weights,
        max_age=int(settings["max-age"]),
        small_first=settings["small-jobs-first"] == "1",
    )


def _partitions(settings: Mapping[str, str]) -> tuple[PartitionRules, dict[str, PartitionRules]]:
    """Return the rules of partitions that have none of their own, and of those that do."""
    policies = _each(settings, "scheduler-policy", lambda text: parse_policy(text).name)
    factors = _each(settings, "partition-factors", _factor)
    if "" in factors:
        raise UsageError(
            f"partition-factors cannot be {settings['partition-factors'][:100]!r}",
            expected="NAME=FACTOR with commas, as in gpu=1,night=0.5",
        )
    default = PartitionRules(policies.get("", PartitionRules().policy))
    return default, {
        name: replace(
            default, policy=policies.get(name, default.policy), factor=factors.get(name, 0.0)
        )
        for name in sorted({*policies, *factors} - {""})
    }


def _each(settings: Mapping[str, str], key: str, parse: Callable[[str], T]) -> dict[str, T]:
    if not settings[key]:
        return {}
    choices = parse_choices(settings[key], what=key)
    return {name: parse(value) for name, value in choices.items()}


def _factor(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found <= 1:
        raise UsageError(
            f"a partition's factor cannot be {text[:40]!r}", expected="a number from 0 to 1"
        )
    return found
