"""A sketch of request ids: it never forgets one, and is seldom wrong about others."""

import random

from ostler.manager.sketch import Sketch


def names(seed: int, count: int) -> list[tuple[int, str]]:
    rng = random.Random(seed)
    return [(rng.randrange(1000, 1010), f"{rng.getrandbits(128):032x}") for _ in range(count)]


def test_what_was_put_in_is_known_and_few_others_are() -> None:
    first, later, strange = names(1, 300_000), names(2, 100_000), names(3, 20_000)
    sketch = Sketch(iter(first), len(first))
    for key in later:
        sketch.add(key)
    assert all(key in sketch for key in (*first, *later))
    assert sum(key in sketch for key in strange) < len(strange) // 50


def test_an_empty_one_knows_nothing() -> None:
    sketch = Sketch((), 0)
    assert not any(key in sketch for key in names(4, 1_000))
