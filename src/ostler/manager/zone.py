"""The time zone of this host, as daemons that know its rules need it, not only today's offset."""

import os
from datetime import UTC, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo


def home_zone(localtime: Path = Path("/etc/localtime")) -> tzinfo:
    """Return the zone that TZ names, else that of the host; UTC where neither can be read."""
    try:
        if name := os.environ.get("TZ", "").removeprefix(":"):
            return ZoneInfo(name)
        with localtime.open("rb") as file:
            return ZoneInfo.from_file(file)
    except (OSError, ValueError, KeyError):
        return UTC
