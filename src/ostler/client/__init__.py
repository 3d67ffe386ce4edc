"""The Python API: `connect()` gives a `Client`, whose `submit()` gives `JobHandle`s.

Importing this package loads nothing more: everyday commands use its light modules.
"""

TYPE_CHECKING = False  # as in typing, which is not loaded here
if TYPE_CHECKING:
    from ostler.client.session import Client, JobHandle, JobInfo, connect
    from ostler.client.values import JobOptions

__all__ = ("Client", "JobHandle", "JobInfo", "JobOptions", "connect")


def __getattr__(name: str) -> object:
    """Load the client at the first use."""
    if name not in __all__:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    from ostler.client import session

    return getattr(session, name)


def __dir__() -> list[str]:
    """Name what is loaded at its first use, too."""
    return sorted({*globals(), *__all__})
