"""Ostler turns a set of hosts into one machine.

Importing this package costs next to nothing: everyday commands pay for every module they load.
"""

TYPE_CHECKING = False  # as in typing, which is not loaded here
if TYPE_CHECKING:
    from ostler.client import Executor, WorkerDied, connect, connect_async
    from ostler.model.errors import OstlerError

__version__ = "0.1.0"
__all__ = ("Executor", "OstlerError", "WorkerDied", "connect", "connect_async")


def __getattr__(name: str) -> object:
    """Load the client at the first use of it, and what its methods raise."""
    if name not in __all__:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    from ostler import client
    from ostler.model.errors import OstlerError

    return OstlerError if name == "OstlerError" else getattr(client, name)


def __dir__() -> list[str]:
    """Name what is loaded at its first use, too."""
    return sorted({*globals(), *__all__})
