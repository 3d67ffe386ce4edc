"""An `Executor` of concurrent.futures whose workers are the elements of a job."""

from ostler.client.executor.executor import Executor
from ostler.client.executor.futures import Future, RemoteTraceback, WorkerDied

__all__ = ("Executor", "Future", "RemoteTraceback", "WorkerDied")
