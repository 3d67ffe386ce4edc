"""Who may write: one row for each role, an epoch that only rises, a lease that ends."""

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

from ostler.model.errors import NotNow
from ostler.store.sqlite.connection import SQL

IsAlive = Callable[[int, float], bool]  # pid, start time -> whether that very process lives


def take(
    conn: sqlite3.Connection,
    roles: Sequence[str],
    *,
    holder: str,
    pid: int,
    start_time: float,
    boot_id: str,
    now: float,
    lease_seconds: float,
    is_alive: IsAlive,
    at_least: int = 0,
) -> int:
    """Take all roles inside the transaction that the caller has begun; return their epoch."""
    me = (pid, start_time)
    for role in roles:
        row = conn.execute(SQL["role"], {"role": role}).fetchone()
        if row is not None and row[:1] != ("",) and not _over(row, me, boot_id, now, is_alive):
            raise NotNow(
                f"manager {row[0]!r} (pid {row[1]}) has the role {role} "
                f"for another {row[5] - now:.0f} seconds",
                hint="stop it first, or wait until its lease ends",
            )
    (epoch,) = conn.execute(SQL["next_epoch"]).fetchone()
    epoch = max(epoch, at_least)
    for role in roles:
        values = {
            "role": role,
            "holder": holder,
            "pid": pid,
            "start_time": start_time,
            "boot_id": boot_id,
            "epoch": epoch,
            "lease_until": now + lease_seconds,
        }
        conn.execute(SQL["take_role"], values)
    return int(epoch)


def _over(
    row: Sequence[Any], me: tuple[int, float], boot_id: str, now: float, is_alive: IsAlive
) -> bool:
    """Say whether a role may be taken from its holder; a frozen holder is stopped by its epoch."""
    _, pid, start_time, _, _, lease_until, lease_boot_id = row
    if lease_boot_id != boot_id or lease_until <= now or (pid, start_time) == me:
        return True
    return not is_alive(pid, start_time)
