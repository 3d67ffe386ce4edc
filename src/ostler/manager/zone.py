"""The time zone of this host, as daemons that know its rules need it, not only today's offset."""

import os
import time
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

_NONE = timedelta(0)


def home_zone(localtime: Path = Path("/etc/localtime")) -> tzinfo:
    """Return the zone that TZ names, else that of the host; UTC where neither can be read."""
    name = os.environ.get("TZ", "").removeprefix(":")
    try:
        if not name or name.startswith("/"):
            with (Path(name) if name else localtime).open("rb") as file:
                return ZoneInfo.from_file(file)
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        return LibraryZone() if name else UTC


class LibraryZone(tzinfo):
    """What the C library makes of TZ where that names no zone of the database, as in CET-1CEST."""

    def utcoffset(self, moment: datetime | None) -> timedelta:
        """Return the offset of a wall clock that shows this; the second time, where `fold` is set."""
        shown = (datetime.now(UTC) if moment is None else moment).timetuple()[:8]
        summer = 0 if moment is not None and moment.fold else 1
        for guess in (summer, 1 - summer):
            found = time.localtime(time.mktime((*shown, guess)))
            if found[:6] == shown[:6]:
                return timedelta(seconds=found.tm_gmtoff)
        return timedelta(seconds=time.localtime(time.mktime((*shown, -1))).tm_gmtoff)

    def fromutc(self, moment: datetime) -> datetime:
        """Return what the wall clock shows then; around its changes, too."""
        at = moment.replace(tzinfo=UTC).timestamp()
        offset = timedelta(seconds=time.localtime(at).tm_gmtoff)
        shown = moment + offset
        return shown if self.utcoffset(shown) == offset else shown.replace(fold=1)

    def dst(self, moment: datetime | None) -> timedelta:  # noqa: ARG002  nobody asks
        """Return nothing: of summer time the offset says enough."""
        return _NONE

    def tzname(self, moment: datetime | None) -> str:  # noqa: ARG002
        """Return what TZ says."""
        return os.environ.get("TZ", "")
