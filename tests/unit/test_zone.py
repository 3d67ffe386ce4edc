"""The zone of a manager's host is one thing, by whatever TZ names it."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ostler.manager.zone import home_zone
from ostler.model.shifts import offset_at

SUMMER, WINTER = (datetime(2026, month, 1, 12, tzinfo=UTC).timestamp() for month in (7, 12))
CHANGE = datetime(2026, 10, 25, 1, tzinfo=UTC).timestamp()  # end of summer time in Europe


@pytest.fixture
def tz(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[None]:
    """Be on a host where TZ says so."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("tz")
@pytest.mark.parametrize(
    "tz",
    [
        "Europe/Berlin",
        ":Europe/Berlin",
        "/usr/share/zoneinfo/Europe/Berlin",
        "CET-1CEST,M3.5.0,M10.5.0/3",
    ],
    indirect=True,
)
def test_windows_and_calendars_go_by_what_the_clock_on_the_wall_shows() -> None:
    if not Path("/usr/share/zoneinfo/Europe/Berlin").exists():
        pytest.skip("this host has no zones")
    zone = home_zone()
    for at in (SUMMER, WINTER, CHANGE - 1, CHANGE):
        assert offset_at(zone, at) == time.localtime(at).tm_gmtoff
    noon = datetime(2026, 7, 1, 12, tzinfo=zone)
    assert noon.timestamp() == SUMMER - 7_200


@pytest.mark.usefixtures("tz")
@pytest.mark.parametrize("tz", [""], indirect=True)
def test_a_host_that_names_no_zone_goes_by_utc(tmp_path: Path) -> None:
    assert home_zone(tmp_path / "localtime") is UTC
