"""What the garbage collector looks at, so that it never stops a process for long.

A collector that looks at all that lives, as Python's does whenever that has grown by a quarter,
takes 0.6 s with 100,000 jobs in memory. Nearly nothing of ours is in circles: what is over goes by
its counts of references. So each object is looked at once, while it is young, and then set aside
for good; all together are only looked at while they are few.
"""

import gc

_YOUNG = 5_000  # objects of which the collector looks at no more than once: about a millisecond
_NEVER = 1 << 30


def look_once() -> None:
    """Let the collector look at what is new, and never again at what it has seen."""
    gc.set_threshold(_YOUNG, _NEVER, _NEVER)
    gc.callbacks.append(_set_aside)
    gc.freeze()


def look_at_all() -> None:
    """Free circles that were still in use when they were looked at. Cost: by all that lives."""
    gc.unfreeze()
    gc.collect()


def look_between() -> None:
    """Let the collector look at nothing until `look` is called."""
    gc.disable()
    gc.freeze()


def look() -> None:
    """Look at what is new, if that is much, and set it aside: for a moment in which little is under way."""
    if gc.get_count()[0] > _YOUNG:
        gc.collect(0)
        gc.freeze()


def _set_aside(phase: str, _: dict[str, int]) -> None:
    if phase == "stop":
        gc.freeze()
