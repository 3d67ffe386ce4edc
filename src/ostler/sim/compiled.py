"""Replays with many promises in compiled form, where Ostler was installed beside a C compiler.

The library lies beside this file, and nothing is loaded from anywhere else. It must have been made
from the very sources that lie there, too; one that was not is left alone.
"""

import ctypes
import hashlib
import os
from array import array
from collections.abc import Sequence
from functools import cache
from typing import Any

from ostler.schedule.counted import Rule, Work
from ostler.schedule.counted_work import Tell
from ostler.schedule.policy import Policy

_FOLDER = os.path.dirname(os.path.abspath(__file__))
_SOURCES = ("counted.c", "counted.h")
_AT_ONCE = 4096  # seconds of the replay between looks at signals


def replay(work: Work, procs: int, policy: Policy, rule: Rule, tell: Tell) -> Sequence[int] | None:
    """Return the second at which each job starts, as `ostler.schedule.counted.replay` does.

    Returns None if that must be done in Python: without the library, under the policies that are
    not in it, and for seconds that 61 bits cannot hold.
    """
    if policy.reserved in (0, 1) or (helper := library()) is None:
        return None
    try:
        columns = [array("q", column) for column in work]
    except OverflowError:
        return None
    starts = array("q", bytes(8 * len(columns[0])))
    addresses = [column.buffer_info()[0] for column in [*columns, starts]]
    most = policy.reserved or 0
    state = helper.replay_open(len(starts), procs, most, rule is Rule.BATCH, *addresses)
    if state is None:
        return None
    try:
        while helper.replay_advance(state, _AT_ONCE):
            tell(helper.replay_submitted(state))
    finally:
        helper.replay_close(state)
    tell(len(starts))
    return starts


@cache
def library() -> Any | None:
    """Return the library, or None if there is none that is made from the source beside it."""
    try:
        helper = ctypes.CDLL(os.path.join(_FOLDER, "_counted.so"))
        digest = hashlib.sha256()
        for name in _SOURCES:
            with open(os.path.join(_FOLDER, name), "rb") as file:
                digest.update(file.read())
        helper.replay_source.restype = ctypes.c_char_p
        if helper.replay_source() != digest.hexdigest().encode():
            return None
    except (OSError, AttributeError):  # AttributeError: some other library
        return None
    number, state, address = ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p
    helper.replay_open.argtypes = [number, number, number, ctypes.c_int, *[address] * 5]
    helper.replay_open.restype = state
    helper.replay_advance.argtypes = [state, number]
    helper.replay_submitted.argtypes = [state]
    helper.replay_submitted.restype = number
    helper.replay_close.argtypes = [state]
    helper.replay_close.restype = None
    return helper
