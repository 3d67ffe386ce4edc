"""The soft limits of a submission, put on its tasks."""

import resource

from ostler.model.limits import RLIMITS

_NUMBERS = {name: getattr(resource, f"RLIMIT_{name.upper()}") for name in RLIMITS}
_UNLIMITED = -1


def own_limits() -> dict[str, int]:
    """Return this process's soft limits by name, in the kernel's units; -1: unlimited."""
    return {name: resource.getrlimit(number)[0] for name, number in _NUMBERS.items()}


class SoftLimits:
    """Puts a task's soft limits on this process around its spawn, so that it is born with them.

    Hard limits stay the node's. CPU time is an exception: this process has used some itself, so
    that limit goes onto the child.
    """

    __slots__ = ("_back", "_cpu", "_wanted")

    def __init__(self, wanted: dict[str, int]) -> None:
        self._wanted: list[tuple[int, tuple[int, int]]] = []
        self._back: list[tuple[int, tuple[int, int]]] = []
        self._cpu: tuple[int, int] | None = None
        for name, asked in wanted.items():
            if name not in _NUMBERS:
                continue
            soft, hard = resource.getrlimit(_NUMBERS[name])
            new = _within(asked, hard)
            if new == soft:
                continue
            if name == "cpu":
                self._cpu = (new, hard)
            else:
                self._wanted.append((_NUMBERS[name], (new, hard)))
                self._back.append((_NUMBERS[name], (soft, hard)))

    def __enter__(self) -> None:
        """Take the task's limits."""
        for number, pair in self._wanted:
            resource.setrlimit(number, pair)

    def __exit__(self, *_: object) -> None:
        """Take one's own again."""
        for number, pair in self._back:
            resource.setrlimit(number, pair)

    def on_child(self, pid: int) -> None:
        """Put on a child what could not be put on its parent."""
        if self._cpu is not None:
            try:
                resource.prlimit(pid, resource.RLIMIT_CPU, self._cpu)
            except (ProcessLookupError, PermissionError):
                return  # it has ended, or became another user's


def _within(asked: int, hard: int) -> int:
    if hard == _UNLIMITED:
        return max(asked, _UNLIMITED)
    return hard if asked < 0 else min(asked, hard)
