"""Loads asyncio without TLS, which is a fifth of its time and 4 MB of each daemon's memory.

Daemons speak over sockets of the host. asyncio goes without `ssl` where Python was built without
it. Whoever needs it later still gets it. To be imported before anything that imports asyncio.
"""

import sys
from typing import Any

if "asyncio" not in sys.modules and "ssl" not in sys.modules:
    hidden: dict[str, Any] = sys.modules  # None says that there is no such module
    hidden["ssl"] = None
    try:
        import asyncio  # noqa: F401 - it is kept for those who come after
    finally:
        del hidden["ssl"]
