"""The Python API: `connect()` gives a `Client`, whose `submit()` gives `JobHandle`s.

Importing this package loads nothing more: everyday commands use its light modules.
"""

TYPE_CHECKING = False  # as in typing, which is not loaded here
if TYPE_CHECKING:
    from ostler.client.aio import AsyncClient, AsyncJobHandle, connect_async
    from ostler.client.asks import Event, JobInfo
    from ostler.client.executor import Executor, Future, WorkerDied
    from ostler.client.session import Client, JobHandle, connect
    from ostler.client.values import JobOptions

__all__ = (
    "AsyncClient",
    "AsyncJobHandle",
    "Client",
    "Event",
    "Executor",
    "Future",
    "JobHandle",
    "JobInfo",
    "JobOptions",
    "WorkerDied",
    "connect",
    "connect_async",
)
_HOMES = {
    "AsyncClient": "aio",
    "AsyncJobHandle": "aio",
    "Client": "session",
    "Event": "asks",
    "JobHandle": "session",
    "JobInfo": "asks",
    "JobOptions": "values",
    "Executor": "executor",
    "Future": "executor",
    "WorkerDied": "executor",
    "connect": "session",
    "connect_async": "aio",
}


def __getattr__(name: str) -> object:
    """Load what is asked for at its first use."""
    home = _HOMES.get(name)
    if home is None:  # also where the import system looks for a module of that name
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    from importlib import import_module

    found = globals()[name] = getattr(import_module(f"ostler.client.{home}"), name)
    return found


def __dir__() -> list[str]:
    """Name what is loaded at its first use, too."""
    return sorted({*globals(), *__all__})
