"""What lives is looked at once by the garbage collector, circles that are over are freed."""

import subprocess
import sys

PROGRAM = """
import gc
from ostler.manager import heap

looks = []
{begin}
gc.callbacks.append(lambda phase, info: looks.append(info) if phase == "stop" else None)

class Thing:
    def __init__(self, other=None):
        self.me = self
        self.other = other

keep = []
for at in range(100_000):
    keep.append([at])
    Thing()
    {between}
assert looks and all(look["generation"] == 0 for look in looks), looks[-1]
assert sum(look["collected"] for look in looks) > 90_000, "circles are freed"
assert len(gc.get_objects()) < 20_000, "what lives is set aside"
"""


def run(begin: str, between: str = "pass") -> None:
    program = PROGRAM.format(begin=begin, between=between)
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_nothing_is_looked_at_twice() -> None:
    run("heap.look_once()")


def test_whoever_says_when_has_only_what_is_new_looked_at() -> None:
    run("heap.look_between()", "heap.look()")
