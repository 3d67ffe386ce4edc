"""Settings for all tests: how hard hypothesis tries, and which tests start daemons."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Daemons share the CPUs with the tests, so no example has a deadline of its own.
# The same examples each time; many more of them are the business of `make soak`.
settings.register_profile(
    "ci", max_examples=60, derandomize=True, deadline=None, database=None, print_blob=True
)
settings.register_profile(
    "soak",
    max_examples=2_000,
    stateful_step_count=100,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

# Whoever starts the tests in the background of a script ignores interruptions for them, and so for
# all programs that they start; what is tested with a signal would never end.
for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM):
    if signal.getsignal(number) is signal.SIG_IGN:
        usual = signal.default_int_handler if number is signal.SIGINT else signal.SIG_DFL
        signal.signal(number, usual)

END_TO_END = Path(__file__).parent / "e2e"


@pytest.fixture(scope="session", autouse=True)
def _elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Leave the checkout: jobs write their output where their client was."""
    began = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("elsewhere"))
    yield
    os.chdir(began)


def pytest_xdist_auto_num_workers() -> int:
    """Return three workers for two CPUs: those of real daemons wait for most of their time."""
    cpus = len(os.sched_getaffinity(0))
    return cpus + (cpus + 1) // 2


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what lies below tests/e2e, so that `-m 'not e2e'` leaves it out."""
    for item in items:
        if END_TO_END in item.path.parents:
            item.add_marker(pytest.mark.e2e)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Count bytes instead of showing them: frames may hold what differs between workers."""
    return argname if isinstance(val, bytes) else None
